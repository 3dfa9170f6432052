"""A year of money: top-ups, subscriptions, purchases and renewals, played week by week through the product's own functions."""

import random
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from billing.document import document_jobs
from billing.renewal import renewals
from billing.subscription import subscription_charges, subscription_ends, subscription_previews
from billing.wallet.wallet_models import Wallet
from core.actor import SYSTEM, Actor
from core.db import act_as, transaction
from core.errors import AppError
from core.ids import derived
from marketplace.license import license_renewals
from marketplace.license.license_models import License
from marketplace.order import orders
from marketplace.seat import seat_orders
from marketplace.store.listing_models import Listing
from membership import catalogue, subscriptions
from operations import offers
from operations.demo.behaviour import Habit
from operations.demo.cast import CURRENCY, Cast
from operations.demo.money import Arrival, arrive

DAY, WEEK = timedelta(days=1), timedelta(days=7)
RICH = 24  # the first members keep well-filled wallets: they lend their keys to scripts


@dataclass(slots=True)
class Plan:
    """What one member will do during the year."""

    line: str
    rank: int
    period: str
    seats: int
    subscribes_at: datetime
    stops_paying_at: datetime | None
    purchases: list[tuple[datetime, str]] = field(default_factory=list)  # when, listing
    changes: list[tuple[datetime, str]] = field(default_factory=list)  # when, seats | upgrade | cancel | app seats
    subscription_id: uuid.UUID | None = None


OWNED = ("usage-pack", "visit-report", "clean-phone-numbers", "daily-report-digest", "renewal-reminder-mail")  # by the demo's customer logins


def plans(rng: random.Random, cast: list[Cast], habits: dict[str, Habit], listings: list[str], since: datetime, until: datetime) -> dict[str, Plan]:
    """Decide the year of each member: richer members take higher editions, fading ones stop paying, toil leads to purchases."""
    made = {}
    for i, one in enumerate(cast):
        habit, start = (
            habits[one.number],
            max(one.joined_at, since) + timedelta(hours=rng.randint(2, 60), days=rng.randint(0, 60) if one.joined_at == since else 0),
        )
        weights = {"small": [55, 30, 13, 2], "medium": [20, 40, 30, 10], "large": [5, 20, 40, 35]}[one.company.size]
        plan = Plan(
            rng.choices(["crm", "ops"], [65, 35])[0],
            rng.choices([1, 2, 3, 4], weights)[0],
            rng.choices(["month", "quarter", "year"], [45, 20, 35])[0],
            one.company.seats,
            start,
            until - timedelta(days=rng.randint(10, 110)) if habit.growth < -1 and i >= RICH else None,
        )
        span = (until - start).days
        wanted = [name for name in habit.toil if rng.random() < 0.55] + rng.sample(listings, rng.choices([0, 1, 2, 4], [30, 35, 25, 10])[0])
        for slug in dict.fromkeys(wanted):
            plan.purchases.append((start + timedelta(days=rng.uniform(0.1, 0.95) * span), slug))
        if rng.random() < 0.35:
            plan.changes.append((start + timedelta(days=rng.uniform(0.2, 0.9) * span), rng.choice(["seats", "seats", "upgrade"])))
        if habit.growth < -0.4 and rng.random() < 0.3:
            plan.changes.append((start + timedelta(days=rng.uniform(0.5, 0.9) * span), "cancel"))
        made[one.number] = plan
    first = made[cast[0].number]  # whose people the demo's customer logins are: on their way, with money, and not everything bought yet
    first.subscribes_at = since + timedelta(days=45, hours=3)
    first.line, first.rank, first.period = "crm", 2, "year"
    first.purchases = [(first.subscribes_at + timedelta(days=40 * n), slug) for n, slug in enumerate(OWNED, 1)]
    first.changes = [(first.subscribes_at + timedelta(days=230), "app seats")]
    return made


def _renew(at: datetime) -> None:
    """The day's renewal run, written down as one."""
    run = renewals.Run(derived("demo", "renewals", at.isoformat()), at, at)
    while True:
        with transaction(SYSTEM):
            if not renewals.renew_due(at, run=run).examined:
                renewals.finish(run, at=at)
                return


