"""The wallet's pages and its API, as owner, buyer, viewer and stranger see them."""

import dataclasses
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from billing.payment.payment_models import StripeEvent
from billing.top_up import top_up_jobs, top_ups
from billing.top_up.top_up_models import BankAccount, TopUp
from billing.wallet import wallets
from core.clock import now
from core.db import SYSTEM, db, transaction
from core.embedded.stripe import Stripe
from core.ids import new_id, request_hash
from tests.billing.books import assert_books_hold
from tests.billing.conftest import Cardholder
from tests.factories import ENTITY, make_member, make_top_up_offer
from tests.sign_in import bearer, client_as

Make = Callable[..., Cardholder]


@pytest.fixture
def bank(app: Flask) -> None:
    """Our bank account, so that transfers are offered."""
    make_member()
    with transaction(SYSTEM) as session:
        session.add(BankAccount(entity_id=ENTITY, currency="CNY", holder="示例软件有限公司", bank="示例银行", number="6222000000000000", code="000000000000"))


def _top_up(member: Any, amount: int, **more: Any) -> None:
    with transaction(SYSTEM):
        wallets.credit(wallets.Credit(member.id, new_id(), request_hash("test"), "top_up", "CNY", now(), amount, **more))


def _form(client: FlaskClient, **values: str) -> dict[str, str]:
    """What the rendered form would send."""
    page = client.get("/wallet/top-ups/new?lang=en").text
    found = re.search(r'name="id" value="([^"]+)"', page)
    assert found
    return {"id": found[1], "amount": "100.00", "source": "bank_transfer"} | values


def test_balances_stand_apart_with_expiry_and_entries(app: Flask) -> None:
    member = make_member()
    _top_up(member, 100_000, bonus_minor=10_000, bonus_expires_at=now() + timedelta(days=30))
    page = client_as(app, "owner", member).get("/wallet?lang=en")
    assert page.status_code == 200
    for words in ("¥1,100.00", "¥1,000.00", "¥100.00", "+1,100.00", "Top up", f"{now() + timedelta(days=30):%Y-%m-}"):
        assert words in page.text
    assert page.text.count("btn-primary") == 1


def test_a_viewer_sees_the_wallet_and_cannot_top_up(app: Flask) -> None:
    viewer = client_as(app, "viewer", make_member(paid=5_000))
    page = viewer.get("/wallet?lang=en")
    assert "¥50.00" in page.text
    assert "btn-primary" not in page.text
    assert viewer.get("/wallet/top-ups/new").status_code == 403
    assert viewer.post("/wallet/top-ups", data={}).status_code == 403
    assert viewer.get("/wallet/cards").status_code == 200
    assert viewer.post("/wallet/cards", data={"kind": "visa"}).status_code == 403


def test_entries_page_on(app: Flask) -> None:
    member = make_member()
    for amount in range(1_00, 26_00, 1_00):
        _top_up(member, amount)
    client = client_as(app, "buyer", member)
    first = client.get("/wallet?lang=en").text
    found = re.search(r'rel="next" href="([^"]+)"', first)
    assert found
    second = client.get(found[1].replace("&amp;", "&")).text
    assert first.count('data-label="Balance after"') == 20
    assert "+25.00" in first
    assert "+1.00" in second
    assert "+6.00" not in second
    assert client.get("/wallet?after=nonsense").status_code == 400


@pytest.mark.parametrize("rows", [10, 50])
def test_pages_stay_within_twelve_queries(app: Flask, bank: None, rows: int) -> None:
    member = make_member()
    for _ in range(rows):
        _top_up(member, 1_00, bonus_minor=10, bonus_expires_at=now() + timedelta(days=30))
        with transaction(SYSTEM):
            top_ups.start(member.id, top_ups.Wanted(new_id(), 1_00, "bank_transfer"), at=now(), created_by=None)
    owner, finance = client_as(app, "owner", member), client_as(app, "finance")
    for client, path in [(owner, "/wallet"), (owner, "/wallet/top-ups/new"), (owner, "/wallet/cards"), (finance, "/finance/top-ups")]:
        seen: list[str] = []
        listen = lambda *args, seen=seen: seen.append(args[2])  # noqa: E731
        event.listen(db.engine, "before_cursor_execute", listen)
        assert client.get(path).status_code == 200
        event.remove(db.engine, "before_cursor_execute", listen)
        assert len(seen) <= 12, (path, seen)


