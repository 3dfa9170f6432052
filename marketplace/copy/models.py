"""Tables of edited copies."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base

KINDS = ("edit", "upload", "restore", "carry", "merge", "beside", "drop")


class CopyContent(Base):
    """A file that a member wrote, by its hash: kept once, and for good."""

    __tablename__ = "copy_content"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int]
    content: Mapped[bytes]


class CopyStep(Base):
    """What a member did to one file of an installed app. Only ever added to: the last step of a path and version says what that file is.

    `edit`, `upload` and `restore` are a person's; `carry` (mine kept), `merge`, `beside` (kept beside the publisher's) and `drop` (the publisher's
    again) come from an update. Without `sha256` the file is the publisher's own, or not there where the publisher has none.
    """

    __tablename__ = "copy_step"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(Identity(always=True))  # the order in which steps were written: several may share an instant
    license_id: Mapped[uuid.UUID]
    version: Mapped[str]  # the app's version that the copy is of
    path: Mapped[str]
    kind: Mapped[str]
    base_sha256: Mapped[str | None]  # of the publisher's file in that version
    sha256: Mapped[str | None]  # of the member's
    user_id: Mapped[uuid.UUID | None]
    user_name: Mapped[str]
    at: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "license_id"], ["license.member_id", "license.id"], name="copy_step_license_fkey"),
        ForeignKeyConstraint(["member_id", "sha256"], ["copy_content.member_id", "copy_content.sha256"], name="copy_step_content_fkey"),
        CheckConstraint(f"kind in ({', '.join(repr(kind) for kind in KINDS)})", name="kind"),
        CheckConstraint("(kind = 'drop') = (sha256 is null)", name="content"),
        Index("copy_step_license_idx", "member_id", "license_id", "version", "path", "n"),
        Index("copy_step_at_idx", "member_id", "at"),
    )
