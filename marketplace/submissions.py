"""New versions on their way into the store: a publisher hands in a bundle, automatic checks look at its structure and manifest, a reviewer decides.

Running the bundle in a sandbox is not part of these checks; the pages say so.
"""

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import defer

from core import audit, outbox
from core.db import db
from core.errors import Conflict, Invalid, NotFound
from core.schemas import unstorable
from marketplace import bundles, publishing
from marketplace.listings import is_newer, version_key
from marketplace.models import Listing, ListingVersion, Publisher

MAX_ZIP, MAX_UNPACKED, MAX_FILES, MAX_FILE = 16 << 20, 64 << 20, 500, 32 << 20
PROMISE = timedelta(days=2)  # within which a version is looked at


class SubmissionInvalid(Invalid):
    """The bundle can't be taken; the sentence names the file, the rule and the fix."""

    code = "submission_invalid"


class AlreadyDecided(Conflict):
    """Somebody else has approved or sent back this version."""

    code = "already_decided"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A version in the review queue; `due_at` is what publishers are promised."""

    version: ListingVersion
    listing: Listing
    publisher: Publisher
    due_at: datetime
    added: list[str]  # permissions that the version before did not have
    removed: list[str]


def _refuse(sentence: str) -> SubmissionInvalid:
    return SubmissionInvalid(sentence, field="bundle")


def inspect(content: bytes) -> bundles.Bundle:
    """Open an uploaded zip without trusting it. Raises SubmissionInvalid, naming file, rule and fix.

    Nothing is written to disk. Sizes are checked against what is really unpacked, not against what the zip claims.
    """
    if len(content) > MAX_ZIP:
        raise _refuse(_("The zip is larger than %(limit)s MB. Leave out what a run does not need.", limit=MAX_ZIP >> 20))
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise _refuse(_("This is not a zip file. Pack the bundle's folder as a zip and try again.")) from error
    with archive:
        entries = archive.infolist()
        if len(entries) > MAX_FILES:
            raise _refuse(_("There are more than %(limit)s files. Leave out what a run does not need.", limit=MAX_FILES))
        for entry in entries:
            _check_entry(entry)
        names = [entry.filename for entry in entries]
        if len({name.casefold() for name in names}) != len(names):
            raise _refuse(_("Two files have the same name (upper and lower case count as the same). Rename one."))
        try:
            _check_unpacked(archive, entries)
            manifest = _manifest(archive, names)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
            raise _refuse(_("The zip is damaged or packed in an uncommon way. Pack it again with an ordinary tool.")) from error
    return bundles.Bundle(f"{manifest['slug']}-{manifest['version']}.zip", content, hashlib.sha256(content).hexdigest(), manifest)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    """A plain file with an ordinary relative name."""
    name, parts = entry.filename, entry.filename.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or ":" in name or ".." in parts or "" in parts or "." in parts or any(ord(c) < 32 for c in name):
        raise _refuse(_("%(file)s: a file must stay inside the bundle. Use relative names without “..”.", file=name))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise _refuse(_("%(file)s: links and special files are not allowed. Put the file itself in.", file=name))
    if entry.flag_bits & 0x1:
        raise _refuse(_("%(file)s: the file is encrypted. Pack it without a password.", file=name))
    if entry.file_size > MAX_FILE:
        raise _refuse(_("%(file)s: the file is larger than %(limit)s MB.", file=name, limit=MAX_FILE >> 20))


def _check_unpacked(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Unpack to nowhere, counting: a zip bomb lies about its size."""
    total = 0
    for entry in entries:
        if entry.is_dir():
            continue
        with archive.open(entry) as stream:
            while piece := stream.read(1 << 16):
                total += len(piece)
                if total > MAX_UNPACKED:
                    raise _refuse(_("Unpacked, the bundle is larger than %(limit)s MB.", limit=MAX_UNPACKED >> 20))


