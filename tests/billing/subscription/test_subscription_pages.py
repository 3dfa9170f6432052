"""The member's subscription pages: what they show, what they charge, and what they say when they do not."""

import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from billing.subscription import subscription_ends
from core.clock import now
from core.db import db, transaction
from core.ids import new_id
from membership.models import Member
from tests.billing import subscription_world as world
from tests.sign_in import client_as

URL = "/subscriptions"


@pytest.fixture
def member(app: Flask) -> Member:
    world.sell()
    return world.member_with(paid=1_000_00, bonus=50_00)


@pytest.fixture
def buyer(app: Flask, member: Member) -> FlaskClient:
    client = client_as(app, "buyer", member)
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


def page(client: FlaskClient, url: str, status: int = 200, **form: object) -> str:
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    answer = client.post(url, data=form) if form else client.get(url)
    assert answer.status_code == status, answer.text
    return re.sub(r"\s+", " ", answer.text)


def hidden(html: str) -> dict[str, str]:
    form = re.search(r'<form method="post" action="/subscriptions[^"]*">.*?</form>', html)
    assert form, "no form to confirm"
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form[0]))


def filled_buttons(html: str) -> int:
    return len(re.findall(r"btn-primary", html))


def test_from_nothing_to_a_running_subscription(buyer: FlaskClient, member: Member) -> None:
    empty = page(buyer, URL)
    assert "No subscription yet" in empty
    assert filled_buttons(empty) == 1
    editions = page(buyer, f"{URL}/editions?period=year&seats=3")
    assert "¥1,300.00" in editions  # 1,000 and 3 × 100
    assert "Everything of Entry, and:" in editions
    assert filled_buttons(editions) == 1
    confirm = page(buyer, f"{URL}/new?product_line=crm&rank=2&period=month&seats=5")
    for words in ("¥200.00", "¥100.00", "¥300.00", "¥16.98", "¥1,050.00", "−¥50.00", "−¥250.00", "¥750.00", "Pay ¥300.00"):
        assert words in confirm, words
    form = hidden(confirm)
    for _click in range(2):  # a double click
        assert buyer.post(URL, data=form).status_code == 303
    assert world.balance(member, now()) == (750_00, 0)
    shown = page(buyer, URL)
    assert "¥300.00 was taken from the wallet for Jade CRM · Standard." in shown
    assert "Covered by the wallet" in shown
    assert "0 of 5" in shown


def test_a_change_costs_what_the_page_showed(buyer: FlaskClient, member: Member) -> None:
    one = world.subscribe(member, at=now())
    change = f"{URL}/{one.id}"
    assert "Your edition" in page(buyer, f"{change}/editions?seats=8")
    confirm = page(buyer, f"{change}/preview?rank=3&seats=8")
    assert filled_buttons(confirm) == 1
    form = hidden(confirm)
    before = sum(world.balance(member, now()))
    assert buyer.post(f"{change}/changes", data=form).status_code == 303
    assert before - sum(world.balance(member, now())) == int(form["price_minor"]) > 0
    held = world.now_of(one)
    assert (held.rank, held.seats) == (3, 8)
    lower = hidden(page(buyer, f"{change}/preview?rank=1&seats=2"))
    assert lower["price_minor"] == "0"
    assert buyer.post(f"{change}/changes", data=lower).status_code == 303
    shown = page(buyer, URL)
    assert f"changes on {world.now_of(one).term_end.astimezone(ZoneInfo('Asia/Shanghai')):%Y-%m-%d}. Nothing was charged" in shown
    assert "Scheduled for" in shown
    assert "Entry, 2 seats" in shown


def test_a_wrong_price_or_too_little_money_says_that_nothing_was_charged(buyer: FlaskClient, member: Member) -> None:
    form = {"id": str(new_id()), "product_line": "crm", "rank": 2, "period": "month", "seats": 5, "price_minor": 1}
    refused = page(buyer, URL, 409, **form)
    assert "The price has changed" in refused
    assert "Nothing was charged" in refused
    assert hidden(refused)["id"] == form["id"]
    short = page(buyer, f"{URL}/new?product_line=crm&rank=4&period=year&seats=20")
    assert "¥10,950.00 missing" in short
    assert "return_to=/subscriptions/new" in short
    assert filled_buttons(short) == 1
    assert page(buyer, URL, 402, **{**form, "rank": 4, "period": "year", "seats": 20, "price_minor": 12_000_00})
    assert world.balance(member, now()) == (1_000_00, 50_00)


