"""What the wallet page says of its grants: the order of use by the setting, where each came from, what ends next, what is held."""

import dataclasses
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask

from billing.ledger.accounts import Account
from billing.top_up import bank_transfers, top_ups
from billing.top_up.top_up_models import BankAccount
from billing.wallet import balances, holds, wallet_overview, wallets
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from membership.models import Member
from tests.factories import ENTITY, make_member, make_top_up_offer
from tests.sign_in import client_as

DAY = timedelta(days=1)


@pytest.fixture
def member(app: Flask) -> Member:
    """A member with a transfer that earned an offer's bonus, a gift that ends first, and an opening balance."""
    made = make_member(paid=100_00)
    make_top_up_offer((1_000_00, 100_00), starts_at=now() - DAY)
    with transaction(SYSTEM) as session:
        session.add(BankAccount(entity_id=ENTITY, currency="CNY", holder="示例软件有限公司", bank="示例银行", number="6222", code="000"))
        session.flush()
        top_up, _new = top_ups.start(made.id, top_ups.Wanted(new_id(), 1_000_00, "bank_transfer"), at=now(), created_by=None)
        bank_transfers.confirm(made.id, top_up.id, 1_000_00, "B-1", at=now())
        wallets.credit(
            wallets.Credit(made.id, new_id(), request_hash("g"), "goodwill", "CNY", now(), 0, 50_00, bonus_source=Account.GOODWILL,
                           bonus_expires_at=now() + 9 * DAY, memo="for the outage")
        )  # fmt: skip
    return made


@pytest.fixture
def order(app: Flask, request: pytest.FixtureRequest) -> Iterator[str]:
    before = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(before, consumption_order=request.param)
    yield request.param
    app.extensions["settings"] = before


ORDERS = {
    "bonus_first": ["Goodwill: for the outage", "Offer “Good start”", "Opening balance", "Top-up by bank transfer"],
    "paid_first": ["Opening balance", "Top-up by bank transfer", "Goodwill: for the outage", "Offer “Good start”"],
    "proportional": ["Goodwill: for the outage", "Offer “Good start”", "Opening balance", "Top-up by bank transfer"],
}


@pytest.mark.parametrize("order", ORDERS, indirect=True)
def test_grants_stand_in_the_order_of_use_and_say_where_they_came_from(app: Flask, member: Member, order: str) -> None:
    with app.test_request_context("/?lang=en"), transaction(SYSTEM):
        found = wallet_overview.grants(member.id, "CNY", at=now())
        assert [line.where_from for line in found.lines] == ORDERS[order]
        assert found.next_expiry is not None
        assert found.next_expiry.amount_minor == 50_00
    page = client_as(app, "viewer", member).get("/wallet?lang=en").text
    assert {"bonus_first": "takes bonus first", "paid_first": "takes paid money first", "proportional": "in the proportion"}[order] in page
    places = [page.index(words) for words in ORDERS[order]]
    assert places == sorted(places)


@pytest.mark.parametrize("order", ORDERS, indirect=True)
def test_the_order_told_is_the_order_taken(app: Flask, member: Member, order: str) -> None:
    with app.test_request_context("/?lang=en"), transaction(SYSTEM):
        told = wallet_overview.grants(member.id, "CNY", at=now()).lines
        target = wallets.Target(Account.STORE_REVENUE, 60_00, 60_00)
        taken = wallets.charge(wallets.ChargeRequest(member.id, new_id(), request_hash("x"), "purchase", "CNY", now(), (target,)))
        left = {line.id: line.remaining_minor for line in wallet_overview.grants(member.id, "CNY", at=now()).lines}
    drawn = [line for line in told if left.get(line.id, 0) != line.remaining_minor]
    if order == "proportional":
        assert (taken.bonus_minor, taken.paid_minor) == (7_20, 52_80)  # 150 of 1,250 is bonus
        assert [line.source for line in drawn] == ["goodwill", "opening_balance"]
    else:
        assert drawn == told[: len(drawn)]


def test_held_money_is_told_apart_and_given_back_from_the_page(app: Flask, member: Member) -> None:
    with transaction(SYSTEM):
        mine = holds.place(member.id, holds.Wanted(new_id(), 200_00, "consulting in June"), at=now(), created_by=None)
        ours = holds.place(member.id, holds.Wanted(new_id(), 10_00, "an order", by_member=False), at=now(), created_by=None)
    client = client_as(app, "buyer", member)
    page = client.get("/wallet?lang=en").text
    for words in ("¥210.00", "¥1,040.00", "¥1,100.00", "¥150.00", "consulting in June"):
        assert words in page
    assert page.count("Give back</button>") == 1, "what we have placed has no button"
    assert client.post(f"/wallet/holds/{mine.id}/release").status_code == 303
    assert client.post(f"/wallet/holds/{mine.id}/release").status_code == 303, "pressed twice"
    client.post(f"/wallet/holds/{ours.id}/release")
    with transaction(SYSTEM):
        assert balances.balance(member.id, "CNY", at=now()).held_minor == 10_00
    assert client_as(app, "viewer", member).post(f"/wallet/holds/{ours.id}/release").status_code == 403


def test_what_is_past_its_date_and_held_is_told_to_end_when_given_back(app: Flask) -> None:
    member = make_member(paid=100_00, bonus=50_00, bonus_expires_at=now() + DAY)
    with transaction(SYSTEM):
        holds.place(member.id, holds.Wanted(new_id(), 60_00, "x", expires_at=now() + 5 * DAY, bonus_limit_minor=30_00), at=now(), created_by=None)
    with app.test_request_context("/?lang=en"), transaction(SYSTEM):
        found = wallet_overview.grants(member.id, "CNY", at=now() + 2 * DAY)
        assert [(line.kind, line.remaining_minor, line.held_minor, line.is_past) for line in found.lines] == [
            ("bonus", 30_00, 30_00, True), ("paid", 100_00, 30_00, False),
        ]  # fmt: skip
        assert found.next_expiry is None


def test_a_credit_limit_and_what_is_owed_are_shown_where_there_are_any(app: Flask) -> None:
    member = make_member(paid=10_00)
    client = client_as(app, "owner", member)
    assert "Credit limit" not in client.get("/wallet?lang=en").text
    with transaction(SYSTEM) as session:
        session.execute(wallets.text("select set_credit_limit(:m, 'CNY', 50000)"), {"m": member.id})
        target = wallets.Target(Account.STORE_REVENUE, 30_00, 0)
        wallets.charge(wallets.ChargeRequest(member.id, new_id(), request_hash("x"), "purchase", "CNY", now(), (target,)))
    page = client.get("/wallet?lang=en").text
    assert "Credit limit" in page
    assert "¥480.00 of it is free" in page
    assert "You owe us" in page
    assert "¥20.00" in page
