"""Chargebacks (books, move 9): signed events in Stripe's form, and what they do to the wallet; amounts in minor units (fen)."""

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from billing.ledger.accounts import Account as A
from billing.payment.payment_models import StripeEvent
from billing.refund import card_refunds, disputes
from billing.refund.refund_models import Dispute
from billing.top_up import top_ups
from billing.wallet import wallets
from core.db import SYSTEM, db, transaction
from core.ids import new_id
from membership.models import Member
from tests.billing.books import accounts, assert_books_hold
from tests.billing.stories import buy_own, give_back, sweep, top_up, wallet
from tests.billing.stripe_says import deliver, dispute_event
from tests.factories import make_member

OPENED, WITHDRAWN, CLOSED = "charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.closed"


@pytest.fixture
def member(app: Flask, at: datetime) -> Iterator[Member]:
    """A member that topped up 1,000 with 100 bonus by the payment `pi_1`; when the story is told, all books must hold."""
    member = make_member()
    db.session.expunge(member)
    pay(member, at, 1_000_00, 100_00, "pi_1")
    yield member
    assert_books_hold()


def pay(member: Member, at: datetime, paid: int, bonus: int, intent: str) -> None:
    """A settled top-up that Stripe knows under `intent`."""
    id = top_up(member, at, paid, bonus)
    with transaction(SYSTEM):
        top_ups.show(member.id, id).stripe_payment_intent = intent


def state_of(member: Member) -> str:
    with transaction(SYSTEM) as session:
        return str(session.scalar(text("select state from wallet where member_id = :m"), {"m": member.id}))


def only() -> Dispute:
    with transaction(SYSTEM) as session:
        return session.scalars(select(Dispute).execution_options(populate_existing=True)).one()


def test_9_a_chargeback_freezes_the_wallet_and_reserves_what_is_unspent(member: Member, app: Flask, at: datetime) -> None:
    buy_own(member, at, 700_00, 0)
    assert deliver(app, dispute_event(OPENED, "pi_1", 1_000_00, "needs_response")) == 200
    found = accounts(member.id)
    assert (found[A.DISPUTE_RECEIVABLE], found[A.DISPUTE_FEES], found[A.DISPUTE_RESERVE], found[A.STRIPE_CLEARING]) == (-1_000_00, -15_00, 300_00, 15_00)
    assert (wallet(member, at), state_of(member)) == ((0, 100_00), "frozen")
    with pytest.raises(wallets.WalletFrozen):
        buy_own(member, at, 1)
    dispute = only()
    assert (dispute.state, dispute.reserved_minor, dispute.fee_minor, dispute.reason) == ("open", 300_00, 15_00, "fraudulent")
    assert dispute.respond_by is not None


def test_9_lost_what_was_spent_is_claimed_and_the_bonus_taken_back(member: Member, app: Flask, at: datetime) -> None:
    buy_own(member, at, 700_00, 0)
    deliver(app, dispute_event(OPENED, "pi_1", 1_000_00, "needs_response"))
    assert deliver(app, dispute_event(CLOSED, "pi_1", 1_000_00, "lost")) == 200
    assert accounts(member.id) == {A.STRIPE_CLEARING: 15_00, A.DISPUTE_FEES: -15_00, A.MEMBER_RECEIVABLE: -700_00, **EARNED}
    assert (wallet(member, at), state_of(member)) == ((0, 0), "open")
    dispute = only()
    assert (dispute.state, dispute.owed_minor, dispute.bonus_minor) == ("lost", 700_00, 100_00)
    with transaction(SYSTEM) as session:
        assert session.scalar(text("select receivable_minor from wallet where member_id = :m"), {"m": member.id}) == 700_00


def test_9_won_everything_is_as_before(member: Member, app: Flask, at: datetime) -> None:
    buy_own(member, at, 700_00)
    before = accounts(member.id)
    deliver(app, dispute_event(OPENED, "pi_1", 1_000_00, "needs_response"))
    assert accounts(member.id) != before
    assert deliver(app, dispute_event(CLOSED, "pi_1", 1_000_00, "won")) == 200
    assert (accounts(member.id), state_of(member)) == (before, "open")
    buy_own(member, at, 400_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.STORE_REVENUE: 1_000_00}
    with transaction(SYSTEM) as session:
        entry = session.execute(text("select reverses_id from ledger_transaction where kind = 'dispute_won'")).scalar()
    assert entry == only().id


def test_9_bonus_that_lapses_meanwhile_stays_lapsed(app: Flask, at: datetime) -> None:
    member = make_member()
    db.session.expunge(member)
    id = top_up(member, at, 1_000_00, 100_00, expires_at=at + timedelta(days=1))
    with transaction(SYSTEM):
        top_ups.show(member.id, id).stripe_payment_intent = "pi_2"
    buy_own(member, at, 700_00, 0)
    deliver(app, dispute_event(OPENED, "pi_2", 1_000_00, "needs_response"))
    assert sweep(at + timedelta(days=400)) >= 0  # the clock of events is the wall's
    deliver(app, dispute_event(CLOSED, "pi_2", 1_000_00, "won"))
    assert wallet(member, at + timedelta(days=401)) == (300_00, 0)
    with transaction(SYSTEM):
        wallets.charge(
            wallets.ChargeRequest(member.id, new_id(), b"x", "purchase", "CNY", at + timedelta(days=401), (wallets.Target(A.STORE_REVENUE, 300_00),))
        )
    books = accounts(member.id)
    assert books[A.STORE_REVENUE] + books[A.BREAKAGE_REVENUE] == 1_000_00
    assert_books_hold()


