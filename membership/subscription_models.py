"""Tables of subscriptions: their terms, pauses and motions."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Dialect, ForeignKey, ForeignKeyConstraint, Identity, Index, Numeric, TypeDecorator, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class WholeNumber(TypeDecorator[int]):
    """An integer of any size: a price times the seconds of a term does not fit into 64 bits with certainty."""

    impl = Numeric(40, 0)
    cache_ok = True

    def process_result_value(self, value: Any, _dialect: Dialect) -> int | None:
        """PostgreSQL's numeric comes as a decimal."""
        return None if value is None else int(value)


class Subscription(Base):
    """A member's contract for one product line. What each column means to whoever renews, recognises or shows it: decision 0021.

    A renewal sets `worth_offset` and `paused_units` to 0, applies and clears the `next_…` columns, and leaves the rest of the new columns alone.
    Within a commitment (`committed_until` after `term_end`) the next term is an instalment: priced by the list in force at `price_locked_at`,
    with the present edition, seats and period; `next_…` and `cancel_at_term_end` wait until it is over.
    """

    __tablename__ = "subscription"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    product_line: Mapped[str]
    rank: Mapped[int]
    period: Mapped[str]  # month | quarter | year; of a perpetual licence: maintenance (renewed yearly) | once (no maintenance, nothing to renew)
    currency: Mapped[str]
    seats: Mapped[int]
    state: Mapped[str]  # trialing | active | past_due | paused | ended
    term: Mapped[int]  # 1 for the first, counted up by each renewal and by a change of period at once
    anchor_day: Mapped[int]  # day of the month terms end on; 31 means the month's last
    started_at: Mapped[datetime]
    trial_until: Mapped[datetime | None]  # the end of the trial it began with; the same as term_end: nothing has been paid for yet, so it has no ARR
    term_start: Mapped[datetime]
    term_end: Mapped[datetime]  # `terms.FOREVER` where nothing is to be renewed; kept as it was while paused
    term_price_minor: Mapped[int]  # what a full term costs at the present edition and seats
    cancel_at_term_end: Mapped[bool]  # of a trial: it ends instead of becoming paid; of a commitment: when that is over
    next_rank: Mapped[int | None]  # scheduled for the next term: a lower edition
    next_seats: Mapped[int | None]  # scheduled for the next term: fewer seats
    next_period: Mapped[str | None]  # scheduled for the next term: another period
    ended_at: Mapped[datetime | None]
    deployment: Mapped[str]  # saas | private
    licensing: Mapped[str]  # rental | perpetual (bought once; ending its maintenance leaves it active with period `once`)
    commitment_years: Mapped[int | None]  # a contract of so many yearly instalments …
    committed_until: Mapped[datetime | None]  # … until then: the end of its last yearly term
    price_locked_at: Mapped[datetime | None]  # the instant whose price list holds for the commitment
    proration_unit: Mapped[str] = mapped_column(default="day", server_default="day")  # day | second: how this subscription's terms are divided
    worth_offset: Mapped[int] = mapped_column(WholeNumber, default=0, server_default="0")  # price × units that earlier prices of this term differ by
    peak_price_minor: Mapped[int | None]  # the highest term price held during the unit of `peak_at`, which is used up at it
    peak_at: Mapped[datetime | None]  # when the price last changed
    paused_at: Mapped[datetime | None]
    resumes_at: Mapped[datetime | None]  # when a pause is over by itself
    units_left: Mapped[int | None]  # while paused: units (days or seconds) of the term that are kept
    paused_units: Mapped[int] = mapped_column(default=0, server_default="0")  # units between term_start and term_end that were paused and do not count
    next_attempt_at: Mapped[datetime | None]  # when the renewal job looks at it next
    failed_attempts: Mapped[int]
    suspended_at: Mapped[datetime | None]  # past due for so long that its entitlements are off; data is kept
    parked_at: Mapped[datetime | None]  # it cannot be judged, so it is not billed on …
    parked_reason: Mapped[str | None]  # … for this reason, until finance lets it go on
    priced_at: Mapped[datetime | None]  # the instant whose price list prices this term, where that is not its first one: an increase not announced in time
    told_term: Mapped[int | None]  # the term whose end the member has been told of
    __table_args__ = (
        ForeignKeyConstraint(["product_line", "rank"], ["edition.product_line", "edition.rank"]),
        CheckConstraint("state in ('trialing', 'active', 'past_due', 'paused', 'ended')", name="state"),
        CheckConstraint("seats >= 1 and term >= 1 and term_price_minor >= 0", name="amounts"),
        CheckConstraint("term_end > term_start", name="term"),
        CheckConstraint("deployment in ('saas', 'private') and licensing in ('rental', 'perpetual')", name="contract_form"),
        CheckConstraint("(licensing = 'perpetual') = (period in ('once', 'maintenance'))", name="period"),
        CheckConstraint("num_nulls(commitment_years, committed_until, price_locked_at) in (0, 3)", name="commitment"),
        CheckConstraint("state <> 'paused' or num_nulls(paused_at, resumes_at, units_left) = 0", name="paused"),
        CheckConstraint("proration_unit in ('day', 'second') and paused_units >= 0", name="proration"),
        CheckConstraint("num_nulls(parked_at, parked_reason) in (0, 2) and (parked_at is null or next_attempt_at is null)", name="parked"),
        CheckConstraint("suspended_at is null or state = 'past_due'", name="suspended"),
        Index("subscription_due_idx", "next_attempt_at", "member_id", postgresql_where=text("state in ('trialing', 'active', 'past_due')")),
        Index("subscription_parked_idx", "parked_at", postgresql_where=text("parked_at is not null")),
        Index("subscription_past_due_idx", "member_id", postgresql_where=text("state = 'past_due'")),
        Index("subscription_lapsed_idx", "ended_at", postgresql_where=text("state = 'ended' and not cancel_at_term_end")),
        Index("subscription_resumes_idx", "resumes_at", postgresql_where=text("state = 'paused'")),
        {"postgresql_with": {"fillfactor": "50"}},
    )


