"""Whatever is sent to the API: an answer in problem details that names the field, and never a failure of ours."""

import base64
import json
import uuid
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from core import paging
from membership.models import Member
from tests.factories import make_member
from tests.sign_in import bearer, client_as

JSON = {"Content-Type": "application/json"}
LISTS = ["/api/v1/orders", "/api/v1/licenses", "/api/v1/wallet/entries", "/api/v1/wallet/top-ups", "/api/v1/subscriptions", "/api/v1/offers"]
STAFF_LISTS = ["/api/v1/members", "/api/v1/api-keys", "/api/v1/finance/prepaid-balances", "/api/v1/finance/prepaid-balances?sort=number"]


@pytest.fixture
def member(app: Flask) -> Member:
    return make_member(paid=1000_00)


@pytest.fixture
def buyer(member: Member) -> dict[str, str]:
    return bearer("buyer", member)


def is_problem(answer: Any, *statuses: int) -> dict[str, Any]:
    assert answer.status_code in statuses, answer.text
    assert answer.content_type == "application/problem+json"
    body: dict[str, Any] = answer.json
    assert body["status"] == answer.status_code
    return body


def top_up(**changed: object) -> str:
    return json.dumps({"id": str(uuid.uuid4()), "amount_minor": 100_00, "method": "bank_transfer", **changed})


