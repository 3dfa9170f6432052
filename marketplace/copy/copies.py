"""A member's copy of what it installed: untouched, or with files of its own. Its state follows from steps that are only ever added."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert

from core.actor import actor
from core.db import db
from core.errors import Conflict, NotFound
from core.ids import new_id
from marketplace.checks.unpack import unpack
from marketplace.copy import payload
from marketplace.copy.merging import Outcome
from marketplace.copy.models import CopyContent, CopyStep
from marketplace.license import choosing, licenses
from marketplace.license.license_models import License
from marketplace.release import bundles
from marketplace.release.version_models import Artifact, ListingVersion
from marketplace.seat import seats
from marketplace.store import contents
from membership.entitlements import Standing


class NotEditable(Conflict):
    """This app, or this file of it, can't be made one's own."""

    code = "not_editable"


class TooManyEdits(Conflict):
    """The member's limit of a day is reached."""

    status, code = 429, "too_many_edits"


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, and when."""

    at: datetime
    user_id: uuid.UUID | None
    user_name: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A licence's copy of one version: `own` are the member's files by path, `n` the last step it follows from (0: none)."""

    license: License
    version: ListingVersion
    own: Mapping[str, CopyStep]
    n: int

    @property
    def is_edited(self) -> bool:
        """The member has made something of it its own."""
        return bool(self.own)


def of(owned: licenses.Owned, standing: Standing | None = None) -> Copy:
    """The copy as it is: of the installed version, with what is the member's; else of the version that would be installed, with nothing. Raises NotFound.

    What was made of a version that was taken out is there again when it is put in again.
    """
    installed = owned.license.installed_version
    version = db.session.get(ListingVersion, (owned.license.listing_id, installed)) if installed else None
    return at_step(owned.license, version) if version else Copy(owned.license, choosing.choose(owned, standing=standing), {}, 0)


def at_step(license: License, version: ListingVersion, n: int | None = None) -> Copy:
    """The copy of a version as it was after step `n`, by default after the last."""
    mine = select(CopyStep).where(CopyStep.member_id == license.member_id, CopyStep.license_id == license.id, CopyStep.version == version.number)
    last = mine.ext(distinct_on(CopyStep.path)).order_by(CopyStep.path, CopyStep.n.desc())
    steps = db.session.scalars(last if n is None else last.where(CopyStep.n <= n)).all()
    return Copy(license, version, {step.path: step for step in steps if step.sha256 is not None}, max((step.n for step in steps), default=0))


def edited_licenses(member_id: uuid.UUID) -> set[uuid.UUID]:
    """The licences whose installed copy the member has edited."""
    here = (License.member_id == CopyStep.member_id) & (License.id == CopyStep.license_id) & (License.installed_version == CopyStep.version)
    last = (
        select(CopyStep.license_id, CopyStep.sha256)
        .join(License, here)
        .where(CopyStep.member_id == member_id)
        .ext(distinct_on(CopyStep.license_id, CopyStep.path))
        .order_by(CopyStep.license_id, CopyStep.path, CopyStep.n.desc())
        .subquery()
    )
    return set(db.session.scalars(select(last.c.license_id).where(last.c.sha256.is_not(None))))


def in_use(owned: licenses.Owned, standing: Standing | None = None) -> Copy:
    """The copy that runs and downloads use: an edited one stays what it is; an untouched one is always the newest that may be had. Raises NotFound."""
    present = of(owned, standing)
    if present.is_edited:
        return present
    chosen = choosing.choose(owned, standing=standing)
    return present if chosen.number == present.version.number else Copy(owned.license, chosen, {}, 0)


def theirs(version: ListingVersion) -> dict[str, bytes]:
    """The publisher's files of a version."""
    content = db.session.scalars(select(Artifact.content).where(Artifact.sha256 == version.sha256)).one()
    assert hashlib.sha256(content).hexdigest() == version.sha256, f"artifact {version.sha256} was changed"
    return unpack(content)