def test_a_card_is_saved_charged_and_the_page_turns_to_settled(app: Flask, webhook: str) -> None:
    member = make_member()
    client = client_as(app, "owner", member)
    assert "No cards yet" in client.get("/wallet/cards?lang=en").text
    saved = client.post("/wallet/cards", data={"kind": "visa", "return_to": "/wallet/top-ups/new"})
    assert saved.location == "/wallet/top-ups/new"
    page = client.get("/wallet/top-ups/new?lang=en&amount_minor=15800&next=/store/x/buy").text
    card = re.search(r'name="source" value="([0-9a-f-]{36})" checked', page)
    assert card
    assert 'value="158.00"' in page
    form = _form(client, source=card[1], amount="158", return_to="/store/x/buy")
    first = client.post("/wallet/top-ups", data=form)
    again = client.post("/wallet/top-ups", data=form)
    assert first.status_code == 303
    assert first.location == again.location
    assert "return_to=/store/x/buy" in first.location
    waiting = client.get(first.location)
    assert "data-poll" in waiting.text
    holder = Cardholder(app, member, None)  # type: ignore[arg-type]
    holder.until_settled(uuid.UUID(form["id"]))
    status = client.get(first.location.replace("?", "/status?")).get_json()
    assert (status["done"], status["percent"]) == (True, 100)
    receipt = client.get(status["href"] + "&lang=en").text
    assert "Receipt for a top-up" in receipt
    assert 'href="/store/x/buy"' in receipt
    assert "Receipt" in client.get("/wallet?lang=en").text
    assert_books_hold()


def test_a_declined_card_is_told_in_words(app: Flask, no_webhook: Stripe) -> None:
    client = client_as(app, "owner", make_member())
    client.post("/wallet/cards", data={"kind": "fails"})
    page = client.get("/wallet/top-ups/new").text
    card = re.search(r'name="source" value="([0-9a-f-]{36})" checked', page)
    assert card
    shown = client.get(client.post("/wallet/top-ups", data=_form(client, source=card[1])).location + "?lang=en").text
    assert "Your bank declined this card. Nothing was charged." in shown
    assert "Try another way" in shown


def test_a_refused_card_is_not_saved(app: Flask, no_webhook: Stripe) -> None:
    client = client_as(app, "owner", make_member())
    answer = client.post("/wallet/cards", data={"kind": "refused"})
    assert answer.status_code == 402
    assert "No cards yet" in client.get("/wallet/cards?lang=en").text
    assert client.post("/wallet/cards", data={"setup_intent": "seti_unknown"}).status_code == 402
    assert client.post("/wallet/cards", data={"setup_intent": "../x"}).status_code == 422


def test_cards_default_and_removal(app: Flask, no_webhook: Stripe) -> None:
    member = make_member()
    client = client_as(app, "owner", member)
    for kind in ("visa", "fails"):
        client.post("/wallet/cards", data={"kind": kind})
    ids = re.findall(r"/wallet/cards/([0-9a-f-]+)/removal", client.get("/wallet/cards").text)
    assert len(ids) == 2
    client.post(f"/wallet/cards/{ids[1]}/default")
    ids_after = re.findall(r"/wallet/cards/([0-9a-f-]+)/removal", client.get("/wallet/cards").text)
    assert ids_after == ids[::-1]
    assert client.get(f"/wallet/cards/{ids[1]}/removal").status_code == 200
    client.post(f"/wallet/cards/{ids[1]}/removal")
    page = client.get("/wallet/cards?lang=en").text
    assert ids[1] not in page
    assert "Used first" in page
    stranger = client_as(app, "owner", make_member())
    assert stranger.post(f"/wallet/cards/{ids[0]}/removal").status_code == 404


def test_test_cards_are_refused_where_stripe_is_real(app: Flask, no_webhook: Stripe) -> None:
    settings = app.extensions["settings"]
    client = client_as(app, "owner", make_member())
    app.extensions["settings"] = dataclasses.replace(settings, demo=False)
    answer = client.post("/wallet/cards", data={"kind": "visa"})
    page = client.get("/wallet/cards/new?lang=en")
    app.extensions["settings"] = dataclasses.replace(settings, demo=False, stripe_publishable_key="pk_test_1")
    with_key = client.get("/wallet/cards/new?lang=en")
    other = client.get("/wallet")
    app.extensions["settings"] = settings
    assert answer.status_code == 403
    assert "not available right now" in page.text
    assert 'src="https://js.stripe.com/v3/"' in with_key.text
    assert "frame-src https://js.stripe.com" in with_key.headers["Content-Security-Policy"]
    assert "stripe.com" not in other.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"amount": "abc"}, "Enter an amount like"),
        ({"amount": "-5"}, "Enter an amount like"),
        ({"amount": "0.001"}, "Enter an amount like"),
        ({"amount": "0.50"}, "Choose an amount from"),
        ({"amount": "1e99"}, "Enter an amount like"),
        ({"source": "nonsense"}, "Choose how you want to pay"),
        ({"source": "00000000-0000-0000-0000-000000000000"}, "Choose a saved card"),
    ],
)
def test_a_wrong_form_keeps_its_input_and_charges_nothing(app: Flask, bank: None, values: dict[str, str], words: str) -> None:
    client = client_as(app, "owner", make_member())
    form = _form(client, **values)
    answer = client.post("/wallet/top-ups?lang=en", data=form)
    assert answer.status_code in {404, 422}
    for expected in (words, "Nothing was charged.", form["id"], "Error:"):
        assert expected in answer.text


