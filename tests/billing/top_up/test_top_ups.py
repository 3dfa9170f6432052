"""Top-ups by card against a real Stripe API: whoever brings the news, and however often, the wallet is credited once."""

import dataclasses
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import stripe
from flask import Flask
from sqlalchemy import select, update

from billing.ledger.accounts import Account
from billing.payment import stripe_gateway
from billing.payment.payment_models import StripeEvent
from billing.payment.stripe_gateway import Outcome
from billing.top_up import top_up_jobs, top_ups
from billing.top_up.top_up_models import TopUp
from billing.wallet import balances
from core.clock import now
from core.db import SYSTEM, transaction
from core.embedded.stripe import Stripe
from core.errors import IdReused, NotFound
from core.ids import new_id
from core.outbox import OutboxMessage
from membership.notice_models import Notice
from tests.billing import subscription_world as world
from tests.billing.books import accounts, assert_books_hold
from tests.billing.conftest import Cardholder
from tests.factories import make_member, make_top_up_offer

Make = Callable[..., Cardholder]


def _paid(holder: Cardholder) -> int:
    with transaction(SYSTEM):
        return balances.balance(holder.member.id, "CNY", at=now()).paid_minor


def _intents() -> list[Any]:
    return list(stripe_gateway.client().v1.payment_intents.list({"limit": 100}).auto_paging_iter())


def _make_old(top_up: TopUp, **age: int) -> None:
    with transaction(SYSTEM) as session:
        session.execute(update(TopUp).where(TopUp.id == top_up.id).values(created_at=now() - timedelta(**age), checked_at=None))


def test_the_signed_webhook_settles(webhook: str, cardholder: Make) -> None:
    make_top_up_offer((100_000, 10_000), starts_at=now() - timedelta(days=1))
    holder = cardholder()
    top_up = holder.pay(100_000, now())
    assert (top_up.state, top_up.bonus_minor) == ("pending", 10_000)
    assert top_up.stripe_payment_intent == _intents()[0].id
    assert _paid(holder) == 0, "not before the money is there"
    settled = holder.until_settled(top_up.id)
    assert settled.settled_at is not None
    assert accounts(holder.member.id) == {
        Account.STRIPE_CLEARING: -100_000, Account.WALLET_PAID: 100_000, Account.BONUS_DISCOUNT: -10_000, Account.WALLET_BONUS: 10_000,
    }  # fmt: skip
    with transaction(SYSTEM) as session:
        (bonus,) = [g for g in balances.open_grants(holder.member.id, "CNY", at=now()) if g.kind == "bonus"]
        assert bonus.expires_at == settled.settled_at + timedelta(days=90)
        assert session.scalars(select(Notice.kind)).all() == ["top_up_settled"]
        assert session.scalars(select(OutboxMessage.topic)).all() == ["wallet.credited"]
    assert_books_hold()


def test_a_declined_card_says_why_and_charges_nothing(webhook: str, cardholder: Make) -> None:
    holder = cardholder("fails")
    top_up = holder.pay(5_000, now())
    assert (top_up.state, top_up.failure) == ("failed", stripe_gateway.DECLINED)
    (event,) = holder.events("payment_intent.payment_failed")
    assert holder.deliver(event).status_code == 200
    assert holder.read(top_up.id).state == "failed"
    assert accounts(holder.member.id) == {}
    with transaction(SYSTEM) as session:
        assert session.scalars(select(Notice.kind)).all() == ["top_up_failed"]


