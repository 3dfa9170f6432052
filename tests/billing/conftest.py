"""A real Stripe API whose signed webhooks reach a real server of the application."""

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from billing.payment import payment_methods, stripe_gateway
from billing.payment.payment_models import PaymentMethod
from billing.top_up import top_up_jobs, top_ups
from billing.top_up.top_up_models import TopUp
from core.db import SYSTEM, transaction
from core.embedded.stripe import Stripe
from core.ids import new_id
from membership.models import Member
from tests.browser.checks import serve
from tests.factories import make_member

NOBODY = "http://127.0.0.1:9/"


def _send_events_to(stripe_api: Stripe, url: str, secret: str) -> None:
    httpx.post(f"{stripe_api.url}/_config/webhooks/tests", json={"url": url, "secret": secret}, timeout=5).raise_for_status()


@pytest.fixture
def no_webhook(stripe_api: Stripe) -> Stripe:
    """A Stripe whose events reach nobody."""
    _send_events_to(stripe_api, NOBODY, "whsec_nobody")
    return stripe_api


@pytest.fixture
def webhook(app: Flask, stripe_api: Stripe) -> Iterator[str]:
    """A Stripe whose signed events reach the running application; yields the application's address."""
    with serve(app) as base:
        _send_events_to(stripe_api, f"{base}/webhooks/stripe", app.extensions["settings"].stripe_webhook_secret)
        yield base
        _send_events_to(stripe_api, NOBODY, "whsec_nobody")


def signed(payload: bytes, secret: str, at: int | None = None) -> str:
    """The header with which Stripe signs an event."""
    at = int(time.time()) if at is None else at
    return f"t={at},v1={hmac.new(secret.encode(), f'{at}.'.encode() + payload, hashlib.sha256).hexdigest()}"


@dataclass
class Cardholder:
    """A member with a card at the real Stripe API, and the steps of its top-ups."""

    app: Flask
    member: Member
    card: PaymentMethod

    def start(self, amount_minor: int, at: datetime, **wanted: Any) -> TopUp:
        """The pending row, not yet asked for at Stripe."""
        with transaction(SYSTEM):
            top_up, _new = top_ups.start(self.member.id, top_ups.Wanted(new_id(), amount_minor, "card", **wanted), at=at, created_by=None)
        return top_up

    def pay(self, amount_minor: int, at: datetime) -> TopUp:
        """A top-up as the page makes it: the row, then Stripe."""
        top_up = self.start(amount_minor, at)
        top_up_jobs.pay(self.member.id, top_up.id)
        return self.read(top_up.id)

    def read(self, top_up_id: uuid.UUID) -> TopUp:
        """The row as it stands now."""
        with transaction(SYSTEM) as session:
            session.expire_all()
            return top_ups.show(self.member.id, top_up_id)

    def events(self, *types: str) -> list[dict[str, Any]]:
        """What Stripe has to tell."""
        found = [event.to_dict() for event in stripe_gateway.client().v1.events.list({"limit": 100}).auto_paging_iter()]
        return [event for event in found if not types or event["type"] in types]

    def deliver(self, event: dict[str, Any], secret: str | None = None, at: int | None = None) -> TestResponse:
        """Send an event to our webhook, signed."""
        payload = json.dumps(event).encode()
        header = signed(payload, secret or self.app.extensions["settings"].stripe_webhook_secret, at)
        return self.app.test_client().post("/webhooks/stripe", data=payload, headers={"Stripe-Signature": header})

    def until_settled(self, top_up_id: uuid.UUID, state: str = "settled") -> TopUp:
        """Wait for the webhook, as a customer does."""
        for _attempt in range(100):
            if (found := self.read(top_up_id)).state == state:
                return found
            time.sleep(0.1)
        raise AssertionError(f"still {found.state}")


@pytest.fixture
def cardholder(app: Flask, stripe_api: Stripe, at: datetime) -> Callable[..., Cardholder]:
    """`cardholder("visa" | "fails")`: a member with a saved test card."""

    def make(kind: str = "visa", **member: Any) -> Cardholder:
        made = make_member(**member)
        customer = top_up_jobs.customer_for(made.id)
        card = stripe_gateway.keep_card(stripe_gateway.make_test_card(kind, customer), customer)
        with transaction(SYSTEM):
            return Cardholder(app, made, payment_methods.save(made.id, card, at=at))

    return make
