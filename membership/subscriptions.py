"""Subscriptions: what may be started, changed, cancelled and resumed, and what then holds. It knows prices, but moves no money."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import func, select

from core.db import db
from core.errors import AppError, Conflict, Invalid, NotFound
from membership import catalogue, proration, taxes, terms
from membership.models import EditionPrice, LegalEntity, Member, Subscription, User

RUNNING = ("trialing", "active", "past_due")
TRIAL_DAYS = 14


class NoSubscription(NotFound):
    """The member has no such subscription."""

    code = "no_subscription"


class AlreadySubscribed(Conflict):
    """The member has a running subscription of this product line."""

    code = "already_subscribed"


class TrialUsed(Conflict):
    """A product line can be tried once."""

    code = "trial_used"


class NotChangeable(Conflict):
    """The subscription has ended, is past due, or is just being renewed."""

    code = "not_changeable"


class SeatsInUse(AppError):
    """Fewer seats than people who hold one."""

    status, code = 422, "seats_in_use"


@dataclass(frozen=True, slots=True)
class Seller:
    """What of the member and its legal entity decides terms and prices."""

    currency: str
    timezone: str
    tax_rates: taxes.Schedule

    def tax_rate_at(self, at: datetime) -> int:
        """The rate, in basis points, of a supply at an instant."""
        return taxes.in_force(self.tax_rates, at).rate_bp


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a member wants to subscribe to. `period` is month, quarter or year."""

    product_line: str
    rank: int
    period: str
    seats: int
    is_trial: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """A subscription as it would begin."""

    wish: Wish
    begins_at: datetime
    ends_at: datetime  # of the first term, or of the trial
    anchor_day: int
    base_minor: int
    seat_minor: int

    @property
    def term_price_minor(self) -> int:
        """A full term's price, tax included."""
        return terms.term_price(self.base_minor, self.seat_minor, self.wish.seats)


@dataclass(frozen=True, slots=True)
class Change:
    """What a change makes of a subscription, and what it costs for the rest of the term."""

    rank: int
    seats: int
    next_rank: int | None
    next_seats: int | None
    term_price_minor: int
    edition_minor: int  # charged for the edition
    seats_minor: int  # charged for seats
    between_price_minor: int  # term price at the new edition with the old seats
    gone: proration.Progress

    @property
    def amount_minor(self) -> int:
        """Charged now, tax included."""
        return self.edition_minor + self.seats_minor


def seller_of(member_id: uuid.UUID) -> Seller:
    """Currency, time zone and tax of a member's contracts. Raises NotFound."""
    rows = db.session.execute(
        taxes.RATES.join(Member, Member.entity_id == LegalEntity.id)
        .where(Member.id == member_id)
        .add_columns(Member.currency.label("wallet_currency"), LegalEntity.timezone)
    ).all()
    if not rows:
        raise NotFound(_("There is no such member."))
    return Seller(rows[0].wallet_currency, rows[0].timezone, taxes.read(rows)[rows[0].id])


def show(member_id: uuid.UUID, subscription_id: uuid.UUID) -> Subscription:
    """One subscription of a member. Raises NoSubscription."""
    return _found(db.session.get(Subscription, (member_id, subscription_id)))


def locked(member_id: uuid.UUID, subscription_id: uuid.UUID) -> Subscription:
    """The same, held until the transaction ends: renewals and other changes wait. Raises NoSubscription."""
    return _found(
        db.session.get(Subscription, (member_id, subscription_id), with_for_update={"key_share": True}, populate_existing=True),
    )


def _found(subscription: Subscription | None) -> Subscription:
    if subscription is None:
        raise NoSubscription(_("There is no such subscription."))
    return subscription


def list_all(member_id: uuid.UUID) -> Sequence[Subscription]:
    """Every subscription of a member: running ones first, by the day they renew on."""
    ended = Subscription.state == "ended"
    return db.session.scalars(
        select(Subscription).where(Subscription.member_id == member_id).order_by(ended, Subscription.term_end, Subscription.started_at)
    ).all()


def running_of(member_id: uuid.UUID, product_line: str) -> Subscription | None:
    """The member's running subscription of a product line."""
    return db.session.scalar(
        select(Subscription).where(Subscription.member_id == member_id, Subscription.product_line == product_line, Subscription.state != "ended")
    )


def seats_taken(member_id: uuid.UUID) -> dict[uuid.UUID, int]:
    """How many people hold a seat of each subscription."""
    rows = db.session.execute(
        select(User.seat_subscription_id, func.count())
        .where(User.member_id == member_id, User.seat_subscription_id.is_not(None))
        .group_by(User.seat_subscription_id)
    )
    return {subscription_id: count for subscription_id, count in rows if subscription_id is not None}


def had_before(member_id: uuid.UUID, product_line: str) -> bool:
    """Has the member ever had this product line?"""
    return bool(
        db.session.scalar(select(func.count()).select_from(Subscription).where(Subscription.member_id == member_id, Subscription.product_line == product_line))
    )


def open_new(member_id: uuid.UUID, seller: Seller, wish: Wish, *, at: datetime) -> Opening:
    """What starting now would give. Raises AlreadySubscribed, TrialUsed, NoPrice, NotFound."""
    catalogue.edition(wish.product_line, wish.rank)
    if running_of(member_id, wish.product_line) is not None:
        raise AlreadySubscribed(_("You have a running subscription of this product. Change its edition or seats instead."), field="product_line")
    if wish.is_trial and had_before(member_id, wish.product_line):
        raise TrialUsed(_("You had this product before; a trial is given once."), field="is_trial")
    begins_paying_at = terms.trial_end(at, TRIAL_DAYS, seller.timezone) if wish.is_trial else at
    price = catalogue.price(wish.product_line, wish.rank, seller.currency, wish.period, begins_paying_at)
    anchor_day = terms.local_day(begins_paying_at, seller.timezone).day
    ends_at = begins_paying_at if wish.is_trial else terms.term_end(at, wish.period, anchor_day, seller.timezone)
    return Opening(wish, at, ends_at, anchor_day, price.base_minor, price.seat_minor)


