"""Which versions need a person, and the decision on those that do."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select, update

from core import audit, outbox
from core.db import db
from core.errors import Conflict
from marketplace.checks import pipeline, records
from marketplace.checks.findings import Finding, read
from marketplace.models import Listing, ListingVersion, Publisher
from marketplace.order import bundle_terms
from marketplace.publisher import publisher_notices
from marketplace.release import lifecycle, term_sheets
from marketplace.release.lifecycle_models import VersionCheck, VersionTransition
from marketplace.store.listings import is_newer

TERMS = ("required_edition_rank", "product_line", "required_features", "host_version", "offer")  # what a buyer agreed to


class NotChecked(Conflict):
    """Not all checks have passed, so nobody may approve it."""

    code = "not_checked"


class NotSubmitted(Conflict):
    """The listing is a draft: its publisher has not handed it in yet."""

    code = "not_submitted"


@dataclass(frozen=True, slots=True)
class Released:
    """A version that was approved without a person."""

    listing: Listing
    number: str
    at: datetime


def needs_person(version: ListingVersion, before: ListingVersion | None, checks: Sequence[VersionCheck], earlier: Sequence[VersionCheck]) -> list[str]:
    """What a person must look at: first, permissions, libraries, terms; nothing for a routine update."""
    if before is None:
        return ["first"]
    found = []
    if set(version.manifest["permissions"]) - set(before.manifest.get("permissions", [])):
        found.append("permissions")
    if not libraries(checks) <= libraries(earlier):
        found.append("libraries")
    if any(version.manifest.get(term) != before.manifest.get(term) for term in TERMS):
        found.append("terms")
    return found


def libraries(checks: Sequence[VersionCheck]) -> set[str]:
    """The libraries that a version imports, as its policy check recorded them."""
    return {str(name) for one in checks if one.name == "policy" for name in one.detail.get("libraries", [])}


def version_before(listing: Listing, version: ListingVersion) -> ListingVersion | None:
    """The version on sale, which buyers would update from."""
    before = db.session.get(ListingVersion, (listing.id, listing.current_version)) if listing.current_version else None
    return None if before is version else before


def why_not(checks: Sequence[VersionCheck]) -> str | None:
    """Why a version can't be approved, in words; None where it can."""
    if records.all_passed(checks):
        return None
    refused = next((one for one in checks if one.state == pipeline.REFUSED), None)
    if refused:
        said = records.findings_of(refused)
        return said[0].sentence if said else str(_("A check was refused."))
    return str(_("Not all checks have passed. Have it checked again."))


def approve(listing: Listing, version: ListingVersion, *, at: datetime, reason: str | None = None) -> None:
    """Release a version: buyers see an update, the store sells it from now on. Raises NotSubmitted, NotChecked, IllegalStep."""
    lifecycle.next_state(lifecycle.VERSION_STEPS, version.state, "approve")
    if listing.state == "draft":
        raise NotSubmitted(_("This listing is a draft; its publisher has not submitted it yet."))
    checks = records.of(version)
    if words := why_not(checks):
        raise NotChecked(words)
    records.verify(version, listing.slug, checks)
    if (sheet := term_sheets.sheet_of(version)) and "parts" in sheet:  # they were on sale when it was handed in
        publisher = db.session.get_one(Publisher, listing.publisher_id)
        bundle_terms.check(sheet["parts"], sheet["price_minor"], publisher, listing.currency, at=at)
    before = listing.current_version
    lifecycle.move_version(version, "approve", at=at, reason=reason)
    if listing.state == "in_review":
        lifecycle.move_listing(listing, "publish", at=at)
    lifecycle.offer_newest(listing, at)
    publisher_notices.tell_of(listing, "version_approved", at=at, key=version.number, version=version.number, is_first=before is None)
    outbox.publish("version.published", {"listing_id": str(listing.id), "slug": listing.slug, "number": version.number}, at=at)
    after = {"current_version": listing.current_version}
    audit.record("version.approved", f"{listing.slug} {version.number}", at=at, before={"current_version": before}, after=after, reason=reason)


def approve_if_routine(listing: Listing, version: ListingVersion, *, at: datetime) -> bool:
    """Release an update that changes neither permissions nor libraries nor terms, of a listing that is on sale and not under suspicion."""
    before = version_before(listing, version)
    checks = records.of(version)
    earlier = records.of(before) if before else []
    if listing.state != "published" or before is None or not earlier or needs_person(version, before, checks, earlier):
        return False
    if not is_newer(version.number, before.number):
        return False
    approve(listing, version, at=at, reason="routine update")
    return True


def auto_approved(since: datetime) -> Sequence[Released]:
    """What was released without a person, latest first."""
    rows = db.session.execute(
        select(Listing, VersionTransition.number, VersionTransition.at)
        .join(VersionTransition, VersionTransition.listing_id == Listing.id)
        .where(VersionTransition.action == "approve", VersionTransition.actor_role == "system", VersionTransition.at >= since)
        .order_by(VersionTransition.at.desc())
    )
    return [Released(*row) for row in rows]


def no_longer_pass() -> Sequence[tuple[Listing, str, list[Finding]]]:
    """(listing, version, findings) of what is on sale and failed when it was replayed last."""
    rows = db.session.execute(
        select(Listing, VersionCheck.number, VersionCheck.detail)
        .join(ListingVersion, (ListingVersion.listing_id == Listing.id) & (ListingVersion.number == Listing.current_version))
        .join(VersionCheck, (VersionCheck.listing_id == Listing.id) & (VersionCheck.number == ListingVersion.number))
        .where(VersionCheck.attempt == ListingVersion.attempt, VersionCheck.name == "signature")
        .where(db.func.jsonb_array_length(db.func.coalesce(VersionCheck.detail["replay_findings"], db.text("'[]'::jsonb"))) > 0)
        .order_by(Listing.slug)
    ).all()
    return [(listing, number, [read(one) for one in detail["replay_findings"]]) for listing, number, detail in rows]


def remember_replay(listing_id: uuid.UUID, number: str, findings: Sequence[Finding], *, at: datetime) -> None:
    """Note on the replay's record when it last held, or why it no longer does."""
    row = db.session.execute(
        select(VersionCheck)
        .join(ListingVersion, (ListingVersion.listing_id == VersionCheck.listing_id) & (ListingVersion.number == VersionCheck.number))
        .where(VersionCheck.listing_id == listing_id, VersionCheck.number == number, VersionCheck.attempt == ListingVersion.attempt)
        .where(VersionCheck.name == "signature")
    ).scalar_one_or_none()
    if row is not None:
        told = {"replayed_at": at.isoformat(), "replay_findings": [one.stored() for one in findings][:10]}
        key = (VersionCheck.listing_id == listing_id, VersionCheck.number == number, VersionCheck.attempt == row.attempt, VersionCheck.name == "signature")
        db.session.execute(update(VersionCheck).where(*key).values(detail={**row.detail, **told}))
