"""Handing out artifacts to those who own them, and keeping the record of it."""

import base64
import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select

from core.db import db
from core.errors import Conflict
from core.ids import new_id
from marketplace.copy import copies
from marketplace.license import choosing, installs, licenses
from marketplace.license.license_models import Download
from marketplace.release import bundles, lifecycle
from marketplace.release.version_models import Artifact, ListingVersion


@dataclass(frozen=True, slots=True)
class Handout:
    """A bundle on its way to its owner."""

    filename: str
    content: bytes
    sha256: str
    version: str

    @property
    def headers(self) -> dict[str, str]:
        """How the receiver proves that it got what was published (RFC 9530 and an entity tag, both from the same hash)."""
        digest = base64.b64encode(bytes.fromhex(self.sha256)).decode()
        return {
            "Repr-Digest": f"sha-256=:{digest}:",
            "ETag": f'"{self.sha256}"',
            "Content-Disposition": f'attachment; filename="{self.filename}"',
            "Cache-Control": "private, no-cache",
            "X-Version": self.version,
        }


class CopyEdited(Conflict):
    """The member has edited its copy: another version needs its choices."""

    code = "copy_edited"


def hand_out(
    member_id: uuid.UUID, license_id: uuid.UUID, *, at: datetime, user_id: uuid.UUID | None = None, version: str | None = None, original: bool = False
) -> Handout:
    """Give a licence's holder the bundle and record the download: an edited copy as it is, else the newest version or the one asked for.

    `original` gives the publisher's bundle whatever was edited, and installs nothing. Raises NotFound, LicenseEnded, Quarantined, Incompatible, CopyEdited.
    """
    owned = licenses.owned(member_id, license_id)
    licenses.check(owned.license, at)
    copy = copies.of(owned)
    installed = owned.license.installed_version
    if copy.is_edited and installed and not original:
        if version not in (None, installed):
            raise CopyEdited(_("You have edited version %(number)s. Update it on its page: there you choose what becomes of your files.", number=installed))
        lifecycle.check_usable(owned.listing, copy.version)
        return _recorded(owned, copy.version, copies.bundle(copy), at, user_id)
    chosen = choosing.choose(owned, version or (installed if original else None))
    lifecycle.check_usable(owned.listing, chosen)
    if not original:
        installs.record(owned, chosen, at=at, user_id=user_id)
    elif chosen.number != installed:
        installs.check(owned, chosen)
    artifact = db.session.scalars(select(Artifact).where(Artifact.sha256 == chosen.sha256)).one()
    assert hashlib.sha256(artifact.content).hexdigest() == artifact.sha256, f"artifact {artifact.sha256} was changed"
    return _recorded(owned, chosen, bundles.Bundle(artifact.filename, artifact.content, artifact.sha256, chosen.manifest), at, user_id)


def _recorded(owned: licenses.Owned, version: ListingVersion, bundle: bundles.Bundle, at: datetime, user_id: uuid.UUID | None) -> Handout:
    db.session.add(
        Download(
            member_id=owned.license.member_id, id=new_id(), license_id=owned.license.id, listing_id=owned.listing.id, version=version.number,
            sha256=bundle.sha256, user_id=user_id, at=at,
        )
    )  # fmt: skip
    return Handout(bundle.filename, bundle.content, bundle.sha256, version.number)


def history(member_id: uuid.UUID, license_id: uuid.UUID, limit: int = 10) -> list[Download]:
    """The latest downloads of a licence."""
    return list(
        db.session.scalars(select(Download).where(Download.member_id == member_id, Download.license_id == license_id).order_by(Download.at.desc()).limit(limit))
    )
