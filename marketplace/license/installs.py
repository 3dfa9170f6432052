"""Installs, updates and uninstalls of what a member owns: recorded one by one, and checked against the member's edition of today."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import func, select

from core.db import db
from core.errors import Conflict
from core.ids import new_id
from marketplace.copy import copies
from marketplace.license import license_terms, licenses
from marketplace.license.install_models import InstallEvent
from marketplace.license.license_models import License
from marketplace.release.version_models import ListingVersion
from marketplace.store import compatibility
from marketplace.store.listing_models import Listing
from membership import entitlements
from membership.entitlements import Standing


class NotInstalled(Conflict):
    """There is nothing to take out."""

    code = "not_installed"


def record(owned: licenses.Owned, version: ListingVersion, *, at: datetime, user_id: uuid.UUID | None) -> None:
    """A version was handed out: an install, an update, or the same again, which is neither. Raises Incompatible; then nothing is recorded.

    Another version can only be put in while it works with the member's edition and host; what is there already can be fetched again.
    """
    license = license_terms.locked(owned.license.member_id, owned.license.id)
    before = license.installed_version
    if before == version.number:
        return
    check(owned, version)
    _add(license, "install" if before is None else "update", version, at, user_id)
    if before is not None:
        copies.put_away(license, version, copies.Writer(at, user_id, ""))
    license.installed_version = version.number
    db.session.flush()


def check(owned: licenses.Owned, version: ListingVersion, standing: Standing | None = None) -> None:
    """May this version be put in by a holder of this standing (asked for where it is not known)? Raises Incompatible, with the reason and what would do."""
    standing = standing or entitlements.standing_of(owned.license.member_id)
    compatibility.refuse(compatibility.judge(compatibility.of_version(owned.listing, version), standing))


def uninstall(member_id: uuid.UUID, license_id: uuid.UUID, *, at: datetime, user_id: uuid.UUID | None) -> License:
    """Take it out; the licence stays as it is, and it can be installed again. Raises NotFound, NotInstalled."""
    license = license_terms.locked(member_id, license_id)
    version = db.session.get(ListingVersion, (license.listing_id, license.installed_version)) if license.installed_version else None
    if version is None:
        raise NotInstalled(_("This app is not installed."))
    _add(license, "uninstall", version, at, user_id)
    license.installed_version = None
    db.session.flush()
    return license


def _add(license: License, kind: str, version: ListingVersion, at: datetime, user_id: uuid.UUID | None) -> None:
    db.session.add(
        InstallEvent(
            member_id=license.member_id, id=new_id(), license_id=license.id, listing_id=license.listing_id, kind=kind, version=version.number,
            sha256=version.sha256, user_id=user_id, at=at,
        )
    )  # fmt: skip


def history(member_id: uuid.UUID, license_id: uuid.UUID, limit: int = 20) -> Sequence[InstallEvent]:
    """What happened to a licence's app, the latest first."""
    mine = select(InstallEvent).where(InstallEvent.member_id == member_id, InstallEvent.license_id == license_id)
    return db.session.scalars(mine.order_by(InstallEvent.at.desc(), InstallEvent.id.desc()).limit(limit)).all()


@dataclass(frozen=True, slots=True)
class Figures:
    """How often a listing was put in, brought up to date and taken out."""

    installs: int
    updates: int
    uninstalls: int

    @property
    def present(self) -> int:
        """How many members have it in now."""
        return self.installs - self.uninstalls


def figures(listing: Listing) -> Figures:
    """Of all time; runs as whoever asks, and a publisher may ask for its own listings only."""
    rows = db.session.execute(select(InstallEvent.kind, func.count(InstallEvent.at)).where(InstallEvent.listing_id == listing.id).group_by(InstallEvent.kind))
    counts = {row[0]: int(row[1]) for row in rows}
    return Figures(counts.get("install", 0), counts.get("update", 0), counts.get("uninstall", 0))