def test_a_return_path_stays_on_this_site(app: Flask, bank: None) -> None:
    client = client_as(app, "owner", make_member())
    assert 'name="return_to" value=""' in client.get("/wallet/top-ups/new?return_to=https://evil.example/").text
    answer = client.post("/wallet/top-ups", data=_form(client, return_to="//evil.example/"))
    assert "evil" not in answer.location


def test_the_bank_transfer_page_has_details_and_reference(app: Flask, bank: None) -> None:
    member = make_member()
    client = client_as(app, "buyer", member)
    page = client.get(client.post("/wallet/top-ups", data=_form(client)).location + "?lang=en").text
    assert "6222000000000000" in page
    assert re.search(rf"{member.number}-[A-Z2-7]{{5}}", page)
    assert "is on its way" in client.get("/wallet?lang=en").text


def test_offers_are_shown_and_promised(app: Flask, bank: None) -> None:
    make_top_up_offer((100_000, 10_000), starts_at=now() - timedelta(days=1))
    client = client_as(app, "owner", make_member())
    page = client.get("/wallet/top-ups/new?lang=en&amount_minor=100000").text
    assert "Top up ¥1,000.00, get ¥100.00" in page
    assert "¥1,100.00" in page
    shown = client.get(client.post("/wallet/top-ups", data=_form(client, amount="1,000.00")).location + "?lang=en").text
    assert "Bonus, promised" in shown


def test_nobody_sees_a_stranger_s_top_up(app: Flask, bank: None) -> None:
    client, stranger = client_as(app, "owner", make_member()), client_as(app, "owner", make_member())
    place = client.post("/wallet/top-ups", data=_form(client)).location
    assert stranger.get(place).status_code == 404
    assert stranger.get(f"{place}/status").status_code == 404
    assert client_as(app, "finance").get("/wallet").status_code == 403


def test_finance_confirms_and_cancels(app: Flask, bank: None) -> None:
    member = make_member(name="晨光零售")
    client, finance = client_as(app, "owner", member), client_as(app, "finance")
    for _ in range(2):
        client.post("/wallet/top-ups", data=_form(client))
    page = finance.get("/finance/top-ups?lang=en").text
    places = re.findall(r"/finance/top-ups/[0-9a-f-]+/[0-9a-f-]+", page)
    assert len(set(places)) == 2
    assert "2 bank transfers wait" in page
    assert member.name_en
    assert member.name_en in page
    assert "晨光零售" in finance.get("/finance/top-ups?lang=zh").text
    assert "Nothing matches" in finance.get("/finance/top-ups?lang=en&q=nobody").text
    assert finance.get(places[0]).status_code == 200
    wrong = finance.post(f"{places[0]}/confirmation?lang=en", data={"received": "x", "bank_transaction": ""})
    assert wrong.status_code == 422
    assert finance.post(f"{places[0]}/confirmation", data={"received": "99.00", "bank_transaction": "B-1"}).status_code == 303
    told = finance.get("/finance/top-ups?lang=en").text
    assert "Announced were ¥100.00" in told
    again = finance.post(f"{places[-1]}/confirmation?lang=en", data={"received": "100", "bank_transaction": "B-1"})
    assert again.status_code == 409
    assert "already used" in again.text
    assert finance.post(f"{places[-1]}/cancellation", data={"reason": "no money came"}).status_code == 303
    assert "no money came" in client.get(f"/wallet/top-ups/{places[-1].split('/')[-1]}").text
    assert client.get("/finance/top-ups").status_code == 403
    assert_books_hold()


def test_finance_sees_events_that_match_nothing(app: Flask) -> None:
    with transaction(SYSTEM) as session:
        session.add(StripeEvent(id="evt_1", type="payment_intent.succeeded", payload={}, received_at=now(), processed_at=now(), error="paid 1 CNY, but …"))
    page = client_as(app, "finance").get("/finance/top-ups?lang=en").text
    assert "evt_1" in page
    assert "paid 1 CNY" in page


