"""Credit, pauses, commitments, other periods and perpetual licences, each as a short story with its balances."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from billing.ledger.accounts import Account as A
from billing.subscription import subscription_charges, subscription_ends, subscription_jobs, subscription_values
from billing.subscription import subscription_previews as previews
from billing.subscription.subscription_charges import ChangeTo, PriceChanged, Start
from billing.subscription.subscription_ends import EndNow, NotCancellable
from billing.subscription.subscription_models import SubscriptionCharge
from core import clock
from core.actor import SYSTEM
from core.db import transaction
from core.errors import Invalid
from core.ids import new_id
from membership import changes, contracts, entitlements, motions, pauses, subscriptions
from membership.catalogue_models import EditionPrice
from membership.models import Member
from membership.subscription_models import Subscription, SubscriptionPause
from tests.billing import subscription_world as world
from tests.billing.books import accounts, assert_books_hold

AT = world.AT  # noon of June 15: a month's term has 30 days


@pytest.fixture
def member(app: Flask) -> Iterator[Member]:
    world.sell()
    yield world.member_with()
    assert_books_hold()


def seen(member: Member, one: Subscription, *, at: datetime = AT, **wanted: Any) -> previews.Preview:
    with transaction(world.owner_of(member)):
        shown = previews.of_change(subscriptions.show(member.id, one.id), subscriptions.seller_of(member.id), wanted.pop("rank", None),
                                   wanted.pop("seats", None), at=at, **wanted)  # fmt: skip
        return subscription_charges.with_wallet(shown, member.id, at=at)


def changed(member: Member, one: Subscription, shown: previews.Preview, *, at: datetime = AT, **wanted: Any) -> Subscription:
    with transaction(world.owner_of(member)):
        subscription_charges.change(member.id, one.id, ChangeTo(new_id(), shown.amount_minor, priced_at=shown.priced_at, **wanted), at=at)
    return world.now_of(one)


def ended(member: Member, one: Subscription, *, at: datetime = AT, id: Any = None) -> int:
    with transaction(world.owner_of(member)):
        shown = subscription_ends.preview_end(subscriptions.show(member.id, one.id), subscriptions.seller_of(member.id), at=at)
        wanted = EndNow(id or new_id(), shown.amount_minor, shown.priced_at)
        return -subscription_ends.end_now(member.id, one.id, wanted, at=at).amount_minor


def did(member: Member, act: Any, *given: Any, at: datetime = AT) -> Subscription:
    with transaction(world.owner_of(member)):
        found: Subscription = act(member.id, *given, at=at)
    return found


def rows(one: Subscription) -> list[SubscriptionCharge]:
    with transaction(SYSTEM) as session:
        return list(session.scalars(select(SubscriptionCharge).where(SubscriptionCharge.subscription_id == one.id).order_by(SubscriptionCharge.service_from)))


def begun(member: Member, *, at: datetime = AT, **wish: Any) -> Subscription:
    """A start at what its preview says."""
    asked = {"product_line": "crm", "rank": 2, "seats": 5, "period": "month"} | wish
    with transaction(SYSTEM):
        price = previews.of_start(member.id, subscriptions.seller_of(member.id), subscriptions.Wish(**asked), at=at).amount_minor
        return subscription_charges.start(member.id, Start(id=new_id(), price_minor=price, **asked), at=at).subscription


def test_a_day_of_the_flagship_is_paid_even_if_it_is_given_back_in_the_evening(member: Member) -> None:
    """polar #5826: upgrade, use, downgrade. The day costs a day of the flagship, however often it is done within it."""
    world.put_in(member, 1_000_00)
    one = world.subscribe(member, rank=1, seats=1)  # 110.00; the flagship costs 440.00
    for _again in range(3):
        changed(member, one, seen(member, one, rank=4, effective="now"), rank=4, effective="now")
        changed(member, one, seen(member, one, rank=1, effective="now"), rank=1, effective="now")
    a_day_more = ceil(Fraction(330_00, 30))
    assert world.balance(member) == (1_000_00 - 110_00 - a_day_more, 0)
    assert world.now_of(one).term_price_minor == 110_00


