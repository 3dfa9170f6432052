"""What may be changed, and what it means, without any money."""

import uuid
from datetime import timedelta
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from flask import Flask

from core.actor import SYSTEM
from core.db import transaction
from core.errors import AppError, Invalid
from membership import changes, contracts
from membership.changes import Change, Wanted
from membership.subscription_models import Subscription
from tests.billing import subscription_world as world
from tests.billing.subscription_world import AT, month_price

ZONE = "Asia/Shanghai"


def standing(**other: Any) -> Subscription:
    given: dict[str, Any] = {
        "member_id": uuid.UUID(int=1), "id": uuid.UUID(int=2), "product_line": "crm", "rank": 2, "period": "month", "currency": "CNY", "seats": 5,
        "state": "active", "term": 1, "term_start": AT - timedelta(days=10), "term_end": AT + timedelta(days=20), "term_price_minor": month_price(2, 5),
        "cancel_at_term_end": False, "next_rank": None, "next_seats": None, "next_period": None, "licensing": "rental", "proration_unit": "day",
        "worth_offset": 0, "paused_units": 0,
    }  # fmt: skip
    return Subscription(**{**given, **other})


def planned(subscription: Subscription, rank: int | None = None, seats: int | None = None, taken: int = 0, **more: Any) -> Change:
    with transaction(SYSTEM):
        return changes.plan(subscription, Wanted(rank, seats, **more), taken, at=AT, timezone=ZONE)


def amounts(change: Change) -> list[tuple[str, int]]:
    return [(step.name, step.amount_minor) for step in change.steps]


@pytest.fixture(autouse=True)
def _context(app: Flask) -> None:
    """Errors speak the reader's language, which takes an application; prices are the catalogue's."""
    world.sell()


def test_more_is_now_and_costs_its_days_less_waits_and_is_free() -> None:
    more = planned(standing(), rank=3, seats=7)
    assert (more.rank, more.seats, more.next_rank, more.next_seats, more.term_price_minor) == (3, 7, None, None, month_price(3, 7))
    assert amounts(more) == [("edition", (month_price(3, 5) - month_price(2, 5)) * 2 // 3), ("seats", 60_00 * 2 // 3)]
    less = planned(standing(), rank=1, seats=3)
    assert (less.rank, less.seats, less.next_rank, less.next_seats, less.amount_minor) == (2, 5, 1, 3, 0)
    mixed = planned(standing(), rank=3, seats=3)
    assert (mixed.rank, mixed.seats, mixed.next_rank, mixed.next_seats, amounts(mixed)[1]) == (3, 5, None, 3, ("seats", 0))


def test_asking_for_what_is_undoes_what_was_planned_and_silence_keeps_it() -> None:
    waiting = standing(next_rank=1, next_seats=3)
    undone = planned(waiting, rank=2)
    assert (undone.next_rank, undone.next_seats) == (None, 3)
    kept = planned(waiting, seats=6)
    assert (kept.next_rank, kept.next_seats, kept.seats) == (1, None, 6)


def test_a_trial_changes_at_once_and_for_nothing() -> None:
    less = planned(standing(state="trialing"), rank=1, seats=2)
    assert (less.rank, less.seats, less.next_rank, less.next_seats, less.amount_minor) == (1, 2, None, None, 0)
    assert less.term_price_minor == month_price(1, 2)


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"state": "ended"}, "not_changeable"),
        ({"state": "paused"}, "not_changeable"),
        ({"state": "past_due"}, "not_changeable"),
        ({"term_end": AT}, "not_changeable"),
        ({}, "seats_in_use"),
    ],
)
def test_what_cannot_be_changed_says_so(other: dict[str, Any], code: str) -> None:
    with pytest.raises(AppError) as refused:
        planned(standing(**other), seats=4, taken=5)
    assert refused.value.code == code


def test_nothing_to_change_is_an_error_beside_the_field() -> None:
    for wanted, name in (({"rank": 2}, "rank"), ({"rank": 2, "seats": 5}, "seats"), ({"seats": 5}, "seats")):
        with pytest.raises(Invalid) as refused:
            planned(standing(), **wanted)
        assert list(refused.value.fields) == [name]


def test_less_now_gives_back_from_tomorrow_and_all_of_it_can_wait() -> None:
    """A term of 30 days, 10 over: today is used up at the old price, 19 days come back."""
    less = planned(standing(), rank=1, seats=3, effective="now")
    assert (less.rank, less.seats, less.next_rank, less.next_seats) == (1, 3, None, None)
    assert less.amount_minor == -less.credit_minor == -((month_price(2, 5) - month_price(1, 3)) * 19 // 30)
    later = planned(standing(), rank=4, seats=9, period="year", effective="term_end")
    assert (later.rank, later.seats, later.period, later.amount_minor) == (2, 5, "month", 0)
    assert (later.next_rank, later.next_seats, later.next_period) == (4, 9, "year")


def test_a_phantom_price_between_two_parts_of_a_change_is_never_held() -> None:
    """Up an edition and down in seats at once: the price in between (new edition, old seats) costs nothing, not even for a day."""
    swap = planned(standing(seats=10, term_price_minor=month_price(2, 10)), rank=4, seats=1, effective="now")
    assert swap.worth.peak_minor == max(month_price(2, 10), month_price(4, 1))


def test_a_new_period_waits_or_begins_a_new_term_and_the_rest_comes_back() -> None:
    waits = planned(standing(), period="year")
    assert (waits.period, waits.next_period, waits.amount_minor) == ("month", "year", 0)
    now = planned(standing(), period="year", effective="now")
    year = 10 * month_price(2, 5)
    assert (now.period, now.charge_minor, now.term_price_minor) == ("year", year, year)
    today_costs_more = Fraction(month_price(2, 5), 30) - Fraction(year, 365)  # a day of the month is dearer than one of the year
    assert now.credit_minor == month_price(2, 5) - ceil(Fraction(month_price(2, 5) * 10, 30) + today_costs_more)


def test_within_a_commitment_more_is_now_and_less_waits_for_its_end() -> None:
    bound = standing(period="year", term_price_minor=10 * month_price(2, 5), commitment_years=3, price_locked_at=AT - timedelta(days=10),
                     committed_until=AT + timedelta(days=20 + 730))  # fmt: skip
    with pytest.raises(contracts.Committed):
        planned(bound, seats=4, effective="now")
    with pytest.raises(contracts.Committed):
        planned(bound, period="month", effective="now")
    assert planned(bound, seats=4).next_seats == 4
    assert planned(bound, seats=6).seats == 6
    assert contracts.free_at(bound) == bound.committed_until
    assert contracts.instalments_left(bound) == 2


def test_a_vendor_that_gives_nothing_back_keeps_the_term_at_its_worth() -> None:
    one = standing()
    with transaction(SYSTEM):
        kept = changes.plan(one, Wanted(seats=1, effective="now"), 0, at=AT, timezone=ZONE, gives_back=False)
    assert (kept.amount_minor, kept.seats, kept.worth.paid_minor) == (0, 1, month_price(2, 5))
