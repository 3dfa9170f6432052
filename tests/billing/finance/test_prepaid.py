"""Prepaid money as of any instant: figures, lines, proof; at every instant equal to what the postings say."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from billing.finance import prepaid
from billing.ledger import ledger_queries
from billing.ledger.accounts import Account as A
from billing.wallet import wallets
from core.db import SYSTEM, transaction
from core.errors import Invalid, NotFound
from core.ids import new_id, request_hash
from tests.billing.books import assert_books_hold
from tests.billing.finance.finance_world import JUNE, LAST_OF_MAY, MAY, World, credit, make_world
from tests.factories import make_member

TICK = timedelta(microseconds=1)


@pytest.fixture
def world(app: Flask) -> World:
    return make_world()


def summary(at: datetime, since: datetime = MAY - timedelta(days=300)) -> prepaid.Summary:
    with transaction(SYSTEM):
        return prepaid.summary("CNY", at, since)


def test_the_balance_changes_at_the_instant_itself(world: World) -> None:
    assert (summary(MAY - TICK).total_minor, summary(MAY).total_minor) == (0, 1_150_00)
    assert (summary(LAST_OF_MAY - TICK).total_minor, summary(LAST_OF_MAY).total_minor) == (1_150_00, 850_00)
    assert (summary(JUNE - TICK).bonus_minor, summary(JUNE).bonus_minor) == (90_00, 40_00)  # lapsed at its own instant, though posted an hour later


def test_at_every_instant_the_figures_equal_the_postings_added_up_by_hand(world: World) -> None:
    by_hand = text(
        "select coalesce(sum(case when p.target in (20, 21) then p.amount_minor else -p.amount_minor end), 0) from posting p"
        " join ledger_transaction t on t.book_id = p.book_id and t.id = p.transaction_id"
        " where t.effective_at <= :at and (p.source in (20, 21) or p.target in (20, 21))"
    )
    for hours in range(-24, 32 * 24, 7):
        at = MAY + timedelta(hours=hours)
        found = summary(at, MAY + timedelta(days=10))
        with transaction(SYSTEM) as session:
            assert found.total_minor == session.scalar(by_hand, {"at": at})
            rows = prepaid.every_member("CNY", at, show="all")
        assert (rows.paid_minor, rows.bonus_minor) == (found.paid_minor, found.bonus_minor)
        assert sum(row.total_minor for row in rows.items) == found.total_minor
        assert found.opening_minor + sum(found.changes.values()) == found.total_minor
        assert found.ties


def test_each_kind_of_movement_has_its_line(world: World) -> None:
    at = JUNE + timedelta(days=1)
    member = make_member(paid=500_00, at=at)
    with transaction(SYSTEM):
        wallets.credit(wallets.Credit(member.id, new_id(), request_hash("b"), "bank_transfer", "CNY", at, 70_00, source=A.INTERBOOK))
        wallets.charge(wallets.ChargeRequest(member.id, new_id(), request_hash("r"), "card_refund", "CNY", at, (wallets.Target(A.REFUND_PENDING, 30_00),)))
        parts = (wallets.Target(A.DEFERRED_REVENUE, 100_00), wallets.Target(A.TAX_PAYABLE, 6_00), wallets.Target(A.PARTNER_PENDING, 4_00))
        wallets.charge(wallets.ChargeRequest(member.id, new_id(), request_hash("s"), "subscription", "CNY", at, parts))
    found = summary(at, JUNE - timedelta(hours=1))
    assert found.opening_minor == 850_00
    assert found.changes == {"topped_up": 90_00, "bonus_granted": 0, "used": -150_00, "refunded": -30_00, "expired": -50_00, "other": 500_00}
    assert found.total_minor == 850_00 + 90_00 - 150_00 - 30_00 - 50_00 + 500_00


def test_other_currencies_and_searches_stay_apart(world: World) -> None:
    with transaction(SYSTEM):
        assert prepaid.summary("USD", JUNE, MAY).total_minor == 0
        assert prepaid.members("USD", JUNE).items == []
        assert [one.name for one in prepaid.members("CNY", JUNE, search="甲").items] == ["甲公司"]
        assert prepaid.members("CNY", JUNE, search="%", show="all").items == []  # a wildcard is a letter
        assert prepaid.members("CNY", JUNE, search="test MEMBER", show="all").count == 3
        assert prepaid.members("CNY", JUNE).count == 1
        assert prepaid.first_movement("CNY") == MAY
        assert prepaid.first_movement("USD") is None


def test_a_recorded_balance_that_only_ties_in_total_does_not_tie(world: World) -> None:
    credit(world.c, JUNE + timedelta(hours=2), 9_00)
    assert summary(JUNE + timedelta(days=1)).ties
    assert_books_hold()


@pytest.mark.parametrize(
    ("written", "end", "expected"),
    [
        ("2026-05-31", True, datetime(2026, 5, 31, 16, tzinfo=UTC) - TICK),
        ("2026-05-31", False, datetime(2026, 5, 30, 16, tzinfo=UTC)),
        ("2026-05-31 23:59", True, datetime(2026, 5, 31, 16, tzinfo=UTC) - TICK),
        ("2026/5/31 23:59", False, datetime(2026, 5, 31, 15, 59, tzinfo=UTC)),
        ("2026年5月31日", False, datetime(2026, 5, 30, 16, tzinfo=UTC)),
        (" 2026-05-31T23:59 ", False, datetime(2026, 5, 31, 15, 59, tzinfo=UTC)),
        ("2026-05-31 23:59:30", True, datetime(2026, 5, 31, 15, 59, 31, tzinfo=UTC) - TICK),
    ],
)
def test_a_written_instant_is_read_in_the_entitys_zone(app: Flask, world: World, written: str, end: bool, expected: datetime) -> None:
    with transaction(SYSTEM):
        entity = ledger_queries.entity_for("CNY")
    assert ledger_queries.parse_instant(written, entity, end=end, field="at") == expected


def test_months_are_those_of_the_entity(app: Flask, world: World) -> None:
    with transaction(SYSTEM):
        entity = ledger_queries.entity_for(None)
        with pytest.raises(NotFound):
            ledger_queries.entity_for("USD")
    assert entity.month_of(LAST_OF_MAY) == (datetime(2026, 4, 30, 16, tzinfo=UTC), datetime(2026, 5, 31, 16, tzinfo=UTC))
    assert entity.month_of(LAST_OF_MAY + timedelta(minutes=1))[0] == datetime(2026, 5, 31, 16, tzinfo=UTC)
    assert entity.month_of(datetime(2026, 1, 5, tzinfo=UTC), back=1)[0] == datetime(2025, 11, 30, 16, tzinfo=UTC)
    assert entity.written(LAST_OF_MAY) == "2026-05-31 23:59:30"
    with app.test_request_context(), pytest.raises(Invalid):
        ledger_queries.parse_instant("31.5.2026", entity, end=True, field="at")
