"""Wallet, automatic top-up, offers and finance's view of a wallet in a real browser: full and empty, both languages, light and dark, wide and narrow."""

import os
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from billing.ledger.accounts import Account
from billing.payment import payment_methods, stripe_gateway
from billing.top_up import auto_top_ups, bank_transfers, top_ups
from billing.top_up.top_up_models import AutoTopUp, BankAccount
from billing.wallet import balance_warnings, holds, wallets
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from membership.models import Member
from tests.billing.top_up.test_top_ups_browser import _cookies
from tests.browser.checks import VIEWS, LastTab, View, browser, check_tab, new_context
from tests.factories import ENTITY, make_member, make_top_up_offer
from tests.sign_in import client_as

DAY = timedelta(days=1)


def _card(member: Member) -> str:
    with transaction(SYSTEM):
        return str(payment_methods.save(member.id, stripe_gateway.Card(f"pm_{member.number}", "visa", "4242", 12, 2035), at=now()).id)


def _full_wallet() -> Member:
    """A wallet with everything: an offer's bonus, gifts, holds, credit, and automatic top-ups that failed, settled and are under way."""
    member, at = make_member(name="晨光零售集团"), now()
    make_top_up_offer((1_000_00, 100_00), (5_000_00, 800_00), starts_at=at - DAY, ends_at=at + 20 * DAY)
    make_top_up_offer((100_00, 20_00), starts_at=at + 9 * DAY, first_only=True, name_zh="新客首充", name_en="Welcome")
    _card(member)
    with transaction(SYSTEM) as session:
        session.add(BankAccount(entity_id=ENTITY, currency="CNY", holder="示例软件有限公司", bank="示例银行", number="6222", code="000"))
        session.flush()
        top_up, _new = top_ups.start(member.id, top_ups.Wanted(new_id(), 5_000_00, "bank_transfer"), at=at - 5 * DAY, created_by=None)
        session.flush()
        bank_transfers.confirm(member.id, top_up.id, 5_000_00, "B-1", at=at - 4 * DAY)
        wallets.credit(
            wallets.Credit(member.id, new_id(), request_hash("g"), "goodwill", "CNY", at, 0, 50_00, bonus_source=Account.GOODWILL,
                           bonus_expires_at=at + 9 * DAY, memo="六月服务中断补偿")
        )  # fmt: skip
        holds.place(member.id, holds.Wanted(new_id(), 1_200_00, "上门实施服务，两天"), at=at, created_by=None)
        holds.place(member.id, holds.Wanted(new_id(), 300_00, "报表定制", by_member=False), at=at, created_by=None)
        auto_top_ups.switch_on(member.id, auto_top_ups.Terms(200_00, 1_000_00, 3_000_00), at=at - 3 * DAY, set_by=None)
        card = payment_methods.list_cards(member.id)[0].id
        for number, how in enumerate(("settled", "failed", "failed"), 1):
            one, _new = top_ups.start(member.id, top_ups.Wanted(new_id(), 1_000_00, "card", None, card, number), at=at - (3 - number) * DAY, created_by=None)
            session.flush()
            if how == "settled":
                top_ups.settle(member.id, one.id, at=at - 2 * DAY)
            else:
                top_ups.fail(member.id, one.id, stripe_gateway.DECLINED, at=at - DAY)
        session.get_one(AutoTopUp, member.id).attempts = 3
        balance_warnings.set_threshold(member.id, 500_00, at=at)
        session.execute(wallets.text("select set_credit_limit(:m, 'CNY', 100000)"), {"m": member.id})
    return member


@pytest.mark.long
def test_every_page_in_every_view(app: Flask, webhook: str) -> None:
    member, empty = _full_wallet(), make_member()
    owner, viewer, finance, nobody = (
        client_as(app, "owner", member),
        client_as(app, "viewer", member),
        client_as(app, "finance"),
        client_as(app, "owner", empty),
    )
    stopped = make_member()
    card = _card(stopped)
    with transaction(SYSTEM) as session:
        one = auto_top_ups.switch_on(stopped.id, auto_top_ups.Terms(200_00, 1_000_00, 3_000_00), at=now(), set_by=None)
        session.flush()
        one.state, one.stop_reason, one.stopped_at = "stopped", "declined", now()
    halted = client_as(app, "owner", stopped)
    terms = f"/wallet/auto-top-up?threshold=200&amount=1000&cap=3000&card={card}"
    (offer, *_rest) = re.findall(r"/finance/top-up-offers/[0-9a-f-]{36}", finance.get("/finance/top-up-offers").text)
    pages = [
        (owner, "/wallet"), (viewer, "/wallet"), (nobody, "/wallet"), (owner, "/wallet/auto-top-up"), (halted, "/wallet/auto-top-up"), (halted, terms),
        (nobody, "/wallet/auto-top-up"), (owner, "/wallet/top-ups/new?amount_minor=500000"),
        (finance, "/finance/top-up-offers"), (finance, "/finance/top-up-offers/new"), (finance, offer),
        (finance, f"/finance/members/{member.id}/wallet"), (finance, f"/finance/members/{empty.id}/wallet"),
    ]  # fmt: skip
    views = [view for view in VIEWS if not (only := os.environ.get("ONLY_VIEWS")) or view.name in only.split(",")]
    faults = []
    with browser() as chromium:
        tab = LastTab(chromium)
        for view in views:
            for n, (client, path) in enumerate(pages):
                found = check_tab(tab.of(view, _cookies(client, webhook)), webhook + path, view, shots=f"w{n}")
                faults += [f"{path} {view.name}: {fault}" for fault in found]
    assert not faults, "\n".join(faults)


def test_an_owner_sees_what_will_happen_and_switches_it_on(app: Flask, webhook: str, cardholder: Callable[..., object]) -> None:
    holder = cardholder(paid=1_000_00)
    owner = client_as(app, "owner", holder.member)  # type: ignore[attr-defined]
    with browser() as chromium:
        context = new_context(chromium, View("en"), _cookies(owner, webhook), java_script_enabled=False)
        page = context.new_page()
        page.goto(f"{webhook}/wallet?lang=en")
        page.get_by_role("link", name="Open", exact=True).first.click()
        page.get_by_label("When available money falls below").fill("300")
        page.get_by_role("button", name="Show what will happen").click()
        page.get_by_text("your Visa •• 4242 is charged ¥1,000.00").wait_for()
        page.get_by_role("button", name="Switch on").click()
        page.get_by_text("It is on.").wait_for()
        page.get_by_role("button", name="Switch off").click()
        page.get_by_text("It is off").wait_for()
        context.close()
