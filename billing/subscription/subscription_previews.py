"""What a start, a change or an end of a subscription costs or gives back, before it is done. Doing it uses these very figures."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from flask import current_app

from billing.subscription import coming_terms, subscription_arrears
from billing.subscription import subscription_credits as credits_of
from billing.subscription.subscription_credits import Credit
from billing.subscription.subscription_models import SubscriptionCharge
from core.ids import new_id
from core.money import tax_included
from core.settings import Settings
from membership import catalogue, changes, contracts, proration, subscriptions, terms
from membership.changes import Change, Wanted
from membership.subscription_models import Subscription
from membership.subscriptions import Opening, Seller, Wish


@dataclass(frozen=True, slots=True)
class Line:
    """One line of what is charged (+) or given back (−) today.

    Of a new term: base, seats. Of a change: edition, more_seats, fewer_seats. licence and licence_seats are bought once; `unused` comes back from the
    present term; `arrears` are days of an earlier subscription that were used unpaid.
    """

    kind: str
    amount_minor: int
    quantity: int = 1
    unit_minor: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """One charge that will be made: its part of the ledger and of `subscription_charge`."""

    motion: str
    amount_minor: int
    tax_minor: int
    service_from: datetime
    service_until: datetime
    units: int | None = None  # proration units it covers; None: a whole term
    id: uuid.UUID | None = None  # the ledger's, where it does not follow from the request


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What waits, and for when; None stays as it is."""

    at: datetime
    rank: int | None
    seats: int | None
    period: str | None


@dataclass(frozen=True, slots=True)
class Wallet:
    """What the wallet gives for it, gets back and has: tried out on the ledger."""

    available_minor: int = 0
    bonus_minor: int = 0
    paid_minor: int = 0
    missing_minor: int = 0
    back_bonus_minor: int = 0
    back_paid_minor: int = 0


@dataclass(frozen=True, slots=True)
class Preview:
    """Today's charge or credit and what follows from it; amounts in minor units, tax included."""

    currency: str
    lines: tuple[Line, ...]
    dues: tuple[Due, ...]
    credits: tuple[Credit, ...]
    service_from: datetime
    service_until: datetime  # exclusive; the next term begins here
    rank: int
    seats: int
    period: str
    next: subscriptions.NextTerm | None  # None: nothing follows
    next_at: datetime | None  # when that begins
    priced_at: datetime  # the instant from which shares of the term are counted
    wallet: Wallet = field(default=Wallet())
    opening: Opening | None = None
    change: Change | None = None
    gone: proration.Progress | None = None
    scheduled: Scheduled | None = None

    @property
    def amount_minor(self) -> int:
        """What is charged (+) or given back (−) today."""
        return sum(due.amount_minor for due in self.dues) - self.credit_minor

    @property
    def credit_minor(self) -> int:
        """What is given back today."""
        return sum(credit.amount_minor for credit in self.credits)

    @property
    def tax_minor(self) -> int:
        """The tax inside the amount."""
        return sum(due.tax_minor for due in self.dues) - sum(credit.tax_minor for credit in self.credits)

    @property
    def missing_minor(self) -> int:
        """What the wallet lacks for today's charge."""
        return self.wallet.missing_minor

    @property
    def balance_after_minor(self) -> int:
        """What can be spent after it."""
        seen = self.wallet
        return seen.available_minor - seen.bonus_minor - seen.paid_minor + seen.back_bonus_minor + seen.back_paid_minor


def of_start(member_id: uuid.UUID, seller: Seller, wish: Wish, *, at: datetime) -> Preview:
    """What starting a subscription costs today. Raises AlreadySubscribed, TrialUsed, NoPrice, NotFound, Invalid."""
    opening = subscriptions.open_new(member_id, seller, wish, at=at, trial_days=_settings().trial_days)
    lines, dues = _opening_charges(opening, seller, at)
    for one in [] if wish.is_trial else subscription_arrears.of(member_id, wish.product_line, seller.timezone):
        lines += (Line("arrears", one.amount_minor),)
        dues += (Due("arrears", one.amount_minor, tax_included(one.amount_minor, seller.tax_rate_at(one.used_from)), one.used_from, one.used_until, id=one.id),)
    follows = opening.ends_at < terms.FOREVER
    coming = None
    if follows and not (wish.is_trial and not wish.converts):
        coming = coming_terms.after(subscriptions.begun(member_id, new_id(), seller, opening), at=at)
    return Preview(
        seller.currency,
        lines,
        dues,
        (),
        at,
        opening.ends_at,
        wish.rank,
        wish.seats,
        wish.period,
        coming,
        opening.ends_at if coming else None,
        at,
        opening=opening,
    )


