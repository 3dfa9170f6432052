"""Tables of the right to use a listing, and of what was downloaded by it."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class License(Base):
    """The right to use a listing, from one order. What the member agreed to is frozen here.

    Only a trial and a recurring licence have a term: `ends_at`, and `next_attempt_at`, when the renewal job looks at it next.
    """

    __tablename__ = "license"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # the order's id
    listing_id: Mapped[uuid.UUID]  # the order's
    version: Mapped[str]  # the version bought
    installed_version: Mapped[str | None]
    quantity: Mapped[int]
    seats: Mapped[int | None]  # None: for the whole member
    next_seats: Mapped[int | None]  # fewer from the next term on
    worth_offset: Mapped[int] = mapped_column(server_default=text("0"), default=0)  # of the running term, as a subscription's
    state: Mapped[str]  # trial | active | suspended | ended
    is_exclusive: Mapped[bool]  # one a member; false for listings that may be bought again and again
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    period: Mapped[str | None]  # month | year
    term: Mapped[int] = mapped_column(server_default=text("1"), default=1)
    price_minor: Mapped[int] = mapped_column(server_default=text("0"), default=0)  # of a term, as it was stated at the purchase; of a run, tax included
    excludes_tax: Mapped[bool] = mapped_column(server_default=text("false"), default=False)  # tax comes on top, at the rate of each renewal
    commission_bp: Mapped[int | None]
    tax_rate_bp: Mapped[int | None]  # None: the seller's at each renewal
    bonus_limit_bp: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    anchor_day: Mapped[int | None]  # day of the month terms end on
    auto_renews: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    next_attempt_at: Mapped[datetime | None]
    suspended_at: Mapped[datetime | None]  # the renewal could not be paid
    monthly_cap_minor: Mapped[int | None]  # of a price by use: what the buyer approved for a calendar month
    __table_args__ = (
        CheckConstraint("state in ('trial', 'active', 'suspended', 'ended')", name="state"),
        CheckConstraint(
            "(period is null or ends_at is not null and anchor_day between 1 and 31 and period in ('month', 'year'))"
            " and (state <> 'trial' or ends_at is not null) and (state = 'ended' or ends_at is null or next_attempt_at is not null)"
            " and (state = 'suspended') = (suspended_at is not null)",
            name="term",
        ),
        CheckConstraint("monthly_cap_minor > 0", name="cap"),
        CheckConstraint(
            "(seats is null or seats >= 1 and is_exclusive)"
            " and (next_seats is null or seats is not null and period is not null and next_seats between 1 and seats - 1)",
            name="seats",
        ),
        Index("license_due_idx", "next_attempt_at", postgresql_where=text("next_attempt_at is not null")),
        Index("license_one_each_idx", "member_id", "listing_id", unique=True, postgresql_where=text("is_exclusive and state <> 'ended'")),
    )


class Download(Base):
    """An artifact handed out, with the version and its hash: the record of an install."""

    __tablename__ = "download"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    license_id: Mapped[uuid.UUID]
    listing_id: Mapped[uuid.UUID]
    version: Mapped[str]
    sha256: Mapped[str]
    user_id: Mapped[uuid.UUID | None]
    at: Mapped[datetime]
    __table_args__ = (ForeignKeyConstraint(["member_id", "license_id"], ["license.member_id", "license.id"]), Index(None, "listing_id"))