def test_bonus_comes_back_as_bonus_and_paid_money_as_paid_money(member: Member) -> None:
    """300.00 was paid with 100.00 bonus; ended after the first day, 290.00 come back in the shares that paid, tax as paid money."""
    world.put_in(member, 1_000_00, 100_00)
    one = world.subscribe(member)
    assert world.balance(member) == (800_00, 0)
    deferred = accounts(member.id)[A.DEFERRED_REVENUE]
    assert ended(member, one) == 290_00
    paid, bonus = world.balance(member)
    tax = 16_41  # 29 of 30 parts of the 16.98 in the charge
    assert bonus == round(Fraction(100_00 * (290_00 - tax), 300_00 - 16_98))  # bonus had paid none of the tax
    assert paid + bonus == 1_090_00
    assert accounts(member.id)[A.TAX_PAYABLE] == 16_98 - tax
    assert accounts(member.id)[A.DEFERRED_REVENUE] < deferred // 20
    (credit,) = [row for row in rows(one) if row.amount_minor < 0]
    assert (credit.amount_minor, credit.tax_minor, credit.motion) == (-290_00, -tax, "cancel")
    assert (credit.service_from, credit.service_until) == (datetime(2026, 6, 15, 16, tzinfo=UTC), one.term_end)


def test_money_comes_back_from_what_is_unused_never_from_what_was_used(member: Member) -> None:
    """The entry edition was paid with bonus, the upgrade with paid money: what is left of each comes back as what it was."""
    world.put_in(member, 1_000_00, 104_00)
    one = world.subscribe(member, rank=1, seats=1)  # 110.00: 103.77 bonus, and the tax in paid money
    later = AT + timedelta(days=15)
    changed(member, one, seen(member, one, at=later, rank=2), at=later, rank=2)  # 55.00 for 15 days
    paid, bonus = world.balance(member, later)
    last = AT + timedelta(days=25)  # 4 days after today
    assert ended(member, one, at=last) == 110_00 * 2 * 4 // 30
    after = world.balance(member, last)
    upgrade, entry = Fraction(55_00 * 4, 15), Fraction(110_00 * 4, 30)
    assert after[0] - paid <= upgrade + entry * 623 // 11_000 + 2  # of the entry edition, only its tax was paid money
    assert after[1] - bonus >= entry * 10_377 // 11_000 - 2


def test_an_end_is_replayed_and_another_price_is_refused(member: Member) -> None:
    world.put_in(member, 1_000_00)
    one = world.subscribe(member)
    with pytest.raises(PriceChanged) as refused, transaction(world.owner_of(member)):
        subscription_ends.end_now(member.id, one.id, EndNow(new_id(), -300_00), at=AT)
    assert refused.value.extra == {"price_minor": -290_00}
    wanted = EndNow(new_id(), -290_00)
    for is_replay in (False, True):
        with transaction(world.owner_of(member)):
            assert subscription_ends.end_now(member.id, one.id, wanted, at=AT).is_replay is is_replay
    assert world.balance(member) == (990_00, 0)


def test_a_vendor_that_keeps_unused_service_gives_nothing_back(app: Flask, member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], unused_service="kept"))
    world.put_in(member, 1_000_00)
    one = world.subscribe(member)
    less = seen(member, one, seats=1, effective="now")
    assert less.amount_minor == 0
    changed(member, one, less, seats=1, effective="now")
    assert ended(member, one) == 0
    assert world.balance(member) == (700_00, 0)


