"""Pausing a subscription: the time left in its term is kept, nothing can be used and nothing is charged, until it resumes (decision 0021)."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import select

from core.db import db
from core.errors import Conflict, Invalid
from core.ids import new_id
from membership import contracts, proration, terms
from membership.subscription_models import Subscription, SubscriptionPause

YEAR = timedelta(days=365)


class NotPausable(Conflict):
    """It can't be paused (any more), or is not paused."""

    code = "not_pausable"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What of this year's pauses is left: how many, how many days in all, and the latest day on which one that begins now must be over."""

    pauses: int
    days: int
    latest: date


def allowance(subscription: Subscription, most_pauses: int, most_days: int, *, at: datetime, timezone: str) -> Allowance:
    """What is left of the pauses that may begin within 365 days."""
    rows = db.session.scalars(
        select(SubscriptionPause).where(
            SubscriptionPause.member_id == subscription.member_id,
            SubscriptionPause.subscription_id == subscription.id,
            SubscriptionPause.asked_at > at - YEAR,
        )
    ).all()
    days = sum(max(0, (terms.local_day(one.until_at or at, timezone) - terms.local_day(one.from_at, timezone)).days) for one in rows)
    left = max(0, most_days - days)
    return Allowance(max(0, most_pauses - len(rows)), left, terms.local_day(at, timezone) + timedelta(days=left + 1))


def pause(subscription: Subscription, resumes_on: date | None, left: Allowance, *, at: datetime, timezone: str) -> SubscriptionPause:
    """Stop the clock of its term from the next day (or second) on; by itself it resumes at the beginning of `resumes_on`, at the latest when allowed.

    Raises NotPausable, and Invalid for a day that is too early or too late.
    """
    _assert_pausable(subscription, left, at)
    today = terms.local_day(at, timezone)
    day = resumes_on or left.latest
    if day <= today + timedelta(days=1):
        raise Invalid(_("Today counts as used: choose the day after tomorrow at the earliest."), field="resumes_on")
    if day > left.latest:
        raise Invalid(_("At most %(days)s more days may be paused this year.", days=left.days), field="resumes_on")
    gone = proration.worth_of(subscription, at, timezone).gone
    if not gone.after:
        raise NotPausable(_("This is the last day of the term: there is nothing left to keep."))
    subscription.state, subscription.paused_at, subscription.units_left = "paused", at, gone.after
    subscription.resumes_at = terms.start_of_day(day, timezone)
    subscription.next_attempt_at = None
    made = SubscriptionPause(
        member_id=subscription.member_id, id=new_id(), subscription_id=subscription.id, term=subscription.term,
        asked_at=at, from_at=proration.next_unit(subscription.term_start, at, timezone, subscription.proration_unit), until_at=None,
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    return made


def _assert_pausable(subscription: Subscription, left: Allowance, at: datetime) -> None:
    if subscription.state != "active" or at >= subscription.term_end:
        raise NotPausable(_("Only an active subscription that is paid can be paused."))
    if subscription.licensing == "perpetual":
        raise NotPausable(_("A perpetual licence is not paused: it costs nothing while it is not used."))
    if not left.pauses:
        raise NotPausable(_("It was paused as often as is allowed within a year."))
    if left.days < 1:
        raise NotPausable(_("It was paused for as many days as are allowed within a year."))


def resume(subscription: Subscription, *, at: datetime, timezone: str) -> datetime:
    """Let the term run on: it ends later by the whole days (or seconds) that were paused. Returns where it ended before.

    The day of the pause and the day it resumes both count as used; where they are the same day, nothing has been paused.
    Raises NotPausable.
    """
    if subscription.state != "paused" or subscription.paused_at is None or subscription.units_left is None:
        raise NotPausable(_("This subscription is not paused."))
    old_end, unit = subscription.term_end, subscription.proration_unit
    held = _open_pause(subscription)
    gap = _units_between(held.from_at, at, timezone, unit)
    held.until_at = held.from_at if gap == 0 else terms.start_of_day(terms.local_day(at, timezone), timezone) if unit == "day" else at
    if gap:
        _postpone(subscription, gap, at, timezone)
    subscription.state, subscription.paused_at, subscription.resumes_at, subscription.units_left = "active", None, None, None
    subscription.next_attempt_at = subscription.term_end
    db.session.flush()
    return old_end


def drop(subscription: Subscription) -> datetime:
    """End a pause because the subscription ends: nothing was paused in the end, what was kept is given back. Returns from where on that is."""
    held = _open_pause(subscription)
    held.until_at = held.from_at
    return held.from_at


def _open_pause(subscription: Subscription) -> SubscriptionPause:
    return db.session.scalars(
        select(SubscriptionPause).where(
            SubscriptionPause.member_id == subscription.member_id, SubscriptionPause.subscription_id == subscription.id, SubscriptionPause.until_at.is_(None)
        )
    ).one()


def _units_between(from_at: datetime, at: datetime, timezone: str, unit: str) -> int:
    """Whole units from the first that did not count to the present one, which counts again."""
    if unit == "second":
        return max(0, (at - from_at) // proration.SECOND)
    return max(0, (terms.local_day(at, timezone) - terms.local_day(from_at, timezone)).days)


def _postpone(subscription: Subscription, gap: int, at: datetime, timezone: str) -> None:
    """The end of the term, of the commitment, and the day of the month they fall on."""
    years = contracts.instalments_left(subscription) if contracts.is_committed(subscription) else None
    subscription.paused_units += gap
    if subscription.proration_unit == "second":
        subscription.term_end += gap * proration.SECOND
    else:
        assert subscription.units_left is not None
        subscription.term_end = terms.start_of_day(terms.local_day(at, timezone) + timedelta(days=subscription.units_left), timezone)
    last = terms.local_day(subscription.term_end, timezone)
    subscription.anchor_day = last.day
    if years is not None:
        subscription.committed_until = subscription.term_end if years == 0 else terms.start_of_day(terms.add_months(last, 12 * years, last.day), timezone)


def due(at: datetime, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Member and subscription of pauses that are over by `at`, the earliest first."""
    rows = db.session.execute(
        select(Subscription.member_id, Subscription.id)
        .where(Subscription.state == "paused", Subscription.resumes_at <= at)
        .order_by(Subscription.resumes_at, Subscription.id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]
