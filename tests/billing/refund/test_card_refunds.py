"""Money back to the card it came from, at a real Stripe API, and to bank accounts; amounts in minor units (fen)."""

import dataclasses
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from billing.approval import approvals
from billing.approval.approval_models import Approval
from billing.ledger.accounts import Account as A
from billing.payment import stripe_gateway, stripe_refunds
from billing.payment.payment_models import StripeEvent
from billing.refund import card_refund_jobs, card_refunds
from billing.refund.refund_models import CardRefund
from billing.top_up import bank_transfers, top_up_jobs, top_ups
from billing.top_up.top_up_models import BankAccount, TopUp
from core.actor import Actor
from core.clock import now
from core.db import SYSTEM, db, transaction
from core.errors import Invalid, NotFound
from core.ids import new_id
from tests.billing.books import accounts, assert_books_hold
from tests.billing.conftest import Cardholder
from tests.billing.stories import buy_own, sweep, wallet
from tests.billing.stories import top_up as settled
from tests.billing.stripe_says import deliver, refund_event
from tests.factories import ENTITY, make_member, make_user

CLERK = Actor(kind="staff", role="finance", name="Clerk", user_id=new_id())


@pytest.fixture
def paid(cardholder: Callable[..., Cardholder], webhook: str, at: datetime) -> tuple[Cardholder, TopUp]:
    """A member that topped up 1,000 by card, with a promised bonus of 100."""
    holder = cardholder()
    db.session.expunge(holder.member)
    with transaction(SYSTEM):
        top_up, _new = top_ups.start(holder.member.id, top_ups.Wanted(new_id(), 1_000_00, "card"), at=at, created_by=None)
        top_up.bonus_minor, top_up.bonus_days = 100_00, 30
    top_up_jobs.pay(holder.member.id, top_up.id)
    return holder, holder.until_settled(top_up.id)


def ask(member_id: uuid.UUID, top_up_id: uuid.UUID, amount: int, at: datetime, id: uuid.UUID | None = None, acting: Actor = CLERK) -> Approval:
    """A refund as the page makes it: decided and begun, then Stripe behind the commit."""
    with transaction(SYSTEM):
        one = card_refund_jobs.request(member_id, top_up_id, id or new_id(), amount, "customer_request", "", acting, at=at)
    approvals.finish(one)
    return one


def read(member_id: uuid.UUID, refund_id: uuid.UUID) -> CardRefund:
    with transaction(SYSTEM) as session:
        return session.get_one(CardRefund, (member_id, refund_id), populate_existing=True)


def at_stripe() -> list[dict[str, Any]]:
    return [one.to_dict() for one in stripe_gateway.client().v1.refunds.list({"limit": 100}).auto_paging_iter()]


def test_8_a_refund_to_the_card_takes_the_lots_bonus_in_proportion(paid: tuple[Cardholder, TopUp], at: datetime) -> None:
    holder, top_up = paid
    fee = -accounts(holder.member.id).get(A.PAYMENT_FEES, 0)
    one = ask(holder.member.id, top_up.id, 300_00, at)
    refund = read(holder.member.id, one.id)
    assert (one.state, refund.state, refund.bonus_minor) == ("done", "confirmed", 30_00)
    (there,) = at_stripe()
    assert (there["id"], there["amount"], there["payment_intent"]) == (refund.stripe_refund, 300_00, top_up.stripe_payment_intent)
    assert {A.PAYMENT_FEES: 0} | accounts(holder.member.id) == {
        A.STRIPE_CLEARING: -700_00 + fee, A.PAYMENT_FEES: -fee, A.WALLET_PAID: 700_00, A.WALLET_BONUS: 70_00, A.BONUS_DISCOUNT: -70_00,
    }  # fmt: skip
    with transaction(SYSTEM) as session:
        assert session.scalars(text("select kind from notice where member_id = :m"), {"m": holder.member.id}).all().count("card_refund_paid") == 1
    assert_books_hold()