def test_a_pause_keeps_the_days_after_today_and_moves_the_end(member: Member) -> None:
    """Paused on June 20, resumed on July 1: ten days in between do not count. 24 days were left after the 20th."""
    world.put_in(member, 1_000_00)
    one = world.subscribe(member)
    pausing, resuming = datetime(2026, 6, 20, 5, tzinfo=UTC), datetime(2026, 7, 1, 5, tzinfo=UTC)
    paused = did(member, subscription_ends.pause, one.id, date(2026, 7, 20), at=pausing)
    assert (paused.state, paused.units_left, paused.resumes_at) == ("paused", 24, datetime(2026, 7, 19, 16, tzinfo=UTC))
    assert motions.arr_of(paused) == 0
    with transaction(SYSTEM):
        assert entitlements.ranks_of(member.id) == {}
    with pytest.raises(changes.NotChangeable):
        seen(member, one, at=pausing, seats=9)
    assert world.renew_all(one.term_end + timedelta(days=1)).examined == 0
    back = did(member, subscription_ends.unpause, one.id, at=resuming)
    assert (back.state, back.paused_units, back.anchor_day) == ("active", 10, 25)
    assert back.term_end == one.term_end + timedelta(days=10) == back.next_attempt_at
    assert [row.service_until for row in rows(one)] == [back.term_end]
    with transaction(SYSTEM) as session:
        pause = session.scalars(select(SubscriptionPause)).one()
    assert (pause.from_at, pause.until_at) == (datetime(2026, 6, 20, 16, tzinfo=UTC), datetime(2026, 6, 30, 16, tzinfo=UTC))
    assert ended(member, one, at=resuming) == 300_00 * 23 // 30  # June 15 to 20 and July 1 are used


