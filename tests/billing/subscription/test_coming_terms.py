"""What members are shown of the term to come is what the run then charges: its price under the rule of announcements, and what the wallet gives for it."""

import dataclasses
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text

from billing.ledger.accounts import Account
from billing.renewal import renewal_jobs, renewal_lists, renewals
from billing.subscription import subscription_charges, subscription_overview
from billing.subscription import subscription_previews as previews
from billing.subscription.subscription_charges import ChangeTo
from billing.subscription.subscription_models import SubscriptionCharge
from billing.subscription.subscription_overview import Overview
from billing.subscription.subscription_previews import Preview
from billing.wallet import holds, wallets
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from core.settings import CONSUMPTION_ORDERS
from membership import subscriptions
from membership.models import Member
from membership.subscription_models import Subscription
from tests.billing import subscription_world as world
from tests.billing.books import as_owner, assert_books_hold, settled_top_up
from tests.billing.subscription_world import AT

DAY = timedelta(days=1)
GRACE = timedelta(days=14)
RICH = 90_000_00


def overview(member: Member, at: datetime) -> Overview:
    with transaction(world.owner_of(member)):
        return subscription_overview.of_member(member.id, GRACE, at=at)


def pass_time(since: datetime, until: datetime) -> None:
    """The job that tells members of what comes, once a day."""
    at = since
    while at < until:
        renewal_jobs.tell_members(at)
        at += DAY


def charged(subscription: Subscription, at: datetime) -> int:
    """What the run takes for the next term."""
    assert world.renew_all(at).renewed >= 1
    with transaction(SYSTEM) as session:
        row = session.scalars(select(SubscriptionCharge).where(SubscriptionCharge.id == renewals.charge_id(subscription.id, subscription.term + 1))).one()
        return row.amount_minor


# -- prices

