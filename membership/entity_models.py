"""Tables of the companies that sell, and of the tax rates they charge."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class LegalEntity(Base):
    """The company that sells: its currency, its time zone (billing days are its days) and the tax rate it began with."""

    __tablename__ = "legal_entity"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    currency: Mapped[str]
    timezone: Mapped[str]
    tax_rate_bp: Mapped[int]  # holds until the first TaxRate begins: ask `taxes.rate_at`, not this
    prices_exclude_tax: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # likewise: how prices that begin then are stated
    paid_lapses_to: Mapped[str] = mapped_column(server_default="breakage_revenue")  # or unclaimed_property, where the law keeps it owed
    name_en: Mapped[str | None]  # this and what follows stands on documents
    tax_number: Mapped[str | None]
    address_zh: Mapped[str | None]
    address_en: Mapped[str | None]
    phone: Mapped[str | None]
    email: Mapped[str | None]
    invoice_grouping: Mapped[str] = mapped_column(default="charge", server_default="charge")  # charge: one invoice each; month: one for all of a month
    __table_args__ = (
        CheckConstraint("invoice_grouping in ('charge', 'month')", name="invoice_grouping"),
        CheckConstraint("paid_lapses_to in ('breakage_revenue', 'unclaimed_property')", name="paid_lapses_to"),
    )


class TaxRate(Base):
    """A rate that a legal entity charges from an instant on; never changed, since documents name it."""

    __tablename__ = "tax_rate"
    entity_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("legal_entity.id"), primary_key=True)
    valid_from: Mapped[datetime] = mapped_column(primary_key=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    rate_bp: Mapped[int]
    prices_exclude_tax: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # how prices that begin from then on are stated
    set_at: Mapped[datetime]
    set_by: Mapped[uuid.UUID | None]
    __table_args__ = (
        CheckConstraint("rate_bp between 0 and 10000", name="rate"),
        CheckConstraint("valid_from > set_at", name="ahead"),
    )
