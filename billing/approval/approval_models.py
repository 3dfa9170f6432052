"""Table of what staff decide about money."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Approval(Base):
    """What staff decide about money: proposed by one, decided by another above a limit, done once. Its id is the ledger transaction's."""

    __tablename__ = "approval"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    kind: Mapped[str]  # see billing.approval.approvals.KINDS
    member_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("member.id"))
    currency: Mapped[str]
    amount_minor: Mapped[int]  # what counts against the limit
    reason_code: Mapped[str]
    reason: Mapped[str]
    details: Mapped[dict[str, Any]]  # what its kind needs to do it
    needs_second: Mapped[bool]
    state: Mapped[str]  # proposed | done | rejected
    proposed_by: Mapped[uuid.UUID]
    proposed_name: Mapped[str]
    proposed_role: Mapped[str]
    proposed_at: Mapped[datetime]
    decided_by: Mapped[uuid.UUID | None]  # None where nobody had to
    decided_name: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    note: Mapped[str | None]
    __table_args__ = (
        CheckConstraint("amount_minor >= 0", name="amount"),
        CheckConstraint("state in ('proposed', 'done', 'rejected')", name="state"),
        CheckConstraint("(state = 'proposed') = (decided_at is null)", name="decided"),
        CheckConstraint("not needs_second or decided_by is null or state = 'rejected' or decided_by <> proposed_by", name="second"),
        Index("approval_waiting_idx", "proposed_at", postgresql_where=text("state = 'proposed'")),
        Index(None, "member_id", "proposed_at"),
        Index("approval_proposed_at_idx", "proposed_at", "id"),
    )
