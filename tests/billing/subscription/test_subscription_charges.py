"""Starting, changing, cancelling and resuming, with balances and postings."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from billing.ledger.accounts import Account as A
from billing.subscription import subscription_charges, subscription_ends
from billing.subscription import subscription_previews as previews
from billing.subscription.subscription_charges import ChangeTo, Start
from billing.subscription.subscription_models import SubscriptionCharge
from billing.wallet import wallets
from core.actor import SYSTEM
from core.db import transaction
from core.errors import IdReused, Invalid
from core.ids import new_id
from membership import changes, notices, subscriptions
from membership.models import Member
from membership.subscription_models import Subscription, SubscriptionMotion
from tests.billing import subscription_world as world
from tests.billing.books import accounts, assert_books_hold
from tests.factories import make_user

AT = world.AT


@pytest.fixture
def member(app: Flask) -> Member:
    world.sell()
    return world.member_with()


def motions(subscription: Subscription) -> list[tuple[str, int, int, int]]:
    """Name, amount and ARR before and after of each motion, in order."""
    with transaction(SYSTEM) as session:
        found = session.scalars(
            select(SubscriptionMotion)
            .where(SubscriptionMotion.subscription_id == subscription.id)
            .order_by(SubscriptionMotion.at, SubscriptionMotion.arr_before_minor)
        )
        return [(m.motion, m.amount_minor, m.arr_before_minor, m.arr_after_minor) for m in found]


def charges(subscription: Subscription) -> list[SubscriptionCharge]:
    with transaction(SYSTEM) as session:
        return list(
            session.scalars(select(SubscriptionCharge).where(SubscriptionCharge.subscription_id == subscription.id).order_by(SubscriptionCharge.due_at))
        )


def preview(member: Member, subscription: Subscription, at: datetime = AT, rank: int | None = None, seats: int | None = None) -> previews.Preview:
    with transaction(world.owner_of(member)):
        seller = subscriptions.seller_of(member.id)
        shown = previews.of_change(subscriptions.show(member.id, subscription.id), seller, rank, seats, at=at)
        return subscription_charges.with_wallet(shown, member.id, at=at)


def test_move_10_a_year_is_paid_from_bonus_and_paid_money_and_deferred(member: Member) -> None:
    """12 months' price 1,272.00 with 72.00 tax inside, from a lot of 1,500 paid with 300 bonus."""
    world.put_in(member, 1_500_00, 300_00)
    with transaction(SYSTEM) as session:
        session.execute(world.EditionPrice.__table__.update().where(world.EditionPrice.rank == 1).values(base_minor=1_172_00, seat_minor=100_00))
    with transaction(world.owner_of(member)):
        wanted = Start(id=new_id(), product_line="crm", rank=1, period="year", seats=1, price_minor=1_272_00)
        done = subscription_charges.start(member.id, wanted, at=AT)
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -1_500_00, A.WALLET_PAID: 528_00, A.BONUS_DISCOUNT: -300_00 + 212_00, A.DEFERRED_REVENUE: 1_200_00 - 212_00, A.TAX_PAYABLE: 72_00,
    }  # fmt: skip
    (charge,) = charges(done.subscription)
    assert (charge.id, charge.amount_minor, charge.tax_minor, charge.state, charge.motion) == (wanted.id, 1_272_00, 72_00, "paid", "new")
    assert (charge.service_from, charge.service_until) == (AT, datetime(2027, 6, 14, 16, tzinfo=UTC))
    assert motions(done.subscription) == [("new", 1_272_00, 0, 1_272_00)]
    assert_books_hold()


def test_a_start_is_replayed_refused_for_other_content_and_not_used_up_by_failing(member: Member) -> None:
    wanted = Start(id=new_id(), product_line="crm", rank=2, period="month", seats=5, price_minor=300_00)
    with pytest.raises(wallets.InsufficientFunds) as short, transaction(world.owner_of(member)):
        subscription_charges.start(member.id, wanted, at=AT)
    assert short.value.extra == {"missing_minor": 300_00}
    world.put_in(member, 1_000_00)
    for is_replay in (False, True):
        with transaction(world.owner_of(member)):
            assert subscription_charges.start(member.id, wanted, at=AT + timedelta(hours=1)).is_replay is is_replay
    for other, refusal in ((replace(wanted, seats=6), IdReused), (replace(wanted, id=new_id()), subscriptions.AlreadySubscribed)):
        with pytest.raises(refusal), transaction(world.owner_of(member)):
            subscription_charges.start(member.id, other, at=AT)
    assert world.balance(member) == (700_00, 0)
    assert_books_hold()


