"""Tables of runs."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Run(Base):
    """One run of a bought app on a member's own input. Its id is the client's. `failure` is a finding; `log` is foreign text."""

    __tablename__ = "run"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    license_id: Mapped[uuid.UUID]
    listing_id: Mapped[uuid.UUID]
    version: Mapped[str]
    sha256: Mapped[str]  # of the bundle that runs
    copy_n: Mapped[int | None]  # of an edited copy: as it was after this step (`CopyStep.n`)
    kind: Mapped[str]
    state: Mapped[str]  # queued | running | succeeded | failed
    parameters: Mapped[dict[str, Any]]
    hold_id: Mapped[uuid.UUID | None]  # money reserved, where the price is by use
    requested_by: Mapped[uuid.UUID | None]
    requested_by_name: Mapped[str]
    progress: Mapped[str | None]
    steps: Mapped[int]  # done so far
    failure: Mapped[dict[str, Any] | None]
    log: Mapped[str]
    took_ms: Mapped[int | None]
    queued_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "license_id"], ["license.member_id", "license.id"], name="run_license_fkey"),
        ForeignKeyConstraint(["listing_id", "version"], ["listing_version.listing_id", "listing_version.number"], name="run_version_fkey"),
        CheckConstraint("state in ('queued', 'running', 'succeeded', 'failed')", name="state"),
        CheckConstraint("(finished_at is not null) = (state in ('succeeded', 'failed'))", name="finished"),
        Index("run_member_id_queued_at_idx", "member_id", "queued_at"),
        Index("run_listing_id_queued_at_idx", "listing_id", "queued_at"),
        Index("run_held_idx", "member_id", "license_id", postgresql_where=text("hold_id is not null")),
        Index("run_open_idx", "queued_at", postgresql_where=text("state in ('queued', 'running')")),
    )


class RunFile(Base):
    """What went into a run or came out of it; the content goes after a while, name and size stay."""

    __tablename__ = "run_file"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    direction: Mapped[str] = mapped_column(primary_key=True)  # input | output
    n: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    size: Mapped[int]
    content: Mapped[bytes | None]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "run_id"], ["run.member_id", "run.id"], name="run_file_run_fkey"),
        CheckConstraint("direction in ('input', 'output')", name="direction"),
    )
