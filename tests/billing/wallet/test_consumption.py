"""What a preview says is what the ledger takes: every order of consumption, and a credit limit behind it."""

from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from billing.ledger.accounts import Account as A
from billing.wallet import balances, wallets
from billing.wallet.consumption import bonus_part
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from core.settings import CONSUMPTION_ORDERS
from tests.billing.books import accounts, assert_books_hold, settled_top_up
from tests.factories import make_member


@pytest.fixture
def in_order(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`in_order("paid_first")`: charge in this order from now on."""
    return lambda order: monkeypatch.setattr(wallets, "consumption_order", lambda: order)


def charge(member_id: Any, at: datetime, *targets: wallets.Target) -> wallets.ChargeResult:
    with transaction(SYSTEM):
        return wallets.charge(wallets.ChargeRequest(member_id, new_id(), request_hash("c"), "purchase", "CNY", at, targets))


@pytest.mark.parametrize(
    ("order", "total", "limit", "bonus"),
    [
        ("bonus_first", 300, 300, 100), ("bonus_first", 300, 40, 40), ("bonus_first", 60, 60, 60),
        ("paid_first", 300, 300, 0), ("paid_first", 1050, 1050, 50), ("paid_first", 1010, 5, None),
        ("proportional", 300, 300, 27), ("proportional", 11, 11, 1), ("proportional", 5, 5, 0), ("proportional", 300, 20, 20),
        ("proportional", 1099, 1099, 100), ("proportional", 1090, 500, 99),
    ],
)  # fmt: skip
def test_each_order_takes_its_share_of_bonus(in_order: Any, at: datetime, order: str, total: int, limit: int, bonus: int | None) -> None:
    """From 1,000 paid and 100 bonus; None: the money does not suffice, because bonus may pay too little of it."""
    in_order(order)
    member = make_member(paid=1000, bonus=100)
    assert order in CONSUMPTION_ORDERS
    if bonus is None:
        with pytest.raises(wallets.InsufficientFunds):
            charge(member.id, at, wallets.Target(A.STORE_REVENUE, total, limit))
    else:
        result = charge(member.id, at, wallets.Target(A.STORE_REVENUE, total, limit))
        assert (result.bonus_minor, result.paid_minor) == (bonus, total - bonus)
        assert bonus_part(order, total, limit, 100, 1000) == bonus
    assert_books_hold()


def test_12_a_purchase_on_the_credit_limit_is_settled_by_the_next_top_up(app: Flask, at: datetime) -> None:
    """Books, move 12: never a negative wallet; what is missing is owed, and the next top-up pays that first."""
    member = make_member(paid=200, bonus=50).id
    with transaction(SYSTEM) as session:
        assert session.scalar(text("select set_credit_limit(:m, 'CNY', 400)"), {"m": member})
    parts = (wallets.Target(A.COMMISSION_REVENUE, 150, 30), wallets.Target(A.TAX_PAYABLE, 30), wallets.Target(A.PARTNER_PENDING, 320))
    result = charge(member, at, *parts)
    assert (result.bonus_minor, result.paid_minor, result.credit_minor, result.balance_after_minor) == (30, 200, 270, 20)
    books = accounts(member)
    assert (books[A.MEMBER_RECEIVABLE], books[A.WALLET_BONUS], books.get(A.WALLET_PAID, 0)) == (-270, 20, 0)
    with pytest.raises(wallets.InsufficientFunds) as short:
        charge(member, at, wallets.Target(A.TAX_PAYABLE, 131))
    assert short.value.extra == {"missing_minor": 1}
    top_up = wallets.Credit(member, new_id(), request_hash("t"), "top_up", "CNY", at, 1000, 100)
    with transaction(SYSTEM) as session:
        session.add(settled_top_up(top_up))
        paid = wallets.credit(top_up)
    assert (paid.paid_minor, paid.bonus_minor, paid.credit_minor, paid.balance_after_minor) == (730, 100, 270, 850)
    books = accounts(member)
    assert A.MEMBER_RECEIVABLE not in books
    assert (books[A.WALLET_PAID], books[A.WALLET_BONUS]) == (730, 120)
    assert_books_hold()


def test_a_top_up_smaller_than_the_debt_makes_no_grant(app: Flask, at: datetime) -> None:
    member = make_member().id
    with transaction(SYSTEM) as session:
        session.execute(text("select set_credit_limit(:m, 'CNY', 500)"), {"m": member})
    charge(member, at, wallets.Target(A.STORE_REVENUE, 500, 500))
    with transaction(SYSTEM):
        wallets.credit(wallets.Credit(member, new_id(), request_hash("o"), "opening_balance", "CNY", at, 200))
        assert not balances.open_grants(member, "CNY", at=at)
        assert balances.balance(member, "CNY", at=at).receivable_minor == 300
    assert_books_hold()
