"""What the renewal run and price changes leave behind."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class RenewalRun(Base):
    """One run of the job that found something due. Without `finished_at` it is under way, or was killed: the next one went on."""

    __tablename__ = "renewal_run"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]  # the instant it judged at
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    batches: Mapped[int]
    __table_args__ = (Index(None, "started_at"),)


class RenewalRunTotal(Base):
    """What a run did, by outcome and currency. `renewed` ties to the charges that carry its `run_id`: `flask ledger verify` compares them."""

    __tablename__ = "renewal_run_total"
    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("renewal_run.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    amount_minor: Mapped[int]
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)


class PriceNotice(Base):
    """A price increase that a member was told about: it holds for terms that begin at `applies_from` or later, never for an earlier one."""

    __tablename__ = "price_notice"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    subscription_id: Mapped[uuid.UUID]
    valid_from: Mapped[datetime]  # of the price list
    applies_from: Mapped[datetime]  # the first instant of the first term at the new price
    told_at: Mapped[datetime]
    old_minor: Mapped[int]  # a full term before …
    new_minor: Mapped[int]  # … and after
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "subscription_id"], ["subscription.member_id", "subscription.id"]),
        CheckConstraint("applies_from >= valid_from and applies_from > told_at", name="order"),
    )
