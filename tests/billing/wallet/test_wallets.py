"""Charging and crediting one wallet."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from billing.ledger.accounts import Account
from billing.wallet import balances, wallets
from core.actor import Actor
from core.db import SYSTEM, transaction
from core.errors import NotFound
from core.ids import derived, new_id, request_hash
from tests.billing.books import accounts, assert_books_hold
from tests.factories import ENTITY, make_member


def _request(member_id, at: datetime, *targets: wallets.Target, id=None, content="x", currency="CNY") -> wallets.ChargeRequest:  # type: ignore[no-untyped-def]
    return wallets.ChargeRequest(member_id, id or new_id(), request_hash("test", content=content), "purchase", currency, at, targets)


def test_a_member_charges_its_own_wallet_once(app: Flask, at: datetime) -> None:
    member = make_member(paid=1_000, bonus=100)
    me = Actor(kind="member", role="buyer", member_id=member.id)
    request = _request(member.id, at, wallets.Target(Account.STORE_REVENUE, 300, 300))
    with transaction(me):
        first = wallets.charge(request)
    with transaction(me):
        again = wallets.charge(request)
        balance = balances.balance(member.id, "CNY", at=at)
    assert (first.status, first.bonus_minor, first.paid_minor) == ("new", 100, 200)
    assert (again.status, again.balance_after_minor) == ("replayed", 800)
    assert (balance.paid_minor, balance.bonus_minor) == (800, 0)


def test_too_little_money_changes_nothing(app: Flask, at: datetime) -> None:
    member = make_member(paid=1_000)
    with transaction(SYSTEM), pytest.raises(wallets.InsufficientFunds) as failure:
        wallets.charge(_request(member.id, at, wallets.Target(Account.STORE_REVENUE, 1_001)))
    assert failure.value.extra == {"missing_minor": 1}
    with transaction(SYSTEM):
        assert balances.balance(member.id, "CNY", at=at).paid_minor == 1_000


_CURRENCIES = ("CNY", "EUR", "USD")
_WALLET = st.tuples(st.integers(0, 2), st.sampled_from(_CURRENCIES), st.integers(0, 500), st.integers(0, 200), st.sampled_from([None, 1, 3]))
_CHARGE = st.tuples(st.integers(0, 2), st.sampled_from(_CURRENCIES), st.integers(1, 300), st.integers(0, 300), st.sampled_from([0, 0, 2]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(opened=st.lists(_WALLET, min_size=1, max_size=9, unique_by=lambda w: w[:2]), asked=st.lists(_CHARGE, min_size=1, max_size=12))
def test_a_batch_over_wallets_of_several_currencies_is_its_charges_one_after_another(app: Flask, at: datetime, opened: list[Any], asked: list[Any]) -> None:
    """Wallets that a batch does not ask for, of members and in currencies that it does, are walked past; money that expires meanwhile is gone."""
    twins = [[make_member() for _ in range(3)] for _ in range(2)]
    found: list[list[Any]] = []
    for members, is_batch in zip(twins, (True, False), strict=True):
        with transaction(SYSTEM):
            for who, currency, paid, bonus, days in opened:
                id, expires = members[who].id, days and at + timedelta(days=days)
                wallets.open_book(id, "member", ENTITY, currency, at - timedelta(days=1))
                if paid or bonus:
                    first = derived("t", id, currency)
                    wallets.credit(wallets.Credit(id, first, request_hash("t"), "opening_balance", currency, at, paid, bonus, bonus_expires_at=expires))
        requests = [
            _request(members[who].id, at + timedelta(days=days), wallets.Target(Account.STORE_REVENUE, total, bonus), currency=currency)
            for who, currency, total, bonus, days in sorted(asked, key=lambda one: one[-1])
        ]
        results = []
        for part in [requests] if is_batch else [[request] for request in requests]:
            with transaction(SYSTEM):
                results += wallets.charge_many(part)
        assert [r.id for r in results] == [r.id for r in requests]
        found.append(
            [[(r.status, r.missing_minor, r.paid_minor, r.bonus_minor, r.balance_after_minor) for r in results], [accounts(member.id) for member in members]]
        )
    assert found[0] == found[1]
    assert_books_hold()


def test_balance_and_grants_are_read_at_once(app: Flask, at: datetime) -> None:
    member, empty = make_member(paid=1_000, bonus=100), make_member()
    with transaction(SYSTEM):
        expires = at + timedelta(days=5)
        gift = wallets.Credit(
            member.id, new_id(), request_hash("x"), "goodwill", "CNY", at, 0, 50, bonus_source=Account.GOODWILL, bonus_expires_at=expires, priority=-1
        )
        wallets.credit(gift)
    for one, moment in ((member, at), (member, at + timedelta(days=6)), (empty, at)):
        with transaction(SYSTEM) as session:
            session.expunge_all()
            statements: list[str] = []
            event.listen(session.connection(), "before_cursor_execute", lambda *args, seen=statements: seen.append(args[2]))
            balance, grants = balances.contents(one.id, "CNY", at=moment)
            assert len(statements) == (2 if moment > expires else 1)  # what has expired and is not swept yet is asked for
            assert balance == balances.balance(one.id, "CNY", at=moment)
            assert [grant.id for grant in grants] == [grant.id for grant in balances.open_grants(one.id, "CNY", at=moment)]
            assert sum(grant.remaining_minor for grant in grants) == balance.paid_minor + balance.bonus_minor
    with transaction(SYSTEM), pytest.raises(NotFound):
        balances.contents(new_id(), "CNY", at=at)