class Year:
    """Plays the plans; each week is one transaction per kind of actor, so that a year takes seconds."""

    def __init__(self, rng: random.Random, cast: list[Cast], plans: dict[str, Plan], habits: dict[str, Habit]) -> None:
        self.rng, self.cast, self.plans, self.habits = rng, cast, plans, habits
        self.refused = 0

    def play(self, since: datetime, until: datetime, progress: Callable[[int], None]) -> None:
        """From `since` to `until`: money comes in once a week, everything else happens day by day, renewals at each day's end."""
        day = since
        while day < until:
            end = min(day + DAY, until)
            if (day - since).days % 7 == 0:
                with transaction(SYSTEM) as session:
                    self._top_up(session, day)
            for one in self.cast:
                self._act(one, day, end)
            license_renewals.renew_all(end)
            _renew(end)
            document_jobs.issue_all(end)
            day = end
            progress(1)

    def _top_up(self, session: Session, week: datetime) -> None:
        """Members whose money will not last put more in: by card, or by bank transfer for large sums."""
        balances = {w.member_id: w.paid_minor + w.bonus_minor for w in session.scalars(select(Wallet))}
        arrivals: list[Arrival] = []
        prices = cache(lambda line, rank: catalogue.price(line, rank, CURRENCY, "month", week))  # the same for many
        for i, one in enumerate(self.cast):
            plan, at = self.plans[one.number], week + timedelta(minutes=self.rng.randint(1, 90))
            price = prices(plan.line, plan.rank)
            need = (price.base_minor + plan.seats * price.seat_minor) * {"month": 1, "quarter": 3, "year": 10}[plan.period]
            if one.joined_at >= week + WEEK or (plan.stops_paying_at and week >= plan.stops_paying_at) or self.rng.random() < 0.1:
                continue
            floor = need + 60_000 if i >= RICH else need + 5_000_000
            if balances.get(one.id, 0) >= floor:
                continue
            amount = -(-(floor * 2 - balances.get(one.id, 0)) // 50_000) * 50_000
            at = max(at, one.joined_at)
            arrivals.append(Arrival(one.id, one.number, week.isoformat(), amount, at, one.owner_id))
        arrive(session, arrivals)

    def _act(self, one: Cast, day: datetime, end: datetime) -> None:
        """What one member does this day, in order of time."""
        plan = self.plans[one.number]
        todo: list[tuple[datetime, str, str]] = []
        if day <= plan.subscribes_at < end:
            todo.append((plan.subscribes_at, "subscribe", ""))
        todo += [(at, "buy", slug) for at, slug in plan.purchases if day <= at < end]
        todo += [(at, "change", what) for at, what in plan.changes if day <= at < end]
        if not todo:
            return
        me = Actor(kind="member", role="owner", member_id=one.id, user_id=one.owner_id)
        for at, verb, what in sorted(todo):
            try:
                with transaction(me) as session:
                    getattr(self, "_" + verb)(session, one, plan, at, what)
            except AppError:
                self.refused += 1  # too little money, or not their edition: it happens in life too

    def _subscribe(self, _session: Session, one: Cast, plan: Plan, at: datetime, _what: str) -> None:
        wish = subscriptions.Wish(product_line=plan.line, rank=plan.rank, period=plan.period, seats=plan.seats)
        price = subscription_previews.of_start(one.id, subscriptions.seller_of(one.id), wish, at=at).amount_minor
        wanted = subscription_charges.Start(**asdict(wish), id=derived("demo", "subscription", one.number), price_minor=price)
        plan.subscription_id = subscription_charges.start(one.id, wanted, at=at).subscription.id

    def _buy(self, session: Session, one: Cast, _plan: Plan, at: datetime, slug: str) -> None:
        terms = session.execute(select(Listing.price_minor, Listing.pricing, Listing.licensed_per).where(Listing.slug == slug)).one()
        price, order_id = terms.price_minor, derived("demo", "order", one.number, slug, at.isoformat())
        if terms.pricing == "usage":
            orders.place(one.id, slug, orders.Wanted(order_id, price, monthly_cap_minor=100 * price), at=at, placed_by=one.owner_id)
        elif terms.licensed_per == "seat":
            orders.place(one.id, slug, orders.Wanted(order_id, price, max(2, one.company.seats // 2)), at=at, placed_by=one.owner_id)
        elif slug != "usage-pack" and self.rng.random() < 0.4:
            self._accept_offer(session, one, slug, price, at)
        else:
            quantity = self.rng.randint(1, 20) if slug == "usage-pack" else 1
            orders.place(one.id, slug, orders.Wanted(order_id, price, quantity), at=at, placed_by=one.owner_id)
        habit = self.habits[one.number]
        if slug in habit.toil:
            habit.automated_since[slug] = at + timedelta(days=2)

    def _accept_offer(self, session: Session, one: Cast, slug: str, price_minor: int, at: datetime) -> None:
        """The CSM recommended it a few days before, and the member says yes."""
        offer_id = derived("demo", "offer", one.number, slug)
        csm = Actor(kind="staff", role="csm", user_id=one.csm_id, name=one.csm_name)
        act_as(session, csm)
        reason = "你们的团队每周都在重复这几步，用它一次完成。" if slug in self.habits[one.number].toil else "同行业的会员正在使用，值得一试。"
        offers.send(one.id, offers.Wanted(offer_id, slug, reason), csm, days=30, at=at - timedelta(days=self.rng.randint(1, 6)))
        session.flush()
        me = Actor(kind="member", role="owner", member_id=one.id, user_id=one.owner_id)
        act_as(session, me)
        offers.accept(one.id, offer_id, price_minor, me, at=at)

    def _add_app_seat(self, session: Session, one: Cast, at: datetime) -> None:
        """One more colleague is to use an app that is licensed by seats."""
        found = session.scalars(select(License.id).where(License.member_id == one.id, License.seats.is_not(None), License.state == "active").limit(1)).first()
        if found is not None:
            charge = seat_orders.preview(one.id, found, 1, at=at).quote.total_minor
            wanted = seat_orders.Wanted(derived("demo", "app-seat", one.number, at.isoformat()), 1, charge)
            seat_orders.add(one.id, found, wanted, at=at, placed_by=one.owner_id)

    def _change(self, session: Session, one: Cast, plan: Plan, at: datetime, what: str) -> None:
        if plan.subscription_id is None:
            return
        if what == "cancel":
            subscription_ends.cancel(one.id, plan.subscription_id, at=at)
            return
        if what == "app seats":
            self._add_app_seat(session, one, at)
            return
        now = subscriptions.show(one.id, plan.subscription_id)
        rank = min(now.rank + 1, 4) if what == "upgrade" else None
        seats = now.seats + self.rng.randint(1, 4) if what == "seats" else None
        preview = subscription_previews.of_change(now, subscriptions.seller_of(one.id), rank, seats, at=at)
        wanted = subscription_charges.ChangeTo(derived("demo", "change", one.number, at.isoformat()), preview.amount_minor, rank, seats)
        csm_id = one.csm_id if self.rng.random() < 0.6 else None
        subscription_charges.change(one.id, plan.subscription_id, wanted, at=at, csm_id=csm_id)
        plan.rank, plan.seats = rank or plan.rank, seats or plan.seats
