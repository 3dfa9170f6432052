"""New versions on their way into the store: a publisher hands in a bundle, what is plainly wrong is refused at once, a job checks the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import defer

from core import audit
from core.db import db
from core.errors import Conflict, Invalid, NotFound
from marketplace.checks import manifest as manifests
from marketplace.checks import records
from marketplace.checks.findings import Refused, refuse
from marketplace.checks.unpack import MAX_ZIP, unpack
from marketplace.publisher import publisher_notices
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import approvals, bundles, lifecycle, publishing, term_sheets
from marketplace.release.lifecycle_models import VersionCheck
from marketplace.release.version_models import ListingVersion
from marketplace.store.listing_models import Listing
from marketplace.store.listings import is_newer

__all__ = ["MAX_ZIP", "PROMISE", "approve", "find_open", "find_waiting", "inspect", "queue", "reject", "submit"]
PROMISE = timedelta(days=2)  # within which a version is looked at
OPEN = ("draft", "scanning", "in_review")  # states of a version that waits for its answer


class SubmissionInvalid(Invalid):
    """The bundle can't be taken; the sentence names the file, the rule and the fix."""

    code = "submission_invalid"


class ChangeWaits(Conflict):
    """One version of a term sheet at a time: the next would be about terms that nobody has agreed to."""

    code = "change_waits"


