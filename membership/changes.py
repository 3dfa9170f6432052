"""Changes of a running subscription: what is wanted, what it makes of the contract now, what waits for the next term, and what it is worth."""

from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil

from flask_babel import gettext as _

from core.errors import AppError, Conflict, Invalid
from membership import catalogue, contracts, proration, terms
from membership.proration import Worth
from membership.subscription_models import Subscription
from membership.taxes import Schedule

EFFECTIVE = ("auto", "now", "term_end")


class NotChangeable(Conflict):
    """The subscription has ended, is paused, is past due, or is just being renewed."""

    code = "not_changeable"


class SeatsInUse(AppError):
    """Fewer seats than people who hold one."""

    status, code = 422, "seats_in_use"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a member wants of a running subscription; None keeps what is, and what is scheduled.

    `effective`: `auto` is more now and less with the next term; `now` and `term_end` are all of it.
    """

    rank: int | None = None
    seats: int | None = None
    period: str | None = None
    effective: str = "auto"


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a change: edition, seats or period; `amount_minor` is charged (+) or credited (−) for it, tax included."""

    name: str
    amount_minor: int
    term_price_minor: int  # after it


@dataclass(frozen=True, slots=True)
class Change:
    """What a change makes of a subscription, and what it costs or gives back."""

    rank: int
    seats: int
    period: str
    next_rank: int | None
    next_seats: int | None
    next_period: str | None
    term_price_minor: int
    steps: tuple[Step, ...]  # in the order in which they are told: edition, seats, period
    worth: Worth  # of the present term afterwards
    restarts_until: datetime | None = None  # a new term of another period begins now, and ends then
    credit_minor: int = 0  # unused part of the present term, given back
    charge_minor: int = 0  # for the rest of the term, or for the new term
    bought_minor: int = 0  # for a perpetual licence, once

    @property
    def amount_minor(self) -> int:
        """Charged (+) or given back (−) in the end, tax included."""
        return self.charge_minor + self.bought_minor - self.credit_minor


def plan(
    subscription: Subscription, wanted: Wanted, taken: int, *, at: datetime, timezone: str, counts_from: datetime | None = None, gives_back: bool = True,
    rates: Schedule = (),
) -> Change:  # fmt: skip
    """What a change means. More within a term costs its share of it; less now gives back its share, where `gives_back`.

    During a trial everything takes effect at once and costs nothing. `counts_from` is the instant from which the share is counted, `at` by default.
    `rates` are the seller's: where a list leaves tax out, today's rate comes on top of all that is priced today.
    Raises NotChangeable, SeatsInUse, Committed, NoPrice, Invalid when nothing would change.
    """
    assert_changeable(subscription, at)
    if wanted.seats is not None and wanted.seats < taken:
        raise SeatsInUse(_("%(taken)s people hold a seat. Release seats in the team first.", taken=taken), field="seats")
    if subscription.licensing == "perpetual":
        return _of_perpetual(subscription, wanted, rates, at=at, timezone=timezone)
    there = (subscription.rank, subscription.seats, subscription.period)
    now, later = _when(subscription, wanted)
    if now == there and later == (subscription.next_rank, subscription.next_seats, subscription.next_period):
        name = next((name for name in ("seats", "period") if getattr(wanted, name) is not None), "rank")
        raise Invalid(_("This is what you have already. Choose another edition or number of seats."), field=name)
    if subscription.state == "trialing":
        return _of_trial(subscription, now, rates)
    if now[2] != subscription.period:
        return _restart(subscription, now, later, rates, at=at, counts_from=counts_from or at, timezone=timezone, gives_back=gives_back)
    if now[0] < there[0] or now[1] < there[1]:
        contracts.assert_free(subscription)
    worth = proration.worth_of(subscription, counts_from or at, timezone)
    rank_price = contracts.price_in_term(subscription, now[0])
    between = subscription.term_price_minor if now[0] == there[0] else catalogue.term_price(rank_price, subscription.seats, rates, at)
    total = between + catalogue.term_price(rank_price, now[1], rates, at) - catalogue.term_price(rank_price, subscription.seats, rates, at)
    halfway, after = worth.at(between), worth.at(total)  # each from what is: the price in between is never held
    steps = (
        Step("edition", halfway.paid_minor - worth.paid_minor, between),
        Step("seats", after.paid_minor - halfway.paid_minor, total),
    )
    due = after.paid_minor - worth.paid_minor
    if due < 0 and not gives_back:  # the vendor gives nothing back: the term stays worth what was paid for it
        lost = Worth(total, after.offset + int((worth.exact - after.exact) * after.gone.total), after.peak_minor, after.gone)
        steps, after, due = (replace(steps[0], amount_minor=0), replace(steps[1], amount_minor=0)), lost, 0
    return Change(*now, *later, total, steps, after, credit_minor=max(0, -due), charge_minor=max(0, due))


