"""Subscriptions: who has which, what starting one gives, and what its next term will be. It knows prices, but moves no money."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import func, select

from core.db import db
from core.errors import Conflict, Invalid, NotFound
from core.money import gross_of
from membership import catalogue, contracts, taxes, terms
from membership.catalogue_models import EditionPrice
from membership.entity_models import LegalEntity
from membership.models import Member, User
from membership.subscription_models import Subscription

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
    """What a member wants to subscribe to. `period` is month, quarter or year; maintenance or once for a perpetual licence."""

    product_line: str
    rank: int
    period: str
    seats: int
    is_trial: bool = False
    converts: bool = True  # a trial becomes paid at its end; False: it ends
    commitment_years: int | None = None
    deployment: str = "saas"


@dataclass(frozen=True, slots=True)
class Opening:
    """A subscription as it would begin."""

    wish: Wish
    begins_at: datetime
    ends_at: datetime  # of the first term, or of the trial
    anchor_day: int
    base_minor: int  # of a term; of a perpetual licence: of a year of maintenance
    seat_minor: int
    once_base_minor: int = 0  # of a perpetual licence
    once_seat_minor: int = 0
    adds_tax_bp: int = 0  # the rate that comes on top of the two prices of a term; 0 where tax is inside
    once_adds_tax_bp: int = 0  # likewise of the licence

    @property
    def term_price_minor(self) -> int:
        """A full term's price, with tax."""
        return gross_of(terms.term_price(self.base_minor, self.seat_minor, self.wish.seats), self.adds_tax_bp)

    @property
    def once_minor(self) -> int:
        """The price of a perpetual licence, with tax."""
        return gross_of(terms.term_price(self.once_base_minor, self.once_seat_minor, self.wish.seats), self.once_adds_tax_bp)


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


def open_new(member_id: uuid.UUID, seller: Seller, wish: Wish, *, at: datetime, trial_days: int = TRIAL_DAYS) -> Opening:
    """What starting now would give. Raises AlreadySubscribed, TrialUsed, NoPrice, NotFound, and Invalid for what does not go together."""
    catalogue.edition(wish.product_line, wish.rank)
    _assert_consistent(wish)
    if running_of(member_id, wish.product_line) is not None:
        raise AlreadySubscribed(_("You have a running subscription of this product. Change its edition or seats instead."), field="product_line")
    if wish.is_trial and had_before(member_id, wish.product_line):
        raise TrialUsed(_("You had this product before; a trial is given once."), field="is_trial")
    begins_paying_at = terms.trial_end(at, trial_days, seller.timezone) if wish.is_trial else at
    anchor_day = terms.local_day(begins_paying_at, seller.timezone).day

    def price(period: str) -> EditionPrice:
        return catalogue.price(wish.product_line, wish.rank, seller.currency, period, begins_paying_at)

    once = price("once") if wish.period in contracts.PERPETUAL else None
    bought = (once.base_minor, once.seat_minor) if once else (0, 0)
    rate = seller.tax_rate_at(begins_paying_at)
    once_adds = rate if once and once.excludes_tax else 0
    if wish.period == "once":
        return Opening(wish, at, terms.FOREVER, anchor_day, 0, 0, *bought, once_adds_tax_bp=once_adds)
    recurring = price(wish.period)
    ends_at = begins_paying_at if wish.is_trial else terms.term_end(at, wish.period, anchor_day, seller.timezone)
    adds = rate if recurring.excludes_tax else 0
    return Opening(wish, at, ends_at, anchor_day, recurring.base_minor, recurring.seat_minor, *bought, adds_tax_bp=adds, once_adds_tax_bp=once_adds)


def _assert_consistent(wish: Wish) -> None:
    if wish.is_trial and (wish.period in contracts.PERPETUAL or wish.commitment_years):
        raise Invalid(_("Only a monthly, quarterly or yearly subscription without a commitment can be tried first."), field="is_trial")
    if wish.commitment_years is not None and wish.period != "year":
        raise Invalid(_("A commitment of several years is paid yearly: choose the yearly period."), field="commitment_years")
    if wish.commitment_years is not None and not 2 <= wish.commitment_years <= contracts.LONGEST_COMMITMENT:
        raise Invalid(_("Choose from 2 to %(most)s years.", most=contracts.LONGEST_COMMITMENT), field="commitment_years")


def begin(member_id: uuid.UUID, subscription_id: uuid.UUID, seller: Seller, opening: Opening, *, unit: str = "day") -> Subscription:
    """Write a new subscription down; its terms are divided by `unit`."""
    subscription = begun(member_id, subscription_id, seller, opening, unit=unit)
    db.session.add(subscription)
    db.session.flush()
    return subscription


def begun(member_id: uuid.UUID, subscription_id: uuid.UUID, seller: Seller, opening: Opening, *, unit: str = "day") -> Subscription:
    """The row of a new subscription, not written down."""
    wish, at = opening.wish, opening.begins_at
    subscription = Subscription(
        member_id=member_id, id=subscription_id, product_line=wish.product_line, rank=wish.rank, period=wish.period, currency=seller.currency,
        seats=wish.seats, state="trialing" if wish.is_trial else "active", term=1, anchor_day=opening.anchor_day, started_at=at,
        trial_until=opening.ends_at if wish.is_trial else None, term_start=at,
        term_end=opening.ends_at, term_price_minor=opening.term_price_minor, cancel_at_term_end=wish.is_trial and not wish.converts, next_rank=None,
        next_seats=None, next_period=None, ended_at=None, deployment=wish.deployment, licensing=contracts.licensing_of(wish.period), proration_unit=unit,
        worth_offset=0, paused_units=0, next_attempt_at=None if wish.period == "once" else opening.ends_at, failed_attempts=0,
    )  # fmt: skip
    if wish.commitment_years:
        contracts.commit(subscription, wish.commitment_years, seller.timezone)
    return subscription


@dataclass(frozen=True, slots=True)
class NextTerm:
    """The term after the present one, as far as it is known today. `price_minor` is None where the edition is not sold by then."""

    rank: int
    seats: int
    period: str
    price_minor: int | None
    tax_minor: int | None = 0  # inside the price
    is_instalment: bool = False
