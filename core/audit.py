"""The audit trail: every staff action with who, what, before, after and why."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from core.actor import Actor, actor
from core.db import Base, db
from core.ids import new_id


class AuditEntry(Base):
    """One staff action; never changed, never deleted."""

    __tablename__ = "audit_entry"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor_role: Mapped[str]
    actor_id: Mapped[uuid.UUID | None]
    actor_name: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    member_id: Mapped[uuid.UUID | None]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    reason: Mapped[str | None]
    __table_args__ = (Index(None, "at"), Index(None, "member_id", "at"))


def record(
    action: str,
    subject: object,
    *,
    at: datetime,
    member_id: uuid.UUID | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str | None = None,
    by: Actor | None = None,
) -> None:
    """Write down what the present actor does (or `by`, who is not signed in yet), in the transaction that does it. `action` is `noun.verb`."""
    acting = by or actor()
    db.session.add(
        AuditEntry(
            id=new_id(),
            at=at,
            actor_role=acting.role,
            actor_id=acting.user_id or acting.api_key_id,
            actor_name=acting.name,
            action=action,
            subject=str(subject),
            member_id=member_id,
            before=before,
            after=after,
            reason=reason,
        )
    )
