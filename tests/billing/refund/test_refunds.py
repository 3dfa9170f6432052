"""Giving back what was charged, as stories; each asserts every account that it touches. Amounts in minor units (fen)."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing.ledger.accounts import Account as A
from billing.refund import refunds
from billing.refund.refunds import Part
from billing.wallet import balances, wallets
from core.actor import Actor, kind_of
from core.db import SYSTEM, db, transaction
from core.errors import IdReused, Invalid
from core.ids import new_id, request_hash
from membership.models import Member
from tests.billing.books import accounts, assert_books_hold
from tests.billing.stories import buy_from_partner, buy_own, give_back, post, spend, subscribe, sweep, top_up, wallet
from tests.factories import make_member

DAY = timedelta(days=1)


@pytest.fixture
def member(app: Flask) -> Iterator[Member]:
    """A member with an empty wallet; when the story is told, all books must hold."""
    member = make_member()
    db.session.expunge(member)
    yield member
    assert_books_hold()


def bought(paid_for: int = 1_000_00) -> dict[A, int]:
    """The books after a top-up of 1,000 with 100 bonus and a purchase from a partner."""
    return {
        A.STRIPE_CLEARING: -paid_for, A.WALLET_PAID: 838_00, A.WALLET_BONUS: 50_00, A.COMMISSION_REVENUE: 60_00 - 19_27,
        A.TAX_PAYABLE: 12_00, A.PARTNER_PENDING: 140_00, A.BONUS_DISCOUNT: -100_00 + 19_27,
    }  # fmt: skip


def test_6_a_refund_of_30_percent_goes_back_to_the_grants_that_paid(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    purchase = buy_from_partner(member, at)
    assert accounts(member.id) == bought()
    result = give_back(member, purchase, at + DAY, 63_60)
    assert (result.status, result.bonus_minor, result.paid_minor, result.balance_after_minor) == ("new", 15_00, 48_60, 951_60)
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 838_00 + 3_00 + 3_60 + 42_00, A.WALLET_BONUS: 65_00,
        A.COMMISSION_REVENUE: 60_00 - 19_27 - 15_00 - 3_00 + 5_78, A.TAX_PAYABLE: 8_40, A.PARTNER_PENDING: 98_00, A.BONUS_DISCOUNT: -100_00 + 19_27 - 5_78,
    }  # fmt: skip
    with transaction(SYSTEM) as session:
        entry = session.execute(text("select kind, reverses_id, amount_minor from ledger_transaction where id = :id"), {"id": result.refund_id}).one()
        moves = session.execute(text("select source, target, amount_minor from posting where transaction_id = :id order by n"), {"id": result.refund_id})
        assert entry == ("refund", purchase.id, 63_60)
        assert [(A(source), A(target), amount) for source, target, amount in moves] == [
            (A.COMMISSION_REVENUE, A.WALLET_BONUS, 15_00), (A.COMMISSION_REVENUE, A.WALLET_PAID, 3_00), (A.TAX_PAYABLE, A.WALLET_PAID, 3_60),
            (A.PARTNER_PENDING, A.WALLET_PAID, 42_00), (A.BONUS_DISCOUNT, A.COMMISSION_REVENUE, 5_78),
        ]  # fmt: skip


def test_6_after_payout_the_partner_owes_its_share(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    purchase = buy_from_partner(member, at)
    post(member.id, at, "partner_share", (A.PARTNER_PENDING, A.INTERBOOK, 140_00))
    partner = new_id()
    with transaction(SYSTEM):
        wallets.open_book(partner, "partner", uuid.UUID(int=1), "CNY", at)
    post(partner, at, "partner_share", (A.INTERBOOK, A.PARTNER_DUE, 140_00))
    give_back(member, purchase, at + DAY, [Part(A.COMMISSION_REVENUE, 18_00), Part(A.TAX_PAYABLE, 3_60), Part(A.PARTNER_PENDING, 42_00, A.INTERBOOK)])
    post(partner, at + DAY, "refund", (A.PARTNER_RECEIVABLE, A.INTERBOOK, 42_00))
    books = accounts(member.id)
    assert (books[A.INTERBOOK], A.PARTNER_PENDING in books, wallet(member, at + DAY)) == (98_00, False, (886_60, 65_00))
    assert accounts(partner) == {A.INTERBOOK: -98_00, A.PARTNER_DUE: 140_00, A.PARTNER_RECEIVABLE: -42_00}


def test_6_partial_refunds_sum_exactly_to_the_whole(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    before = accounts(member.id)
    purchase = buy_from_partner(member, at)
    for part in (1, 63_60, 33_33, 99, 1, 114_06):
        give_back(member, purchase, at, part)
        assert_books_hold()
    assert accounts(member.id) == before
    with pytest.raises(refunds.RefundTooLarge):
        give_back(member, purchase, at, 1)
    with pytest.raises(refunds.RefundTooLarge) as told:
        give_back(member, purchase, at, [Part(A.TAX_PAYABLE, 1)])
    assert told.value.extra == {"open_minor": 0, "account": "tax_payable"}
    assert accounts(member.id) == before


def test_6_no_part_gives_back_more_than_it_took(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    purchase = buy_from_partner(member, at)
    for wrong in ([Part(A.TAX_PAYABLE, 12_01)], [Part(A.TAX_PAYABLE, 6_00), Part(A.TAX_PAYABLE, 6_01)], [Part(A.STORE_REVENUE, 1)]):
        with pytest.raises(refunds.RefundTooLarge):
            give_back(member, purchase, at, wrong)
    with pytest.raises(Invalid):
        give_back(member, purchase, at, [Part(A.TAX_PAYABLE, 0)])
    assert accounts(member.id) == bought()
    give_back(member, purchase, at, [Part(A.TAX_PAYABLE, 6_00), Part(A.TAX_PAYABLE, 6_00)])
    assert A.TAX_PAYABLE not in accounts(member.id)


def test_6_what_is_not_a_charge_cannot_be_given_back(member: Member, at: datetime) -> None:
    lot = top_up(member, at, 1_000_00, 100_00)
    purchase = buy_own(member, at, 300_00)
    refund = give_back(member, purchase, at, 100_00)
    stranger = make_member()
    for owner, original in ((member, lot), (member, refund.refund_id), (member, new_id()), (stranger, purchase.id)):
        with pytest.raises(refunds.NoSuchCharge), transaction(SYSTEM):
            refunds.refund_charge(owner.id, original, refund_id=new_id(), request_hash=b"x", parts=[Part(A.STORE_REVENUE, 1)], at=at)


def test_6_the_same_refund_twice_is_one_and_other_content_is_refused(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    purchase = buy_own(member, at, 300_00)
    id = new_id()

    def ask(amount: int) -> refunds.RefundResult:
        with transaction(SYSTEM):
            return refunds.refund_charge(
                member.id, purchase.id, refund_id=id, request_hash=request_hash("r", amount=amount), parts=[Part(A.STORE_REVENUE, amount)], at=at
            )

    first = ask(100_00)
    books = accounts(member.id)
    again = ask(100_00)
    assert (again.status, again.paid_minor, again.bonus_minor, again.balance_after_minor) == ("replayed", 66_67, 33_33, first.balance_after_minor)
    with pytest.raises(IdReused):
        ask(100_01)
    assert accounts(member.id) == books


def test_10_a_subscription_cancelled_with_credit_returns_to_the_original_grants(member: Member, at: datetime) -> None:
    top_up(member, at, 2_000_00, 200_00)
    charge = subscribe(member, at)
    half = give_back(member, charge, at, [Part(A.DEFERRED_REVENUE, 600_00), Part(A.TAX_PAYABLE, 36_00)])
    assert (half.bonus_minor, half.paid_minor) == (100_00, 536_00)
    share, back = 115_64, 57_82
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -2_000_00, A.WALLET_PAID: 928_00 + 536_00, A.WALLET_BONUS: 100_00, A.TAX_PAYABLE: 36_00,
        A.DEFERRED_REVENUE: 600_00 - share + back, A.BONUS_DISCOUNT: -200_00 + share - back,
    }  # fmt: skip


def test_10_what_was_recognised_already_comes_out_of_revenue(member: Member, at: datetime) -> None:
    top_up(member, at, 2_000_00)
    charge = subscribe(member, at)
    post(member.id, at, "recognition", (A.DEFERRED_REVENUE, A.SUBSCRIPTION_REVENUE, 700_00))
    give_back(member, charge, at, [Part(A.DEFERRED_REVENUE, 500_00), Part(A.DEFERRED_REVENUE, 100_00, A.SUBSCRIPTION_REVENUE)])
    books = accounts(member.id)
    assert (A.DEFERRED_REVENUE in books, books[A.SUBSCRIPTION_REVENUE], books[A.WALLET_PAID]) == (False, 600_00, 728_00 + 600_00)


def test_a_used_up_lot_opens_again_and_its_breakage_with_it(member: Member, at: datetime) -> None:
    """1,000 with 100; 30 of the bonus lapse, the rest is spent, 107 come back and are spent again: revenue is exactly 1,000."""
    expiry = at + 30 * DAY
    top_up(member, at, 1_000_00, 100_00, expires_at=expiry)
    buy_own(member, at, 70_00)
    rest = buy_own(member, at, 1_000_00, 0)
    sweep(expiry)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_070_00 - 97_27, A.BREAKAGE_REVENUE: 27_27}
    give_back(member, rest, expiry + DAY, 107_00)
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 107_00, A.STORE_REVENUE: 1_070_00 - 97_27 - 107_00 + 9_72, A.BONUS_DISCOUNT: 87_55 - 70_00,
    }  # fmt: skip
    buy_own(member, expiry + 2 * DAY, 107_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_070_00 - 97_27, A.BREAKAGE_REVENUE: 27_27}


def test_an_expired_grant_opens_again_for_the_grace_period(member: Member, at: datetime) -> None:
    expiry = at + DAY
    top_up(member, at, 1_000_00, 100_00, expires_at=expiry)
    purchase = buy_own(member, at, 300_00)
    give_back(member, purchase, expiry + DAY, 150_00)
    late = expiry + 31 * DAY
    assert wallet(member, late - timedelta(seconds=1)) == (900_00, 50_00)
    assert (sweep(late - timedelta(seconds=1)), sweep(late)) == (0, 1)
    give_back(member, purchase, late, 150_00)  # and once more
    assert wallet(member, late) == (1_000_00, 50_00)
    assert (sweep(late + 30 * DAY), wallet(member, late + 30 * DAY)) == (1, (1_000_00, 0))
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 1_000_00}


def test_a_grant_that_still_holds_money_keeps_its_date(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00, expires_at=at + DAY)
    purchase = buy_own(member, at, 60_00)
    give_back(member, purchase, at, 60_00)
    assert sweep(at + DAY) == 1
    assert wallet(member, at + DAY) == (1_000_00, 0)


def test_the_discount_goes_back_to_the_part_it_was_taken_from(member: Member, at: datetime) -> None:
    """The first of our own parts bore it, although bonus paid the other one only."""
    top_up(member, at, 1_000_00, 100_00)
    before = accounts(member.id)
    purchase = spend(member, at, wallets.Target(A.SERVICE_REVENUE, 100_00, 0), wallets.Target(A.STORE_REVENUE, 100_00, 100_00))
    books = accounts(member.id)
    assert (books[A.SERVICE_REVENUE], books[A.STORE_REVENUE]) == (100_00 - 18_18, 100_00)
    give_back(member, purchase, at + DAY, 200_00)
    assert accounts(member.id) == before


def test_what_was_bought_on_credit_and_paid_since_comes_back_as_one_grant_of_all_its_parts(member: Member, at: datetime) -> None:
    """No grant had paid it, so one is made: of our part and of the tax together, and the proof of the books counts both."""
    with transaction(SYSTEM) as session:
        session.execute(text("select set_credit_limit(:m, 'CNY', 50000)"), {"m": member.id})
    purchase = spend(member, at, wallets.Target(A.STORE_REVENUE, 300_00, 0), wallets.Target(A.TAX_PAYABLE, 18_00))
    top_up(member, at + DAY, 318_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -318_00, A.STORE_REVENUE: 300_00, A.TAX_PAYABLE: 18_00}
    result = give_back(member, purchase, at + 2 * DAY, 318_00)
    with transaction(SYSTEM):
        assert [(grant.id, grant.remaining_minor) for grant in balances.open_grants(member.id, "CNY", at=at + 2 * DAY)] == [(result.refund_id, 318_00)]
    assert accounts(member.id) == {A.STRIPE_CLEARING: -318_00, A.WALLET_PAID: 318_00}


def test_a_refund_is_welcome_in_a_frozen_wallet(member: Member, at: datetime, owner: object) -> None:
    top_up(member, at, 100_00)
    purchase = buy_own(member, at, 60_00)
    with owner.begin() as connection:  # type: ignore[attr-defined]
        connection.execute(text("update wallet set state = 'frozen'"))
    assert give_back(member, purchase, at, 60_00).balance_after_minor == 100_00


def test_a_lot_spent_on_what_is_not_ours_gives_its_discount_back_to_breakage(member: Member, at: datetime) -> None:
    top_up(member, at, 100_00, 10_00)
    alien = spend(member, at, wallets.Target(A.PARTNER_PENDING, 50_00))
    buy_own(member, at, 60_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -100_00, A.STORE_REVENUE: 50_00, A.PARTNER_PENDING: 50_00}
    give_back(member, alien, at, 50_00)
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -100_00, A.WALLET_PAID: 50_00, A.STORE_REVENUE: 50_00, A.BREAKAGE_REVENUE: 4_55, A.BONUS_DISCOUNT: -4_55,
    }  # fmt: skip
    buy_own(member, at, 50_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -100_00, A.STORE_REVENUE: 95_45, A.BREAKAGE_REVENUE: 4_55}


def test_a_member_itself_may_only_be_given_back_its_subscriptions(member: Member, at: datetime) -> None:
    top_up(member, at, 2_000_00)
    purchase, subscription = buy_own(member, at, 100_00), subscribe(member, at)
    own = Actor(kind=kind_of("owner"), role="owner", member_id=member.id)
    with pytest.raises(DBAPIError, match="own subscriptions only"), transaction(own):
        refunds.refund_charge(member.id, purchase.id, refund_id=new_id(), request_hash=b"x", parts=[Part(A.STORE_REVENUE, 1)], at=at)
    with transaction(own):
        refunds.refund_charge(member.id, subscription.id, refund_id=new_id(), request_hash=b"x", parts=[Part(A.DEFERRED_REVENUE, 1)], at=at)
    stranger = Actor(kind=kind_of("owner"), role="owner", member_id=new_id())
    with pytest.raises(DBAPIError, match="own book only"), transaction(stranger):
        refunds.refund_charge(member.id, subscription.id, refund_id=new_id(), request_hash=b"x", parts=[Part(A.DEFERRED_REVENUE, 1)], at=at)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lots=st.lists(st.tuples(st.integers(3, 10**10), st.integers(0, 10**10)), min_size=1, max_size=4),
    shares=st.tuples(st.integers(0, 97), st.integers(0, 97), st.integers(0, 97)), cuts=st.lists(st.integers(1, 99), max_size=4),
)  # fmt: skip
def test_any_charge_in_any_pieces_comes_back_exactly(
    app: Flask, at: datetime, lots: list[tuple[int, int]], shares: tuple[int, int, int], cuts: list[int]
) -> None:
    member = make_member()
    for place, (paid, bonus) in enumerate(lots):
        top_up(member, at + timedelta(seconds=place), paid, bonus)
    filled = accounts(member.id)
    ours, tax, theirs = (1 + sum(paid for paid, _bonus in lots) * share // 300 for share in shares)
    parts = [wallets.Target(A.COMMISSION_REVENUE, ours, ours // 2), wallets.Target(A.TAX_PAYABLE, tax), wallets.Target(A.PARTNER_PENDING, theirs)]
    charge = spend(member, at + DAY, *parts)
    left = ours + tax + theirs
    for cut in cuts:
        if part := left * cut // 100:
            give_back(member, charge, at + DAY, part)
            left -= part
    give_back(member, charge, at + DAY, left)
    assert accounts(member.id) == filled
    assert_books_hold()
