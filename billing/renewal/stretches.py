"""What is due, cut into stretches of a batch each, so that several lanes share it without walking over each other's rows."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text

from core.db import db


class Place(NamedTuple):
    """Where a subscription stands in the order of what is due; several of one member may share it."""

    next_attempt_at: datetime
    member_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is due after one place, up to another one and with it. None: from the first one, to the last.

    `size`: how many it held at least, when it was cut.
    """

    after: Place | None = None
    until: Place | None = None
    size: int = 0

    @property
    def ends(self) -> dict[str, datetime | uuid.UUID | None]:
        """The parameters of a statement about it."""
        after_at, after_member = self.after or (None, None)
        until_at, until_member = self.until or (None, None)
        return {"after_at": after_at, "after_member": after_member, "until_at": until_at, "until_member": until_member}


ALL = Stretch()
_DUE = (
    "subscription s where s.state in ('trialing', 'active', 'past_due') and s.next_attempt_at <= :at and (s.next_attempt_at, s.member_id)"
    " > (coalesce(cast(:after_at as timestamptz), '-infinity'), coalesce(cast(:after_member as uuid), '00000000-0000-0000-0000-000000000000'))"
    " and (s.next_attempt_at, s.member_id)"
    " <= (coalesce(cast(:until_at as timestamptz), :at), coalesce(cast(:until_member as uuid), 'ffffffff-ffff-ffff-ffff-ffffffffffff'))"
)
_COUNT = text(f"select count(*) from {_DUE}")  # noqa: S608 (made of constants)
_BOUNDARY = text(f"select s.next_attempt_at, s.member_id from {_DUE} order by s.next_attempt_at, s.member_id offset :size - 1 limit 1")  # noqa: S608
_MEMBERS = text(f"select distinct d.member_id from (select s.* from {_DUE} order by s.next_attempt_at, s.member_id limit :most) d order by d.member_id")  # noqa: S608


def cut(at: datetime, size: int) -> Iterator[Stretch]:
    """All that is due at `at`, in the order of instants, in stretches of `size`: more only where the last of one shares its place, the last one fewer or none.

    Each is looked for when it is asked for, so that the first can be renewed meanwhile. The caller's transaction goes on while they are asked for.
    """
    after: Place | None = None
    while True:
        found = db.session.execute(_BOUNDARY, {"at": at, "size": size} | Stretch(after).ends).one_or_none()
        if found is None:
            yield Stretch(after, None, db.session.execute(_COUNT, {"at": at} | Stretch(after).ends).scalar_one())
            return
        until = Place(*found)
        yield Stretch(after, until, size)
        after = until


def due_members(at: datetime, stretch: Stretch, most: int | None) -> list[uuid.UUID]:
    """The members whose subscriptions are due at `at` in this stretch, each once: those of the first `most` subscriptions."""
    return list(db.session.scalars(_MEMBERS, {"at": at, "most": most} | stretch.ends))
