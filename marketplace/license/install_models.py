"""Table of installs."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class InstallEvent(Base):
    """An app put in, brought up to date or taken out. Only ever added to; the hash says what exactly it was."""

    __tablename__ = "install_event"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    license_id: Mapped[uuid.UUID]
    listing_id: Mapped[uuid.UUID]
    kind: Mapped[str]  # install | update | uninstall
    version: Mapped[str]
    sha256: Mapped[str]
    user_id: Mapped[uuid.UUID | None]
    at: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "license_id"], ["license.member_id", "license.id"], name="install_event_license_fkey"),
        CheckConstraint("kind in ('install', 'update', 'uninstall')", name="kind"),
        Index("install_event_license_idx", "member_id", "license_id", "at"),
        Index("install_event_listing_idx", "listing_id", "at"),
    )