def test_8_while_it_is_on_its_way_the_money_is_neither_in_the_wallet_nor_gone(member_with_lot: tuple[uuid.UUID, uuid.UUID], at: datetime) -> None:
    member_id, top_up_id = member_with_lot
    begin(member_id, top_up_id, 300_00, at)
    books = accounts(member_id)
    assert (books[A.REFUND_PENDING], books[A.WALLET_PAID], books[A.WALLET_BONUS], books[A.BONUS_DISCOUNT]) == (300_00, 700_00, 70_00, -70_00)
    assert_books_hold()


@pytest.fixture
def member_with_lot(app: Flask, at: datetime) -> tuple[uuid.UUID, uuid.UUID]:
    """1,000 with 100 bonus, settled; nothing at Stripe."""
    member = make_member()
    return member.id, settled(member, at, 1_000_00, 100_00)


def begin(member_id: uuid.UUID, top_up_id: uuid.UUID, amount: int, at: datetime) -> CardRefund:
    """Decided and begun, and then the process dies before it asks Stripe."""
    with transaction(SYSTEM):
        one = card_refund_jobs.request(member_id, top_up_id, new_id(), amount, "customer_request", "", CLERK, at=at)
    return read(member_id, one.id)


def test_8_a_refund_that_fails_comes_back_with_its_bonus(member_with_lot: tuple[uuid.UUID, uuid.UUID], at: datetime) -> None:
    member_id, top_up_id = member_with_lot
    before = accounts(member_id)
    refund = begin(member_id, top_up_id, 300_00, at)
    card_refund_jobs.send(member_id, refund.id)  # there is no payment at Stripe to refund
    refund = read(member_id, refund.id)
    assert (refund.state, refund.failure) == ("failed", "Stripe did not accept this refund. The money is back in the wallet.")
    assert accounts(member_id) == before
    assert_books_hold()


def test_8_only_what_is_unspent_less_the_bonus_spent_can_go_back(app: Flask, at: datetime) -> None:
    member = make_member()
    db.session.expunge(member)
    top_up_id = settled(member, at, 1_000_00, 100_00)
    buy_own(member, at, 400_00)  # 100 bonus, 300 paid
    with transaction(SYSTEM):
        found = card_refunds.refundable(top_ups.show(member.id, top_up_id))
    assert (found.unspent_minor, found.bonus_spent_minor, found.refundable_minor, found.bonus_for(600_00)) == (700_00, 100_00, 600_00, 0)
    with pytest.raises(card_refunds.NotRefundable) as told:
        begin(member.id, top_up_id, 600_01, at)
    assert told.value.extra == {"refundable_minor": 600_00}
    begin(member.id, top_up_id, 600_00, at)
    assert wallet(member, at) == (100_00, 0)
    with pytest.raises(card_refunds.NotRefundable):
        begin(member.id, top_up_id, 1, at)
    buy_own(member, at, 100_00)
    books = accounts(member.id)
    assert books[A.STORE_REVENUE] == 1_000_00 - 600_00, "revenue of a lot is what was paid for it"
    assert A.BONUS_DISCOUNT not in books
    assert_books_hold()


def test_8_all_of_an_untouched_lot_goes_back_and_nothing_is_left(member_with_lot: tuple[uuid.UUID, uuid.UUID], at: datetime) -> None:
    member_id, top_up_id = member_with_lot
    for part in (333_33, 333_33, 333_34):
        refund = begin(member_id, top_up_id, part, at)
        with transaction(SYSTEM):
            assert card_refunds.confirm(card_refunds.locked(member_id, refund.id), at=at)
    assert accounts(member_id) == {}
    assert_books_hold()


def test_8_a_lot_whose_bonus_lapsed_gives_back_its_paid_money(app: Flask, at: datetime) -> None:
    member = make_member()
    top_up_id = settled(member, at, 1_000_00, 100_00, expires_at=at + timedelta(days=1))
    later = at + timedelta(days=2)
    assert sweep(later) == 1
    begin(member.id, top_up_id, 1_000_00, later)
    assert accounts(member.id) == {A.STRIPE_CLEARING: -1_000_00, A.REFUND_PENDING: 1_000_00}
    assert_books_hold()