def _opening_charges(opening: Opening, seller: Seller, at: datetime) -> tuple[tuple[Line, ...], tuple[Due, ...]]:
    wish = opening.wish
    if wish.is_trial:
        return (), ()
    lines, dues, added = [], [], 0
    if wish.period in contracts.PERPETUAL:
        lines += [Line("licence", opening.once_base_minor), Line("licence_seats", wish.seats * opening.once_seat_minor, wish.seats, opening.once_seat_minor)]
        added += opening.once_minor - terms.term_price(opening.once_base_minor, opening.once_seat_minor, wish.seats)
        dues.append(_due("new", opening.once_minor, seller, at, _delivered(at, seller.timezone)))
    if wish.period != "once":
        lines += [Line("base", opening.base_minor), Line("seats", wish.seats * opening.seat_minor, wish.seats, opening.seat_minor)]
        added += opening.term_price_minor - terms.term_price(opening.base_minor, opening.seat_minor, wish.seats)
        dues.append(_due("maintenance" if dues else "new", opening.term_price_minor, seller, at, opening.ends_at))
    if added:  # of lists that leave it out
        lines.append(Line("added_tax", added))
    return tuple(lines), tuple(dues)


def of_change(
    subscription: Subscription, seller: Seller, rank: int | None, seats: int | None, *, at: datetime, period: str | None = None, effective: str = "auto",
    priced_at: datetime | None = None,
) -> Preview:  # fmt: skip
    """What a change costs or gives back today. `priced_at`: the instant of the preview that is confirmed.

    Raises NotChangeable, SeatsInUse, Committed, Invalid, NoPrice, NotFound.
    """
    if rank is not None:
        catalogue.edition(subscription.product_line, rank)
    taken = subscriptions.seats_taken(subscription.member_id).get(subscription.id, 0)
    wanted = Wanted(rank, seats, period, effective)

    def plan(counts_from: datetime) -> Change:
        return changes.plan(
            subscription, wanted, taken, at=at, timezone=seller.timezone, counts_from=counts_from, gives_back=gives_back(), rates=seller.tax_rates
        )

    counts_from = at
    change = plan(at)
    if subscription.proration_unit == "second":
        counts_from = quoted(priced_at, gives=change.credit_minor > 0, at=at)
        change = plan(counts_from)
    credits_ = _credits(subscription, change.credit_minor, change, counts_from, seller)
    until = change.restarts_until or subscription.term_end
    return Preview(
        subscription.currency, _change_lines(subscription, change, credits_), _change_dues(subscription, change, seller, at), credits_, at, until, change.rank,
        change.seats, change.period, _next(subscription, change, counts_from, seller, at),
        None if change.period == "once" else until, counts_from, change=change,
        gone=change.worth.gone, scheduled=_scheduled(subscription, change),
    )  # fmt: skip


def _next(subscription: Subscription, change: Change, counts_from: datetime, seller: Seller, at: datetime) -> subscriptions.NextTerm:
    """What follows once the change holds."""
    changed = coming_terms.copy_of(subscription)
    changes.apply(changed, change, at=at, counts_from=counts_from, timezone=seller.timezone)
    return coming_terms.after(changed, at=at)


def of_end(subscription: Subscription, seller: Seller, *, at: datetime, priced_at: datetime | None = None) -> Preview:
    """What ending a subscription now gives back. Raises NotChangeable, Committed."""
    counts_from = quoted(priced_at, gives=True, at=at) if subscription.proration_unit == "second" and subscription.state == "active" else at
    pays = subscription.state in ("active", "paused") and gives_back() and subscription.licensing == "rental"
    credit = changes.unused(subscription, at=counts_from, timezone=seller.timezone) if pays else 0
    gone = proration.worth_of(subscription, counts_from, seller.timezone).gone if pays else None
    credits_ = _shared(subscription, credit, gone.after, gone.total) if gone else ()
    lines = (Line("unused", -sum(one.amount_minor for one in credits_)),) if credits_ else ()
    return Preview(
        subscription.currency, lines, (), credits_, at, at, subscription.rank, subscription.seats, subscription.period, None, None, counts_from, gone=gone
    )


