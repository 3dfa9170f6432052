"""Tables of what is licensed: product lines, editions with their prices, and the versions that members' hosts run."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class ProductLine(Base):
    """One product of the vendor (CRM, Ops); editions hang on it."""

    __tablename__ = "product_line"
    code: Mapped[str] = mapped_column(primary_key=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    release: Mapped[str] = mapped_column(server_default=text("'1.0'"), default="1.0")  # the version that hosts of ours run; members' own: HostVersion


class HostVersion(Base):
    """The version of a product line that a member's own system runs, where it is known to be another than the current release."""

    __tablename__ = "host_version"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    product_line: Mapped[str] = mapped_column(ForeignKey("product_line.code"), primary_key=True)
    version: Mapped[str]
    source: Mapped[str]  # reported (by the system itself) | entered (by staff)
    at: Mapped[datetime]
    __table_args__ = (CheckConstraint("source in ('reported', 'entered')", name="source"),)


class Edition(Base):
    """One of four editions of a product line; a higher rank has every feature of a lower one."""

    __tablename__ = "edition"
    product_line: Mapped[str] = mapped_column(ForeignKey("product_line.code"), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)  # 1 entry … 4 flagship
    code: Mapped[str]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    features: Mapped[list[str]]  # what this edition adds; the nesting is computed
    limits: Mapped[dict[str, Any]]  # {"records": 10000, "api_calls_per_day": 1000, …}


class EditionPrice(Base):
    """Price of an edition per period; valid from an instant on, so that a price change has a date. `catalogue.term_price` tells what is paid for it."""

    __tablename__ = "edition_price"
    product_line: Mapped[str] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)  # month | quarter | year; of a perpetual licence: once (its price) | maintenance (a year of it)
    valid_from: Mapped[datetime] = mapped_column(primary_key=True)
    base_minor: Mapped[int]
    seat_minor: Mapped[int]
    excludes_tax: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # tax comes on top of it, at the rate in force at each supply
    __table_args__ = (
        ForeignKeyConstraint(["product_line", "rank"], ["edition.product_line", "edition.rank"]),
        CheckConstraint("base_minor >= 0 and seat_minor >= 0", name="price"),
        CheckConstraint("period in ('month', 'quarter', 'year', 'once', 'maintenance')", name="period"),
    )
