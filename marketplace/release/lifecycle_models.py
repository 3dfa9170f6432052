"""Tables of what became of listings and versions: every step, every check, every key."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base

_VERSION = (["listing_id", "number"], ["listing_version.listing_id", "listing_version.number"])


class ListingTransition(Base):
    """One step of a listing: who, when and why. Never changed."""

    __tablename__ = "listing_transition"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    listing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("listing.id"))
    action: Mapped[str]
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    at: Mapped[datetime]
    actor_role: Mapped[str]
    actor_id: Mapped[uuid.UUID | None]
    actor_name: Mapped[str]
    reason: Mapped[str | None]
    __table_args__ = (Index(None, "listing_id", "at"),)


class VersionTransition(Base):
    """One step of a version: who, when and why. Never changed."""

    __tablename__ = "version_transition"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    listing_id: Mapped[uuid.UUID]
    number: Mapped[str]
    action: Mapped[str]
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    at: Mapped[datetime]
    actor_role: Mapped[str]
    actor_id: Mapped[uuid.UUID | None]
    actor_name: Mapped[str]
    reason: Mapped[str | None]
    __table_args__ = (
        ForeignKeyConstraint(*_VERSION, name="version_transition_version_fkey"),
        Index("version_transition_listing_id_number_at_idx", "listing_id", "number", "at"),
    )


class VersionCheck(Base):
    """One check of one attempt at a version. `findings` and `detail` hold text of strangers: escaped wherever they are shown."""

    __tablename__ = "version_check"
    listing_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    state: Mapped[str]  # waiting | running | passed | failed | refused | not_reached
    findings: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    detail: Mapped[dict[str, Any]]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(*_VERSION, name="version_check_version_fkey"),
        CheckConstraint("state in ('waiting', 'running', 'passed', 'failed', 'refused', 'not_reached')", name="state"),
    )


class SigningKey(Base):
    """The public part of a key that has signed artifacts."""

    __tablename__ = "signing_key"
    id: Mapped[str] = mapped_column(primary_key=True)  # 16 hex digits of the hash of the public part
    public: Mapped[bytes]
    created_at: Mapped[datetime]