def test_a_failed_webhook_alone_fails_the_top_up(no_webhook: Stripe, cardholder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = cardholder("fails")
    top_up = holder.start(5_000, now())
    _lose_the_answer(monkeypatch)
    top_up_jobs.pay(holder.member.id, top_up.id)
    assert holder.read(top_up.id).state == "pending"
    (event,) = holder.events("payment_intent.payment_failed")
    holder.deliver(event)
    assert holder.read(top_up.id).failure == stripe_gateway.DECLINED


def test_another_payment_s_failure_is_not_this_one_s(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    top_up = holder.pay(5_000, now())
    (event,) = holder.events("payment_intent.succeeded")
    failed = event | {"id": "evt_other", "type": "payment_intent.payment_failed"}
    failed["data"] = {"object": event["data"]["object"] | {"id": "pi_other"}}
    holder.deliver(failed)
    assert holder.read(top_up.id).state == "pending"


def test_a_duplicate_webhook_credits_once(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    top_up = holder.pay(5_000, now())
    (event,) = holder.events("payment_intent.succeeded")
    answers = [holder.deliver(event) for _ in range(3)]
    assert [(a.status_code, a.json["duplicate"]) for a in answers] == [(200, False), (200, True), (200, True)]  # type: ignore[index]
    other = event | {"id": "evt_again"}  # the same news under another event id
    assert holder.deliver(other).status_code == 200
    assert holder.read(top_up.id).state == "settled"
    assert _paid(holder) == 5_000
    assert_books_hold()


def test_the_webhook_may_be_faster_than_our_own_commit(no_webhook: Stripe, cardholder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    holder, real = cardholder(), stripe_gateway.pay

    def overtaken(*args: Any, **kwargs: Any) -> Outcome:
        outcome = real(*args, **kwargs)
        (event,) = holder.events("payment_intent.succeeded")
        assert holder.deliver(event).status_code == 200
        return outcome

    monkeypatch.setattr(stripe_gateway, "pay", overtaken)
    top_up = holder.pay(5_000, now())
    assert (top_up.state, top_up.stripe_payment_intent) == ("settled", _intents()[0].id)
    assert _paid(holder) == 5_000


def test_a_webhook_that_never_comes_is_made_good_by_the_sweep(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    top_up = holder.pay(5_000, now())
    assert top_up_jobs.check_pending() == 0, "too early to ask"
    _make_old(top_up, minutes=3)
    assert top_up_jobs.check_pending() == 1
    assert top_up_jobs.check_pending() == 0
    assert holder.read(top_up.id).state == "settled"
    assert _paid(holder) == 5_000
    assert_books_hold()


def _lose_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    real = stripe_gateway.pay

    def lost(*args: Any, **kwargs: Any) -> Outcome:
        real(*args, **kwargs)
        return Outcome("unknown")

    monkeypatch.setattr(stripe_gateway, "pay", lost)


@pytest.mark.parametrize(("card", "state"), [("visa", "settled"), ("fails", "failed")])
def test_a_payment_whose_answer_was_lost_is_found_by_its_metadata(
    no_webhook: Stripe, cardholder: Make, monkeypatch: pytest.MonkeyPatch, card: str, state: str
) -> None:
    holder, other = cardholder(card), cardholder()
    other.pay(5_000, now())
    top_up = holder.start(5_000, now())
    _lose_the_answer(monkeypatch)
    top_up_jobs.pay(holder.member.id, top_up.id)
    assert holder.read(top_up.id).stripe_payment_intent is None
    _make_old(top_up, minutes=3)
    top_up_jobs.check_pending()
    assert holder.read(top_up.id).state == state
    assert len(_intents()) == 2, "nobody was asked for money again"
    assert _paid(holder) == (5_000 if state == "settled" else 0)


def test_a_payment_stripe_never_heard_of_is_asked_for_with_the_same_key(no_webhook: Stripe, cardholder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = cardholder()
    keys: list[str] = []
    real = stripe.RequestsClient.request

    def watched(self: Any, method: str, url: str, headers: dict[str, str], post_data: Any = None, **more: Any) -> Any:
        if url.endswith("/v1/payment_intents") and method.lower() == "post":
            keys.append(headers["Idempotency-Key"])
            if len(keys) == 1:
                raise stripe.APIConnectionError("the line is dead")
        return real(self, method, url, headers, post_data, **more)

    monkeypatch.setattr(stripe.RequestsClient, "request", watched)
    top_up = holder.pay(5_000, now())
    assert top_up.state == "pending"
    _make_old(top_up, minutes=3)
    top_up_jobs.check_pending()
    assert set(keys) == {f"{holder.member.id}:topup:{top_up.id}"}
    assert holder.read(top_up.id).stripe_payment_intent == _intents()[0].id
    _make_old(top_up, minutes=3)
    top_up_jobs.check_pending()
    assert _paid(holder) == 5_000
    assert len(_intents()) == 1


def test_after_a_day_it_is_given_up_rather_than_asked_again(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    top_up = holder.start(5_000, now())
    _make_old(top_up, hours=24)
    top_up_jobs.check_pending()
    assert holder.read(top_up.id).failure == stripe_gateway.NOT_CHARGED
    assert _intents() == []


def test_an_unreachable_stripe_leaves_it_pending(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    settings = holder.app.extensions["settings"]
    holder.app.extensions["settings"] = dataclasses.replace(settings, stripe_api_base="http://127.0.0.1:9")
    top_up = holder.pay(5_000, now())
    assert (top_up.state, top_up.failure) == ("pending", None)
    _make_old(top_up, minutes=3)
    assert top_up_jobs.check_pending() == 1
    assert holder.read(top_up.id).state == "pending"
    holder.app.extensions["settings"] = settings
    _make_old(top_up, minutes=3)
    top_up_jobs.check_pending()
    _make_old(top_up, minutes=3)
    top_up_jobs.check_pending()
    assert _paid(holder) == 5_000


def test_webhook_and_sweep_at_once_credit_once(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    top_up = holder.pay(5_000, now())
    (event,) = holder.events("payment_intent.succeeded")
    start, failures = threading.Barrier(8), []

    def run(work: Callable[[], object]) -> None:
        with holder.app.app_context():
            start.wait()
            try:
                work()
            except Exception as error:
                failures.append(error)

    works: list[Callable[[], object]] = [lambda: holder.deliver(event)] * 4 + [lambda: top_up_jobs.check_one(top_up, at=now())] * 4
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert accounts(holder.member.id) == {Account.STRIPE_CLEARING: -5_000, Account.WALLET_PAID: 5_000}
    with transaction(SYSTEM) as session:
        assert session.scalars(select(OutboxMessage.topic)).all() == ["wallet.credited"]
    assert_books_hold()


def test_the_fee_is_booked_with_the_money(no_webhook: Stripe, cardholder: Make) -> None:
    """books.md, move 1."""
    make_top_up_offer((100_000, 10_000), starts_at=now() - timedelta(days=1))
    holder = cardholder()
    top_up = holder.start(100_000, now())
    with transaction(SYSTEM):
        assert top_ups.settle(holder.member.id, top_up.id, at=now(), fee_minor=2_900)
    with transaction(SYSTEM):
        assert not top_ups.settle(holder.member.id, top_up.id, at=now(), fee_minor=2_900)
    assert accounts(holder.member.id) == {
        Account.STRIPE_CLEARING: -97_100, Account.PAYMENT_FEES: -2_900, Account.WALLET_PAID: 100_000,
        Account.BONUS_DISCOUNT: -10_000, Account.WALLET_BONUS: 10_000,
    }  # fmt: skip
    assert_books_hold()


def test_the_next_top_up_pays_what_a_subscription_owes(no_webhook: Stripe, cardholder: Make) -> None:
    world.sell()
    holder = cardholder()
    world.put_in(holder.member, 350_00)
    subscription = world.subscribe(holder.member)
    due = subscription.term_end
    assert world.renew_all(due).past_due == 1
    top_up = holder.start(300_00, due)
    with transaction(SYSTEM):
        top_ups.settle(holder.member.id, top_up.id, at=due + timedelta(days=1))
    assert world.now_of(subscription).state == "active"
    assert world.balance(holder.member, due + timedelta(days=1)) == (50_00, 0)


def test_money_for_a_top_up_that_counted_as_failed_is_credited(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    top_up = holder.pay(5_000, now())
    with transaction(SYSTEM):
        top_ups.fail(holder.member.id, top_up.id, stripe_gateway.NOT_CHARGED, at=now())
    (event,) = holder.events("payment_intent.succeeded")
    holder.deliver(event)
    found = holder.read(top_up.id)
    assert (found.state, found.failure) == ("settled", None)
    assert _paid(holder) == 5_000


def test_the_same_id_is_the_same_top_up(no_webhook: Stripe, cardholder: Make) -> None:
    holder, wanted = cardholder(), top_ups.Wanted(new_id(), 5_000, "card")
    with transaction(SYSTEM):
        first, is_new = top_ups.start(holder.member.id, wanted, at=now(), created_by=None)
    with transaction(SYSTEM):
        again, is_new_again = top_ups.start(holder.member.id, wanted, at=now(), created_by=None)
    assert (is_new, is_new_again, again.id) == (True, False, first.id)
    with transaction(SYSTEM), pytest.raises(IdReused):
        top_ups.start(holder.member.id, dataclasses.replace(wanted, amount_minor=6_000), at=now(), created_by=None)


def test_two_clicks_at_once_make_one_top_up(no_webhook: Stripe, cardholder: Make) -> None:
    holder, wanted, news = cardholder(), top_ups.Wanted(new_id(), 5_000, "card"), []
    start = threading.Barrier(6)

    def click() -> None:
        with holder.app.app_context():
            start.wait()
            with transaction(SYSTEM):
                news.append(top_ups.start(holder.member.id, wanted, at=now(), created_by=None)[1])

    threads = [threading.Thread(target=click) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(news) == [False] * 5 + [True]


def test_what_cannot_be_asked_for(no_webhook: Stripe, cardholder: Make, app: Flask) -> None:
    holder, stranger = cardholder(), cardholder()
    for wanted, error in [
        (top_ups.Wanted(new_id(), 99, "card"), top_ups.AmountOutOfRange),
        (top_ups.Wanted(new_id(), 10**12, "card"), top_ups.AmountOutOfRange),
        (top_ups.Wanted(new_id(), 5_000, "card", payment_method_id=stranger.card.id), NotFound),
        (top_ups.Wanted(new_id(), 5_000, "card", currency="USD"), top_ups.Invalid),
        (top_ups.Wanted(new_id(), 5_000, "bank_transfer"), top_ups.NoBankAccount),
    ]:
        with transaction(SYSTEM), pytest.raises(error):
            top_ups.start(holder.member.id, wanted, at=now(), created_by=None)
    bare = make_member()
    with transaction(SYSTEM), pytest.raises(NotFound):
        top_ups.start(bare.id, top_ups.Wanted(new_id(), 5_000, "card"), at=now(), created_by=None)


def test_the_best_tier_in_force_is_promised(no_webhook: Stripe, cardholder: Make) -> None:
    make_top_up_offer((1_000, 50), starts_at=now() - timedelta(days=1))
    make_top_up_offer((5_000, 500), starts_at=now() - timedelta(days=1), bonus_days=30)
    make_top_up_offer((50_000, 9_000), starts_at=now() - timedelta(days=1))
    holder = cardholder()
    assert [(t.bonus_minor, t.bonus_days) for t in (holder.start(999, now()), holder.start(4_999, now()), holder.start(5_000, now()))] == [
        (0, None), (50, 90), (500, 30),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [({"amount": 4_999, "amount_received": 4_999}, "asks for 5000 CNY"), ({"currency": "usd"}, "USD"), ({"id": "pi_other"}, "second payment")],
)
def test_a_payment_that_does_not_match_is_shown_and_never_credited(no_webhook: Stripe, cardholder: Make, change: dict[str, Any], words: str) -> None:
    holder = cardholder()
    top_up = holder.pay(5_000, now())
    (event,) = holder.events("payment_intent.succeeded")
    event["data"]["object"] |= change
    assert holder.deliver(event).status_code == 200
    with transaction(SYSTEM) as session:
        kept = session.scalars(select(StripeEvent)).one()
    assert words in str(kept.error)
    assert kept.processed_at is not None
    assert holder.read(top_up.id).state == "pending"
    assert _paid(holder) == 0
