"""The webhook: only Stripe is believed, everything is kept, nothing blocks."""

import dataclasses
import time
from collections.abc import Callable

from sqlalchemy import func, select

from billing.payment import stripe_events
from billing.payment.payment_models import StripeEvent
from billing.top_up import top_up_jobs
from core.clock import now
from core.db import SYSTEM, transaction
from core.embedded.stripe import Stripe
from core.ids import new_id
from tests.billing.conftest import Cardholder

Make = Callable[..., Cardholder]


def _kept() -> int:
    with transaction(SYSTEM) as session:
        return session.scalar(select(func.count()).select_from(StripeEvent)) or 0


def test_a_signature_that_is_wrong_missing_or_old_is_refused(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    top_up = holder.pay(5_000, now())
    (event,) = holder.events("payment_intent.succeeded")
    assert holder.deliver(event, secret="whsec_guessed").status_code == 400
    assert holder.deliver(event, at=int(time.time()) - 3_600).status_code == 400
    missing = holder.app.test_client().post("/webhooks/stripe", json=event)
    assert (missing.status_code, missing.content_type) == (400, "application/problem+json")
    assert _kept() == 0
    assert holder.read(top_up.id).state == "pending"


def test_nonsense_with_a_good_signature_is_refused(no_webhook: Stripe, cardholder: Make) -> None:
    assert cardholder().deliver(["not an event"]).status_code == 400  # type: ignore[arg-type]
    assert _kept() == 0


def test_events_of_other_kinds_are_kept_and_done_with(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    for event_type, data in [
        ("charge.succeeded", {"id": "ch_1"}),
        ("payment_intent.succeeded", {"id": "pi_1", "amount": 5, "currency": "cny", "metadata": {}}),
    ]:
        event = {"id": f"evt_{event_type}", "object": "event", "type": event_type, "data": {"object": data}}
        assert holder.deliver(event).status_code == 200
    with transaction(SYSTEM) as session:
        assert [(e.processed_at is not None, e.error) for e in session.scalars(select(StripeEvent))] == [(True, None), (True, None)]


def test_an_event_for_a_top_up_we_do_not_know_is_shown(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    holder.pay(5_000, now())
    (event,) = holder.events("payment_intent.succeeded")
    event["data"]["object"]["metadata"]["top_up_id"] = str(new_id())
    holder.deliver(event)
    with transaction(SYSTEM) as session:
        assert session.scalars(select(StripeEvent.error)).one() == "its top-up does not exist here"


def test_a_stored_event_is_acted_on_by_the_sweep(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    top_up = holder.pay(5_000, now())
    (event,) = holder.events("payment_intent.succeeded")
    with transaction(SYSTEM):
        assert stripe_events.keep(event, at=now())  # and there the process died
    assert top_up_jobs.process_waiting() == 1
    assert top_up_jobs.process_waiting() == 0
    assert holder.read(top_up.id).state == "settled"


def test_while_the_fee_cannot_be_asked_for_the_event_waits(no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder()
    top_up = holder.pay(5_000, now())
    (event,) = holder.events("payment_intent.succeeded")
    settings = holder.app.extensions["settings"]
    holder.app.extensions["settings"] = dataclasses.replace(settings, stripe_api_base="http://127.0.0.1:9")
    assert holder.deliver(event).status_code == 200
    assert holder.read(top_up.id).state == "pending"
    with transaction(SYSTEM) as session:
        assert "fee" in str(session.scalars(select(StripeEvent.error)).one())
    holder.app.extensions["settings"] = settings
    top_up_jobs.process_waiting()
    assert holder.read(top_up.id).state == "settled"
    with transaction(SYSTEM) as session:
        session.expire_all()
        assert session.scalars(select(StripeEvent.error)).one() is None
