"""Tables of money set aside. Written by SQL functions of the `ledger` role alone."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.wallet.wallet_models import HOT
from core.db import Base


class Hold(Base):
    """Money reserved for one purpose: amount = captured + released + what its draws have left. `id` is the idempotency key."""

    __tablename__ = "hold"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    captured_minor: Mapped[int] = mapped_column(server_default="0")
    released_minor: Mapped[int] = mapped_column(server_default="0")
    state: Mapped[str] = mapped_column(server_default="open")  # open | captured (used up) | released | expired
    bonus_limit_minor: Mapped[int]  # how much of it bonus might pay (never tax or a partner's share)
    reason: Mapped[str | None]
    by_member: Mapped[bool]  # placed by the member itself, which may then release it
    created_by: Mapped[uuid.UUID | None]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "currency"], ["wallet.member_id", "wallet.currency"]),
        CheckConstraint("amount_minor > 0 and captured_minor >= 0 and released_minor >= 0 and captured_minor + released_minor <= amount_minor", name="amount"),
        CheckConstraint("state in ('open', 'captured', 'released', 'expired')", name="state"),
        CheckConstraint("(state = 'open') = (captured_minor + released_minor < amount_minor) and (state = 'open') = (closed_at is null)", name="closed"),
        Index(None, "member_id", "created_at"),
        Index(None, "expires_at", postgresql_where=text("state = 'open'")),
        Index("hold_open_idx", "member_id", "currency", "expires_at", postgresql_where=text("state = 'open'")),
        CheckConstraint("bonus_limit_minor between 0 and amount_minor", name="bonus_limit"),
        HOT,
    )

    @property
    def left_minor(self) -> int:
        """What it still reserves."""
        return self.amount_minor - self.captured_minor - self.released_minor


class HoldDraw(Base):
    """What a hold reserves of one grant; `remaining_minor` is counted in the grant's `held_minor` and falls with captures and releases."""

    __tablename__ = "hold_draw"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    hold_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    grant_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    remaining_minor: Mapped[int]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "hold_id"], ["hold.member_id", "hold.id"]),
        ForeignKeyConstraint(["member_id", "grant_id"], ["wallet_grant.member_id", "wallet_grant.id"]),
        CheckConstraint("remaining_minor >= 0", name="remaining"),
        Index("hold_draw_grant_idx", "member_id", "grant_id", postgresql_where=text("remaining_minor > 0")),
        HOT,
    )


class HoldChange(Base):
    """What happened to a hold, each under its own id: for a capture that of the charge, for a release the client's."""

    __tablename__ = "hold_change"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    hold_id: Mapped[uuid.UUID]
    request_hash: Mapped[bytes]
    kind: Mapped[str]  # capture | release | expiry
    amount_minor: Mapped[int]
    at: Mapped[datetime]
    reason: Mapped[str | None]
    created_by: Mapped[uuid.UUID | None]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "hold_id"], ["hold.member_id", "hold.id"]),
        CheckConstraint("kind in ('capture', 'release', 'expiry')", name="kind"),
        CheckConstraint("amount_minor > 0", name="amount"),
        Index("hold_change_hold_idx", "member_id", "hold_id", "at"),
    )
