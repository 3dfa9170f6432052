"""A vendor that sells one product line in four editions, and short ways to subscribe to it."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.renewal import renewals
from billing.renewal.renewal_models import PriceNotice
from billing.renewal.renewals import RunResult
from billing.subscription import subscription_charges
from billing.subscription.subscription_charges import ChangeTo, Start
from billing.wallet import balances, wallets
from core.actor import SYSTEM, Actor
from core.db import db, transaction
from core.ids import new_id, request_hash
from membership import subscriptions
from membership.catalogue_models import Edition, EditionPrice, ProductLine
from membership.models import Member
from membership.subscription_models import Subscription
from tests.billing.books import settled_top_up
from tests.factories import make_entity, make_member

AT = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)  # noon of June 15 in Shanghai
LONG_AGO = AT - timedelta(days=3_000)
NAMES = ((1, "entry", "入门版", "Entry"), (2, "standard", "标准版", "Standard"), (3, "pro", "专业版", "Professional"), (4, "flagship", "旗舰版", "Flagship"))
TIMES = {"month": 1, "quarter": 3, "year": 10}


def sell(line: str = "crm", since: datetime = LONG_AGO) -> None:
    """Editions at rank × 100 + seats × rank × 10 yuan a month; a quarter costs 3 months, a year 10."""
    make_entity()
    with transaction(SYSTEM) as session:
        session.add(ProductLine(code=line, name_zh=f"玉衡 {line.upper()}", name_en=f"Jade {line.upper()}"))
        session.flush()
        for rank, code, zh, en in NAMES:
            session.add(
                Edition(product_line=line, rank=rank, code=code, name_zh=zh, name_en=en, features=[f"feature_{rank}"], limits={"records": 1_000 * rank})
            )
        session.flush()
    reprice(line, since)


def reprice(line: str, since: datetime, factor: int = 1) -> None:
    """New prices of a line from an instant on."""
    with transaction(SYSTEM) as session:
        for rank, *_rest in NAMES:
            for period, times in TIMES.items():
                price = EditionPrice(
                    product_line=line, rank=rank, currency="CNY", period=period, valid_from=since,
                    base_minor=factor * rank * 100_00 * times, seat_minor=factor * rank * 10_00 * times,
                )  # fmt: skip
                session.add(price)


def announce(subscription: Subscription, valid_from: datetime, applies_from: datetime | None = None, told_at: datetime = AT) -> None:
    """The member was told of a price increase."""
    with transaction(SYSTEM) as session:
        told = PriceNotice(member_id=subscription.member_id, id=new_id(), subscription_id=subscription.id, valid_from=valid_from,
                           applies_from=applies_from or valid_from, told_at=told_at, old_minor=1, new_minor=2)  # fmt: skip
        session.add(told)


def month_price(rank: int, seats: int) -> int:
    return rank * 100_00 + seats * rank * 10_00


def owner_of(member: Member) -> Actor:
    return Actor(kind="member", role="owner", member_id=member.id)


def member_with(paid: int = 0, bonus: int = 0) -> Member:
    return _apart(make_member(paid=paid, bonus=bonus))


def _apart(row: Any) -> Any:
    """Rows that stay as they were read: a rollback would make the session read them again."""
    db.session.expunge_all()
    return row


def subscribe(member: Member, *, rank: int = 2, seats: int = 5, period: str = "month", line: str = "crm", at: datetime = AT, **more: Any) -> Subscription:
    """Start, as the member itself, at the catalogue's price."""
    price = 0 if more.get("is_trial") else month_price(rank, seats) * TIMES[period]
    wanted = Start(id=new_id(), product_line=line, rank=rank, period=period, seats=seats, price_minor=price, **more)
    with transaction(owner_of(member)):
        started = subscription_charges.start(member.id, wanted, at=at).subscription
    return _apart(started)


def change(
    member: Member, subscription: Subscription, price_minor: int, *, at: datetime = AT, id: uuid.UUID | None = None, **to: int
) -> subscription_charges.Done:
    with transaction(owner_of(member)):
        return subscription_charges.change(member.id, subscription.id, ChangeTo(id or new_id(), price_minor, **to), at=at)


def now_of(subscription: Subscription) -> Subscription:
    """The row as it is now."""
    with transaction(SYSTEM):
        found = subscriptions.locked(subscription.member_id, subscription.id)
    return _apart(found)


def renew_all(at: datetime, limit: int = 1_000) -> RunResult:
    """What the job does, at an instant of the test's choice."""
    total = RunResult()
    while True:
        with transaction(SYSTEM):
            batch = renewals.renew_due(at, limit)
        total += batch
        if not batch.examined:
            return total


def put_in(member: Member, paid: int, bonus: int = 0, *, at: datetime = AT) -> int:
    """A top-up that settles; returns how many subscriptions it brought back."""
    one = wallets.Credit(member.id, new_id(), request_hash("top-up"), "top_up", "CNY", at, paid, bonus)
    with transaction(SYSTEM) as session:
        session.add(settled_top_up(one))
        wallets.credit(one)
        return renewals.pay_unpaid(member.id, at=at)


def balance(member: Member, at: datetime = AT) -> tuple[int, int]:
    """Paid and bonus money of the member's wallet."""
    with transaction(SYSTEM):
        found = balances.balance(member.id, "CNY", at=at)
    return found.paid_minor, found.bonus_minor
