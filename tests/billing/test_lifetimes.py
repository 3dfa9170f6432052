"""Whole lives of a top-up as stories: whatever happens to it, its revenue is exactly what was paid for it and not given back. Amounts in fen."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from billing.approval import corrections
from billing.ledger.accounts import Account as A
from billing.refund import card_refunds
from billing.top_up import top_ups
from billing.wallet import balances, holds, wallets
from core.db import SYSTEM, db, transaction
from core.ids import new_id, request_hash
from membership.models import Member
from tests.billing.books import accounts, as_owner, assert_books_hold
from tests.billing.stories import buy_from_partner, buy_own, give_back, spend, sweep, top_up, wallet
from tests.factories import make_member

DAY = timedelta(days=1)
REVENUE = (A.STORE_REVENUE, A.COMMISSION_REVENUE, A.SERVICE_REVENUE, A.SUBSCRIPTION_REVENUE, A.DEFERRED_REVENUE, A.BREAKAGE_REVENUE)


@pytest.fixture
def member(app: Flask) -> Iterator[Member]:
    """A member with an empty wallet; when the story is told, all books must hold."""
    member = make_member()
    db.session.expunge(member)
    yield member
    assert_books_hold()


def revenue(member: Member) -> int:
    """What was earned so far, breakage included."""
    return sum(amount for account, amount in accounts(member.id).items() if account in REVENUE)


def test_tops_up_1000_with_100_buys_for_300_is_refunded_100_and_the_rest_expires(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00, expires_at=at + 30 * DAY)
    purchase = buy_own(member, at, 300_00)  # 100 bonus, 200 paid
    give_back(member, purchase, at + DAY, 100_00)  # 33.33 bonus, 66.67 paid
    assert wallet(member, at + DAY) == (866_67, 33_33)
    assert sweep(at + 31 * DAY) == 1  # an emptied grant that was refunded lives 30 days from the refund
    buy_own(member, at + 32 * DAY, 866_67)
    assert (revenue(member), wallet(member, at + 32 * DAY)) == (1_000_00, (0, 0))
    assert accounts(member.id)[A.STRIPE_CLEARING] == -1_000_00


def test_everything_is_bought_refunded_and_bought_again(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    for day in range(3):
        purchase = buy_own(member, at + day * DAY, 1_100_00)
        assert revenue(member) == 1_000_00
        give_back(member, purchase, at + day * DAY, 1_100_00)
        assert revenue(member) == 0
    buy_own(member, at + 4 * DAY, 1_100_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_000_00}


def test_half_goes_back_to_the_card_and_the_rest_earns_what_it_cost(member: Member, at: datetime) -> None:
    id = top_up(member, at, 1_000_00, 100_00)
    with transaction(SYSTEM):
        refund = card_refunds.ask(top_ups.show(member.id, id), new_id(), 500_00, at=at, by=None)
        card_refunds.begin(refund, at=at)
        card_refunds.confirm(refund, at=at)
    assert wallet(member, at) == (500_00, 50_00)
    buy_own(member, at, 550_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -500_00, A.STORE_REVENUE: 500_00}


def test_a_partner_sale_is_refunded_in_thirds_and_the_lot_is_used_up(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    purchase = buy_from_partner(member, at)
    for part in (70_67, 70_67, 70_66):
        give_back(member, purchase, at, part)
    buy_own(member, at, 1_100_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_000_00}


def test_two_lots_are_refunded_each_to_its_own(member: Member, at: datetime) -> None:
    top_up(member, at, 100_00, 50_00)
    top_up(member, at + DAY, 100_00)
    purchase = buy_own(member, at + DAY, 200_00)  # 50 bonus and 100 paid of the first, 50 of the second
    give_back(member, purchase, at + DAY, 80_00)
    assert wallet(member, at + DAY) == (110_00, 20_00)
    buy_own(member, at + DAY, 130_00)
    assert revenue(member) == 200_00


def test_a_correction_in_the_middle_changes_nothing_at_the_end(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    buy_own(member, at, 123_45)
    wrong = buy_own(member, at, 456_78)
    with transaction(SYSTEM):
        corrections.correct(member.id, wrong.id, id=new_id(), at=at, memo="twice")
    buy_own(member, at, 976_55)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_000_00}


def test_11_what_is_held_cannot_go_back_to_the_card_and_what_was_captured_can_be_refunded(member: Member, at: datetime) -> None:
    id = top_up(member, at, 1_000_00)
    hold = new_id()
    with transaction(SYSTEM):
        holds.place(member.id, holds.Wanted(hold, 600_00, "project", at + 30 * DAY, 0), at=at, created_by=None)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 1_000_00}  # a hold is no move
    with transaction(SYSTEM):
        assert card_refunds.refundable(top_ups.show(member.id, id)).refundable_minor == 400_00
    capture = new_id()
    with transaction(SYSTEM):
        charge = holds.capture(
            member.id, hold, capture, request_hash("c"), [wallets.Target(A.SERVICE_REVENUE, 250_00)], at=at, memo=None, created_by=None
        )  # fmt: skip
    assert accounts(member.id)[A.SERVICE_REVENUE] == 250_00
    give_back(member, charge, at, 250_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 1_000_00}
    with transaction(SYSTEM):
        assert balances.balance(member.id, "CNY", at=at).available_minor == 650_00


def limit(member: Member, amount: int) -> None:
    with transaction(SYSTEM) as session:
        session.execute(text("select set_credit_limit(:m, 'CNY', :l)"), {"m": member.id, "l": amount})


def test_12_a_refund_of_what_was_bought_on_credit_lowers_what_is_owed(member: Member, at: datetime) -> None:
    top_up(member, at, 100_00)
    limit(member, 500_00)
    purchase = buy_own(member, at, 300_00, 0)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -100_00, A.MEMBER_RECEIVABLE: -200_00, A.STORE_REVENUE: 300_00}
    result = give_back(member, purchase, at, 150_00)
    assert (result.paid_minor, result.receivable_minor) == (50_00, 100_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -100_00, A.WALLET_PAID: 50_00, A.MEMBER_RECEIVABLE: -100_00, A.STORE_REVENUE: 150_00}


def test_12_what_was_owed_and_is_paid_since_comes_back_as_paid_money(member: Member, at: datetime) -> None:
    limit(member, 500_00)
    purchase = buy_own(member, at, 300_00, 0)
    top_up(member, at + DAY, 250_00)  # settles 250 of what is owed
    assert accounts(member.id) == {A.STRIPE_CLEARING: -250_00, A.MEMBER_RECEIVABLE: -50_00, A.STORE_REVENUE: 300_00}
    result = give_back(member, purchase, at + DAY, 300_00)
    assert (result.paid_minor, result.receivable_minor) == (250_00, 50_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -250_00, A.WALLET_PAID: 250_00}
    with transaction(SYSTEM):
        corrections.correct(member.id, result.refund_id, id=new_id(), at=at + DAY, memo="mistake")
    assert accounts(member.id) == {A.STRIPE_CLEARING: -250_00, A.MEMBER_RECEIVABLE: -50_00, A.STORE_REVENUE: 300_00}


@pytest.mark.parametrize("goes_to", [A.BREAKAGE_REVENUE, A.UNCLAIMED_PROPERTY])
def test_7_paid_money_lapses_to_breakage_or_stays_owed_as_the_law_says(member: Member, at: datetime, owner: Engine, goes_to: A) -> None:
    id: uuid.UUID = top_up(member, at, 1_000_00, 100_00)
    buy_own(member, at, 550_00)  # all bonus, 450 paid
    as_owner(owner, "update legal_entity set paid_lapses_to = :to", to=goes_to.name.lower())
    as_owner(owner, "update wallet_grant set expires_at = :at where id = :id; update wallet set next_expiry_at = :at", at=at + DAY, id=id)
    assert sweep(at + DAY) == 1
    books = accounts(member.id)
    if goes_to is A.BREAKAGE_REVENUE:
        assert revenue(member) == 1_000_00
        assert books == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 500_00, A.BREAKAGE_REVENUE: 500_00}
    else:
        assert revenue(member) == 450_00  # 550 are still owed to somebody
        assert books == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 500_00, A.BREAKAGE_REVENUE: -50_00, A.UNCLAIMED_PROPERTY: 550_00}


def test_a_member_that_spends_nothing_has_earned_us_nothing(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00, expires_at=at + DAY)
    assert sweep(at + DAY) == 1
    assert (revenue(member), wallet(member, at + DAY)) == (0, (1_000_00, 0))
    spend(member, at + DAY, wallets.Target(A.SERVICE_REVENUE, 1_000_00))
    assert revenue(member) == 1_000_00