def _when(subscription: Subscription, wanted: Wanted) -> tuple[tuple[int, int, str], tuple[int | None, int | None, str | None]]:
    """Edition, seats and period as they are from now on, and those that wait."""
    is_now = wanted.effective == "now" or subscription.state == "trialing"
    waits = wanted.effective == "term_end" and not is_now
    rank, seats, period = subscription.rank, subscription.seats, subscription.period
    if wanted.rank is not None and (is_now or (wanted.rank > rank and not waits)):
        rank = wanted.rank
    if wanted.seats is not None and (is_now or (wanted.seats > seats and not waits)):
        seats = wanted.seats
    if wanted.period is not None and is_now:
        period = wanted.period
    next_rank = subscription.next_rank if wanted.rank is None else None if wanted.rank == rank else wanted.rank
    next_seats = subscription.next_seats if wanted.seats is None else None if wanted.seats == seats else wanted.seats
    next_period = subscription.next_period if wanted.period is None else None if wanted.period == period else wanted.period
    return (rank, seats, period), (next_rank, next_seats, next_period)


def _of_trial(subscription: Subscription, now: tuple[int, int, str], rates: Schedule) -> Change:
    """Everything at once and for nothing; the price is the one of the first paid term."""
    price = catalogue.price(subscription.product_line, now[0], subscription.currency, now[2], subscription.term_end)
    total = catalogue.term_price(price, now[1], rates, subscription.term_end)
    gone = proration.Progress(0, 1)
    return Change(*now, None, None, None, total, (Step("edition", 0, 0), Step("seats", 0, 0), Step("period", 0, 0)), Worth(total, 0, total, gone))


def _restart(
    subscription: Subscription, now: tuple[int, int, str], later: tuple[int | None, int | None, str | None], rates: Schedule, *, at: datetime,
    counts_from: datetime, timezone: str, gives_back: bool,
) -> Change:  # fmt: skip
    """Another period at once: what is unused of the present term comes back, and a new term begins. The present unit costs the higher of both."""
    contracts.assert_free(subscription)
    rank, seats, period = now
    price = catalogue.price(subscription.product_line, rank, subscription.currency, period, at)
    total = catalogue.term_price(price, seats, rates, at)
    ends_at = terms.term_end(at, period, terms.local_day(at, timezone).day, timezone)
    old = proration.worth_of(subscription, counts_from, timezone)
    new = Worth(total, 0, total, proration.progress(counts_from, ends_at, counts_from, timezone, subscription.proration_unit))
    used = old.used - min(old.unit_minor, new.unit_minor)
    credit = old.paid_minor - ceil(used) if gives_back else 0
    steps = (Step("edition", 0, 0), Step("seats", 0, 0), Step("period", total - credit, total))
    return Change(*now, *later, total, steps, new, restarts_until=ends_at, credit_minor=credit, charge_minor=total)