def begin(member_id: uuid.UUID, subscription_id: uuid.UUID, seller: Seller, opening: Opening) -> Subscription:
    """Write a new subscription down."""
    wish, at = opening.wish, opening.begins_at
    subscription = Subscription(
        member_id=member_id, id=subscription_id, product_line=wish.product_line, rank=wish.rank, period=wish.period, currency=seller.currency,
        seats=wish.seats, state="trialing" if wish.is_trial else "active", term=1, anchor_day=opening.anchor_day, started_at=at, term_start=at,
        term_end=opening.ends_at, term_price_minor=opening.term_price_minor, cancel_at_term_end=False, next_rank=None, next_seats=None, ended_at=None,
        deployment="saas", licensing="rental", next_attempt_at=opening.ends_at, failed_attempts=0,
    )  # fmt: skip
    db.session.add(subscription)
    db.session.flush()
    return subscription


def plan(
    subscription: Subscription, rank: int | None, seats: int | None, price_of: Callable[[int], EditionPrice], taken: int, *, at: datetime, timezone: str
) -> Change:
    """What changing to this edition and these seats means; None keeps what is, and what is planned.

    More takes effect at once and costs its share of the term; less waits for the next term; what is now undoes the wait. During
    a trial everything takes effect at once and costs nothing. `price_of` gives the price of an edition in this term.
    Raises NotChangeable, SeatsInUse, Invalid when nothing would change.
    """
    _assert_changeable(subscription, at)
    if seats is not None and seats < taken:
        raise SeatsInUse(_("%(taken)s people hold a seat. Release seats in the team first.", taken=taken), field="seats")
    is_trial = subscription.state == "trialing"
    new_rank = rank if rank is not None and (is_trial or rank > subscription.rank) else subscription.rank
    new_seats = seats if seats is not None and (is_trial or seats > subscription.seats) else subscription.seats
    next_rank = subscription.next_rank if rank is None else rank if rank < new_rank else None
    next_seats = subscription.next_seats if seats is None else seats if seats < new_seats else None
    if (new_rank, new_seats, next_rank, next_seats) == (subscription.rank, subscription.seats, subscription.next_rank, subscription.next_seats):
        raise Invalid(_("This is what you have already. Choose another edition or number of seats."), field="rank" if seats is None else "seats")
    price = price_of(new_rank)
    old = subscription.term_price_minor
    between = old if new_rank == subscription.rank else terms.term_price(price.base_minor, price.seat_minor, subscription.seats)
    new = between + (new_seats - subscription.seats) * price.seat_minor
    gone = proration.progress(subscription.term_start, subscription.term_end, at, timezone)
    edition_minor, seats_minor = (0, 0) if is_trial else (proration.difference(old, between, gone), proration.difference(between, new, gone))
    return Change(new_rank, new_seats, next_rank, next_seats, new, max(0, edition_minor), max(0, seats_minor), between, gone)


def _assert_changeable(subscription: Subscription, at: datetime) -> None:
    if subscription.state == "ended":
        raise NotChangeable(_("This subscription has ended. Start a new one."))
    if subscription.state == "past_due":
        raise NotChangeable(_("The renewal of this subscription is not paid yet. Top up first; then it can be changed."))
    if at >= subscription.term_end:
        raise NotChangeable(_("This term is over and is being renewed right now. Please try again in a minute."))


def price_in_term(subscription: Subscription) -> Callable[[int], EditionPrice]:
    """Prices of this term: those in force when it began (for a trial: when it ends). An edition sold only since then has no price before the next term."""
    instant = subscription.term_end if subscription.state == "trialing" else subscription.term_start
    return lambda rank: catalogue.price(subscription.product_line, rank, subscription.currency, subscription.period, instant)


def apply(subscription: Subscription, change: Change) -> None:
    """Make a planned change hold."""
    subscription.rank, subscription.seats = change.rank, change.seats
    subscription.next_rank, subscription.next_seats = change.next_rank, change.next_seats
    subscription.term_price_minor = change.term_price_minor


def next_term(subscription: Subscription, change: Change | None = None) -> tuple[int, int, int]:
    """Edition rank, seats and price of the term after this one: the prices in force when it begins, as far as they are known today."""
    seen = change or subscription
    rank, seats = seen.next_rank or seen.rank, seen.next_seats or seen.seats
    price = catalogue.price(subscription.product_line, rank, subscription.currency, subscription.period, subscription.term_end)
    return rank, seats, terms.term_price(price.base_minor, price.seat_minor, seats)


def next_terms(running: Sequence[Subscription]) -> dict[uuid.UUID, tuple[int, int, int | None]]:
    """`next_term` of many subscriptions with one query; the price is None where the edition is not sold by then."""
    lines = {one.product_line for one in running}
    known = db.session.scalars(select(EditionPrice).where(EditionPrice.product_line.in_(lines)).order_by(EditionPrice.valid_from)).all() if lines else ()
    coming = {}
    for one in running:
        rank, seats = one.next_rank or one.rank, one.next_seats or one.seats
        wanted = (one.product_line, rank, one.currency, one.period)
        in_force = [p for p in known if (p.product_line, p.rank, p.currency, p.period) == wanted and p.valid_from <= one.term_end]
        coming[one.id] = (rank, seats, terms.term_price(in_force[-1].base_minor, in_force[-1].seat_minor, seats) if in_force else None)
    return coming