CASES = [
    # period, when the increase holds from, when somebody looks: in days after the start
    pytest.param(period, holds, looks, id=f"{period}-{holds}-{looks}")
    for period, length in (("month", 30), ("quarter", 92), ("year", 365))
    for holds, looks in itertools.product((1, length // 2, length - 1, length + 1), (2, length // 2 + 1, length - 2))
]


@pytest.mark.parametrize(("period", "holds", "looks"), CASES)
def test_the_price_that_is_shown_is_charged(app: Flask, period: str, holds: int, looks: int) -> None:
    """Increases that are there when somebody looks, whether there is still time to tell of them or not."""
    world.sell()
    member = world.member_with(paid=RICH)
    subscription = world.subscribe(member, period=period)
    pass_time(AT, AT + looks * DAY - timedelta(hours=1))
    world.reprice("crm", AT + holds * DAY, factor=2)  # not known before: so some come too late for their announcement
    shown = overview(member, AT + looks * DAY).running[0].next
    with transaction(SYSTEM):
        (forecast,) = renewal_lists.coming("CNY", 400, at=AT + looks * DAY).rows
    assert forecast.price_minor == shown.price_minor  # on finance's page
    pass_time(AT + looks * DAY, subscription.term_end)
    assert charged(subscription, subscription.term_end) == shown.price_minor


def previewed(member: Member, subscription: Subscription, at: datetime, **wanted: Any) -> Preview:
    with transaction(world.owner_of(member)):
        found = subscriptions.show(member.id, subscription.id)
        return previews.of_change(found, subscriptions.seller_of(member.id), at=at, **({"rank": None, "seats": None} | wanted))


WANTED: dict[str, dict[str, Any]] = {
    "an edition now": {"rank": 3},
    "more seats": {"seats": 9},
    "less later": {"rank": 1, "seats": 2},
    "less now": {"rank": 1, "effective": "now"},
    "another period later": {"period": "month", "effective": "term_end"},
    "another period now": {"period": "year", "effective": "now"},
}


@pytest.mark.parametrize("wanted", WANTED.values(), ids=WANTED)
@pytest.mark.parametrize(("holds", "looks"), [(40, 50), (40, 85), (91, 85)], ids=["in time", "too late", "too late and later"])
def test_the_price_that_a_preview_shows_is_charged(app: Flask, wanted: dict[str, Any], holds: int, looks: int) -> None:
    world.sell()
    member = world.member_with(paid=RICH)
    subscription, at = world.subscribe(member, period="quarter"), AT + looks * DAY
    world.reprice("crm", AT + holds * DAY, factor=2)
    shown = previewed(member, subscription, at, **wanted)
    assert shown.next is not None
    with transaction(world.owner_of(member)):
        subscription_charges.change(member.id, subscription.id, ChangeTo(new_id(), shown.amount_minor, **wanted), at=at)
    assert overview(member, at).running[0].next == shown.next
    changed = world.now_of(subscription)
    pass_time(at, changed.term_end)
    assert charged(changed, changed.term_end) == shown.next.price_minor


def test_the_price_after_a_first_term_is_charged(app: Flask) -> None:
    world.sell()
    world.reprice("crm", AT + 10 * DAY, factor=2)
    member = world.member_with(paid=RICH)
    begun = AT + 9 * DAY + timedelta(hours=12)
    for period, expected in (("month", 300_00), ("year", 2 * 3_000_00)):  # a month is too short to be told 30 days ahead
        wish = subscriptions.Wish(product_line="crm", rank=2, period=period, seats=5)
        with transaction(world.owner_of(member)):
            shown = previews.of_start(member.id, subscriptions.seller_of(member.id), wish, at=begun)
        assert shown.next is not None
        if period == "month":
            assert shown.next_at is not None
            assert (shown.next_at - begun) < 31 * DAY
        assert shown.next.price_minor in (expected, 2 * 300_00)
    subscription = world.subscribe(member, period="year", at=begun)
    pass_time(begun, subscription.term_end)
    assert charged(subscription, subscription.term_end) == shown.next.price_minor == 2 * 3_000_00


def test_an_increase_after_a_commitment_is_told_and_then_charged(app: Flask) -> None:
    world.sell()
    member = world.member_with(paid=RICH)
    subscription = world.subscribe(member, period="year", commitment_years=2)
    world.reprice("crm", AT + 100 * DAY, factor=2)
    second = subscription.term_end
    assert overview(member, AT + 200 * DAY).running[0].next.price_minor == 3_000_00  # the instalment is locked
    assert charged(subscription, second) == 3_000_00
    renewed = world.now_of(subscription)
    assert overview(member, second + DAY).running[0].next.price_minor == 6_000_00
    pass_time(renewed.term_end - 40 * DAY, renewed.term_end)
    assert charged(renewed, renewed.term_end) == 6_000_00


# -- what the wallet gives

GRANT = st.tuples(st.sampled_from(["paid", "bonus"]), st.integers(1, 900_00), st.sampled_from([None, 10, 20, 40]))
WALLET = st.fixed_dictionaries({
    "grants": st.lists(GRANT, max_size=5), "held": st.integers(0, 200_00), "limit": st.sampled_from([0, 0, 0, 50_00, 400_00]),
    "order": st.sampled_from(CONSUMPTION_ORDERS), "seats": st.integers(1, 4), "rank": st.integers(1, 2),
    "is_frozen": st.sampled_from([False, False, False, True]),
})  # fmt: skip


@pytest.fixture
def orders(app: Flask) -> Iterator[Any]:
    before = app.extensions["settings"]

    def use(order: str) -> None:
        app.extensions["settings"] = dataclasses.replace(before, consumption_order=order)

    yield use
    app.extensions["settings"] = before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(purse=WALLET)
def test_what_is_shown_of_the_wallet_is_what_the_run_takes(orders: Any, owner: Engine, purse: dict[str, Any]) -> None:
    """Two subscriptions of one wallet, whatever is in it: what each draws and lacks, under every consumption order."""
    orders(purse["order"])
    if not _is_sold():
        world.sell("crm")
        world.sell("ops")
    member = world.member_with(paid=RICH)
    first = world.subscribe(member, line="crm", rank=purse["rank"], seats=purse["seats"])
    second = world.subscribe(member, line="ops", rank=1, seats=purse["seats"], at=AT + DAY)
    _fill(member, purse, owner)
    with transaction(world.owner_of(member)):
        running = subscription_overview.of_member(member.id, GRACE, at=AT + 2 * DAY).running
        shown = {one.subscription.id: (one.due_minor, one.draw) for one in running}
    if not any(days and kind == "bonus" for kind, _amount, days in purse["grants"]):  # which of it expires unused, finance's forecast does not work out
        with transaction(SYSTEM):
            forecast = {one.subscription_id: one.lacking_minor for one in renewal_lists.coming("CNY", 60, at=AT + 2 * DAY).rows if one.member_id == member.id}
        assert forecast == {id: draw.missing_minor for id, (_due, draw) in shown.items()}
    for subscription in (first, second):
        due_minor, draw = shown[subscription.id]
        with transaction(SYSTEM):
            mine = [one for one in renewals.renew_each(subscription.term_end, members=[member.id]) if one.subscription_id == subscription.id]
        (outcome,) = mine
        assert outcome.amount_minor == due_minor
        assert outcome.missing_minor == draw.missing_minor
        if outcome.outcome == "renewed":
            assert _drawn(member, outcome.charge_id) == (draw.bonus_minor, draw.paid_minor, draw.credit_minor)
        else:
            break  # what lacks money is not paid by the run, so what follows is another wallet than after a top-up
    assert_books_hold()


def _is_sold() -> bool:
    with transaction(SYSTEM) as session:
        return bool(session.scalar(text("select count(*) from product_line")))


def _fill(member: Member, purse: dict[str, Any], owner: Engine) -> None:
    """Nothing but these grants in the wallet, some of it held; a credit limit, or a frozen wallet."""
    at, left = AT + DAY, world.balance(member)[0]
    with transaction(SYSTEM) as session:
        all_of_it = (wallets.Target(Account.STORE_REVENUE, left, 0),)
        wallets.charge(wallets.ChargeRequest(member.id, new_id(), request_hash("spend"), "purchase", "CNY", at, all_of_it))
        for kind, amount, days in purse["grants"]:
            paid, bonus = (amount, 0) if kind == "paid" else (0, amount)
            expires = AT + days * DAY if days and bonus else None
            if paid:
                one = wallets.Credit(member.id, new_id(), request_hash("x"), "top_up", "CNY", at, paid)
                session.add(settled_top_up(one))
            else:
                one = wallets.Credit(
                    member.id, new_id(), request_hash("x"), "goodwill", "CNY", at, 0, bonus, bonus_source=Account.GOODWILL, bonus_expires_at=expires
                )
            wallets.credit(one)
        if held := min(purse["held"], sum(amount for _kind, amount, _days in purse["grants"])):
            wanted = holds.Wanted(new_id(), held, "reserved", expires_at=AT + 80 * DAY, bonus_limit_minor=held)
            holds.place(member.id, wanted, at=at, created_by=None)
    as_owner(
        owner, "update wallet set credit_limit_minor = :limit, state = :state where member_id = :m",
        limit=purse["limit"], state="frozen" if purse["is_frozen"] else "open", m=member.id,
    )  # fmt: skip


def _drawn(member: Member, charge_id: object) -> tuple[int, int, int]:
    """From bonus, from paid money, on the member's account."""
    with transaction(SYSTEM) as session:
        rows = session.execute(
            text("select source, sum(amount_minor)::bigint as amount from posting where book_id = :m and transaction_id = :t group by 1"),
            {"m": member.id, "t": charge_id},
        )
        by = {row.source: row.amount for row in rows}
    return by.get(21, 0), by.get(20, 0), by.get(12, 0)