def _of_perpetual(subscription: Subscription, wanted: Wanted, rates: Schedule, *, at: datetime, timezone: str) -> Change:
    """More of a licence that was bought once: the difference of today's prices, and of maintenance its share of the year. Less is not taken back."""
    rank = subscription.rank if wanted.rank is None else wanted.rank
    seats = subscription.seats if wanted.seats is None else wanted.seats
    period = subscription.period if wanted.period is None else wanted.period
    if rank < subscription.rank or seats < subscription.seats or wanted.effective == "term_end":
        raise NotChangeable(_("A perpetual licence is bought once: it can grow at once, but not shrink."))
    if period not in contracts.PERPETUAL or (period, subscription.period) == ("once", "maintenance"):
        raise NotChangeable(_("A perpetual licence has no other period. Cancel its maintenance instead."))
    if (rank, seats, period) == (subscription.rank, subscription.seats, subscription.period):
        raise Invalid(_("This is what you have already. Choose another edition or number of seats."), field="seats" if wanted.seats else "rank")

    def once(of_rank: int, of_seats: int) -> int:
        return catalogue.term_price(catalogue.price(subscription.product_line, of_rank, subscription.currency, "once", at), of_seats, rates, at)

    have, between, all_of_it = once(subscription.rank, subscription.seats), once(rank, subscription.seats), once(rank, seats)
    bought = max(0, between - have), max(0, all_of_it - between)
    if subscription.period == "maintenance":
        worth = proration.worth_of(subscription, at, timezone)
        price = contracts.price_in_term(subscription, rank)
        halfway = worth.at(subscription.term_price_minor if rank == subscription.rank else catalogue.term_price(price, subscription.seats, rates, at))
        after = worth.at(halfway.price_minor + catalogue.term_price(price, seats, rates, at) - catalogue.term_price(price, subscription.seats, rates, at))
        kept = max(0, halfway.paid_minor - worth.paid_minor), max(0, after.paid_minor - halfway.paid_minor)
        steps = (Step("edition", bought[0] + kept[0], halfway.price_minor), Step("seats", bought[1] + kept[1], after.price_minor))
        return Change(rank, seats, period, None, None, None, after.price_minor, steps, after, charge_minor=sum(kept), bought_minor=sum(bought))
    nothing = Worth(0, 0, 0, proration.Progress(0, 1))
    more = (Step("edition", bought[0], 0), Step("seats", bought[1], 0))
    if period == "once":
        return Change(rank, seats, period, None, None, None, 0, more, nothing, bought_minor=sum(bought))
    year = catalogue.term_price(catalogue.price(subscription.product_line, rank, subscription.currency, "maintenance", at), seats, rates, at)
    ends_at = terms.term_end(at, "maintenance", terms.local_day(at, timezone).day, timezone)
    began = Worth(year, 0, year, proration.progress(at, ends_at, at, timezone, subscription.proration_unit))
    return Change(
        rank,
        seats,
        period,
        None,
        None,
        None,
        year,
        (*more, Step("period", year, year)),
        began,
        restarts_until=ends_at,
        charge_minor=year,
        bought_minor=sum(bought),
    )


def assert_changeable(subscription: Subscription, at: datetime) -> None:
    """Raises NotChangeable, and says why."""
    if subscription.state == "ended":
        raise NotChangeable(_("This subscription has ended. Start a new one."))
    if subscription.state == "past_due":
        raise NotChangeable(_("The renewal of this subscription is not paid yet. Top up first; then it can be changed."))
    if subscription.state == "paused":
        raise NotChangeable(_("This subscription is paused. Resume it first; then it can be changed."))
    if at >= subscription.term_end:
        raise NotChangeable(_("This term is over and is being renewed right now. Please try again in a minute."))


def apply(subscription: Subscription, change: Change, *, at: datetime, counts_from: datetime, timezone: str) -> None:
    """Make a planned change hold."""
    subscription.rank, subscription.seats, subscription.period = change.rank, change.seats, change.period
    subscription.next_rank, subscription.next_seats, subscription.next_period = change.next_rank, change.next_seats, change.next_period
    if change.restarts_until is not None:
        subscription.term += 1
        subscription.term_start, subscription.term_end = at, change.restarts_until
        subscription.next_attempt_at = change.restarts_until
        subscription.anchor_day = terms.local_day(at, timezone).day
        subscription.paused_units, subscription.priced_at = 0, None
    if change.term_price_minor != subscription.term_price_minor or change.restarts_until is not None:
        subscription.peak_price_minor, subscription.peak_at = change.worth.peak_minor, counts_from
    subscription.term_price_minor, subscription.worth_offset = change.term_price_minor, change.worth.offset


def unused(subscription: Subscription, *, at: datetime, timezone: str) -> int:
    """What comes back when a subscription ends now: what was paid for its term less what is used of it, the present unit included."""
    worth = proration.worth_of(subscription, at, timezone)
    return worth.paid_minor - worth.at(0).paid_minor