class AlreadyDecided(Conflict):
    """Somebody else has approved or rejected this version."""

    code = "already_decided"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A version in the review queue; `due_at` is what publishers are promised, `look_at` what a person must judge."""

    version: ListingVersion
    listing: Listing
    publisher: Publisher
    due_at: datetime
    added: list[str]  # permissions that the version before did not have
    removed: list[str]
    look_at: list[str]
    checks: list[VersionCheck]

    @property
    def passed(self) -> int:
        """How many checks have passed."""
        return sum(one.state == "passed" for one in self.checks)


def inspect(content: bytes) -> bundles.Bundle:
    """Open an uploaded zip without trusting it, and make the bundle of its files: the same files give the same hash, however they were zipped.

    Raises SubmissionInvalid, naming file, rule and fix.
    """
    try:
        files = unpack(content)
        manifest = manifests.read(files)
    except Refused as error:
        raise invalid(error) from error
    return bundles.pack(manifest, files)


def invalid(error: Refused) -> SubmissionInvalid:
    """A refusal as the form and the API say it: the first finding with its place and its fix."""
    first = error.findings[0]
    parts = [f"{first.where}: {first.sentence}" if first.where and first.file != "manifest.json" else first.sentence, first.fix]
    return SubmissionInvalid(" ".join(part for part in parts if part), field="bundle")


def submit(listing: Listing, content: bytes, notes_zh: str, notes_en: str, submitted_by: str, *, at: datetime) -> ListingVersion:
    """Hand in a new version of a listing; a job checks it. Raises SubmissionInvalid, VersionReused."""
    return _take(listing, inspect(content), notes_zh, notes_en, submitted_by, at)


def submit_once(listing: Listing, content: bytes, notes_zh: str, notes_en: str, submitted_by: str, *, at: datetime) -> tuple[ListingVersion, bool]:
    """As `submit`, for machines that repeat themselves: the same files under the same number are the version that is there (then False)."""
    bundle = inspect(content)
    known = db.session.get(ListingVersion, (listing.id, str(bundle.manifest["version"])))
    if known is not None and known.sha256 == bundle.sha256 and bundle.manifest["slug"] == listing.slug:
        return known, False
    return _take(listing, bundle, notes_zh, notes_en, submitted_by, at), True


def _take(listing: Listing, bundle: bundles.Bundle, notes_zh: str, notes_en: str, submitted_by: str, at: datetime) -> ListingVersion:
    number = str(bundle.manifest["version"])
    if listing.kind in term_sheets.KINDS:
        raise SubmissionInvalid(_("A service or a bundle is changed on its page, not by a file."), field="bundle")
    for key, expected in (("slug", listing.slug), ("kind", listing.kind)):
        if bundle.manifest[key] != expected:
            raise invalid(refuse("manifest_other", f"{key} ≠ {expected}", "manifest.json"))
    if listing.current_version and not is_newer(number, listing.current_version):
        words = _("manifest.json: version %(number)s is not newer than %(current)s. Take a higher number.", number=number, current=listing.current_version)
        raise SubmissionInvalid(words, field="bundle")
    if db.session.get(ListingVersion, (listing.id, number)) is not None:
        raise _reused(number)
    version = _keep(listing, bundle, notes_zh or notes_en, notes_en or notes_zh, submitted_by, at)
    audit.record("version.submitted", f"{listing.slug} {number}", at=at, after={"sha256": bundle.sha256})
    return version


def submit_terms(listing: Listing, sheet: term_sheets.Sheet, notes_zh: str, notes_en: str, submitted_by: str, *, at: datetime) -> ListingVersion:
    """Hand in what a service or a bundle is to offer, as its next version. Raises ChangeWaits, SubmissionInvalid."""
    known = list(db.session.scalars(select(ListingVersion).where(ListingVersion.listing_id == listing.id)))
    if any(one.state in OPEN for one in known):
        raise ChangeWaits(_("A change of this listing waits for its answer already. Take it back first, or wait."))
    bundle = term_sheets.packed(listing, term_sheets.next_number(known), sheet)
    inspect(bundle.content)  # what the form let through and a check would refuse is refused now
    return _keep(listing, bundle, notes_zh or notes_en or "条款有变。", notes_en or notes_zh or "Other terms.", submitted_by, at)


def _keep(listing: Listing, bundle: bundles.Bundle, notes_zh: str, notes_en: str, submitted_by: str, at: datetime) -> ListingVersion:
    """A version as it is handed in: a job checks it."""
    number = str(bundle.manifest["version"])
    publishing.store_artifact(bundle)
    version = ListingVersion(
        listing_id=listing.id, number=number, state="draft", sha256=bundle.sha256, manifest=bundle.manifest, notes_zh=notes_zh,
        notes_en=notes_en, yanked_reason=None, created_at=at, published_at=None, review_note=None, submitted_by=submitted_by,
    )  # fmt: skip
    try:
        with db.session.begin_nested():
            db.session.add(version)
    except IntegrityError as error:
        raise _reused(number) from error
    lifecycle.record_version(version, "hand_in", None, at)
    return version


def _reused(number: str) -> publishing.VersionReused:
    return publishing.VersionReused(
        _("Version %(number)s was handed in before. Numbers are never used twice; take the next one.", number=number), field="bundle"
    )


def permission_change(version: ListingVersion, before: ListingVersion | None) -> tuple[list[str], list[str]]:
    """Permissions a version asks for that the one before did not, and those it gave up."""
    new, old = (set(v.manifest.get("permissions", [])) if v else set() for v in (version, before))
    return sorted(new - old), sorted(old - new)


def queue() -> Sequence[Waiting]:
    """Versions that wait for a reviewer, the one due first at the top."""
    rows = db.session.execute(
        select(ListingVersion, Listing, Publisher)
        .join(Listing, Listing.id == ListingVersion.listing_id)
        .join(Publisher, Publisher.id == Listing.publisher_id)
        .where(ListingVersion.state == "in_review", Listing.state != "draft")  # a draft has not been submitted yet
        .order_by(ListingVersion.created_at, Listing.slug)
        .options(defer(Listing.search))
    ).all()
    released = select(ListingVersion).where(ListingVersion.listing_id.in_([row[1].id for row in rows]), ListingVersion.state == "published")
    before = {(v.listing_id, v.number): v for v in db.session.scalars(released)}
    checks = records.of_many([*(row[0] for row in rows), *before.values()])
    found = []
    for version, listing, publisher in rows:
        last = before.get((listing.id, listing.current_version or ""))
        mine, earlier = checks[version.listing_id, version.number], checks[last.listing_id, last.number] if last else []
        look_at = approvals.needs_person(version, last, mine, earlier)
        found.append(Waiting(version, listing, publisher, version.created_at + PROMISE, *permission_change(version, last), look_at, mine))
    return found


def find_waiting(slug: str, number: str, *, lock: bool = False) -> tuple[ListingVersion, Listing]:
    """A submitted version, whatever became of it. Raises NotFound."""
    statement = (
        select(ListingVersion, Listing)
        .join(Listing, Listing.id == ListingVersion.listing_id)
        .where(Listing.slug == slug, ListingVersion.number == number)
        .options(defer(Listing.search))
    )
    row = db.session.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise NotFound(_("There is no such version."))
    return row[0], row[1]


def approve(slug: str, number: str, *, at: datetime, reason: str | None = None) -> None:
    """Release a version that has passed every check. Raises NotFound, AlreadyDecided, NotChecked."""
    version, listing = find_open(slug, number)
    approvals.approve(listing, version, at=at, reason=reason)


def reject(slug: str, number: str, note: str, *, at: datetime) -> None:
    """Refuse a version, with what is wrong and how to mend it; the next try takes the next number. Raises NotFound, AlreadyDecided.

    A listing that was never on sale goes back with it, so that its publisher may change its words and terms too.
    """
    version, listing = find_open(slug, number)
    lifecycle.move_version(version, "reject", at=at, reason=note)
    if listing.state == "in_review":
        lifecycle.move_listing(listing, "send_back", at=at, reason=note)
    publisher_notices.tell_of(listing, "version_rejected", at=at, key=number, version=number, reason=" ".join(note.split("\n")))
    audit.record("version.rejected", f"{slug} {number}", at=at, before={"state": "in_review"}, after={"state": "rejected"}, reason=note)


def record_recheck(listing: Listing, version: ListingVersion, *, at: datetime) -> None:
    """Leave a trace of who had a version checked again."""
    audit.record("version.rechecked", f"{listing.slug} {version.number}", at=at, after={"attempt": version.attempt + 1})


def find_open(slug: str, number: str) -> tuple[ListingVersion, Listing]:
    """A version that waits for its decision, locked. Raises NotFound, AlreadyDecided."""
    version, listing = find_waiting(slug, number, lock=True)
    if version.state != "in_review":
        raise AlreadyDecided(_("This version has been decided on already."))
    return version, listing
