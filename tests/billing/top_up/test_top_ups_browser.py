"""The wallet's pages in a real browser: what every page must hold, and a top-up that turns to settled before one's eyes."""

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from billing.payment import stripe_gateway
from billing.payment.payment_models import StripeEvent
from billing.top_up import top_ups
from billing.top_up.top_up_models import BankAccount
from billing.wallet import wallets
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from membership.models import Member
from tests.browser.checks import LastTab, View, browser, check_tab, new_context, shoot
from tests.factories import ENTITY, make_member, make_top_up_offer
from tests.sign_in import client_as

pytestmark = pytest.mark.browser
VIEWS = [View("zh", "light", 360), View("en", "dark", 360), View("zh", "dark", 1280), View("en", "light", 1280)]


def _cookies(client: FlaskClient, base: str) -> list[Any]:
    cookie = client.get_cookie("session")
    assert cookie
    return [{"name": "session", "value": cookie.value, "url": base}]


def _world() -> Member:
    member = make_member(name="晨光零售集团")
    make_top_up_offer((100_000, 10_000), (500_000, 80_000), starts_at=now() - timedelta(days=1))
    with transaction(SYSTEM) as session:
        session.add(
            BankAccount(entity_id=ENTITY, currency="CNY", holder="示例软件有限公司", bank="示例银行上海分行", number="6222 0000 0000 0000", code="102290000000")
        )
        session.add(
            StripeEvent(
                id="evt_1Q2w3E4r5T6y", type="payment_intent.succeeded", payload={}, received_at=now(), processed_at=now(), error="paid 1 CNY, but 5000 asked"
            )
        )
        for amount, bonus in ((100_000, 10_000), (50_000, 0)):
            credit = wallets.Credit(
                member.id, new_id(), request_hash("test"), "top_up", "CNY", now(), amount, bonus, bonus_expires_at=now() + timedelta(days=30)
            )
            wallets.credit(credit)
        top_ups.start(member.id, top_ups.Wanted(new_id(), 2_000_00, "bank_transfer"), at=now() - timedelta(days=3), created_by=None)
    return member


@pytest.mark.long
def test_every_page_holds_in_every_view(app: Flask, webhook: str) -> None:
    owner, finance = client_as(app, "owner", _world()), client_as(app, "finance")
    for kind in ("visa", "fails"):
        owner.post("/wallet/cards", data={"kind": kind})
    cards = re.findall(r"/wallet/cards/([0-9a-f-]+)/removal", owner.get("/wallet/cards").text)
    failed = owner.post("/wallet/top-ups", data={"id": str(new_id()), "amount": "80", "source": cards[1]}).location
    (transfer,) = set(re.findall(r"/finance/top-ups/[0-9a-f-]+/[0-9a-f-]+", finance.get("/finance/top-ups").text))
    pages = [
        (owner, "/wallet"), (owner, "/wallet/top-ups/new?amount_minor=100000"), (owner, f"/wallet/top-ups/{transfer.split('/')[-1]}"), (owner, failed),
        (owner, "/wallet/cards"), (owner, "/wallet/cards/new"), (owner, f"/wallet/cards/{cards[0]}/removal"),
        (finance, "/finance/top-ups"), (finance, transfer),
        (client_as(app, "viewer", make_member()), "/wallet"),
    ]  # fmt: skip
    faults = []
    with browser() as chromium:
        tab = LastTab(chromium)
        for view in VIEWS:
            for n, (client, path) in enumerate(pages):
                found = check_tab(tab.of(view, _cookies(client, webhook)), webhook + path, view, shots=str(n))
                faults += [f"{path} {view.name}: {fault}" for fault in found]
    assert not faults, "\n".join(faults)


def test_a_top_up_turns_to_settled_by_itself_and_leads_back(app: Flask, webhook: str) -> None:
    client = client_as(app, "owner", make_member())
    with browser() as chromium:
        context = new_context(chromium, View("en"), _cookies(client, webhook))
        page = context.new_page()
        page.goto(f"{webhook}/wallet/top-ups/new?lang=en&amount_minor=15800&return_to=/wallet/cards")
        page.get_by_role("link", name="Save a card").click()
        page.get_by_text("every payment succeeds").click()
        page.get_by_role("button", name="Save the card").click()
        page.wait_for_url("**/wallet/top-ups/new**")
        assert page.get_by_label("Amount", exact=True).input_value() == "158.00"
        page.get_by_role("button", name="Top up").click()
        page.get_by_role("heading", name="Receipt for a top-up").wait_for(timeout=15_000)
        shoot(page, "settled")
        page.get_by_role("link", name="Back to the purchase").click()
        page.wait_for_url("**/wallet/cards")
        context.close()


def test_a_bank_transfer_is_asked_for_without_scripts(app: Flask, webhook: str) -> None:
    client = client_as(app, "owner", _world())
    with browser() as chromium:
        context = new_context(chromium, View("en"), _cookies(client, webhook), java_script_enabled=False)
        page = context.new_page()
        page.goto(f"{webhook}/wallet/top-ups/new?lang=en")
        page.get_by_role("link", name="¥1,000.00").click()
        page.get_by_text("Bank transfer: you get").click()
        page.get_by_role("button", name="Top up").click()
        assert "6222 0000 0000 0000" in page.content()
        assert stripe_gateway.NOT_CHARGED not in page.content()
        context.close()