def test_a_second_running_subscription_of_a_line_is_refused_by_the_database_too(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put_in(member, 2_000_00)
    first = world.subscribe(member)
    monkeypatch.setattr(subscriptions, "running_of", lambda *_: None)  # as if another process had begun it a moment ago
    with pytest.raises(IntegrityError, match="running_subscription_pkey"), transaction(world.owner_of(member)):
        subscription_charges.start(member.id, Start(id=new_id(), product_line="crm", rank=2, period="month", seats=5, price_minor=300_00), at=AT)
    assert world.balance(member) == (1_700_00, 0)
    with transaction(world.owner_of(member)):
        subscription_ends.cancel(member.id, first.id, at=AT)
    assert world.renew_all(first.term_end).ended == 1
    again = world.subscribe(member, at=first.term_end)
    assert (world.now_of(first).state, world.now_of(again).state, world.balance(member)) == ("ended", "active", (1_400_00, 0))
    assert_books_hold()


def test_a_changed_price_charges_nothing_and_tells_the_new_one(member: Member) -> None:
    world.put_in(member, 1_000_00)
    subscription = world.subscribe(member)
    with pytest.raises(subscription_charges.PriceChanged) as refused:
        world.change(member, subscription, 1, seats=8)
    assert refused.value.extra == {"price_minor": 60_00}
    assert world.balance(member) == (700_00, 0)
    assert world.now_of(subscription).seats == 5


def test_upgrade_and_seats_are_two_motions_of_one_charge(member: Member) -> None:
    world.put_in(member, 5_000_00)
    subscription = world.subscribe(member)  # 300.00 for June 15 to July 14: 30 days
    after_ten = AT + timedelta(days=10)
    shown = preview(member, subscription, after_ten, rank=3, seats=8)
    assert [(line.kind, line.amount_minor) for line in shown.lines] == [("edition", 100_00), ("more_seats", 60_00)]  # 2⁄3 of 150 and of 90
    done = world.change(member, subscription, 160_00, at=after_ten, rank=3, seats=8)
    assert motions(subscription) == [("new", 300_00, 0, 3_600_00), ("upgrade", 100_00, 3_600_00, 5_400_00), ("seats", 60_00, 5_400_00, 6_480_00)]
    assert [(c.motion, c.amount_minor, c.tax_minor) for c in charges(subscription)] == [("new", 300_00, 16_98), ("upgrade", 160_00, 9_06)]
    held = world.now_of(subscription)
    assert (held.rank, held.seats, held.term_price_minor, held.term_end) == (3, 8, world.month_price(3, 8), subscription.term_end)
    with transaction(world.owner_of(member)):
        assert subscription_charges.change(member.id, subscription.id, ChangeTo(done.id, 160_00, 3, 8), at=after_ten).is_replay
        assert {n.kind for n in notices.list_newest(member.id)} == {"edition_changed", "seats_changed"}
    assert world.balance(member) == (5_000_00 - 460_00, 0)
    assert accounts(member.id)[A.DEFERRED_REVENUE] == 460_00 - 16_98 - 9_06
    assert_books_hold()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 29), st.integers(1, 4), st.integers(1, 40)), min_size=1, max_size=4).map(lambda steps: sorted(steps, key=lambda s: s[0])),
    st.integers(0, 400_00),
)
def test_the_preview_is_what_is_charged(app: Flask, empty: None, steps: list[tuple[int, int, int]], bonus: int) -> None:
    """Random changes over a term: each costs its preview, is drawn as the preview says, and ARR follows without a gap."""
    if not _is_selling():
        world.sell()
    member = world.member_with(paid=1_000_00, bonus=bonus)
    subscription = world.subscribe(member, rank=1, seats=2)
    for days, rank, seats in steps:
        at = AT + timedelta(days=days)
        try:
            shown = preview(member, subscription, at, rank, seats)
        except Invalid:  # this is what it has already
            continue
        before = world.balance(member, at)
        if shown.missing_minor:
            with pytest.raises(wallets.InsufficientFunds) as short:
                world.change(member, subscription, shown.amount_minor, at=at, rank=rank, seats=seats)
            assert short.value.extra == {"missing_minor": shown.missing_minor}
            assert world.balance(member, at) == before
            continue
        world.change(member, subscription, shown.amount_minor, at=at, rank=rank, seats=seats)
        after = world.balance(member, at)
        assert (before[0] - after[0], before[1] - after[1]) == (shown.wallet.paid_minor, shown.wallet.bonus_minor)
        assert shown.balance_after_minor == sum(after)
    held = world.now_of(subscription)
    told = motions(subscription)
    assert sum(after - before for _name, _amount, before, after in told) == 12 * held.term_price_minor == 12 * world.month_price(held.rank, held.seats)
    assert (
        sum(amount for _name, amount, *_arr in told) == sum(c.amount_minor for c in charges(subscription)) == 1_000_00 + bonus - sum(world.balance(member, AT))
    )
    assert_books_hold()


