"""Charging and crediting one wallet."""

from datetime import datetime

import pytest
from flask import Flask

from billing.ledger.accounts import Account
from billing.wallet import wallets
from core.actor import Actor
from core.db import SYSTEM, transaction
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
        balance = wallets.balance(member.id, "CNY", at=at)
    assert (first.status, first.bonus_minor, first.paid_minor) == ("new", 100, 200)
    assert (again.status, again.balance_after_minor) == ("replayed", 800)
    assert (balance.paid_minor, balance.bonus_minor) == (800, 0)


def test_too_little_money_changes_nothing(app: Flask, at: datetime) -> None:
    member = make_member(paid=1_000)
    with transaction(SYSTEM), pytest.raises(wallets.InsufficientFunds) as failure:
        wallets.charge(_request(member.id, at, wallets.Target(Account.STORE_REVENUE, 1_001)))
    assert failure.value.extra == {"missing_minor": 1}
    with transaction(SYSTEM):
        assert wallets.balance(member.id, "CNY", at=at).paid_minor == 1_000
