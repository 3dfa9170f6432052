"""Where top-ups meet Stripe: ask for the money, act on events, and sweep up what was lost between the two.

Each step commits before and after the network; dying in between leaves something that a sweep finishes.
"""

import uuid
from datetime import datetime, timedelta

from flask import current_app

from billing.payment import payment_methods, stripe_events, stripe_gateway
from billing.payment.payment_models import PaymentMethod
from billing.payment.stripe_gateway import Outcome, StripeUnreachable
from billing.top_up import top_ups
from billing.top_up.top_up_models import TopUp
from core.clock import now, real_instant
from core.db import SYSTEM, transaction
from core.settings import Settings

FORGET_AFTER = timedelta(hours=23)  # Stripe forgets an idempotency key after a day: from then on asking again could charge twice
SWEEP_EVERY_S = 30


def pay(member_id: uuid.UUID, top_up_id: uuid.UUID) -> None:
    """Ask Stripe for the money of a pending top-up and note the answer. That it arrived is for the webhook to say."""
    with transaction(SYSTEM) as session:
        top_up = top_ups.show(member_id, top_up_id)
        card = session.get_one(PaymentMethod, (member_id, top_up.payment_method_id))
        customer = payment_methods.customer_of(member_id)
        assert customer
    outcome = stripe_gateway.pay(member_id, top_up_id, customer=customer, card=card.stripe_id, amount_minor=top_up.amount_minor, currency=top_up.currency)
    with transaction(SYSTEM):
        if outcome.state == "declined":
            top_ups.fail(member_id, top_up_id, outcome.reason or stripe_gateway.NOT_CHARGED, at=now(), intent_id=outcome.intent_id)
        elif outcome.intent_id:
            top_ups.note_intent(member_id, top_up_id, outcome.intent_id)


def customer_for(member_id: uuid.UUID) -> str:
    """The member's customer at Stripe, made when first needed. Raises StripeUnreachable."""
    with transaction(SYSTEM):
        known, name = payment_methods.customer_of(member_id), payment_methods.name_of(member_id)
    if known:
        return known
    made = stripe_gateway.create_customer(member_id, name)
    with transaction(SYSTEM):
        return payment_methods.keep_customer(member_id, made)


def process_event(event_id: str) -> None:
    """Act on one stored event. Any number of processes may, any number of times."""
    with transaction(SYSTEM):
        news = stripe_events.understand(event_id, at=now())
    if news is None:
        return
    try:
        fee = stripe_gateway.fee_of(news.charge_id, news.currency) if news.is_paid and news.charge_id else 0
    except StripeUnreachable as error:
        with transaction(SYSTEM):
            stripe_events.put_off(event_id, f"the fee is not known yet: {error.detail}")
        return
    with transaction(SYSTEM):
        if news.is_paid:
            top_ups.settle(news.member_id, news.top_up_id, at=now(), fee_minor=fee, intent_id=news.intent_id)
        else:
            top_ups.fail(news.member_id, news.top_up_id, news.reason, at=now(), intent_id=news.intent_id)
        stripe_events.done(event_id, at=now())


def process_waiting() -> int:
    """Act on the events that a crash or an unreachable Stripe left behind; returns how many were looked at."""
    with transaction(SYSTEM):
        ids = stripe_events.waiting()
    for event_id in ids:
        try:
            process_event(event_id)
        except Exception as error:  # (kept on the event and shown to finance; the others must not wait for it)
            current_app.logger.exception("event %s could not be acted on", event_id)
            with transaction(SYSTEM):
                stripe_events.put_off(event_id, repr(error))
    return len(ids)


def check_pending() -> int:
    """Ask Stripe about card top-ups it has not told us about; returns how many were asked about."""
    settings: Settings = current_app.extensions["settings"]
    with transaction(SYSTEM) as session:
        stale = top_ups.claim_stale(settings.top_up_check_minutes, at=now())
        session.flush()
        session.expunge_all()  # read while the session does other work
    for top_up in stale:
        try:
            check_one(top_up, at=now())
        except Exception:  # one that fails must not keep the others waiting
            current_app.logger.exception("top-up %s waits for the next sweep", top_up.id)
    return len(stale)


def check_one(top_up: TopUp, *, at: datetime) -> None:
    """Bring one pending card top-up to what Stripe says; if Stripe never heard of it, ask again with the same key, or give up in time."""
    outcome: Outcome | None
    if top_up.stripe_payment_intent:
        outcome = stripe_gateway.look_up(top_up.stripe_payment_intent)
    else:
        with transaction(SYSTEM):
            customer = payment_methods.customer_of(top_up.member_id)
        outcome = stripe_gateway.find(top_up.member_id, top_up.id, customer, real_instant(top_up.created_at))
    if outcome is None and at - top_up.created_at < FORGET_AFTER:
        pay(top_up.member_id, top_up.id)
    elif outcome is None or outcome.state == "declined":
        reason, intent = (outcome.reason, outcome.intent_id) if outcome else (None, None)
        with transaction(SYSTEM):
            top_ups.fail(top_up.member_id, top_up.id, reason or stripe_gateway.NOT_CHARGED, at=at, intent_id=intent)
    elif outcome.state == "paid":
        _settle(top_up, outcome, at)


def _settle(top_up: TopUp, outcome: Outcome, at: datetime) -> None:
    assert outcome.intent_id
    assert outcome.amount_minor
    assert outcome.currency
    fee = stripe_gateway.fee_of(outcome.charge_id, top_up.currency) if outcome.charge_id else 0
    with transaction(SYSTEM):
        try:
            stripe_events.check(top_ups.locked(top_up.member_id, top_up.id), outcome.intent_id, outcome.amount_minor, outcome.currency)
        except stripe_events.Mismatch:
            current_app.logger.exception("top-up %s does not match its payment", top_up.id)
            return
        top_ups.settle(top_up.member_id, top_up.id, at=at, fee_minor=fee, intent_id=outcome.intent_id)
