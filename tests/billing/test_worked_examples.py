"""The moves of the books as stories. Each asserts every account of every book it touches; amounts in minor units (fen)."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy.exc import DBAPIError

from billing.ledger.accounts import Account as A
from billing.wallet import balances, holds, wallets
from core.db import SYSTEM, db, transaction
from core.ids import new_id, request_hash
from core.money import split, tax_included
from membership.models import Member
from tests.billing.books import accounts, assert_books_hold
from tests.billing.stories import buy_from_partner, post, spend, sweep, top_up, wallet
from tests.factories import ENTITY, make_member


@pytest.fixture
def member(app: Flask) -> Iterator[Member]:
    """A member with an empty wallet; when the story is told, all books must hold."""
    member = make_member()
    db.session.expunge(member)  # a step that rolls back must not forget who the story is about
    yield member
    assert_books_hold()


@pytest.fixture
def partner(member: Member, at: datetime) -> uuid.UUID:
    """A service partner's book."""
    book = new_id()
    with transaction(SYSTEM):
        wallets.open_book(book, "partner", ENTITY, "CNY", at)
    return book


def test_1_a_top_up_with_bonus_and_a_card_fee_is_paid_out(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00, fee=29_00)
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -971_00, A.PAYMENT_FEES: -29_00, A.WALLET_PAID: 1_000_00, A.WALLET_BONUS: 100_00, A.BONUS_DISCOUNT: -100_00,
    }  # fmt: skip
    assert wallet(member, at) == (1_000_00, 100_00)
    with transaction(SYSTEM):
        wallets.post_moves(member.id, new_id(), request_hash("payout"), "payout", "CNY", at, [(A.INTERBOOK, A.STRIPE_CLEARING, 971_00)])
        wallets.post_moves(ENTITY, new_id(), request_hash("payout"), "payout", "CNY", at, [(A.BANK, A.INTERBOOK, 971_00)])
    assert accounts(member.id) == {
        A.INTERBOOK: -971_00, A.PAYMENT_FEES: -29_00, A.WALLET_PAID: 1_000_00, A.WALLET_BONUS: 100_00, A.BONUS_DISCOUNT: -100_00,
    }  # fmt: skip
    assert accounts(ENTITY) == {A.BANK: -971_00, A.INTERBOOK: 971_00}
    assert wallet(member, at) == (1_000_00, 100_00)


def test_2_a_bank_transfer_is_confirmed(member: Member, at: datetime) -> None:
    with transaction(SYSTEM):
        wallets.post_moves(ENTITY, new_id(), request_hash("bank"), "bank", "CNY", at, [(A.BANK, A.INTERBOOK, 5_000_00)])
    top_up(member, at, 5_000_00, source=A.INTERBOOK)
    assert accounts(ENTITY) == {A.BANK: -5_000_00, A.INTERBOOK: 5_000_00}
    assert accounts(member.id) == {A.INTERBOOK: -5_000_00, A.WALLET_PAID: 5_000_00}
    assert wallet(member, at) == (5_000_00, 0)


def test_3_a_partner_listing_is_bought_partly_from_bonus(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    result = buy_from_partner(member, at)
    assert (result.bonus_minor, result.paid_minor, result.balance_after_minor) == (50_00, 162_00, 888_00)
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 838_00, A.WALLET_BONUS: 50_00, A.COMMISSION_REVENUE: 60_00 - 19_27,
        A.TAX_PAYABLE: 12_00, A.PARTNER_PENDING: 140_00, A.BONUS_DISCOUNT: -100_00 + 19_27,
    }  # fmt: skip


def test_3_bonus_pays_neither_tax_nor_the_partner(member: Member, at: datetime) -> None:
    top_up(member, at, 162_00, 1_000_00)
    result = buy_from_partner(member, at)
    assert (result.bonus_minor, result.paid_minor) == (50_00, 162_00)
    with pytest.raises(wallets.InsufficientFunds) as failure:
        buy_from_partner(member, at)
    assert failure.value.extra == {"missing_minor": 162_00}


def test_4_an_own_listing_earns_its_price_less_the_lots_discount(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    spend(member, at, wallets.Target(A.STORE_REVENUE, 300_00, 300_00))
    assert wallet(member, at) == (800_00, 0)
    discount = split(100_00, [300_00, 800_00])[0]
    assert discount == 27_27
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 800_00, A.STORE_REVENUE: 300_00 - discount, A.BONUS_DISCOUNT: -100_00 + discount,
    }  # fmt: skip