@pytest.mark.parametrize(
    ("body", "status"),
    [("[" * 100_000, 422), ('{"amount_minor": ' + "9" * 5000 + "}", 422), ("{", 400), (b"\xff", 400), ("[]", 422), ("null", 422), ("", 422), ("1", 422)],
    ids=["deep", "many digits", "broken", "not utf-8", "a list", "null", "empty", "a number"],
)
def test_bodies_that_are_no_request(client: FlaskClient, buyer: dict[str, str], body: str | bytes, status: int) -> None:
    problem = is_problem(client.post("/api/v1/wallet/top-ups", data=body, headers=buyer | JSON), status)
    assert problem["errors"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_only_json_is_taken_for_json(client: FlaskClient, buyer: dict[str, str], kind: str) -> None:
    is_problem(client.post("/api/v1/wallet/top-ups", data=top_up(), headers=buyer | {"Content-Type": kind}), 415)


@pytest.mark.parametrize("amount", ["1.0", "1.5", '"100"', "-1", "0", "true", "null", "NaN", "1e999", str(2**63), str(2**80)])
def test_money_is_a_positive_integer_that_fits(client: FlaskClient, buyer: dict[str, str], amount: str) -> None:
    body = f'{{"id": "{uuid.uuid4()}", "method": "bank_transfer", "amount_minor": {amount}}}'
    problem = is_problem(client.post("/api/v1/wallet/top-ups", data=body, headers=buyer | JSON), 422)
    assert [one["field"].removesuffix("_minor") for one in problem["errors"]] == ["amount"]


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_text_that_cannot_be_stored_is_named(client: FlaskClient, member: Member, text: str) -> None:
    staff = bearer("operator")
    offer = {"id": str(uuid.uuid4()), "listing": "usage-pack", "reason": text}
    problem = is_problem(client.post(f"/api/v1/members/{member.id}/offers", json=offer, headers=staff), 422)
    assert problem["errors"][0]["field"] == "reason"
    is_problem(client.post("/api/v1/api-keys", json={"name": text, "role": "operator"}, headers=staff), 422)


def test_a_nul_in_an_address(app: Flask, client: FlaskClient, buyer: dict[str, str]) -> None:
    is_problem(client.get("/api/v1/listings/a%00b", headers=buyer), 404)
    is_problem(client.get("/api/v1/listings?q=a%00b", headers=buyer), 422)
    staff = client_as(app, "operator")
    assert staff.get("/operator/members?q=a%00b").status_code == 400
    assert staff.get("/operator/members/%00").status_code == 404
    assert client.post("/sign-in", data={"email": "a\x00b@example.com", "password": "x"}).status_code == 400


def cursors() -> list[str]:
    made = ['[["v",1]]', '[["v",1],["v",2]]', '[["v","x"]]', '[["v","a\\u0000"]]', '[["v","\\ud800"]]', '[["v",null]]', '[["v",null],["v",null]]', "[" * 5000,
            f'[["v",{2**70}]]', f'[["v",{2**70}],["v","x"]]', '[["v",true]]', '[["v",{}]]', '[["v",1.5],["v","x"]]', '[["t","2026-01-01T00:00:00"],["v",1]]',
            '[["t","2026-01-01T00:00:00"],["u","00000000-0000-0000-0000-000000000000"]]', f'[["v",{"9" * 5000}]]']  # fmt: skip
    return ["x", "%FF", *(base64.urlsafe_b64encode(text.encode()).decode() for text in made)]


@pytest.mark.parametrize("cursor", cursors())
def test_cursors_that_we_did_not_make(client: FlaskClient, member: Member, buyer: dict[str, str], cursor: str) -> None:
    staff = bearer("operator")
    fits = {paging.encode([1]).rstrip("="): {"/api/v1/wallet/entries"}, paging.encode(["x"]).rstrip("="): {"/api/v1/members", STAFF_LISTS[3]}}
    for headers, lists in ((buyer, LISTS), (staff, [*STAFF_LISTS, f"/api/v1/finance/members/{member.id}/statement"])):
        for address in lists:
            answer = client.get(f"{address}{'&' if '?' in address else '?'}after={cursor}", headers=headers)
            if address not in fits.get(cursor.rstrip("="), ()):
                assert is_problem(answer, 400)["code"] == "bad_cursor", address


@pytest.mark.parametrize("month", ["0000-01", "0001-01", "9999-12", "2026-13"])
def test_months_out_of_this_world(app: Flask, client: FlaskClient, member: Member, month: str) -> None:
    for name in ("from", "to"):
        is_problem(client.get(f"/api/v1/revenue?{name}={month}", headers=bearer("finance")), 422)
        assert client_as(app, "finance").get(f"/csm/revenue?{name}={month}").status_code == 422


@pytest.mark.parametrize("month", ["2026-01%0A", "%EF%BC%92026-01"])
def test_a_month_as_people_paste_it_is_read_on_the_page_and_refused_by_the_api(app: Flask, client: FlaskClient, member: Member, month: str) -> None:
    is_problem(client.get(f"/api/v1/revenue?from={month}", headers=bearer("finance")), 422)
    finance = client_as(app, "finance")
    assert finance.get(f"/csm/revenue?from={month}").status_code == 200
    assert 'filename="revenue-2026-01-' in finance.get(f"/csm/revenue.csv?from={month}").headers["Content-Disposition"]


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"])
def test_instants_out_of_this_world(client: FlaskClient, member: Member, instant: str) -> None:
    staff = bearer("finance")
    is_problem(client.get(f"/api/v1/finance/members/{member.id}/statement?from={instant}", headers=staff), 422)
    is_problem(client.get(f"/api/v1/finance/members/{member.id}/statement?until={instant}", headers=staff), 422)
    is_problem(client.get(f"/api/v1/finance/prepaid-balances?at={instant}", headers=staff), 422)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-02-30", "x"])
def test_days_out_of_this_world_on_pages(app: Flask, member: Member, day: str) -> None:
    finance, operator, owner = client_as(app, "finance"), client_as(app, "operator"), client_as(app, "owner", member)
    statement = f"/finance/members/{member.id}/statement"
    for client, addresses in (
        (finance, ["/finance/prepaid-balances?at=", "/finance/prepaid-balances?since=", "/finance/ledger?until=", "/finance/ledger?from=", f"{statement}?from=",
                   "/finance/ledger/accounts?at=", "/finance/prepaid-balances.csv?at=", f"{statement}.xlsx?until=", "/finance/statements?member=M&until="]),
        (operator, ["/operator/audit?since=", "/operator/audit?until="]),
        (owner, ["/wallet/statement?from=", "/wallet/statement?until=", "/wallet/statement.csv?until="]),
    ):  # fmt: skip
        for address in addresses:
            assert client.get(f"{address}{day}").status_code == 422, address
    assert operator.get(f"/operator/members?rank={2**70}").status_code == 200


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v1", "/api/v1/nothing", "/api/v1/wallet/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_unknown_addresses_are_problems_too(client: FlaskClient, path: str, method: str) -> None:
    is_problem(client.open(path, method=method), 404)


def test_a_key_is_asked_for_as_http_wants_it(client: FlaskClient) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eA=="}):
        answer = client.get("/api/v1/me", headers=headers)
        is_problem(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_database_that_went_away_is_503_once_and_forgotten(app: Flask, client: FlaskClient, owner: Engine, buyer: dict[str, str]) -> None:
    assert client.get("/api/v1/wallet", headers=buyer).status_code == 200
    with owner.connect() as connection:
        connection.execute(text("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"))
    is_problem(client.get("/api/v1/orders", headers=buyer), 503)
    assert client.get("/api/v1/orders", headers=buyer).status_code == 200


def test_problems_speak_the_callers_language(client: FlaskClient, buyer: dict[str, str]) -> None:
    for language, required, digits in (("en", "Missing data for required field.", "Must be at least 1."), ("zh-CN", "此项必填。", "不能小于 1。")):
        headers = buyer | JSON | {"Accept-Language": language}
        problem = is_problem(client.post("/api/v1/wallet/top-ups", data='{"amount_minor": 0}', headers=headers), 422)
        assert {one["field"]: one["detail"] for one in problem["errors"]} == {"id": required, "method": required, "amount_minor": digits}
