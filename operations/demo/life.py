"""The demo's members go on living while the clock is moved: they top up when money runs short (some of them late, some not at all), buy, and add seats.

What a member does on a day hangs on its number and the day alone, so the same world lives the same year whichever way it is cut.
"""

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from billing.renewal import renewals
from billing.subscription import subscription_charges, subscription_ends, subscription_previews
from core import passage
from core.actor import SYSTEM, Actor
from core.db import transaction
from core.errors import AppError
from core.ids import derived
from marketplace.order import orders
from membership import subscriptions
from operations.demo.money import Arrival, arrive

DAY = timedelta(days=1)
MORNING = 2  # o'clock UTC: ten in China
LOOKS_AHEAD = timedelta(days=4)  # when members see a renewal coming and top up for it
ROUND_TO = 50_000  # people top up round sums
ASLEEP, FORGETFUL = 0.05, 0.25  # the share that pays nothing for a quarter of a year, and that tops up only when a renewal has failed
PAYS_TODAY = 0.3  # how soon those whose renewal has failed put money in
BUYS, ADDS_SEATS, CANCELS, COMES_BACK = 0.012, 0.0015, 0.0004, 0.02  # a day

_MEMBERS = text("""
select m.id, m.number, w.paid_minor + w.bonus_minor - w.held_minor as available, u.id as owner_id,
  s.id as subscription_id, s.state, s.term_end, s.term_price_minor, s.seats, s.cancel_at_term_end,
  coalesce((select sum(c.amount_minor) from subscription_charge c where c.member_id = m.id and c.state = 'unpaid'), 0)::bigint as owed
from member m join wallet w on w.member_id = m.id and w.currency = m.currency
left join lateral (select * from subscription s where s.member_id = m.id order by s.state = 'ended', s.term_end, s.id limit 1) s on true
left join lateral (select id from app_user where member_id = m.id and role = 'owner' order by created_at, id limit 1) u on true
where m.state = 'active' and w.state = 'open' order by m.number
""")
_FOR_SALE = text("select slug, price_minor, licensed_per from listing where state = 'published' and price_minor > 0 and milestones is null order by slug")