def test_wrong_input_is_shown_beside_the_field_and_kept(buyer: FlaskClient, member: Member) -> None:
    one = world.subscribe(member, at=now())
    wrong = page(buyer, f"{URL}/{one.id}/preview?rank=2&seats=0", 422)
    assert "Enter a whole number of seats" in wrong
    assert 'value="0"' in wrong
    assert "This is what you have already" in page(buyer, f"{URL}/{one.id}/preview?rank=2&seats=5", 422)
    assert page(buyer, f"{URL}/new?product_line=crm&rank=9&period=month&seats=5", 422)
    for no_number in ("abc", "-5", "0", "1,00", "999999999999"):
        compared = page(buyer, f"{URL}/{one.id}/editions?period=year&seats={no_number}")
        assert "Enter a number of seats from 1 to 100,000." in compared
        assert f'value="{no_number}"' in compared
    assert "Error:" not in page(buyer, f"{URL}/{one.id}/editions?period=year&seats=1,000")
    assert "1,000" in page(buyer, f"{URL}/{one.id}/preview?rank=2&seats=1,000")
    assert page(buyer, f"{URL}/new?product_line=none&rank=1&period=month&seats=5", 404)


def test_a_trial_a_cancellation_and_its_return(buyer: FlaskClient, member: Member) -> None:
    confirm = page(buyer, f"{URL}/new?product_line=crm&rank=2&period=month&seats=5")
    assert "Try it for 14 days without paying" in confirm
    trial = hidden(page(buyer, f"{URL}/new?product_line=crm&rank=2&period=month&seats=5&is_trial=1"))
    assert buyer.post(URL, data=trial).status_code == 303
    one = re.search(r"/subscriptions/([0-9a-f-]{36})/cancellation", page(buyer, URL))
    assert one
    asked = page(buyer, f"{URL}/{one[1]}/cancellation")
    assert "Everything works as before until the term ends." in asked
    assert buyer.post(f"{URL}/{one[1]}/cancellation").status_code == 303
    assert "Ends on" in page(buyer, URL)
    assert buyer.post(f"{URL}/{one[1]}/resumption").status_code == 303
    assert "the subscription will be renewed" in page(buyer, URL)


def test_past_due_and_short_show_the_way_to_money(buyer: FlaskClient, member: Member) -> None:
    one = world.subscribe(member, rank=4, seats=13, at=now() - timedelta(days=40))  # 920.00 of 1,050.00
    assert world.renew_all(now()).past_due == 1
    due = page(buyer, URL)
    assert "payment due" in due
    assert "Top up ¥790.00" in due
    assert filled_buttons(due) == 1
    assert buyer.get(f"{URL}/{one.id}/preview?rank=1").status_code == 303
    with transaction(world.owner_of(member)):
        subscription_ends.cancel(member.id, one.id, at=now())
    assert "payment due" not in page(buyer, URL)


def test_a_viewer_looks_and_a_store_link_leads_to_the_edition(app: Flask, member: Member) -> None:
    viewer = client_as(app, "viewer", member)
    assert viewer.get(f"{URL}?line=crm&rank=3").headers["Location"] == f"{URL}/editions?line=crm&rank=3"
    one = world.subscribe(member, at=now())
    assert viewer.get(f"{URL}/editions?line=crm&rank=3").headers["Location"] == f"{URL}/{one.id}/editions?rank=3"
    for path in ("", f"/{one.id}/editions"):
        html = page(viewer, URL + path)
        assert "Your role can look" in html
        assert "/preview" not in html
    assert viewer.get(f"{URL}/{one.id}/preview?rank=3").status_code == 403
    assert viewer.post(f"{URL}/{one.id}/cancellation").status_code == 403
    stranger = client_as(app, "owner", world.member_with())
    assert stranger.get(f"{URL}/{one.id}/preview?rank=3").status_code == 404
    assert stranger.post(f"{URL}/{one.id}/cancellation").status_code == 404


def test_queries_do_not_grow_with_what_is_shown(buyer: FlaskClient, member: Member) -> None:
    counts = []
    for line in ("crm", "ops", "erp", "bi"):
        if line != "crm":
            world.sell(line)
        world.subscribe(member, line=line, rank=1, seats=1, at=now())
        statements: list[str] = []
        event.listen(db.engine, "before_cursor_execute", lambda *args, seen=statements: seen.append(args[2]))
        page(buyer, URL)
        counts.append(len(statements))
    assert len(set(counts)) == 1
    assert counts[0] <= 17, counts  # 12 of the page, who is asking, and a savepoint set and gone back to, which asks for nothing