def _is_selling() -> bool:
    with transaction(SYSTEM) as session:
        return session.get(world.ProductLine, "crm") is not None


def test_seats_never_fall_below_the_people_who_hold_one(member: Member) -> None:
    world.put_in(member, 1_000_00)
    subscription = world.subscribe(member, seats=3)
    for _ in range(3):
        user = make_user("viewer", member)
        with transaction(SYSTEM) as session:
            session.get_one(world_user(), user.id).seat_subscription_id = subscription.id
    with pytest.raises(changes.SeatsInUse):
        world.change(member, subscription, 0, seats=2)


def world_user() -> type:
    from membership.models import User

    return User


def test_cancel_and_resume(member: Member) -> None:
    world.put_in(member, 1_000_00)
    subscription = world.subscribe(member)
    for act in (subscription_ends.cancel, subscription_ends.cancel, subscription_ends.resume, subscription_ends.resume):
        with transaction(world.owner_of(member)):
            act(member.id, subscription.id, at=AT)
    assert [name for name, *_rest in motions(subscription)].count("cancel") == 1
    assert [name for name, *_rest in motions(subscription)].count("resume") == 1
    assert world.now_of(subscription).cancel_at_term_end is False


def test_a_trial_costs_nothing_and_is_given_once(member: Member) -> None:
    subscription = world.subscribe(member, is_trial=True)
    assert (subscription.state, subscription.term_end) == ("trialing", datetime(2026, 6, 28, 16, tzinfo=UTC))
    assert subscription.anchor_day == 29
    assert charges(subscription) == []
    world.change(member, subscription, 0, rank=4, seats=20)
    world.put_in(member, 5_000_00)
    assert world.renew_all(subscription.term_end).renewed == 1
    held = world.now_of(subscription)
    assert (held.state, held.term, held.term_start, held.term_price_minor) == ("active", 2, subscription.term_end, world.month_price(4, 20))
    assert [m for m in motions(subscription) if m[0] == "new"] == [("new", 1_200_00, 0, 14_400_00)]
    with transaction(world.owner_of(member)):
        subscription_ends.cancel(member.id, subscription.id, at=held.term_start)
    world.renew_all(held.term_end)
    with pytest.raises(subscriptions.TrialUsed):
        world.subscribe(member, is_trial=True, at=held.term_end)


def test_another_members_subscription_does_not_exist(member: Member) -> None:
    world.put_in(member, 1_000_00)
    subscription = world.subscribe(member)
    other = world.member_with(paid=1_000_00)
    with pytest.raises(subscriptions.NoSubscription), transaction(world.owner_of(other)):
        subscription_ends.cancel(other.id, subscription.id, at=AT)
    with pytest.raises(subscriptions.NoSubscription), transaction(world.owner_of(other)):
        subscription_charges.change(member.id, subscription.id, ChangeTo(new_id(), 0, rank=1), at=AT)