def test_4_the_last_spend_of_a_lot_takes_the_rest_of_its_discount(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    for part in (333_33, 333_33, 333_33, 100_01):
        spend(member, at, wallets.Target(A.STORE_REVENUE, part, part))
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_000_00}


def test_4_a_spend_over_two_lots_takes_each_lots_own_discount(member: Member, at: datetime) -> None:
    top_up(member, at, 100_00, 10_00)
    top_up(member, at + timedelta(minutes=1), 100_00, 50_00)
    spend(member, at + timedelta(minutes=2), wallets.Target(A.STORE_REVENUE, 160_00, 160_00))  # bonus 10 + 50, then 100 paid of the older lot
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -200_00, A.WALLET_PAID: 100_00, A.STORE_REVENUE: 160_00 - 10_00 - 16_67, A.BONUS_DISCOUNT: -50_00 + 16_67,
    }  # fmt: skip


def test_5_the_refund_window_closes_and_the_partner_is_paid(member: Member, partner: uuid.UUID, at: datetime) -> None:
    top_up(member, at, 1_000_00)
    buy_from_partner(member, at)
    later = at + timedelta(days=14)
    with transaction(SYSTEM):
        wallets.post_moves(member.id, new_id(), request_hash("window"), "partner_share", "CNY", later, [(A.PARTNER_PENDING, A.INTERBOOK, 140_00)])
        wallets.post_moves(partner, new_id(), request_hash("window"), "partner_share", "CNY", later, [(A.INTERBOOK, A.PARTNER_DUE, 140_00)])
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 788_00, A.COMMISSION_REVENUE: 60_00, A.TAX_PAYABLE: 12_00, A.INTERBOOK: 140_00}
    assert accounts(partner) == {A.INTERBOOK: -140_00, A.PARTNER_DUE: 140_00}
    with transaction(SYSTEM):
        wallets.post_moves(partner, new_id(), request_hash("payout"), "payout", "CNY", later, [(A.PARTNER_DUE, A.INTERBOOK, 140_00)])
        wallets.post_moves(ENTITY, new_id(), request_hash("payout"), "payout", "CNY", later, [(A.INTERBOOK, A.BANK, 140_00)])
    assert accounts(partner) == {}
    assert accounts(ENTITY) == {A.INTERBOOK: -140_00, A.BANK: 140_00}


@pytest.mark.parametrize("first_the_paid", [True, False])
def test_7_bonus_expires_and_the_lot_earns_exactly_what_was_paid(member: Member, at: datetime, first_the_paid: bool) -> None:
    expiry = at + timedelta(days=30)
    top_up(member, at, 1_000_00, 100_00, expires_at=expiry)
    spend(member, at, wallets.Target(A.STORE_REVENUE, 70_00, 70_00))
    if first_the_paid:
        spend(member, at, wallets.Target(A.STORE_REVENUE, 1_000_00, 0))
        assert sweep(expiry) == 1
    else:
        assert sweep(expiry) == 1
        assert accounts(member.id)[A.BONUS_DISCOUNT] == -100_00 + 6_36 + 30_00
        spend(member, expiry, wallets.Target(A.STORE_REVENUE, 1_000_00, 1_000_00))
    books = accounts(member.id)
    assert books == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_070_00 - 97_27, A.BREAKAGE_REVENUE: 27_27}
    assert books[A.STORE_REVENUE] + books[A.BREAKAGE_REVENUE] == 1_000_00


def test_7_bonus_that_expires_unused_leaves_revenue_at_what_was_paid(member: Member, at: datetime) -> None:
    expiry = at + timedelta(days=30)
    top_up(member, at, 1_000_00, 100_00, expires_at=expiry)
    spend(member, expiry + timedelta(seconds=1), wallets.Target(A.STORE_REVENUE, 400_00, 400_00))  # the charge itself expires what is due
    assert wallet(member, expiry + timedelta(seconds=1)) == (600_00, 0)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 600_00, A.STORE_REVENUE: 400_00 - 36_36, A.BONUS_DISCOUNT: 36_36}
    spend(member, expiry + timedelta(days=1), wallets.Target(A.STORE_REVENUE, 600_00, 0))
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_000_00 - 90_91, A.BREAKAGE_REVENUE: 90_91}