def test_8_the_same_request_is_one_refund(paid: tuple[Cardholder, TopUp], at: datetime) -> None:
    holder, top_up = paid
    id = new_id()
    for _again in range(3):
        ask(holder.member.id, top_up.id, 300_00, at, id)
    assert len(at_stripe()) == 1
    assert wallet(holder.member, at) == (700_00, 70_00)


def test_8_a_crash_before_stripe_heard_is_finished_by_the_sweep(paid: tuple[Cardholder, TopUp], at: datetime) -> None:
    holder, top_up = paid
    refund = begin(holder.member.id, top_up.id, 300_00, at)
    assert at_stripe() == []
    card_refund_jobs.check_one(refund, at=at + timedelta(minutes=5))
    assert read(holder.member.id, refund.id).state == "confirmed"
    assert len(at_stripe()) == 1
    assert_books_hold()


def test_8_a_crash_after_stripe_heard_refunds_only_once(paid: tuple[Cardholder, TopUp], at: datetime) -> None:
    holder, top_up = paid
    refund = begin(holder.member.id, top_up.id, 300_00, at)
    assert top_up.stripe_payment_intent
    stripe_refunds.create(holder.member.id, refund.id, intent=top_up.stripe_payment_intent, amount_minor=300_00)  # and then the process dies
    card_refund_jobs.check_one(read(holder.member.id, refund.id), at=at)
    assert (read(holder.member.id, refund.id).state, len(at_stripe())) == ("confirmed", 1)


def test_8_the_sweep_finds_what_nobody_has_heard_of(paid: tuple[Cardholder, TopUp], app: Flask) -> None:
    holder, top_up = paid
    refund = begin(holder.member.id, top_up.id, 300_00, now() - timedelta(minutes=3))
    begin(holder.member.id, top_up.id, 100_00, now())  # too young
    assert card_refund_jobs.check_pending() == 1
    assert read(holder.member.id, refund.id).state == "confirmed"


def test_8_stripe_unreachable_leaves_it_on_its_way_and_in_time_gives_up(member_with_lot: tuple[uuid.UUID, uuid.UUID], app: Flask, at: datetime) -> None:
    member_id, top_up_id = member_with_lot
    with transaction(SYSTEM):
        top_ups.show(member_id, top_up_id).stripe_payment_intent = "pi_unreachable"
    refund = begin(member_id, top_up_id, 300_00, at)
    card_refund_jobs.send(member_id, refund.id)  # nobody listens
    assert read(member_id, refund.id).state == "pending"
    with pytest.raises(stripe_gateway.StripeUnreachable):
        card_refund_jobs.check_one(refund, at=at + timedelta(days=2))
    assert read(member_id, refund.id).state == "pending", "what Stripe knows is not known: the money may have gone"


def test_8_webhooks_say_what_became_of_it_twice_and_late(member_with_lot: tuple[uuid.UUID, uuid.UUID], app: Flask, at: datetime) -> None:
    member_id, top_up_id = member_with_lot
    before = accounts(member_id)
    refund = begin(member_id, top_up_id, 300_00, at)
    for status in ("pending", "succeeded", "succeeded"):
        assert deliver(app, refund_event(refund, status)) == 200
    assert read(member_id, refund.id).state == "confirmed"
    assert accounts(member_id)[A.STRIPE_CLEARING] == -700_00
    failed = refund_event(refund, "failed", "refund.failed", failure_reason="expired_or_canceled_card")  # days later, Stripe has it back
    for _again in range(2):
        assert deliver(app, failed) == 200
    assert deliver(app, refund_event(refund, "succeeded")) == 200  # an old one comes late
    refund = read(member_id, refund.id)
    assert (refund.state, refund.failure) == ("failed", "The card has expired or was cancelled. The money is back in the wallet.")
    assert accounts(member_id) == before
    assert_books_hold()