def test_paused_and_resumed_on_one_day_nothing_moves_and_it_resumes_by_itself_at_its_instant(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put_in(member, 1_000_00)
    one = world.subscribe(member)
    did(member, subscription_ends.pause, one.id, None)
    same = did(member, subscription_ends.unpause, one.id, at=AT + timedelta(hours=5))
    assert (same.term_end, same.paused_units, same.anchor_day) == (one.term_end, 0, one.anchor_day)
    did(member, subscription_ends.pause, one.id, date(2026, 6, 20))
    monkeypatch.setattr(subscription_jobs, "now", lambda: AT + timedelta(days=9))
    assert (subscription_jobs.resume_paused(), subscription_jobs.resume_paused()) == (1, 0)
    assert world.now_of(one).term_end == one.term_end + timedelta(days=4)  # 16 to 19 did not count, however late the job came
    with pytest.raises(pauses.NotPausable):  # twice a year
        did(member, subscription_ends.pause, one.id, None, at=AT + timedelta(days=9))


@pytest.mark.parametrize("day", [date(2026, 6, 15), date(2026, 6, 16), date(2026, 12, 1)])
def test_a_pause_is_at_least_a_day_and_at_most_what_is_allowed(member: Member, day: date) -> None:
    world.put_in(member, 1_000_00)
    one = world.subscribe(member)
    with pytest.raises(Invalid):
        did(member, subscription_ends.pause, one.id, day)
    assert world.now_of(one).state == "active"


def test_a_commitment_is_paid_yearly_at_locked_prices_and_binds(member: Member) -> None:
    world.put_in(member, 20_000_00)
    one = begun(member, period="year", commitment_years=3)
    assert (one.committed_until, one.price_locked_at) == (datetime(2029, 6, 14, 16, tzinfo=UTC), AT)
    with transaction(SYSTEM):
        assert subscription_values.contract_value([subscriptions.show(member.id, one.id)]) == {one.id: 9_000_00}
    world.reprice("crm", AT + timedelta(days=30), factor=2)
    with pytest.raises(contracts.Committed), transaction(world.owner_of(member)):
        subscription_ends.preview_end(subscriptions.show(member.id, one.id), subscriptions.seller_of(member.id), at=AT)
    changed(member, one, seen(member, one, seats=3), seats=3)  # waits for the end of the commitment
    shown = seen(member, one, at=AT + timedelta(days=60), seats=6)
    assert shown.amount_minor == ceil(Fraction(200_00 * (365 - 60), 365))  # at the locked list
    for year in (2027, 2028):
        assert world.renew_all(datetime(year, 6, 14, 16, tzinfo=UTC)).renewed == 1
    held = world.now_of(one)
    assert (held.term, held.seats, held.next_seats, held.term_price_minor) == (3, 5, 3, 3_000_00)
    assert [row.amount_minor for row in rows(one)] == [3_000_00] * 3
    assert contracts.instalments_left(held) == 0
    assert world.renew_all(held.term_end).renewed == 1
    held = world.now_of(one)
    assert (held.seats, held.term_price_minor) == (3, 2_600_00)  # what was scheduled; the increase was not announced, so it does not hold yet
    assert not contracts.is_committed(held)


def test_another_period_now_charges_a_new_term_and_gives_back_the_rest(member: Member) -> None:
    world.put_in(member, 5_000_00)
    one = world.subscribe(member)
    at = AT + timedelta(days=10)
    shown = seen(member, one, at=at, period="year", effective="now")
    today = Fraction(300_00, 30) - Fraction(3_000_00, 365)  # today costs a day of the month, of which the year pays its part
    back = 300_00 - ceil(Fraction(300_00 * 10, 30) + today)
    assert shown.amount_minor == 3_000_00 - back
    held = changed(member, one, shown, at=at, period="year", effective="now")
    assert (held.period, held.term, held.term_end, held.anchor_day) == ("year", 2, datetime(2027, 6, 24, 16, tzinfo=UTC), 25)
    assert world.balance(member, at) == (5_000_00 - 300_00 + back - 3_000_00, 0)
    assert motions.arr_of(held) == 3_000_00


def test_another_period_can_wait_and_be_dropped(member: Member) -> None:
    world.put_in(member, 5_000_00)
    one = world.subscribe(member)
    held = changed(member, one, seen(member, one, period="year", rank=1), period="year", rank=1)
    assert (held.period, held.next_period, held.next_rank) == ("month", "year", 1)
    with transaction(world.owner_of(member)):
        assert subscription_ends.unschedule(member.id, one.id).next_period is None
    changed(member, one, seen(member, one, period="year"), period="year")
    assert world.renew_all(one.term_end).renewed == 1
    held = world.now_of(one)
    assert (held.period, held.term_price_minor, held.rank, held.next_period) == ("year", 3_000_00, 2, None)


def _perpetual(base: int = 5_000_00, seat: int = 500_00) -> None:
    with transaction(SYSTEM) as session:
        for rank in (1, 2, 3):
            for period, part in (("once", 1), ("maintenance", 5)):
                price = EditionPrice(
                    product_line="crm", rank=rank, currency="CNY", period=period, valid_from=world.LONG_AGO, base_minor=rank * base // part,
                    seat_minor=rank * seat // part,
                )  # fmt: skip
                session.add(price)


def test_a_perpetual_licence_is_bought_once_and_outlives_its_maintenance(member: Member) -> None:
    _perpetual()
    world.put_in(member, 60_000_00)
    one = begun(member, period="maintenance", seats=2, deployment="private")
    assert (one.licensing, one.deployment, motions.arr_of(one)) == ("perpetual", "private", 2_400_00)
    assert sorted((row.motion, row.amount_minor) for row in rows(one)) == [("maintenance", 2_400_00), ("new", 12_000_00)]
    more = seen(member, one, seats=3)
    assert more.amount_minor == 1_000_00 + 200_00  # a seat for good, and its maintenance for the whole first year
    changed(member, one, more, seats=3)
    for refused in ({"seats": 1}, {"rank": 1}, {"period": "month"}):
        with pytest.raises(changes.NotChangeable):
            seen(member, one, **refused)
    with pytest.raises(NotCancellable), transaction(world.owner_of(member)):
        subscription_ends.preview_end(subscriptions.show(member.id, one.id), subscriptions.seller_of(member.id), at=AT)
    assert world.renew_all(one.term_end).renewed == 1
    did(member, subscription_ends.cancel, one.id, at=AT + timedelta(days=400))
    assert world.renew_all(datetime(2028, 6, 14, 16, tzinfo=UTC)).ended == 1
    held = world.now_of(one)
    assert (held.state, held.period, held.next_attempt_at, motions.arr_of(held)) == ("active", "once", None, 0)
    with transaction(SYSTEM):
        assert entitlements.ranks_of(member.id) == {"crm": 2}
    later = datetime(2029, 1, 1, tzinfo=UTC)
    again = seen(member, held, at=later, period="maintenance")
    assert again.amount_minor == 2_600_00
    assert changed(member, held, again, at=later, period="maintenance").period == "maintenance"


def test_a_trial_that_is_to_end_does_and_one_that_converts_is_charged(member: Member) -> None:
    world.put_in(member, 1_000_00)
    ends = begun(member, is_trial=True, converts=False)
    assert world.renew_all(ends.term_end).ended == 1
    assert world.balance(member) == (1_000_00, 0)
    with pytest.raises(subscriptions.TrialUsed):
        begun(member, is_trial=True)


def test_days_used_unpaid_are_charged_when_the_member_comes_back(member: Member) -> None:
    """The renewal was not paid; three days were used; cancelled, and started anew."""
    world.put_in(member, 300_00)
    one = world.subscribe(member)
    assert world.renew_all(one.term_end).past_due == 1
    leaving = one.term_end + timedelta(days=2, hours=3)
    assert did(member, subscription_ends.cancel, one.id, at=leaving).state == "ended"
    world.put_in(member, 1_000_00, at=leaving)
    again = begun(member, at=leaving + timedelta(hours=1), rank=1, seats=1)
    arrears = 300_00 * 3 // 31  # of the 31 days from July 15
    assert sorted((row.motion, row.amount_minor) for row in [*rows(again)]) == [("arrears", ceil(Fraction(300_00 * 3, 31))), ("new", 110_00)]
    assert world.balance(member, leaving + timedelta(hours=1)) == (1_000_00 - 110_00 - arrears - 1, 0)
    ended(member, again, at=leaving + timedelta(hours=2))
    assert all(row.motion != "arrears" for row in rows(begun(member, at=leaving + timedelta(hours=3), rank=1, seats=1)))  # once


def test_by_seconds_a_price_that_was_shown_holds_for_some_minutes_and_never_in_the_members_favour(
    app: Flask, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], proration_unit="second"))
    world.put_in(member, 1_000_00)
    one = world.subscribe(member)
    whole = (one.term_end - AT) // timedelta(seconds=1)
    at = AT + timedelta(days=3, seconds=7)
    up = seen(member, one, at=at, rank=3)
    assert (up.priced_at, up.amount_minor) == (at, ceil(Fraction(150_00 * (whole - 3 * 86_400 - 7), whole)))
    with pytest.raises(PriceChanged):  # shown too long ago
        changed(member, one, up, at=at + timedelta(minutes=11), rank=3)
    changed(member, one, up, at=at + timedelta(minutes=9), rank=3)
    down = seen(member, one, at=at + timedelta(days=1), rank=1, seats=5, effective="now")
    assert down.priced_at == at + timedelta(days=1, minutes=10)  # counted from when the offer stops to hold
    changed(member, one, down, at=at + timedelta(days=1, minutes=9), rank=1, seats=5, effective="now")
    used = Fraction(300_00 * (3 * 86_400 + 7) + 450_00 * (86_400 + 601) + 150_00 * (whole - 3 * 86_400 - 7 - 86_400 - 601), whole)
    assert sum(row.amount_minor for row in rows(one)) == ceil(used)


def test_the_clock_is_the_products_own() -> None:
    assert subscription_jobs.now is clock.now
