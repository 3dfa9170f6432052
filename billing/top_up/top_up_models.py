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
