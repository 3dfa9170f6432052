"""Charging and crediting one wallet."""

from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import event

from billing.ledger.accounts import Account
from billing.wallet import balances, wallets
from core.actor import Actor
from core.db import SYSTEM, transaction
from core.errors import NotFound
from core.ids import new_id, request_hash
from tests.factories import make_member


def _request(member_id, at: datetime, *targets: wallets.Target, id=None, content="x") -> wallets.ChargeRequest:  # type: ignore[no-untyped-def]
    return wallets.ChargeRequest(member_id, id or new_id(), request_hash("test", content=content), "purchase", "CNY", at, targets)


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
