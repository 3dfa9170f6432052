"""Tables of what members and publishers were told."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Notice(Base):
    """Something a member should know, shown in its console; one per `key`, so that a repeat is not told twice."""

    __tablename__ = "notice"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # derived from the key
    kind: Mapped[str]
    details: Mapped[dict[str, Any]]
    at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    __table_args__ = (Index(None, "member_id", "at"),)


class PublisherNotice(Base):
    """The same for a publisher of the store, a room above."""

    __tablename__ = "publisher_notice"
    publisher_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # derived from the key
    kind: Mapped[str]
    details: Mapped[dict[str, Any]]
    at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    __table_args__ = (Index(None, "publisher_id", "at"),)
