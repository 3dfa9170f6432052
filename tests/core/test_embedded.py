"""The embedded services, each by itself."""

import time
from pathlib import Path

import stripe

from core.embedded import services
from core.embedded.stripe import Stripe


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    first = services.kept_secrets(tmp_path)
    assert services.kept_secrets(tmp_path) == first
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert first["stripe_api_key"].startswith("sk_test_")
    assert len(set(first.values())) == len(first)


def test_cards_survive_a_restart_of_the_embedded_stripe(tmp_path: Path) -> None:
    state = tmp_path / "stripe.pickle"
    server = Stripe(tmp_path / "log", state=state)
    server.start()
    try:
        server.wait()
        customer = stripe.StripeClient("sk_test_12345678", base_addresses={"api": server.url}).v1.customers.create({"email": "a@example.com"})
        time.sleep(0.3)
    finally:
        server.stop()
    assert state.stat().st_mode & 0o777 == 0o600
    again = Stripe(tmp_path / "log", state=state)
    again.start()
    try:
        again.wait()
        found = stripe.StripeClient("sk_test_12345678", base_addresses={"api": again.url}).v1.customers.retrieve(customer.id)
    finally:
        again.stop()
    assert found.email == "a@example.com"