def test_7_a_lot_used_up_by_money_that_is_not_ours_still_earns_what_was_paid(member: Member, at: datetime) -> None:
    """The last spend has no revenue to take the discount from; it is taken from breakage, so the lot's total stays right."""
    top_up(member, at, 100_00, 10_00)
    spend(member, at, wallets.Target(A.STORE_REVENUE, 60_00, 60_00))
    spend(member, at, wallets.Target(A.PARTNER_PENDING, 50_00))
    assert accounts(member.id) == {A.STRIPE_CLEARING: -100_00, A.STORE_REVENUE: 60_00 - 5_45, A.PARTNER_PENDING: 50_00, A.BREAKAGE_REVENUE: -4_55}


def test_10_a_subscription_is_paid_deferred_and_recognised(member: Member, at: datetime) -> None:
    top_up(member, at, 2_000_00, 200_00)
    tax = tax_included(1_272_00, 600)
    assert tax == 72_00
    result = spend(member, at, wallets.Target(A.DEFERRED_REVENUE, 1_200_00, 1_200_00), wallets.Target(A.TAX_PAYABLE, tax), kind="subscription")
    assert (result.bonus_minor, result.paid_minor) == (200_00, 1_072_00)
    share = 115_64  # 200 × 1,272 / 2,200 = 115.636…
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -2_000_00, A.WALLET_PAID: 928_00, A.TAX_PAYABLE: 72_00, A.DEFERRED_REVENUE: 1_200_00 - share, A.BONUS_DISCOUNT: -200_00 + share,
    }  # fmt: skip
    a_day = split(1_200_00 - share, [1] * 365)[0]
    post(member.id, at + timedelta(days=1), "recognition", (A.DEFERRED_REVENUE, A.SUBSCRIPTION_REVENUE, a_day))
    books = accounts(member.id)
    assert (books[A.DEFERRED_REVENUE], books[A.SUBSCRIPTION_REVENUE]) == (1_200_00 - share - a_day, a_day)
    assert wallet(member, at) == (928_00, 0)


def test_11_a_hold_moves_nothing_and_its_capture_is_a_purchase(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    before = accounts(member.id)
    with transaction(SYSTEM):
        hold = holds.place(member.id, holds.Wanted(new_id(), 318_00, "three days of setup"), at=at, created_by=None)
    assert accounts(member.id) == before
    with transaction(SYSTEM):
        found = balances.balance(member.id, "CNY", at=at)
    assert (found.held_minor, found.available_minor) == (318_00, 782_00)
    with transaction(SYSTEM):
        holds.capture_service(member.id, hold.id, new_id(), 106_00, at=at, memo=None, created_by=None)
    earned_back = 9_64  # 100 × 106 / 1,100
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 994_00, A.TAX_PAYABLE: 6_00, A.SERVICE_REVENUE: 100_00 - earned_back,
        A.BONUS_DISCOUNT: -100_00 + earned_back,
    }  # fmt: skip
    with transaction(SYSTEM):
        closed = holds.release(member.id, hold.id, new_id(), None, at=at, reason=None, created_by=None, as_member=True)
        assert (closed.captured_minor, closed.released_minor) == (106_00, 212_00)


def test_13_goodwill_is_an_expense_until_it_is_used(member: Member, at: datetime) -> None:
    expiry = at + timedelta(days=30)
    gift = wallets.Credit(
        member.id, new_id(), request_hash("sorry"), "goodwill", "CNY", at, 0, 50_00, bonus_source=A.GOODWILL, bonus_expires_at=expiry, memo="outage"
    )
    with transaction(SYSTEM):
        wallets.credit(gift)
    assert accounts(member.id) == {A.GOODWILL: -50_00, A.WALLET_BONUS: 50_00}
    spend(member, at, wallets.Target(A.STORE_REVENUE, 20_00, 20_00))
    assert accounts(member.id) == {A.GOODWILL: -50_00, A.WALLET_BONUS: 30_00, A.STORE_REVENUE: 20_00}
    assert sweep(expiry) == 1
    assert accounts(member.id) == {A.GOODWILL: -20_00, A.STORE_REVENUE: 20_00}


def test_a_charge_cannot_feed_a_wallet_and_bare_moves_cannot_touch_one(member: Member, at: datetime) -> None:
    top_up(member, at, 100_00)
    for wrong in (wallets.Target(A.WALLET_PAID, 10_00), wallets.Target(A.STORE_REVENUE, -10_00)):
        with pytest.raises(DBAPIError, match="goes out of the wallet"):
            spend(member, at, wrong)
    with pytest.raises(DBAPIError, match="charges and credits only"):
        post(member.id, at, "correction", (A.WALLET_PAID, A.STORE_REVENUE, 10_00))
    assert wallet(member, at) == (100_00, 0)
