"""Tables of members' prepaid money: wallets, lots and grants. They are written by SQL functions of the `ledger` role alone."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base

HOT = {"postgresql_with": {"fillfactor": "50"}}


class Wallet(Base):
    """A member's prepaid money in one currency: cached balances, proven against the postings by `flask ledger verify`."""

    __tablename__ = "wallet"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("book.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    paid_minor: Mapped[int]
    bonus_minor: Mapped[int]
    held_minor: Mapped[int]
    state: Mapped[str]  # open | frozen
    last_seq: Mapped[int]
    last_effective_at: Mapped[datetime]
    next_expiry_at: Mapped[datetime | None]  # the earliest expiry among its open grants
    credit_limit_minor: Mapped[int] = mapped_column(server_default="0")  # what the member may owe us beyond its money (books, move 12)
    receivable_minor: Mapped[int] = mapped_column(server_default="0")  # what it owes: the balance of `member_receivable`
    __table_args__ = (
        CheckConstraint("paid_minor >= 0 and bonus_minor >= 0 and held_minor >= 0 and held_minor <= paid_minor + bonus_minor", name="never_below_zero"),
        CheckConstraint("state in ('open', 'frozen')", name="state"),
        CheckConstraint("credit_limit_minor >= 0", name="credit_limit"),
        Index("wallet_next_expiry_idx", "next_expiry_at", postgresql_where=text("next_expiry_at is not null")),
        HOT,
    )


class Lot(Base):
    """A paid grant and the bonus granted with it; the bonus is a discount earned back as the lot's face is spent (books, Lots and bonus)."""

    __tablename__ = "lot"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    currency: Mapped[str]
    face_minor: Mapped[int]  # paid + bonus
    discount_minor: Mapped[int]  # = the bonus
    spent_minor: Mapped[int]
    expired_minor: Mapped[int]
    earned_minor: Mapped[int]  # of the discount, what spending has earned back so far
    __table_args__ = (
        CheckConstraint("face_minor > 0 and discount_minor between 0 and face_minor", name="face"),
        CheckConstraint("spent_minor >= 0 and expired_minor >= 0 and spent_minor + expired_minor <= face_minor", name="spent"),
        CheckConstraint("earned_minor between 0 and discount_minor", name="earned"),
        HOT,
    )


class Grant(Base):
    """Money of one kind put into a wallet at once, with a priority and an expiry; spending draws on grants in a defined order."""

    __tablename__ = "wallet_grant"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    currency: Mapped[str]
    lot_id: Mapped[uuid.UUID | None]  # None: no bonus came with it
    kind: Mapped[str]  # paid | bonus
    granted_minor: Mapped[int]
    remaining_minor: Mapped[int]
    held_minor: Mapped[int]
    priority: Mapped[int]  # lower is spent first
    granted_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    is_open: Mapped[bool]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "currency"], ["wallet.member_id", "wallet.currency"]),
        ForeignKeyConstraint(["member_id", "lot_id"], ["lot.member_id", "lot.id"]),
        CheckConstraint("remaining_minor between 0 and granted_minor and held_minor between 0 and remaining_minor", name="remaining"),
        CheckConstraint("kind in ('paid', 'bonus')", name="kind"),
        Index("wallet_grant_open_idx", "member_id", "currency", postgresql_where=text("is_open")),
        HOT,
    )
