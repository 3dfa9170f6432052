"""Subscriptions over HTTP, with a key."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from core.clock import now
from core.ids import new_id
from membership.models import Member
from tests.billing import subscription_world as world
from tests.sign_in import bearer

URL = "/api/v1/subscriptions"


@pytest.fixture
def member(app: Flask) -> Member:
    world.sell()
    return world.member_with(paid=1_000_00, bonus=50_00)


@pytest.fixture
def call(client: FlaskClient, member: Member) -> Callable[..., Any]:
    keys = {role: bearer(role, member) for role in ("buyer", "viewer")}
    return lambda method, url, role="buyer", **body: client.open(url, method=method, headers=keys[role], json=body or None)


WISH = {"product_line": "crm", "rank": 2, "period": "month", "seats": 5}


def test_from_preview_to_the_end(call: Callable[..., Any], member: Member) -> None:
    preview = call("POST", "/api/v1/subscription-previews", **WISH).json
    assert (preview["amount_minor"], preview["tax_minor"], preview["bonus_minor"], preview["paid_minor"]) == (300_00, 16_98, 50_00, 250_00)
    assert [(line["kind"], line["amount_minor"]) for line in preview["lines"]] == [("base", 200_00), ("seats", 100_00)]
    wanted = {**WISH, "id": str(new_id()), "price_minor": preview["amount_minor"]}
    first, again = call("POST", URL, **wanted), call("POST", URL, **wanted)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json == again.json
    one = f"{URL}/{wanted['id']}"
    assert call("GET", one, role="viewer").json == first.json
    assert call("GET", URL).json == {"items": [first.json], "next": None}
    assert first.json["arr_minor"] == 3_600_00

    shown = call("POST", one + "/previews", rank=3, seats=3).json
    assert (shown["amount_minor"], shown["next_seats"], shown["seats"]) == (150_00, 3, 5)  # the whole difference: it is the first day
    change = {"id": str(new_id()), "rank": 3, "seats": 3, "price_minor": shown["amount_minor"]}
    refused = call("POST", one + "/changes", **{**change, "price_minor": 1})
    assert (refused.status_code, refused.json["code"], refused.json["price_minor"]) == (409, "price_changed", 150_00)
    changed, replay = call("POST", one + "/changes", **change), call("POST", one + "/changes", **change)
    assert changed.status_code == 201
    assert replay.json == changed.json
    assert (changed.json["subscription"]["rank"], changed.json["subscription"]["next_seats"]) == (3, 3)
    assert world.balance(member, now()) == (600_00, 0)

    assert call("POST", one + "/cancellation").json["cancel_at_term_end"] is True
    assert call("DELETE", one + "/cancellation").json["cancel_at_term_end"] is False


def test_refusals(call: Callable[..., Any], client: FlaskClient) -> None:
    wanted = {**WISH, "id": str(new_id()), "price_minor": 300_00}
    assert call("POST", URL, role="viewer", **wanted).status_code == 403
    assert client.post(URL, json=wanted).status_code == 401
    dear = call("POST", URL, **{**wanted, "seats": 100, "price_minor": 2_200_00})
    assert (dear.status_code, dear.json["code"], dear.json["missing_minor"]) == (402, "insufficient_funds", 1_150_00)
    assert call("POST", URL, **{**wanted, "product_line": "none"}).json["code"] == "not_found"
    wrong = call("POST", URL, **{**wanted, "rank": 9, "period": "week", "seats": 0})
    assert {error["field"] for error in wrong.json["errors"]} == {"rank", "period", "seats"}
    assert call("POST", URL, **wanted).status_code == 201
    assert call("POST", URL, **{**wanted, "id": str(new_id())}).json["code"] == "already_subscribed"
    assert call("POST", URL, **{**wanted, "seats": 6}).json["code"] == "id_reused"


def test_another_members_is_not_found(call: Callable[..., Any], client: FlaskClient) -> None:
    one = world.subscribe(world.member_with(paid=1_000_00), at=now())
    for method, path, body in (
        ("GET", "", {}), ("POST", "/previews", {"rank": 3}), ("POST", "/cancellation", {}), ("DELETE", "/cancellation", {}),
        ("POST", "/changes", {"id": str(new_id()), "rank": 3, "price_minor": 0}),
    ):  # fmt: skip
        answer = call(method, f"{URL}/{one.id}{path}", **body)
        assert (answer.status_code, answer.json["code"]) == (404, "no_subscription"), method


def test_less_now_a_pause_a_plan_and_an_end_over_http(call: Callable[..., Any], member: Member) -> None:
    one = world.subscribe(member, at=now())
    url = f"{URL}/{one.id}"
    waits = call("POST", url + "/changes", id=str(new_id()), rank=1, period="year", price_minor=0)
    assert waits.status_code == 201
    scheduled = call("GET", url, role="viewer").json["scheduled"]
    assert (scheduled["rank"], scheduled["period"], scheduled["at"]) == (1, "year", call("GET", url).json["term_end"])
    assert call("DELETE", url + "/scheduled-change").json["scheduled"] is None

    shown = call("POST", url + "/previews", seats=1, effective="now").json
    assert shown["amount_minor"] < 0
    assert shown["back_paid_minor"] + shown["back_bonus_minor"] == -shown["amount_minor"]
    change = {"id": str(new_id()), "seats": 1, "effective": "now", "price_minor": shown["amount_minor"], "priced_at": shown["priced_at"]}
    assert call("POST", url + "/changes", **change).json["subscription"]["seats"] == 1
    assert sum(world.balance(member, now())) == shown["balance_after_minor"]

    assert [item["rank"] for item in call("GET", "/api/v1/entitlements", role="viewer").json["items"]] == [2]
    assert call("POST", url + "/pause", role="viewer", resumes_on=None).status_code == 403
    paused = call("POST", url + "/pause", resumes_on=None)
    assert (paused.status_code, paused.json["state"], paused.json["arr_minor"]) == (200, "paused", 0)
    assert call("GET", "/api/v1/entitlements").json == {"items": []}
    assert call("POST", url + "/changes", id=str(new_id()), seats=3, price_minor=0).json["code"] == "not_changeable"
    assert call("DELETE", url + "/pause").json["state"] == "active"
    assert call("DELETE", url + "/pause").json["code"] == "not_pausable"
    assert call("POST", url + "/commitment", years=3).status_code == 409  # it is paid monthly

    back = call("POST", url + "/end-previews").json["amount_minor"]
    assert call("POST", url + "/end", id=str(new_id()), price_minor=back - 1).json["price_minor"] == back
    done = call("POST", url + "/end", id=str(new_id()), price_minor=back)
    assert (done.status_code, done.json["subscription"]["state"], done.json["amount_minor"]) == (201, "ended", back)


def test_staff_enters_a_contract_with_its_form(client: FlaskClient, member: Member) -> None:
    url, staff = f"/api/v1/members/{member.id}", bearer("operator")
    wish = {"product_line": "crm", "rank": 1, "period": "year", "seats": 1, "commitment_years": 3, "deployment": "private"}
    price = client.post(url + "/subscription-previews", json=wish, headers=staff).json
    assert (price["amount_minor"], price["missing_minor"], price["next_is_instalment"]) == (1_100_00, 50_00, True)
    contract = {**wish, "id": str(new_id()), "price_minor": price["amount_minor"], "reason": "contract 17"}
    short = client.post(url + "/subscriptions", json=contract, headers=staff)
    assert (short.status_code, short.json["missing_minor"]) == (402, 50_00)
    world.put_in(member, 100_00, at=now())
    made = client.post(url + "/subscriptions", json=contract, headers=staff).json
    assert (made["deployment"], made["licensing"], made["instalments_left"], made["commitment_years"]) == ("private", "rental", 2, 3)
    assert client.post(url + "/subscriptions", json=contract, headers=bearer("buyer", member)).status_code == 403