def mine(copy: Copy) -> dict[str, bytes]:
    """The member's own files of a copy."""
    hashes = {step.sha256 for step in copy.own.values()}
    rows = db.session.execute(
        select(CopyContent.sha256, CopyContent.content).where(CopyContent.member_id == copy.license.member_id, CopyContent.sha256.in_(hashes))
    )
    found: dict[str, bytes] = {row[0]: row[1] for row in rows}
    return {path: found[step.sha256] for path, step in copy.own.items() if step.sha256 is not None}


def bundle(copy: Copy) -> bundles.Bundle:
    """The copy as a bundle, the member's files in place of the publisher's."""
    return payload.packed(dict(copy.version.manifest), payload.with_changes(theirs(copy.version), mine(copy)))


def editable(owned: licenses.Owned, copy: Copy) -> list[str]:
    """The files that the member may make its own; none of a kind that is not worked with here."""
    if owned.listing.kind not in payload.KINDS:
        return []
    return sorted({*payload.names(copy.version.manifest, [one.name for one in contents.of(copy.version.sha256).files]), *copy.own})


def check_editable(owned: licenses.Owned, copy: Copy, path: str) -> None:
    """What is shown of an app is what a download would hand out: whoever reads or edits it needs a seat, where there are seats. Raises NoSeat, NotEditable."""
    seats.check(owned.license, actor())
    if path not in editable(owned, copy):
        raise NotEditable(_("This file cannot be edited here: only what does the app's work can."), field="path")


def write(license: License, version: ListingVersion, outcomes: Sequence[Outcome], by: Writer) -> None:
    """Add the steps, and keep what they hold. Nothing is ever overwritten."""
    hashes = {one.name: one.sha256 for one in contents.of(version.sha256).files} if outcomes else {}
    for one in outcomes:
        sha256 = payload.digest(one.content) if one.content is not None else None
        if one.content is not None:
            row = {"member_id": license.member_id, "sha256": sha256, "size": len(one.content), "content": one.content}
            db.session.execute(insert(CopyContent).values(row).on_conflict_do_nothing())
        db.session.add(
            CopyStep(
                member_id=license.member_id, id=new_id(), license_id=license.id, version=version.number, path=one.path, kind=one.kind,
                base_sha256=hashes.get(one.path), sha256=sha256, user_id=by.user_id, user_name=by.user_name, at=by.at,
            )
        )  # fmt: skip
        db.session.flush()


def put_away(license: License, version: ListingVersion, by: Writer) -> None:
    """Begin a version with the publisher's files: what was made of it before stays in the history."""
    write(license, version, [Outcome("drop", path, None) for path in at_step(license, version).own], by)


def check_pace(member_id: uuid.UUID, most: int, at: datetime) -> None:
    """Raises TooManyEdits: each is checked in the sandbox and kept for good."""
    since = (CopyStep.member_id == member_id, CopyStep.at > at - timedelta(days=1))
    if (db.session.scalar(select(func.count()).select_from(CopyStep).where(*since)) or 0) >= most:
        raise TooManyEdits(_("Your organisation has saved %(n)s files within 24 hours, which is the limit.", n=most))


def history(license: License, path: str | None = None, limit: int = 50) -> Sequence[CopyStep]:
    """What the member did to its files, of every version, the latest first."""
    steps = select(CopyStep).where(CopyStep.member_id == license.member_id, CopyStep.license_id == license.id)
    steps = steps if path is None else steps.where(CopyStep.path == path)
    return db.session.scalars(steps.order_by(CopyStep.n.desc()).limit(limit)).all()


def earlier(license: License, step_id: uuid.UUID) -> tuple[CopyStep, bytes]:
    """A file as it was written then. Raises NotFound."""
    step = db.session.get(CopyStep, (license.member_id, step_id))
    kept = db.session.get(CopyContent, (license.member_id, step.sha256)) if step is not None and step.sha256 is not None else None
    if step is None or kept is None or step.license_id != license.id:
        raise NotFound(_("You have no such file."))
    return step, kept.content