def _manifest(archive: zipfile.ZipFile, names: Sequence[str]) -> dict[str, Any]:
    """The bundle's manifest, held against its schema and against the files that are there."""
    if "manifest.json" not in names:
        raise _refuse(_("manifest.json is missing. It must lie at the top of the zip, not in a folder."))
    try:
        manifest = json.loads(archive.read("manifest.json").decode("utf-8"))
    except ValueError as error:
        raise _refuse(_("manifest.json is not valid JSON: %(reason)s", reason=str(error))) from error
    wrong = next(bundles.schema("manifest").iter_errors(manifest), None)
    if wrong:
        raise _refuse(_("manifest.json at %(path)s: %(reason)s", path=wrong.json_path, reason=wrong.message[:300]))
    unreadable = unstorable(manifest)
    if unreadable is not None:
        raise _refuse(_("manifest.json at %(path)s: %(reason)s", path=unreadable, reason=_("This text holds characters that cannot be stored.")))
    needed = [manifest["entry"], *(case[part] for case in manifest["cases"] for part in ("input", "expected"))]
    for path in needed:
        if not any(name == path or name.startswith(path.rstrip("/") + "/") for name in names):
            raise _refuse(_("manifest.json names %(path)s, but the bundle does not hold it.", path=path))
    return dict(manifest)


def submit(listing: Listing, content: bytes, notes_zh: str, notes_en: str, submitted_by: str, *, at: datetime) -> ListingVersion:
    """Hand in a new version of a listing; it waits for a reviewer. Raises SubmissionInvalid, VersionReused."""
    bundle = inspect(content)
    number = str(bundle.manifest["version"])
    for key, expected in (("slug", listing.slug), ("kind", listing.kind)):
        if bundle.manifest[key] != expected:
            raise _refuse(_("manifest.json: %(key)s must be “%(expected)s” for this listing.", key=key, expected=expected))
    if listing.current_version and not is_newer(number, listing.current_version):
        raise _refuse(
            _("manifest.json: version %(number)s is not newer than %(current)s. Take a higher number.", number=number, current=listing.current_version)
        )
    if db.session.get(ListingVersion, (listing.id, number)) is not None:
        raise _reused(number)
    publishing.store_artifact(bundle)
    version = ListingVersion(
        listing_id=listing.id, number=number, state="in_review", sha256=bundle.sha256, manifest=bundle.manifest, notes_zh=notes_zh or notes_en,
        notes_en=notes_en or notes_zh, yanked_reason=None, created_at=at, published_at=None, review_note=None, submitted_by=submitted_by,
    )  # fmt: skip
    try:
        with db.session.begin_nested():
            db.session.add(version)
    except IntegrityError as error:
        raise _reused(number) from error
    audit.record("version.submitted", f"{listing.slug} {number}", at=at, after={"sha256": bundle.sha256})
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
        .where(ListingVersion.state == "in_review")
        .order_by(ListingVersion.created_at, Listing.slug)
        .options(defer(Listing.search))
    ).all()
    released = select(ListingVersion).where(ListingVersion.listing_id.in_([row[1].id for row in rows]), ListingVersion.state == "published")
    before = {(v.listing_id, v.number): v for v in db.session.scalars(released)}
    return [Waiting(v, one, pub, v.created_at + PROMISE, *permission_change(v, before.get((one.id, one.current_version or "")))) for v, one, pub in rows]


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
    """Release a version: buyers see an update, the store sells it from now on. Raises NotFound, AlreadyDecided."""
    version, listing = _open(slug, number)
    before = listing.current_version
    version.state, version.published_at = "published", at
    if listing.current_version is None or version_key(number) > version_key(listing.current_version):
        listing.current_version = number
    listing.updated_at, listing.revision = at, listing.revision + 1
    if listing.state in ("draft", "in_review"):
        listing.state, listing.published_at = "published", at
    outbox.publish("version.published", {"listing_id": str(listing.id), "slug": slug, "number": number}, at=at)
    audit.record(
        "version.approved", f"{slug} {number}", at=at, before={"current_version": before}, after={"current_version": listing.current_version}, reason=reason
    )


def reject(slug: str, number: str, note: str, *, at: datetime) -> None:
    """Send a version back with what is wrong and how to mend it. Raises NotFound, AlreadyDecided."""
    version, _listing = _open(slug, number)
    version.state, version.review_note = "draft", note
    audit.record("version.rejected", f"{slug} {number}", at=at, before={"state": "in_review"}, after={"state": "draft"}, reason=note)


def _open(slug: str, number: str) -> tuple[ListingVersion, Listing]:
    version, listing = find_waiting(slug, number, lock=True)
    if version.state != "in_review":
        raise AlreadyDecided(_("This version has been decided on already."))
    return version, listing
