"""What may be changed, and what it means, without any money."""

import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from core.errors import AppError, Invalid
from membership import subscriptions
from membership.models import Subscription
from membership.subscriptions import Change
from tests.billing.subscription_world import AT, month_price

ZONE = "Asia/Shanghai"


def standing(**other: Any) -> Subscription:
    given: dict[str, Any] = {
        "member_id": uuid.UUID(int=1), "id": uuid.UUID(int=2), "product_line": "crm", "rank": 2, "period": "month", "currency": "CNY", "seats": 5,
        "state": "active", "term": 1, "term_start": AT - timedelta(days=10), "term_end": AT + timedelta(days=20), "term_price_minor": month_price(2, 5),
        "cancel_at_term_end": False, "next_rank": None, "next_seats": None,
    }  # fmt: skip
    return Subscription(**{**given, **other})


def planned(subscription: Subscription, rank: int | None = None, seats: int | None = None, taken: int = 0) -> Change:
    def price(rank: int) -> Any:
        return SimpleNamespace(base_minor=rank * 100_00, seat_minor=rank * 10_00)

    return subscriptions.plan(subscription, rank, seats, price, taken, at=AT, timezone=ZONE)


@pytest.fixture(autouse=True)
def _context(app: Flask) -> None:
    """Errors speak the reader's language, which takes an application."""


def test_more_is_now_and_costs_its_days_less_waits_and_is_free() -> None:
    more = planned(standing(), rank=3, seats=7)
    assert (more.rank, more.seats, more.next_rank, more.next_seats, more.term_price_minor) == (3, 7, None, None, month_price(3, 7))
    assert (more.edition_minor, more.seats_minor) == ((month_price(3, 5) - month_price(2, 5)) * 2 // 3, 60_00 * 2 // 3)
    less = planned(standing(), rank=1, seats=3)
    assert (less.rank, less.seats, less.next_rank, less.next_seats, less.amount_minor) == (2, 5, 1, 3, 0)
    mixed = planned(standing(), rank=3, seats=3)
    assert (mixed.rank, mixed.seats, mixed.next_rank, mixed.next_seats, mixed.seats_minor) == (3, 5, None, 3, 0)


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
    [({"state": "ended"}, "not_changeable"), ({"state": "past_due"}, "not_changeable"), ({"term_end": AT}, "not_changeable"), ({}, "seats_in_use")],
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
