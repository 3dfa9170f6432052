"""Tables of the schedule by which deferred revenue is earned. Written by SQL functions of the `ledger` role alone (migrations/sql/0261_recognition.sql)."""

import uuid
from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Deferral(Base):
    """What one ledger transaction of a member put into deferred revenue, below zero where it took out, and what of that is recognised so far.

    It is earned evenly over the service period of its charge less the pauses in it; what was given back by staff lowers the price of all of it.
    """

    __tablename__ = "deferral"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # the ledger transaction's
    charge_id: Mapped[uuid.UUID]  # the subscription charge whose service period counts: itself, or the one given back
    entity_id: Mapped[uuid.UUID]
    currency: Mapped[str]
    deferred_minor: Mapped[int]
    recognised_minor: Mapped[int]
    posted_on: Mapped[date]  # the local day of the transaction: nothing is earned before
    is_open: Mapped[bool]  # some of it is still to be earned
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "id"], ["ledger_transaction.book_id", "ledger_transaction.id"]),
        ForeignKeyConstraint(["member_id", "charge_id"], ["subscription_charge.member_id", "subscription_charge.id"]),
        CheckConstraint("recognised_minor between least(0, deferred_minor) and greatest(0, deferred_minor)", name="recognised"),
        CheckConstraint("is_open or recognised_minor = deferred_minor", name="open"),
        Index("deferral_open_idx", "entity_id", "currency", postgresql_where=text("is_open")),
        {"postgresql_with": {"fillfactor": "70"}},
    )


class RecognitionDay(Base):
    """A local day of a legal entity whose revenue has been recognised."""

    __tablename__ = "recognition_day"
    entity_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("legal_entity.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    amount_minor: Mapped[int]
    recorded_at: Mapped[datetime]