def test_the_api_of_the_wallet(app: Flask, bank: None) -> None:
    member = make_member(paid=5_000, bonus=500, bonus_expires_at=now() + timedelta(days=9))
    client, key = app.test_client(), bearer("buyer", member)
    shown = client.get("/api/v1/wallet", headers=key).get_json()
    expected = {
        "currency": "CNY", "paid_minor": 5_000, "bonus_minor": 500, "held_minor": 0, "available_minor": 5_500, "state": "open", "credit_limit_minor": 0,
        "owed_minor": 0, "next_expiry_minor": 500, "consumption_order": "bonus_first", "grants_count": 2, "balance_warning_minor": None, "auto_top_up": "off",
    }  # fmt: skip
    assert {name: shown[name] for name in expected} == expected
    assert [(one["kind"], one["remaining_minor"], one["source"]) for one in shown["grants"]] == [
        ("bonus", 500, "opening_balance"), ("paid", 5_000, "opening_balance"),
    ]  # fmt: skip
    assert shown["grants"][0]["expires_at"] == shown["next_expiry_at"]
    _top_up(member, 1_000)
    first = client.get("/api/v1/wallet/entries?limit=1", headers=key).get_json()
    second = client.get(f"/api/v1/wallet/entries?limit=1&after={first['next']}", headers=key).get_json()
    assert [(e["amount_minor"], e["kind"]) for e in first["items"] + second["items"]] == [(1_000, "top_up"), (5_500, "opening_balance")]
    assert second["next"] is None
    assert client.get("/api/v1/wallet").status_code == 401


def test_the_api_of_top_ups(app: Flask, bank: None, no_webhook: Stripe, cardholder: Make) -> None:
    holder, client = cardholder(), app.test_client()
    key, viewer = bearer("buyer", holder.member), bearer("viewer", holder.member)
    body = {"id": str(new_id()), "amount_minor": 5_000, "method": "card"}
    first = client.post("/api/v1/wallet/top-ups", json=body, headers=key)
    assert (first.status_code, first.get_json()["state"]) == (201, "pending")
    assert client.post("/api/v1/wallet/top-ups", json=body, headers=key).get_json()["id"] == body["id"]
    assert len(holder.events("payment_intent.succeeded")) == 1
    reused = client.post("/api/v1/wallet/top-ups", json=body | {"amount_minor": 6_000}, headers=key)
    assert (reused.status_code, reused.get_json()["code"]) == (409, "id_reused")
    assert client.post("/api/v1/wallet/top-ups", json=body, headers=viewer).status_code == 403
    assert client.post("/api/v1/wallet/top-ups", json={"id": "x"}, headers=key).status_code == 422
    (event_,) = holder.events("payment_intent.succeeded")
    holder.deliver(event_)
    assert client.get(f"/api/v1/wallet/top-ups/{body['id']}", headers=viewer).get_json()["state"] == "settled"
    assert client.get(f"/api/v1/wallet/top-ups/{new_id()}", headers=key).status_code == 404
    assert [t["id"] for t in client.get("/api/v1/wallet/top-ups", headers=key).get_json()["items"]] == [body["id"]]


def test_the_api_of_confirmations(app: Flask, bank: None) -> None:
    member, client = make_member(), app.test_client()
    key = bearer("buyer", member)
    made = client.post("/api/v1/wallet/top-ups", json={"id": str(new_id()), "amount_minor": 5_000, "method": "bank_transfer"}, headers=key).get_json()
    assert made["bank_reference"].startswith(member.number)
    url, body = f"/api/v1/finance/top-ups/{made['id']}/confirmation", {"received_minor": 5_000, "bank_transaction": "B-77"}
    assert client.post(url, json=body, headers=key).status_code == 403
    for role in ("operator", "finance"):
        answer = client.post(url, json=body, headers=bearer(role))
        assert (answer.status_code, answer.get_json()["state"]) == (200, "settled")
    assert client.post(url, json=body | {"received_minor": 1}, headers=bearer("finance")).status_code == 409
    assert client.get("/api/v1/wallet", headers=key).get_json()["paid_minor"] == 5_000
    assert_books_hold()


def test_one_customer_at_stripe_however_many_ask(app: Flask, no_webhook: Stripe) -> None:
    member = make_member()
    assert top_up_jobs.customer_for(member.id) == top_up_jobs.customer_for(member.id)


def test_a_top_up_page_of_each_state_renders_in_both_languages(app: Flask, bank: None) -> None:
    member = make_member()
    client = client_as(app, "owner", member)
    with transaction(SYSTEM) as session:
        for state in ("pending", "settled", "failed", "cancelled"):
            session.add(
                TopUp(
                    member_id=member.id,
                    id=new_id(),
                    request_hash=b"x",
                    currency="CNY",
                    amount_minor=100,
                    bonus_minor=10,
                    bonus_days=5,
                    method="card",
                    state=state,
                    failure="The payment did not go through. Nothing was charged." if state == "failed" else None,
                    created_at=now(),
                    settled_at=now() if state == "settled" else None,
                )
            )
        session.flush()
        ids = [row.id for row in session.query(TopUp)]
    for one in ids:
        for lang in ("zh", "en"):
            assert client.get(f"/wallet/top-ups/{one}?lang={lang}").status_code == 200
