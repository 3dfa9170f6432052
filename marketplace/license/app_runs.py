"""How often a member's apps ran, and the time that saved. Runs are counted by the room that knows of use; app.py names it."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from marketplace.license.licenses import Owned


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of one app for one member in the last 30 days, and in the last 365."""

    month: int
    year: int


# (member, instant) → runs by the listing's slug, within the caller's transaction.
count: Callable[[uuid.UUID, datetime], Mapping[str, Runs]] | None = None


def of_member(member_id: uuid.UUID, at: datetime) -> Mapping[str, Runs]:
    """Runs by the listing's slug; nothing where nobody counts them."""
    return count(member_id, at) if count else {}


def minutes_saved(owned: Sequence[Owned], month: Mapping[str, int]) -> dict[uuid.UUID, int | None]:
    """Minutes saved by licence, from the runs of 30 days by the listing's slug, at the publisher's figure of a run; None where there is none, or nothing ran.

    `owned` are one member's, the latest first: where it has had a listing several times, the runs are the latest licence's.
    """
    left, saved = dict(month), dict[uuid.UUID, int | None]()
    for one in owned:
        did = left.pop(one.listing.slug, None)
        saved[one.license.id] = did * one.listing.minutes_saved if did is not None and one.listing.minutes_saved else None
    return saved
