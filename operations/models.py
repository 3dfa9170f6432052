"""Tables of member operations."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base

IS_APP_RUN = "is_automated and feature = 'app' and action = 'run'"  # as written here: a parameter would not find the index


class Event(Base):
    """One thing a user or an automation did in the vendor's product; `id` is the sender's and makes a repeat harmless."""

    __tablename__ = "event"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    user_ref: Mapped[str]  # the user's name in the product; `automation` for a bought script
    at: Mapped[datetime]
    received_at: Mapped[datetime]
    feature: Mapped[str]
    action: Mapped[str]
    object: Mapped[str | None]
    duration_ms: Mapped[int]
    is_automated: Mapped[bool]
    __table_args__ = (
        Index(None, "member_id", "at"),
        Index("event_app_runs_idx", "member_id", "at", "object", postgresql_where=text(IS_APP_RUN)),
        CheckConstraint("duration_ms >= 0", name="duration"),
    )


class UsageDaily(Base):
    """Rollup of events by the legal entity's day: what every activity figure is made of."""

    __tablename__ = "usage_daily"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    user_ref: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    is_automated: Mapped[bool] = mapped_column(primary_key=True)
    events: Mapped[int]
    duration_ms: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    __table_args__ = (Index(None, "day"),)


class UsageStale(Base):
    """Days whose rollup must be made again because events came for them, late ones too."""

    __tablename__ = "usage_stale"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)


class Offer(Base):
    """A CSM's recommendation of one listing to one member; accepting it buys, and the sale counts as upsell for that CSM."""

    __tablename__ = "offer"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    listing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("listing.id"))
    csm_id: Mapped[uuid.UUID | None]
    csm_name: Mapped[str]
    reason: Mapped[str]  # why this for you, in the CSM's words
    seats: Mapped[int | None]  # None: the listing is not licensed by the seat
    price_minor: Mapped[int]  # of all seats, as shown when it was sent
    state: Mapped[str]  # sent | accepted | declined | withdrawn | expired
    sent_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    order_id: Mapped[uuid.UUID | None]
    refusal: Mapped[str | None]  # why it was declined, in the customer's words
    __table_args__ = (
        CheckConstraint("state in ('sent', 'accepted', 'declined', 'withdrawn', 'expired')", name="state"),
        CheckConstraint("seats >= 1", name="seats"),
        Index(None, "csm_id", "sent_at"),
        Index("offer_open_idx", "member_id", "listing_id", unique=True, postgresql_where=text("state = 'sent'")),
        Index("offer_expires_idx", "expires_at", postgresql_where=text("state = 'sent'")),
    )


class Activity(Base):
    """What a member's people did lately: one row a member, made from `usage_daily` by a job.

    Windows end with `day`. A user-day is one person active on one day; `weeks` are the user-days of eight weeks, oldest first.
    Runs of automations are counted apart and never make a person active.
    """

    __tablename__ = "activity"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    day: Mapped[date]
    active_7: Mapped[int]
    active_28: Mapped[int]
    active_prev_28: Mapped[int]
    user_days_28: Mapped[int]
    user_days_prev_28: Mapped[int]
    active_days_28: Mapped[int]
    duration_ms_28: Mapped[int]
    events_28: Mapped[int]
    automated_28: Mapped[int]
    features_28: Mapped[int]
    top_feature: Mapped[str | None]
    weeks: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    trend_bp: Mapped[int | None]  # change of user-days in basis points; None without use in the 28 days before
    computed_at: Mapped[datetime]
    __table_args__ = (CheckConstraint("cardinality(weeks) = 8", name="weeks"),)


class Routine(Base):
    """A sequence of steps that a member's people repeat, and the listing that would do it for them."""

    __tablename__ = "routine"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # derived from the steps
    steps: Mapped[list[Any]] = mapped_column(JSONB)  # [[feature, action], …]
    runs: Mapped[int]  # in the window
    users: Mapped[int]
    minutes_a_month: Mapped[int]
    listing_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("listing.id"))
    minutes_saved_a_month: Mapped[int]
    found_at: Mapped[datetime]
