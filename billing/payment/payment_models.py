"""Tables of what is at Stripe: customers, saved cards, and events as they came."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class StripeCustomer(Base):
    """The member's customer at Stripe."""

    __tablename__ = "stripe_customer"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)


class PaymentMethod(Base):
    """A saved card: Stripe's id and what people recognise it by, never its number."""

    __tablename__ = "payment_method"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    stripe_id: Mapped[str]
    brand: Mapped[str]
    last4: Mapped[str]
    exp_month: Mapped[int]
    exp_year: Mapped[int]
    is_default: Mapped[bool]
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class StripeEvent(Base):
    """A signed event as it came, kept before it is acted on; its id makes a duplicate harmless."""

    __tablename__ = "stripe_event"
    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    payload: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]
    processed_at: Mapped[datetime | None]
    error: Mapped[str | None]
    __table_args__ = (Index("stripe_event_waiting_idx", "received_at", postgresql_where=text("processed_at is null")),)
