"""The way of a listing and of a version through the store: which step leads where, and the record of each.

    listing:  draft → in_review → published → deprecated → archived
    version:  draft → scanning → in_review → published → yanked
                                         ↘ rejected

Quarantine stands apart from both: it stops everybody, owners too, whatever the state, until it is lifted. A deprecated listing and a yanked
version stay usable for those who own them. Numbers are never used twice: nothing leads out of `rejected` and `yanked`.
"""

from collections.abc import Mapping
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select

from core.actor import actor
from core.db import db
from core.errors import Conflict, Forbidden
from core.ids import new_id
from marketplace.release import term_sheets
from marketplace.release.lifecycle_models import ListingTransition, VersionTransition
from marketplace.release.version_models import ListingVersion
from marketplace.store.listing_models import Listing
from marketplace.store.listings import version_key

LISTING_STEPS: dict[tuple[str, str], str] = {
    ("draft", "submit"): "in_review",
    ("in_review", "publish"): "published",
    ("in_review", "send_back"): "draft",
    ("draft", "archive"): "archived",
    ("published", "deprecate"): "deprecated",
    ("deprecated", "reinstate"): "published",
    ("deprecated", "archive"): "archived",
}
VERSION_STEPS: dict[tuple[str, str], str] = {
    ("draft", "scan"): "scanning",
    ("draft", "withdraw"): "rejected",
    ("scanning", "pass"): "in_review",
    ("scanning", "fail"): "rejected",
    ("scanning", "lose"): "draft",
    ("in_review", "scan"): "scanning",
    ("in_review", "withdraw"): "rejected",
    ("in_review", "approve"): "published",
    ("in_review", "reject"): "rejected",
    ("published", "yank"): "yanked",
}
NEEDS_REASON = frozenset({"reject", "yank", "deprecate", "archive", "quarantine", "send_back", "lift"})


class IllegalStep(Conflict):
    """From this state, that step leads nowhere."""

    code = "illegal_step"


class Quarantined(Forbidden):
    """Nobody may use this until the quarantine is lifted."""

    code = "quarantined"


def next_state(steps: Mapping[tuple[str, str], str], state: str, action: str) -> str:
    """Where a step leads. Raises IllegalStep, naming what is possible instead."""
    found = steps.get((state, action))
    if found is None:
        possible = ", ".join(step for before, step in steps if before == state) or _("nothing")
        raise IllegalStep(_("“%(action)s” is not possible in the state “%(state)s”; possible: %(possible)s.", action=action, state=state, possible=possible))
    return found


def _who() -> dict[str, object]:
    acting = actor()
    return {"actor_role": acting.role, "actor_id": acting.user_id or acting.api_key_id, "actor_name": acting.name}


def move_listing(listing: Listing, action: str, *, at: datetime, reason: str | None = None, replacement: Listing | None = None) -> None:
    """One step of a listing, recorded. Raises IllegalStep. `replacement` is what a deprecated listing points its buyers to."""
    before, after = listing.state, next_state(LISTING_STEPS, listing.state, action)
    assert reason or action not in NEEDS_REASON, f"{action} needs a reason"
    listing.state, listing.state_reason, listing.replacement_id = after, reason, replacement.id if replacement else None
    if after == "published" and listing.published_at is None:
        listing.published_at = at
    _touch(listing, at)
    record_listing(listing, action, before, at, reason)


def move_version(version: ListingVersion, action: str, *, at: datetime, reason: str | None = None) -> None:
    """One step of a version, recorded. Raises IllegalStep."""
    before, after = version.state, next_state(VERSION_STEPS, version.state, action)
    assert reason or action not in NEEDS_REASON, f"{action} needs a reason"
    version.state = after
    if after == "published":
        version.published_at = at
    elif after == "yanked":
        version.yanked_reason = reason
    elif action == "reject":
        version.review_note = reason
    record_version(version, action, before, at, reason)


def record_version(version: ListingVersion, action: str, before: str | None, at: datetime, reason: str | None = None) -> None:
    """Keep a step of a version."""
    row = {"id": new_id(), "listing_id": version.listing_id, "number": version.number, "action": action, "from_state": before, "to_state": version.state}
    db.session.flush()
    db.session.execute(db.insert(VersionTransition).values(**row, at=at, reason=reason, **_who()))


def record_listing(listing: Listing, action: str, before: str | None, at: datetime, reason: str | None = None) -> None:
    """Keep a step of a listing."""
    row = {"id": new_id(), "listing_id": listing.id, "action": action, "from_state": before, "to_state": listing.state}
    db.session.flush()
    db.session.execute(db.insert(ListingTransition).values(**row, at=at, reason=reason, **_who()))


def _touch(listing: Listing, at: datetime) -> None:
    """Every change that decides a purchase counts the revision up: a quote made before it is stale."""
    listing.updated_at, listing.revision = at, listing.revision + 1


def offer_newest(listing: Listing, at: datetime) -> None:
    """Sell the newest version that may be sold; none while the listing is in quarantine."""
    db.session.flush()
    rows = db.session.execute(
        select(ListingVersion.number, ListingVersion.manifest["host_version"].astext).where(
            ListingVersion.listing_id == listing.id, ListingVersion.state == "published", ListingVersion.is_quarantined.is_(False)
        )
    )
    newest = None if listing.is_quarantined else max(rows, key=lambda row: version_key(row[0]), default=None)
    listing.current_version, listing.host_version = (newest[0], newest[1]) if newest else (None, None)
    term_sheets.take_over(listing)
    _touch(listing, at)


def quarantine_listing(listing: Listing, *, on: bool, at: datetime, reason: str) -> None:
    """Stop everything of a listing, or lift that. Raises IllegalStep where it is so already."""
    _quarantine(listing, on=on)
    offer_newest(listing, at)
    record_listing(listing, "quarantine" if on else "lift", listing.state, at, reason)


def quarantine_version(listing: Listing, version: ListingVersion, *, on: bool, at: datetime, reason: str) -> None:
    """Stop one release; the others stay usable and the newest of them is offered. Raises IllegalStep where it is so already."""
    _quarantine(version, on=on)
    offer_newest(listing, at)
    record_version(version, "quarantine" if on else "lift", version.state, at, reason)


def _quarantine(thing: Listing | ListingVersion, *, on: bool) -> None:
    if thing.is_quarantined is on:
        raise IllegalStep(_("It is in quarantine already.") if on else _("It is not in quarantine."))
    thing.is_quarantined = on


def check_usable(listing: Listing, version: ListingVersion) -> None:
    """Raises Quarantined while the version or its listing is in quarantine."""
    if listing.is_quarantined or version.is_quarantined:
        raise Quarantined(_("This version is in quarantine while a security question is examined. You will be told when it can be used again."))


def history(version: ListingVersion) -> list[VersionTransition]:
    """The steps of a version, oldest first."""
    mine = (VersionTransition.listing_id == version.listing_id, VersionTransition.number == version.number)
    return list(db.session.scalars(select(VersionTransition).where(*mine).order_by(VersionTransition.at, VersionTransition.id)))


def listing_history(listing: Listing) -> list[ListingTransition]:
    """The steps of a listing, oldest first."""
    rows = select(ListingTransition).where(ListingTransition.listing_id == listing.id)
    return list(db.session.scalars(rows.order_by(ListingTransition.at, ListingTransition.id)))
