"""Signed events of Stripe: kept as they came, understood once. A duplicate is harmless, a mismatch is shown and never credited."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from billing.payment import stripe_gateway
from billing.payment.payment_models import StripeEvent
from billing.top_up.top_up_models import TopUp
from core.db import db

SUCCEEDED, FAILED = "payment_intent.succeeded", "payment_intent.payment_failed"


@dataclass(frozen=True, slots=True)
class News:
    """What an event says about one top-up. `charge_id` tells where the fee is found."""

    member_id: uuid.UUID
    top_up_id: uuid.UUID
    intent_id: str
    is_paid: bool
    currency: str
    charge_id: str | None = None
    reason: str = ""


class Mismatch(Exception):
    """An event that nothing of ours explains: for a person to look at."""


Listener = Callable[[dict[str, Any], datetime], None]
_listeners: dict[str, Listener] = {}


def listen(event_type: str, listener: Listener) -> None:
    """Act on events of a type in the transaction that marks them as done; the listener may raise Mismatch. Wired in `app.py` only."""
    _listeners[event_type] = listener


def keep(event: dict[str, Any], *, at: datetime) -> bool:
    """Write an event down as it came; False for one that is here already."""
    kept = db.session.execute(
        insert(StripeEvent).values(id=event["id"], type=event["type"], payload=event, received_at=at).on_conflict_do_nothing().returning(StripeEvent.id)
    ).one_or_none()
    return kept is not None


def waiting(limit: int = 100) -> list[str]:
    """Events nobody has finished with, the oldest first."""
    return list(
        db.session.scalars(select(StripeEvent.id).where(StripeEvent.processed_at.is_(None)).order_by(StripeEvent.received_at, StripeEvent.id).limit(limit))
    )


def understand(event_id: str, *, at: datetime) -> News | None:
    """What an event means for a top-up, or None when there is nothing (more) to do; a mismatch is recorded on the event."""
    event = db.session.get(StripeEvent, event_id)
    if event is None or event.processed_at is not None:
        return None
    news = None
    try:
        if listener := _listeners.get(event.type):
            with db.session.begin_nested():  # a mismatch leaves nothing behind but its mark on the event
                listener(event.payload, at)
        else:
            news = _news(event)
    except Mismatch as error:
        current_app.logger.warning("Stripe event %s: %s", event_id, error)
        event.error = str(error)
    if news is None:
        event.processed_at = at
    return news


def done(event_id: str, *, at: datetime) -> None:
    """This event has been acted on."""
    event = db.session.get_one(StripeEvent, event_id)
    event.processed_at, event.error = event.processed_at or at, None


def put_off(event_id: str, reason: str) -> None:
    """This event could not be acted on yet; the sweep comes back to it."""
    event = db.session.get_one(StripeEvent, event_id)
    if event.processed_at is None:
        event.error = reason


def _news(event: StripeEvent) -> News | None:
    if event.type not in (SUCCEEDED, FAILED):
        return None
    intent = event.payload["data"]["object"]
    meta = intent.get("metadata") or {}
    if "top_up_id" not in meta:
        return None  # a payment that is not a top-up
    try:
        member_id, top_up_id = uuid.UUID(meta["member_id"]), uuid.UUID(meta["top_up_id"])
    except (KeyError, ValueError) as error:
        raise Mismatch("its metadata name no top-up") from error
    top_up = db.session.get(TopUp, (member_id, top_up_id))
    if top_up is None:
        raise Mismatch("its top-up does not exist here")
    is_paid = event.type == SUCCEEDED
    if is_paid:
        check(top_up, intent["id"], intent.get("amount_received") or intent["amount"], intent["currency"].upper())
    charge = intent.get("latest_charge")
    charge_id = charge["id"] if isinstance(charge, dict) else charge
    return News(member_id, top_up_id, intent["id"], is_paid, top_up.currency, charge_id, "" if is_paid else stripe_gateway.reason_of(intent))


def check(top_up: TopUp, intent_id: str, amount_minor: int, currency: str) -> None:
    """Is this payment the one of this top-up, to the cent? Raises Mismatch."""
    if (amount_minor, currency) != (top_up.amount_minor, top_up.currency):
        raise Mismatch(f"paid {amount_minor} {currency}, but the top-up asks for {top_up.amount_minor} {top_up.currency}")
    if top_up.method != "card":
        raise Mismatch("its top-up is a bank transfer")
    if top_up.stripe_payment_intent not in (None, intent_id):
        raise Mismatch(f"a second payment of a top-up that {top_up.stripe_payment_intent} pays: refund it")
