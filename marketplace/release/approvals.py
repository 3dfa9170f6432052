"""Which versions need a person, and the decision on those that do."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select

from core import audit, outbox
from core.db import db
from core.errors import Conflict
from marketplace.checks import pipeline, records
from marketplace.checks.findings import Finding, read
from marketplace.order import bundle_terms
from marketplace.publisher import publisher_notices
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import lifecycle, term_sheets
from marketplace.release.lifecycle_models import VersionCheck, VersionTransition
from marketplace.release.version_models import ListingVersion
from marketplace.store.listing_models import Listing
from marketplace.store.listings import is_newer

MOST_KEPT = 10  # findings of a replay
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
    sheet_before = term_sheets.sheet_of(version_before(listing, version)) or {}
    lifecycle.move_version(version, "approve", at=at, reason=reason)
    if listing.state == "in_review":
        lifecycle.move_listing(listing, "publish", at=at)
    lifecycle.offer_newest(listing, at)
    publisher_notices.tell_of(listing, "version_approved", at=at, key=version.number, version=version.number, is_first=before is None)
    _tell_of_parts(listing, version, sheet_before.get("parts", ()), at)
    outbox.publish("version.published", {"listing_id": str(listing.id), "slug": listing.slug, "number": version.number}, at=at)
    after = {"current_version": listing.current_version}
    audit.record("version.approved", f"{listing.slug} {version.number}", at=at, before={"current_version": before}, after=after, reason=reason)


def _tell_of_parts(bundle: Listing, version: ListingVersion, before: Collection[str], at: datetime) -> None:
    """Whoever offers what is newly part of somebody else's bundle is told, with what it gets of the price."""
    about = {"bundle_zh": bundle.name_zh, "bundle_en": bundle.name_en, "bundle_minor": bundle.price_minor}
    for part in bundle_terms.of_sheet(term_sheets.sheet_of(version), at=at):
        if part.listing.publisher_id != bundle.publisher_id and part.listing.slug not in before:
            key = f"{bundle.id}:{version.number}"
            publisher_notices.tell_of(part.listing, "bundle_joined", at=at, key=key, amount_minor=part.share_minor, **about)


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


def remember_replay(listing_id: uuid.UUID, number: str, findings: Sequence[Finding], *, at: datetime) -> list[Finding]:
    """Note on the release's record when the replay last held, or why it no longer does. Returns what the replay before had not found."""
    row = db.session.execute(
        select(VersionCheck)
        .join(ListingVersion, (ListingVersion.listing_id == VersionCheck.listing_id) & (ListingVersion.number == VersionCheck.number))
        .where(VersionCheck.listing_id == listing_id, VersionCheck.number == number, VersionCheck.attempt == ListingVersion.attempt)
        .where(VersionCheck.name == "signature")
        .with_for_update(of=VersionCheck)
    ).scalar_one_or_none()
    if row is None:
        return []
    kept = findings[:MOST_KEPT]
    known = {_same(read(one)) for one in row.detail.get("replay_findings", [])}
    row.detail = {**row.detail, "replayed_at": at.isoformat(), "replay_findings": [one.stored() for one in kept]}
    db.session.flush()
    return [one for one in kept if _same(one) not in known]


def _same(finding: Finding) -> tuple[str, str | None]:
    """By what a failure is known again: its words may tell of times and sizes that differ from day to day."""
    return finding.rule, finding.file
