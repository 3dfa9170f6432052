"""What staff does with listings and versions that are out: withdraw, deprecate, archive, quarantine. Each is audited, and each needs a reason."""

from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import defer

from core import audit
from core.db import db
from core.errors import Invalid, NotFound
from marketplace.license import holders
from marketplace.publisher import publisher_notices
from marketplace.release import lifecycle
from marketplace.release.version_models import ListingVersion
from marketplace.store.listing_models import Listing
from marketplace.store.listings import version_key

LISTING_ACTIONS = ("deprecate", "reinstate", "archive", "quarantine", "lift")
VERSION_ACTIONS = ("yank", "quarantine", "lift")


def find(slug: str, *, lock: bool = False) -> Listing:
    """A listing in any state. Raises NotFound."""
    statement = select(Listing).where(Listing.slug == slug).options(defer(Listing.search))
    found = db.session.scalar(statement.with_for_update() if lock else statement)
    if found is None:
        raise NotFound(_("There is no such listing."))
    return found


def all_listings() -> Sequence[Listing]:
    """Every listing, those that need a look first."""
    return db.session.scalars(select(Listing).order_by(Listing.is_quarantined.desc(), Listing.slug).options(defer(Listing.search))).all()


def versions(listing: Listing) -> list[ListingVersion]:
    """All versions of a listing, newest first."""
    rows = db.session.scalars(select(ListingVersion).where(ListingVersion.listing_id == listing.id))
    return sorted(rows, key=lambda one: version_key(one.number), reverse=True)


def possible(listing: Listing) -> list[str]:
    """What may be done with a listing now."""
    steps = [action for state, action in lifecycle.LISTING_STEPS if state == listing.state and action in LISTING_ACTIONS]
    return [*steps, "lift" if listing.is_quarantined else "quarantine"]


def possible_for(version: ListingVersion) -> list[str]:
    """What may be done with a version now."""
    steps = [action for state, action in lifecycle.VERSION_STEPS if state == version.state and action in VERSION_ACTIONS]
    stopped = ["lift" if version.is_quarantined else "quarantine"] if version.state in ("published", "yanked") else []
    return [*steps, *stopped]


def act_on_listing(slug: str, action: str, reason: str, replacement: str, *, at: datetime) -> Listing:
    """One step of a listing. Raises NotFound, IllegalStep, Invalid for a replacement that can't be one."""
    listing = find(slug, lock=True)
    before = _state(listing)
    if action in ("quarantine", "lift"):
        lifecycle.quarantine_listing(listing, on=action == "quarantine", at=at, reason=reason)
    else:
        instead = _replacement(listing, replacement) if action == "deprecate" and replacement else None
        lifecycle.move_listing(listing, action, at=at, reason=reason, replacement=instead)
    holders.publish(listing, None, action, reason, at=at)
    publisher_notices.tell_of(listing, f"step_{action}", at=at, key=f"{listing.revision}", reason=reason)
    audit.record(f"listing.{action}", slug, at=at, before=before, after=_state(listing), reason=reason)
    return listing


def act_on_version(slug: str, number: str, action: str, reason: str, *, at: datetime) -> ListingVersion:
    """One step of a version that is out. Raises NotFound, IllegalStep."""
    listing = find(slug, lock=True)
    version = db.session.get(ListingVersion, (listing.id, number), with_for_update=True)
    if version is None:
        raise NotFound(_("There is no such version."))
    before = _state(version)
    if action == "yank":
        lifecycle.move_version(version, "yank", at=at, reason=reason)
        lifecycle.offer_newest(listing, at)
    else:
        lifecycle.quarantine_version(listing, version, on=action == "quarantine", at=at, reason=reason)
    holders.publish(listing, number, action, reason, at=at)
    publisher_notices.tell_of(listing, f"step_{action}", at=at, key=f"{number}:{listing.revision}", version=number, reason=reason)
    audit.record(f"version.{action}", f"{slug} {number}", at=at, before=before, after=_state(version), reason=reason)
    return version


def _state(thing: Listing | ListingVersion) -> dict[str, object]:
    return {"state": thing.state, "quarantined": thing.is_quarantined}


def _replacement(listing: Listing, slug: str) -> Listing:
    instead = db.session.scalar(select(Listing).where(Listing.slug == slug, Listing.state == "published").options(defer(Listing.search)))
    if instead is None or instead.id == listing.id:
        raise Invalid(_("Name another listing that is on sale."), field="replacement")
    return instead