def test_8_an_event_that_does_not_match_moves_nothing(member_with_lot: tuple[uuid.UUID, uuid.UUID], app: Flask, at: datetime) -> None:
    member_id, top_up_id = member_with_lot
    refund = begin(member_id, top_up_id, 300_00, at)
    with transaction(SYSTEM):
        top_ups.show(member_id, top_up_id).stripe_payment_intent = "pi_1"
    before = accounts(member_id)
    wrong = [
        refund_event(refund, "succeeded", amount=1), refund_event(refund, "succeeded", currency="usd"), refund_event(refund, "succeeded", metadata={}),
        refund_event(refund, "succeeded", metadata={"member_id": "x", "refund_id": "y"}),
        refund_event(refund, "succeeded", metadata={"member_id": str(member_id), "refund_id": str(new_id())}),
    ]  # fmt: skip
    for one in wrong:
        assert deliver(app, one) == 200
        with transaction(SYSTEM) as session:
            assert session.get_one(StripeEvent, one["id"]).error
    assert (accounts(member_id), read(member_id, refund.id).state) == (before, "pending")


def test_8_above_the_limit_a_second_person_decides(member_with_lot: tuple[uuid.UUID, uuid.UUID], app: Flask, at: datetime) -> None:
    member_id, top_up_id = member_with_lot
    settings = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(settings, approval_limit_minor=500_00)
    before = accounts(member_id)
    try:
        one = ask(member_id, top_up_id, 600_00, at)
        assert (one.state, read(member_id, one.id).state, accounts(member_id)) == ("proposed", "requested", before)
        boss = Actor(kind="staff", role="finance", name="Boss", user_id=make_user("finance").id)
        with transaction(SYSTEM):
            approvals.reject(one.id, boss, at=at, note="call them first")
        assert (read(member_id, one.id).state, accounts(member_id)) == ("rejected", before)
        two = ask(member_id, top_up_id, 600_00, at)
        with transaction(SYSTEM):
            approvals.approve(two.id, boss, at=at)
        assert read(member_id, two.id).state == "pending"
    finally:
        app.extensions["settings"] = settings
    with transaction(SYSTEM) as session:
        kinds = session.scalars(text("select kind from notice where member_id = :m"), {"m": member_id}).all()
    assert kinds == ["card_refund_rejected"]


def test_8_a_bank_top_up_goes_back_by_bank_when_finance_says_so(app: Flask, at: datetime) -> None:
    member = make_member()
    with transaction(SYSTEM) as session:
        session.add(BankAccount(entity_id=ENTITY, currency="CNY", holder="示例软件有限公司", bank="示例银行", number="6222", code="000"))
    with transaction(SYSTEM):
        top_up, _new = top_ups.start(member.id, top_ups.Wanted(new_id(), 500_00, "bank_transfer"), at=at, created_by=None)
        bank_transfers.confirm(member.id, top_up.id, 500_00, "BANK-1", at=at)
    one = ask(member.id, top_up.id, 200_00, at)
    refund = read(member.id, one.id)
    assert (refund.state, refund.method) == ("pending", "bank_transfer")
    assert card_refund_jobs.check_pending() == 0, "there is nothing to ask Stripe about"
    with transaction(SYSTEM):
        card_refunds.confirm(card_refunds.locked(member.id, one.id), at=at, bank_transaction="OUT-1")
    assert accounts(member.id) == {A.INTERBOOK: -300_00, A.WALLET_PAID: 300_00}
    assert accounts(ENTITY) == {A.INTERBOOK: 300_00, A.BANK: -300_00}
    with pytest.raises(card_refunds.RefundClosed), transaction(SYSTEM):
        card_refunds.fail(card_refunds.locked(member.id, one.id), "no", at=at)
    assert_books_hold()


def test_8_nothing_goes_back_of_what_is_not_there(member_with_lot: tuple[uuid.UUID, uuid.UUID], app: Flask, at: datetime) -> None:
    member_id, top_up_id = member_with_lot
    other = make_member()
    for wrong, error in (((other.id, top_up_id, 1), NotFound), ((member_id, new_id(), 1), NotFound), ((member_id, top_up_id, 0), Invalid)):
        with pytest.raises(error):
            begin(*wrong, at)
