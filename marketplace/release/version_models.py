"""Tables of the releases of listings, and of the bundles that they hand out."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Artifact(Base):
    """The bundle itself, addressed by its content."""

    __tablename__ = "artifact"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    size: Mapped[int]
    content: Mapped[bytes]


class ListingVersion(Base):
    """A release of a listing; its number is never used again."""

    __tablename__ = "listing_version"
    listing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("listing.id"), primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]  # draft | scanning | in_review | published | yanked | rejected; see lifecycle.py
    is_quarantined: Mapped[bool] = mapped_column(default=False)
    sha256: Mapped[str] = mapped_column(ForeignKey("artifact.sha256"))
    manifest: Mapped[dict[str, Any]]
    notes_zh: Mapped[str]
    notes_en: Mapped[str]
    yanked_reason: Mapped[str | None]
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    review_note: Mapped[str | None]  # why it was rejected
    submitted_by: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(default=0)  # how often it was checked; the records of the last attempt hold
    checked_at: Mapped[datetime | None]  # when all checks had passed
    key_id: Mapped[str | None]  # of the key that signed
    signature: Mapped[str | None]  # Ed25519 over hash and checks, in base64
    __table_args__ = (
        CheckConstraint("state in ('draft', 'scanning', 'in_review', 'published', 'yanked', 'rejected')", name="state"),
        Index("listing_version_in_review_idx", "created_at", postgresql_where=text("state = 'in_review'")),
        Index("listing_version_unchecked_idx", "created_at", postgresql_where=text("state in ('draft', 'scanning')")),
    )
