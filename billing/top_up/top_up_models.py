"""Tables around topping up: what finance offers, what tops up by itself, and when a member wants to be warned."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class TopUpOffer(Base):
    """A campaign like “charge 1,000, get 100 free”, with one tier or several; the best tier that an amount reaches applies."""

    __tablename__ = "top_up_offer"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    currency: Mapped[str]
    bonus_days: Mapped[int]  # how long the bonus lives from the day it arrives
    priority: Mapped[int]  # of the bonus among other bonus: the lower is spent first
    first_only: Mapped[bool]  # for a member's first top-up only
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    created_by: Mapped[str | None]  # the name of who made it
    created_at: Mapped[datetime]
    __table_args__ = (CheckConstraint("bonus_days > 0 and (ends_at is null or ends_at >= starts_at)", name="dates"),)


class TopUpTier(Base):
    """From which amount on an offer gives how much."""

    __tablename__ = "top_up_tier"
    offer_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("top_up_offer.id"), primary_key=True)
    from_minor: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bonus_minor: Mapped[int]
    __table_args__ = (CheckConstraint("from_minor > 0 and bonus_minor > 0", name="amounts"),)


class AutoTopUp(Base):
    """A member's standing order: below the threshold the card is charged, up to a cap a calendar month. One a member."""

    __tablename__ = "auto_top_up"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    currency: Mapped[str]
    state: Mapped[str]  # on | off | stopped (by us, after failures or without its card)
    threshold_minor: Mapped[int]
    amount_minor: Mapped[int]
    cap_minor: Mapped[int]  # a calendar month of the legal entity's zone
    payment_method_id: Mapped[uuid.UUID]
    attempts: Mapped[int]  # how many there were: numbers, and so names, the next one
    forgiven: Mapped[int]  # failures up to this number no longer count: an owner has switched it on again
    next_at: Mapped[datetime]  # not looked at before
    stop_reason: Mapped[str | None]  # declined | no_card | refused
    stopped_at: Mapped[datetime | None]
    set_by: Mapped[uuid.UUID | None]
    set_at: Mapped[datetime]
    __table_args__ = (
        CheckConstraint("state in ('on', 'off', 'stopped')", name="state"),
        CheckConstraint("threshold_minor > 0 and amount_minor >= threshold_minor and cap_minor >= amount_minor", name="amounts"),
        CheckConstraint("forgiven between 0 and attempts", name="attempts"),
        Index("auto_top_up_on_idx", "next_at", postgresql_where=text("state = 'on'")),
    )


class BalanceWarning(Base):
    """Below which available money a member wants to be told; told once each time it falls."""

    __tablename__ = "balance_warning"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    currency: Mapped[str]
    threshold_minor: Mapped[int | None]  # None: not to be told any more
    told_at: Mapped[datetime | None]  # None: the money is above
    set_at: Mapped[datetime]
    __table_args__ = (CheckConstraint("threshold_minor > 0", name="threshold"),)


class TopUp(Base):
    """Money on its way into a wallet: pending until Stripe or finance says that it arrived."""

    __tablename__ = "top_up"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # the client's id
    request_hash: Mapped[bytes]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    bonus_minor: Mapped[int]  # promised by the offer in force when it was started
    bonus_days: Mapped[int | None]  # how long that bonus lives once it is there
    bonus_priority: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    offer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("top_up_offer.id"))  # whose promise it is
    auto_number: Mapped[int | None]  # the member's n-th automatic one; None: somebody asked for it
    method: Mapped[str]  # card | bank_transfer
    state: Mapped[str]  # pending | settled | failed | cancelled
    failure: Mapped[str | None]  # a reason in words a customer understands
    stripe_payment_intent: Mapped[str | None]
    payment_method_id: Mapped[uuid.UUID | None]
    bank_reference: Mapped[str | None]  # what the member writes on the transfer
    bank_transaction: Mapped[str | None]  # the bank's own number of the transfer that arrived
    received_minor: Mapped[int | None]  # what arrived by transfer, where it may differ from the announced amount
    created_by: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]  # when the sweep last asked Stripe
    __table_args__ = (
        CheckConstraint("amount_minor > 0 and bonus_minor >= 0", name="amount"),
        CheckConstraint("method in ('card', 'bank_transfer')", name="method"),
        CheckConstraint("state in ('pending', 'settled', 'failed', 'cancelled')", name="state"),
        Index("top_up_pending_idx", "created_at", postgresql_where=text("state = 'pending'")),
        Index(None, "member_id", "created_at"),
        Index("top_up_payment_intent_idx", "stripe_payment_intent", unique=True),
        Index("top_up_bank_transaction_idx", "bank_transaction", unique=True),
        Index(None, "id"),
        Index("top_up_auto_idx", "member_id", "auto_number", unique=True, postgresql_where=text("auto_number is not null")),
        # However many purchases call for it: one at a time on its way.
        Index("top_up_auto_pending_idx", "member_id", unique=True, postgresql_where=text("auto_number is not null and state = 'pending'")),
        Index("top_up_offer_idx", "offer_id", postgresql_where=text("offer_id is not null")),
    )


class BankAccount(Base):
    """Where members transfer to: one account a legal entity and currency. Without one, no bank transfer is offered."""

    __tablename__ = "bank_account"
    entity_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("legal_entity.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    bank: Mapped[str]
    number: Mapped[str]
    code: Mapped[str]  # CNAPS or BIC