class RunningSubscription(Base):
    """Which product lines a member has a subscription of that has not ended: one each. A trigger on `subscription` keeps it, nothing reads it."""

    __tablename__ = "running_subscription"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    product_line: Mapped[str] = mapped_column(primary_key=True)


class SubscriptionPause(Base):
    """Time that does not count in a term: no revenue, no entitlement. Whole units; the day (or second) of the pause itself counts as used."""

    __tablename__ = "subscription_pause"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    subscription_id: Mapped[uuid.UUID]
    term: Mapped[int]
    asked_at: Mapped[datetime]
    from_at: Mapped[datetime]  # the first instant that does not count
    until_at: Mapped[datetime | None]  # the first instant that counts again; None while paused; = from_at where nothing was paused in the end
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "subscription_id"], ["subscription.member_id", "subscription.id"]),
        CheckConstraint("until_at >= from_at", name="order"),
        Index("subscription_pause_open_idx", "member_id", "subscription_id", unique=True, postgresql_where=text("until_at is null")),
        Index(None, "member_id", "subscription_id", "asked_at"),
    )


MOTIONS = ("new", "renewal", "seats", "upgrade", "downgrade", "period", "cancel", "resume", "pause", "unpause", "past_due", "lapse", "credit")


class SubscriptionMotion(Base):
    """What happened to a subscription, each motion counted apart: see MOTIONS. `resume` takes a cancellation back, `unpause` ends a pause.

    The renewal of a run that went as announced is its charge alone; the view `subscription_history` reads both. There, ARR before and after follow each
    other without a gap in the order of `term`, `seq`: a subscription's last one is its ARR today (0 while paused).
    """

    __tablename__ = "subscription_motion"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # = the ledger transaction's id where money moved
    subscription_id: Mapped[uuid.UUID]
    motion: Mapped[str]
    at: Mapped[datetime]
    amount_minor: Mapped[int]  # what was paid (+) or credited (−), tax included
    currency: Mapped[str]
    term: Mapped[int]
    rank: Mapped[int]
    seats: Mapped[int]
    arr_before_minor: Mapped[int]
    arr_after_minor: Mapped[int]
    csm_id: Mapped[uuid.UUID | None]
    seq: Mapped[int] = mapped_column(Identity(always=True))  # the order in which motions were written: several may share an instant
    __table_args__ = (
        CheckConstraint(f"motion in ({', '.join(repr(name) for name in MOTIONS)})", name="motion"),
        Index("subscription_motion_at_idx", "at", postgresql_using="brin", postgresql_with={"pages_per_range": 32}),
    )