def gives_back() -> bool:
    """Does unused service come back as credit?"""
    return _settings().unused_service == "credited"


def quoted(priced_at: datetime | None, *, gives: bool, at: datetime) -> datetime:
    """The instant from which seconds are counted: a price that was shown holds for `quote_minutes`, never in the member's favour.

    A charge counts from when it was shown; a credit from when what was shown stops to hold.
    """
    holds = timedelta(minutes=_settings().quote_minutes)
    earliest, latest = (at, at + holds) if gives else (at - holds, at)
    if priced_at is not None and earliest <= priced_at <= latest:
        return priced_at
    return latest if gives else at


def _credits(subscription: Subscription, credit_minor: int, change: Change, counts_from: datetime, seller: Seller) -> tuple[Credit, ...]:
    if not credit_minor:
        return ()
    gone = proration.worth_of(subscription, counts_from, seller.timezone).gone
    return _shared(subscription, credit_minor, gone.left if change.restarts_until else gone.after, gone.total)


def _shared(subscription: Subscription, credit_minor: int, left: int, whole: int) -> tuple[Credit, ...]:
    rows: Sequence[SubscriptionCharge] = credits_of.charges_of_term(subscription)
    return tuple(credits_of.spread(credit_minor, rows, left, whole)) if credit_minor else ()


def _change_lines(subscription: Subscription, change: Change, credits_: Sequence[Credit]) -> tuple[Line, ...]:
    if change.restarts_until is not None and subscription.licensing == "rental":
        back = sum(credit.amount_minor for credit in credits_)
        return tuple(line for line in (Line("unused", -back), Line("new_term", change.charge_minor)) if line.amount_minor)
    more = change.seats - subscription.seats
    kinds = {"edition": ("edition", 1), "seats": ("more_seats" if more >= 0 else "fewer_seats", abs(more)), "period": ("maintenance", 1)}
    lines = [Line(kinds[step.name][0], step.amount_minor, kinds[step.name][1]) for step in change.steps if step.amount_minor]
    if lost := change.credit_minor - sum(credit.amount_minor for credit in credits_):
        lines.append(Line("not_returned", lost))  # it was given back before, or never charged here
    return tuple(lines)


def _change_dues(subscription: Subscription, change: Change, seller: Seller, at: datetime) -> tuple[Due, ...]:
    names = {"edition": "upgrade", "seats": "seats", "period": "period"}
    motion = next((names[step.name] for step in change.steps if step.amount_minor > 0), "period")
    dues = []
    if change.bought_minor:
        dues.append(_due(motion, change.bought_minor, seller, at, _delivered(at, seller.timezone)))
    if change.charge_minor:
        until = change.restarts_until or subscription.term_end
        units = None if change.restarts_until else credits_of.covered(change.worth.gone, starts_now=True)
        due_motion = motion if change.restarts_until is None else "maintenance" if subscription.licensing == "perpetual" else "period"
        dues.append(replace(_due(due_motion, change.charge_minor, seller, at, until), units=units))
    return tuple(dues)


def _due(motion: str, amount_minor: int, seller: Seller, at: datetime, until: datetime) -> Due:
    return Due(motion, amount_minor, tax_included(amount_minor, seller.tax_rate_at(at)), at, until)


def _delivered(at: datetime, timezone: str) -> datetime:
    """A perpetual licence is delivered at once: its service period is its first day."""
    return proration.next_unit(at, at, timezone, "day")


def _scheduled(subscription: Subscription, change: Change) -> Scheduled | None:
    if (change.next_rank, change.next_seats, change.next_period) == (None, None, None):
        return None
    return Scheduled(change.restarts_until or contracts.free_at(subscription), change.next_rank, change.next_seats, change.next_period)


def _settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found
