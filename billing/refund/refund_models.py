"""Tables of money that goes back: refunds of charges, refunds to a card or bank account, disputed payments."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class CardRefund(Base):
    """Money on its way out of a wallet, back to where a top-up came from. Its id is the ledger transaction's."""

    __tablename__ = "card_refund"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    top_up_id: Mapped[uuid.UUID]
    method: Mapped[str]  # card | bank_transfer, as the top-up was
    currency: Mapped[str]
    amount_minor: Mapped[int]
    bonus_minor: Mapped[int]  # unspent bonus of the same lot, taken back with it
    state: Mapped[str]  # requested | pending | confirmed | failed | rejected
    failure: Mapped[str | None]
    stripe_refund: Mapped[str | None]
    bank_transaction: Mapped[str | None]
    requested_by: Mapped[uuid.UUID | None]
    requested_at: Mapped[datetime]
    begun_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]  # when the sweep last asked Stripe
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "top_up_id"], ["top_up.member_id", "top_up.id"], name="card_refund_member_id_fkey"),
        CheckConstraint("amount_minor > 0 and bonus_minor >= 0", name="amount"),
        CheckConstraint("method in ('card', 'bank_transfer')", name="method"),
        CheckConstraint("state in ('requested', 'pending', 'confirmed', 'failed', 'rejected')", name="state"),
        Index("card_refund_pending_idx", "begun_at", postgresql_where=text("state = 'pending'")),
        Index(None, "member_id", "requested_at"),
        Index("card_refund_top_up_id_idx", "member_id", "top_up_id"),
        Index("card_refund_stripe_refund_idx", "stripe_refund", unique=True),
        Index("card_refund_bank_transaction_idx", "bank_transaction", unique=True),
    )


class Dispute(Base):
    """A payment that the cardholder contests at the bank; its id is made from Stripe's."""

    __tablename__ = "dispute"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    stripe_id: Mapped[str]
    top_up_id: Mapped[uuid.UUID]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    fee_minor: Mapped[int]
    reserved_minor: Mapped[int]  # of it, what was still in the wallet
    owed_minor: Mapped[int]  # once lost: what was spent, and is claimed from the member
    bonus_minor: Mapped[int]  # once lost: what was left of the bonus, taken back
    reason: Mapped[str]  # Stripe's word: fraudulent, product_not_received, …
    state: Mapped[str]  # inquiry (no money has moved) | open | won | lost | dropped (an inquiry that came to nothing)
    respond_by: Mapped[datetime | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "top_up_id"], ["top_up.member_id", "top_up.id"], name="dispute_member_id_fkey"),
        CheckConstraint(
            "amount_minor > 0 and fee_minor >= 0 and reserved_minor between 0 and amount_minor and owed_minor >= 0 and bonus_minor >= 0", name="amount"
        ),
        CheckConstraint("state in ('inquiry', 'open', 'won', 'lost', 'dropped')", name="state"),
        Index("dispute_stripe_id_idx", "stripe_id", unique=True),
        Index("dispute_opened_at_idx", "opened_at", "id"),
        Index("dispute_open_idx", "member_id", postgresql_where=text("state = 'open'")),
    )


class RefundLine(Base):
    """Which part of which charge a refund gave back, and to which grant; taking a refund back writes negative amounts."""

    __tablename__ = "refund_line"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    refund_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    original_id: Mapped[uuid.UUID]
    account: Mapped[int] = mapped_column(SmallInteger)  # what the charge had fed
    grant_id: Mapped[uuid.UUID | None]  # the grant that had paid; None: the credit limit
    amount_minor: Mapped[int]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "refund_id"], ["ledger_transaction.book_id", "ledger_transaction.id"]),
        CheckConstraint("amount_minor <> 0", name="amount"),
        Index("refund_line_original_idx", "member_id", "original_id"),
    )
