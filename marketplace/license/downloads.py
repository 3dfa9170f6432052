"""Handing out artifacts to those who own them, and keeping the record of it."""

import base64
import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select

from core.db import db
from core.errors import NotFound
from core.ids import new_id
from marketplace.license import installs, licenses
from marketplace.models import Artifact, Download, ListingVersion
from marketplace.release import lifecycle
from marketplace.store.listings import is_newer

RELEASED = ("published", "yanked")


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


def choose(owned: licenses.Owned, wanted: str | None = None) -> ListingVersion:
    """The version to hand out: the wanted one, else the newest on offer, else the one bought.

    Withdrawn versions and those of withdrawn listings stay there for their owners. Raises NotFound.
    """
    numbers = [number for number in ([wanted] if wanted else [owned.listing.current_version, owned.license.version]) if number]
    if not wanted and is_newer(owned.license.version, owned.listing.current_version):
        numbers.reverse()  # the newest was withdrawn after it was bought
    for number in numbers:
        found = db.session.get(ListingVersion, (owned.license.listing_id, number))
        if found is not None and found.state in RELEASED:
            return found
    raise NotFound(_("There is no such version."))


def hand_out(member_id: uuid.UUID, license_id: uuid.UUID, *, at: datetime, user_id: uuid.UUID | None = None, version: str | None = None) -> Handout:
    """Give a licence's holder the bundle and record the download. Raises NotFound, LicenseEnded, NoSeat, Quarantined, EditionTooLow."""
    owned = licenses.owned(member_id, license_id)
    licenses.check(owned.license, at)
    chosen = choose(owned, version)
    lifecycle.check_usable(owned.listing, chosen)
    artifact = db.session.scalars(select(Artifact).where(Artifact.sha256 == chosen.sha256)).one()
    assert hashlib.sha256(artifact.content).hexdigest() == artifact.sha256, f"artifact {artifact.sha256} was changed"
    installs.record(owned, chosen, at=at, user_id=user_id)
    db.session.add(
        Download(
            member_id=member_id,
            id=new_id(),
            license_id=license_id,
            listing_id=owned.listing.id,
            version=chosen.number,
            sha256=chosen.sha256,
            user_id=user_id,
            at=at,
        )
    )
    return Handout(artifact.filename, artifact.content, artifact.sha256, chosen.number)


def history(member_id: uuid.UUID, license_id: uuid.UUID, limit: int = 10) -> list[Download]:
    """The latest downloads of a licence."""
    return list(
        db.session.scalars(select(Download).where(Download.member_id == member_id, Download.license_id == license_id).order_by(Download.at.desc()).limit(limit))
    )
