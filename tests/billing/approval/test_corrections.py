"""Corrections as stories: the reverse of each move, in a new transaction that names the old one."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from billing.approval import corrections
from billing.ledger.accounts import Account as A
from billing.ledger.ledger_models import LedgerTransaction
from billing.refund.refunds import Part, RefundTooLarge
from billing.wallet import wallets
from billing.wallet.wallet_moves import MoneyNotThere
from core.db import SYSTEM, db, transaction
from core.errors import IdReused, NotFound
from core.ids import derived, new_id, request_hash
from membership.models import Member
from tests.billing.books import accounts, assert_books_hold
from tests.billing.stories import buy_from_partner, buy_own, give_back, post, spend, sweep, top_up, wallet
from tests.factories import ENTITY, make_member

DAY = timedelta(days=1)


@pytest.fixture
def member(app: Flask) -> Iterator[Member]:
    """A member with an empty wallet; when the story is told, all books must hold."""
    member = make_member()
    db.session.expunge(member)
    yield member
    assert_books_hold()


def correct(book: uuid.UUID, tx: uuid.UUID, at: datetime, id: uuid.UUID | None = None) -> uuid.UUID:
    made = id or new_id()
    with transaction(SYSTEM):
        corrections.correct(book, tx, id=made, at=at, memo="entered twice")
    return made


def entry_of(kind: str, member: Member) -> uuid.UUID:
    """The latest entry of a kind."""
    with transaction(SYSTEM) as session:
        found = session.scalar(
            text("select id from ledger_transaction where kind = :k and book_id = :m order by seq desc limit 1"), {"k": kind, "m": member.id}
        )
    assert found
    return uuid.UUID(str(found))


def test_14_a_correction_reverses_each_move_and_names_the_old_entry(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    before = accounts(member.id)
    purchase = buy_from_partner(member, at)
    made = correct(member.id, purchase.id, at + DAY)
    assert accounts(member.id) == before
    with transaction(SYSTEM) as session:
        new, old = session.get_one(LedgerTransaction, (member.id, made)), session.get_one(LedgerTransaction, (member.id, purchase.id))
        assert (new.kind, new.reverses_id, new.amount_minor, new.memo) == ("correction", purchase.id, 212_00, "entered twice")
        assert (old.effective_at, new.effective_at) == (at, at + DAY)  # the old entry and its period stay as they are
        query = text("select source, target, amount_minor from posting where transaction_id = :t")
        moves = {tx: {tuple(row) for row in session.execute(query, {"t": tx})} for tx in (old.id, made)}
    assert {(target, source, amount) for source, target, amount in moves[old.id]} == moves[made]


def test_14_a_top_up_that_never_was_is_taken_back_with_its_bonus_and_fee(member: Member, at: datetime) -> None:
    wrong = top_up(member, at, 1_000_00, 100_00, fee=29_00)
    correct(member.id, wrong, at + DAY)
    assert (accounts(member.id), wallet(member, at + DAY)) == ({}, (0, 0))
    top_up(member, at + DAY, 50_00, 5_00)
    buy_own(member, at + DAY, 55_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -50_00, A.STORE_REVENUE: 50_00}


def test_14_money_that_was_spent_cannot_be_taken_back(member: Member, at: datetime) -> None:
    wrong = top_up(member, at, 1_000_00, 100_00)
    purchase = buy_own(member, at, 1)
    books = accounts(member.id)
    with pytest.raises(MoneyNotThere):
        correct(member.id, wrong, at)
    assert accounts(member.id) == books
    correct(member.id, purchase.id, at)  # what spent it is reversed first
    correct(member.id, wrong, at)
    assert accounts(member.id) == {}


def test_14_a_bank_transfer_is_corrected_in_both_books(member: Member, at: datetime) -> None:
    id = new_id()
    with transaction(SYSTEM) as session:
        wallets.post_moves(ENTITY, derived("bank_transfer", member.id, id), request_hash("bank"), "bank", "CNY", at, [(A.BANK, A.INTERBOOK, 500_00)])
        one = wallets.Credit(member.id, id, request_hash("t"), "opening_balance", "CNY", at, 500_00, source=A.INTERBOOK)
        wallets.credit(one)
        assert session is not None
    correct(member.id, id, at + DAY)
    assert (accounts(member.id), accounts(ENTITY)) == ({}, {})


def test_14_a_refund_is_taken_back_and_may_be_given_again(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    purchase = buy_from_partner(member, at)
    before = accounts(member.id)
    refund = give_back(member, purchase, at, 63_60)
    correct(member.id, refund.refund_id, at + DAY)
    assert accounts(member.id) == before
    give_back(member, purchase, at + DAY, 212_00)
    with pytest.raises(RefundTooLarge):
        give_back(member, purchase, at + DAY, 1)


def test_14_a_refund_out_of_another_book_is_taken_back_as_spent(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    purchase = buy_from_partner(member, at)
    post(member.id, at, "partner_share", (A.PARTNER_PENDING, A.INTERBOOK, 140_00))
    partner = new_id()
    with transaction(SYSTEM):
        wallets.open_book(partner, "partner", ENTITY, "CNY", at)
    post(partner, at, "partner_share", (A.INTERBOOK, A.PARTNER_DUE, 140_00))
    before = accounts(member.id)
    refund = give_back(member, purchase, at, [Part(A.PARTNER_PENDING, 42_00, A.INTERBOOK)])
    with transaction(SYSTEM):
        wallets.post_moves(partner, refund.refund_id, request_hash("r"), "refund", "CNY", at, [(A.PARTNER_DUE, A.INTERBOOK, 42_00)])
    correct(member.id, refund.refund_id, at)
    assert accounts(member.id) == before
    assert accounts(partner) == {A.INTERBOOK: -140_00, A.PARTNER_DUE: 140_00}


def test_14_an_expiry_by_mistake_gives_the_bonus_back_for_the_grace_period(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00, expires_at=at + DAY)
    buy_own(member, at, 1_000_00, 0)
    sweep(at + DAY)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_000_00 - 90_91, A.BREAKAGE_REVENUE: 90_91}
    correct(member.id, entry_of("expiry", member), at + 2 * DAY)
    assert wallet(member, at + 2 * DAY) == (0, 100_00)
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_000_00 - 90_91, A.WALLET_BONUS: 100_00, A.BONUS_DISCOUNT: -100_00 + 90_91,
    }  # fmt: skip
    assert sweep(at + 31 * DAY) == 0
    assert sweep(at + 32 * DAY) == 1


def test_14_moves_beside_the_wallet_are_reversed_too(member: Member, at: datetime) -> None:
    top_up(member, at, 2_000_00)
    spend(member, at, wallets.Target(A.DEFERRED_REVENUE, 1_200_00), kind="subscription")
    before = accounts(member.id)
    post(member.id, at, "reclassification", (A.DEFERRED_REVENUE, A.SUBSCRIPTION_REVENUE, 100_00))
    correct(member.id, entry_of("reclassification", member), at + DAY)
    assert accounts(member.id) == before
    post(ENTITY, at, "bank", (A.BANK, A.PAYMENT_FEES, 5_00))
    with transaction(SYSTEM) as session:
        wrong = session.scalar(text("select id from ledger_transaction where book_id = :b"), {"b": ENTITY})
    correct(ENTITY, wrong, at + DAY)
    assert accounts(ENTITY) == {}


def test_14_nothing_is_corrected_twice_and_the_same_id_is_one_correction(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    purchase = buy_own(member, at, 300_00)
    other = buy_own(member, at, 1_00)
    made = correct(member.id, purchase.id, at)
    books = accounts(member.id)
    correct(member.id, purchase.id, at, made)
    assert accounts(member.id) == books
    with pytest.raises(IdReused):
        correct(member.id, other.id, at, made)
    for again in (purchase.id, made):
        with pytest.raises(corrections.NotCorrectable):
            correct(member.id, again, at)
    with pytest.raises(RefundTooLarge):
        give_back(member, purchase, at, 1)
    with pytest.raises(NotFound):
        correct(member.id, new_id(), at)
    assert accounts(member.id) == books


def test_14_a_charge_that_was_partly_refunded_is_refunded_instead(member: Member, at: datetime) -> None:
    top_up(member, at, 1_000_00)
    purchase = buy_own(member, at, 300_00)
    give_back(member, purchase, at, 1_00)
    with pytest.raises(corrections.NotCorrectable):
        correct(member.id, purchase.id, at)