class Life:
    """What the members do each morning, as a step of the moving clock."""

    def __init__(self, since: datetime) -> None:
        self.next_at = _morning_after(since)
        self.done = {"topped up": 0, "bought": 0, "changed": 0, "refused": 0}
        with transaction(SYSTEM) as session:
            self.for_sale = session.execute(_FOR_SALE).all()

    def step(self) -> passage.Step:
        """To be given to the clock as its last step."""
        return passage.Step("members", lambda: self.next_at, self.live)

    def live(self, at: datetime) -> None:
        """One morning of every member; money first, because the rest needs it."""
        with transaction(SYSTEM) as session:
            members = session.execute(_MEMBERS).all()
            self._top_up(session, members, at)
        for one in members:
            chance = _chance(one.number, f"{at:%Y-%m-%d}")
            if act := self._wish(one, chance, at):
                self._try(one, act)
        self.next_at = _morning_after(at)

    def _top_up(self, session: Session, members: Sequence[Row[Any]], at: datetime) -> None:
        arrivals = []
        for one in members:
            amount = _missing(one, at)
            if amount:
                paid_at = at + timedelta(seconds=_chance(one.number, "when").randint(0, 3_000))
                arrivals.append(Arrival(one.id, one.number, f"{at:%Y-%m-%d}", amount, paid_at, one.owner_id))
        arrive(session, arrivals)
        owing = {one.id for one in members if one.owed}
        for arrival in arrivals:
            if arrival.member_id in owing:
                renewals.pay_unpaid(arrival.member_id, at=arrival.at)
        self.done["topped up"] += len(arrivals)

    def _wish(self, one: Row[Any], chance: random.Random, at: datetime) -> Callable[[], object] | None:
        """What the member does today beside paying; mostly nothing."""
        drawn = chance.random()
        if one.subscription_id is None or one.state == "ended":
            return partial(self._come_back, one, chance, at) if drawn < COMES_BACK and not _is_asleep(one.number, at) else None
        if drawn < BUYS and self.for_sale:
            return partial(self._buy, one, chance, at)
        if drawn < BUYS + ADDS_SEATS and one.state == "active":
            return partial(self._add_seats, one, chance, at)
        if drawn < BUYS + ADDS_SEATS + CANCELS and one.state == "active" and not one.cancel_at_term_end:
            return partial(subscription_ends.cancel, one.id, one.subscription_id, at=at)
        return None

    def _try(self, one: Row[Any], act: Callable[[], object]) -> None:
        try:
            with transaction(Actor(kind="member", role="owner", member_id=one.id, user_id=one.owner_id)):
                act()
        except AppError:
            self.done["refused"] += 1  # too little money, owned already: it happens in life too

    def _buy(self, one: Row[Any], chance: random.Random, at: datetime) -> None:
        slug, price, licensed_per = chance.choice(self.for_sale)
        quantity = chance.randint(1, 20) if slug == "usage-pack" else chance.randint(2, 6) if licensed_per == "seat" else 1
        orders.place(one.id, slug, orders.Wanted(_id("order", one, at), price, quantity), at=at, placed_by=one.owner_id)
        self.done["bought"] += 1

    def _add_seats(self, one: Row[Any], chance: random.Random, at: datetime) -> None:
        now = subscriptions.show(one.id, one.subscription_id)
        seats = now.seats + chance.randint(1, 4)
        price = subscription_previews.of_change(now, subscriptions.seller_of(one.id), None, seats, at=at).amount_minor
        subscription_charges.change(one.id, now.id, subscription_charges.ChangeTo(_id("seats", one, at), price, None, seats), at=at)
        self.done["changed"] += 1

    def _come_back(self, one: Row[Any], chance: random.Random, at: datetime) -> None:
        wish = subscriptions.Wish(product_line=chance.choice(["crm", "ops"]), rank=chance.randint(1, 2), period="month", seats=chance.randint(2, 8))
        price = subscription_previews.of_start(one.id, subscriptions.seller_of(one.id), wish, at=at).amount_minor
        subscription_charges.start(one.id, subscription_charges.Start(**asdict(wish), id=_id("comeback", one, at), price_minor=price), at=at)
        self.done["changed"] += 1


def _missing(one: Row[Any], at: datetime) -> int:
    """What the member puts in today, in round sums: for what it owes, for a renewal it sees coming, or to have something to spend; mostly nothing."""
    if _is_asleep(one.number, at):
        return 0
    is_without = one.subscription_id is None or one.state == "ended"
    if not (one.owed or is_without or (one.term_end - at < LOOKS_AHEAD and not one.cancel_at_term_end)):
        return 0
    chance = _chance(one.number, f"money {at:%Y-%m-%d}")
    if one.owed:
        need = one.owed if chance.random() < PAYS_TODAY else 0
    elif is_without:
        need = 100_000 if chance.random() < COMES_BACK else 0
    else:
        forgets = _chance(one.number, f"{one.term_end:%Y-%m}").random() < FORGETFUL
        need = 0 if forgets else one.term_price_minor
    short = need - one.available
    return -(-(short + chance.randint(0, need // 2)) // ROUND_TO) * ROUND_TO if need and short > 0 else 0


def _is_asleep(number: str, at: datetime) -> bool:
    return _sleeps(number, at.year, (at.month - 1) // 3)


@lru_cache(maxsize=10_000)  # asked of every member every morning
def _sleeps(number: str, year: int, quarter: int) -> bool:
    return _chance(number, f"{year}-{quarter}").random() < ASLEEP


def _morning_after(at: datetime) -> datetime:
    morning = at.replace(hour=MORNING, minute=0, second=0, microsecond=0)
    return morning if morning > at else morning + DAY


def _chance(number: str, what: str) -> random.Random:
    return random.Random(f"{number} {what}")  # noqa: S311 (a world to look at, not a secret)


def _id(kind: str, one: Row[Any], at: datetime) -> uuid.UUID:
    return derived("demo", kind, one.number, at.isoformat())