EARNED = {A.STORE_REVENUE: 700_00 - 63_64, A.BREAKAGE_REVENUE: 63_64}  # the bonus was never used, so nothing of the price was given away
EVENTS = {
    "opened": dispute_event(OPENED, "pi_1", 1_000_00, "needs_response"),
    "withdrawn": dispute_event(WITHDRAWN, "pi_1", 1_000_00, "needs_response"),
    "reviewed": dispute_event("charge.dispute.updated", "pi_1", 1_000_00, "under_review"),
    "lost": dispute_event(CLOSED, "pi_1", 1_000_00, "lost"),
}


@pytest.mark.parametrize("order", [order for order in itertools.permutations(EVENTS) if order[0] != "reviewed"][:12], ids="-".join)
def test_9_events_may_come_in_any_order_and_twice(member: Member, app: Flask, at: datetime, order: tuple[str, ...]) -> None:
    buy_own(member, at, 700_00, 0)
    for name in order:
        for _again in range(2):
            assert deliver(app, EVENTS[name]) == 200
        assert_books_hold()
    assert accounts(member.id) == {A.STRIPE_CLEARING: 15_00, A.DISPUTE_FEES: -15_00, A.MEMBER_RECEIVABLE: -700_00, **EARNED}


def test_9_an_inquiry_moves_no_money_until_it_becomes_a_dispute(member: Member, app: Flask, at: datetime) -> None:
    before = accounts(member.id)
    deliver(app, dispute_event(OPENED, "pi_1", 1_000_00, "warning_needs_response"))
    assert (accounts(member.id), state_of(member), only().state) == (before, "open", "inquiry")
    deliver(app, dispute_event(OPENED, "pi_1", 1_000_00, "warning_closed", id="du_2"))
    deliver(app, dispute_event("charge.dispute.updated", "pi_1", 1_000_00, "needs_response"))
    assert state_of(member) == "frozen"
    deliver(app, dispute_event(CLOSED, "pi_1", 1_000_00, "won"))
    assert (accounts(member.id), state_of(member)) == (before, "open")


def test_9_two_disputed_payments_keep_the_wallet_frozen_until_both_are_settled(member: Member, app: Flask, at: datetime) -> None:
    pay(member, at, 200_00, 0, "pi_2")
    deliver(app, dispute_event(OPENED, "pi_1", 1_000_00, "needs_response"))
    deliver(app, dispute_event(OPENED, "pi_2", 200_00, "needs_response", id="du_2"))
    deliver(app, dispute_event(CLOSED, "pi_1", 1_000_00, "won"))
    assert state_of(member) == "frozen"
    deliver(app, dispute_event(CLOSED, "pi_2", 200_00, "lost", id="du_2"))
    assert (state_of(member), wallet(member, at)) == ("open", (1_000_00, 100_00))


def test_9_a_part_is_disputed(member: Member, app: Flask, at: datetime) -> None:
    deliver(app, dispute_event(OPENED, "pi_1", 250_00, "needs_response"))
    deliver(app, dispute_event(CLOSED, "pi_1", 250_00, "lost"))
    assert wallet(member, at) == (750_00, 75_00)
    buy_own(member, at, 825_00)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -750_00 + 15_00, A.DISPUTE_FEES: -15_00, A.STORE_REVENUE: 750_00}


def test_9_a_refund_into_the_frozen_wallet_waits_there(member: Member, app: Flask, at: datetime) -> None:
    purchase = buy_own(member, at, 700_00, 0)
    deliver(app, dispute_event(OPENED, "pi_1", 1_000_00, "needs_response"))
    give_back(member, purchase, at, 100_00)
    deliver(app, dispute_event(CLOSED, "pi_1", 1_000_00, "lost"))
    assert accounts(member.id)[A.MEMBER_RECEIVABLE] == -700_00
    top_up_id = only().top_up_id
    with transaction(SYSTEM), pytest.raises(card_refunds.NotRefundable):
        card_refunds.check(top_ups.show(member.id, top_up_id), 100_01)


def test_9_a_dispute_of_what_is_not_ours_is_shown_to_finance_and_moves_nothing(member: Member, app: Flask, at: datetime) -> None:
    before = accounts(member.id)
    wrong = [
        dispute_event(OPENED, "pi_unknown", 1_00, "needs_response"), dispute_event(OPENED, "pi_1", 1_000_01, "needs_response"),
        dispute_event(OPENED, "pi_1", 5_00, "needs_response", currency="usd"), dispute_event(OPENED, "", 5_00, "needs_response"),
    ]  # fmt: skip
    for one in wrong:
        assert deliver(app, one) == 200
        with transaction(SYSTEM) as session:
            assert session.get_one(StripeEvent, one["id"]).error
    assert (accounts(member.id), state_of(member)) == (before, "open")


def test_9_notices_tell_the_member(member: Member, app: Flask, at: datetime) -> None:
    deliver(app, dispute_event(OPENED, "pi_1", 1_000_00, "needs_response"))
    deliver(app, dispute_event(CLOSED, "pi_1", 1_000_00, "won"))
    with transaction(SYSTEM) as session:
        kinds = session.scalars(text("select kind from notice where member_id = :m order by at, kind"), {"m": member.id}).all()
        assert disputes.open_of(member.id) == []
    assert sorted(kinds) == ["dispute_opened", "dispute_won"]
