"""The express lane says exactly what the view says, or nothing."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from core import clock
from core.db import SYSTEM, transaction
from core.ids import new_id
from core.server import ExpressLane, Server
from marketplace.order import express_orders, pricing
from marketplace.order.order_batches import Gatherer
from marketplace.order.orders import Wanted
from marketplace.order.orders_api import OrderIn
from membership import api_keys, taxes
from membership.catalogue_models import HostVersion
from membership.models import ApiKey
from tests.billing.books import assert_books_hold
from tests.factories import AT, make_member
from tests.kept import Shelf
from tests.marketplace.store_world import CRM_ONLY, FREE, ONE_TIME, PACK, open_store
from tests.memories import remember_for_long
from tests.served import Answer, Served
from tests.sign_in import bearer

PRICE = 100
PATH = f"/api/v1/listings/{PACK}/orders"


class Lane:
    """The express lane, which remembers what it answered."""

    def __init__(self, app: Flask) -> None:
        real = express_orders.lane(app, Gatherer(app))
        self.answered: list[bool] = []

        async def answer(*asked: object) -> tuple[int, str] | None:
            said = await real.answer(*asked)
            self.answered.append(said is not None)
            return said

        self.lane = ExpressLane(real.method, real.path, real.longest_body, answer)


@pytest.fixture
def lane(app: Flask, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    remember_for_long(app, monkeypatch)
    clock.now()
    shelf.take("four listings", lambda: open_store(PACK, ONE_TIME, FREE, CRM_ONLY))
    pricing._offered.clear()
    with transaction(SYSTEM):
        taxes.refresh(datetime.now(UTC))
        pricing.offered(PACK)
    yield Lane(app)
    assert_books_hold()


@pytest.fixture
def served(app: Flask, lane: Lane) -> Iterator[Served]:
    with Served(Server(app, [lane.lane])) as running:
        yield running


def buyers_key(role: str = "buyer", paid: int = 1_000) -> dict[str, str]:
    """The key of a new member, known to this process."""
    headers = bearer(role, make_member(paid=paid) if role in ("owner", "buyer", "viewer") else None)
    with transaction(SYSTEM):
        api_keys.identify(api_keys.hash_key(headers["Authorization"].removeprefix("Bearer ")))
    return headers


def through_flask(app: Flask, body: bytes, headers: dict[str, str], path: str = PATH) -> Answer:
    answer = app.test_client().post(path, data=body, headers={"Content-Type": "application/json", **headers})
    return Answer(answer.status_code, {name.lower(): value for name, value in answer.headers}, answer.data)


def told(answer: Answer) -> tuple[int, dict[str, str], object]:
    """An answer without what differs between two purchases."""
    body = answer.json
    kept = {name: value for name, value in body.items() if name not in ("at", "id", "license_id")} if isinstance(body, dict) else body
    return answer.status_code, {n: v for n, v in answer.headers.items() if n not in ("x-request-id", "content-length")}, kept


def test_an_order_is_answered_as_by_the_view(app: Flask, served: Served, lane: Lane) -> None:
    mine, theirs, order_id = buyers_key(), buyers_key(), new_id()
    body = json.dumps({"id": str(order_id), "price_minor": PRICE, "quantity": 3}).encode()
    express = served.ask("POST", PATH, body, mine | {"X-Request-ID": "my-own-request"})
    assert lane.answered == [True]
    assert told(express) == told(through_flask(app, body, theirs))
    assert express.headers["x-request-id"] == "my-own-request"
    assert express.headers["content-length"] == f"{len(express.data)}"
    assert through_flask(app, body, mine).data == express.data, "the same order again, byte for byte"
    assert served.ask("POST", PATH, body, mine).data == express.data
    assert served.ask("GET", "/api/v1/wallet", headers=mine).json["available_minor"] == 700


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"id": 1, "price_minor": 100}',
        b'{"price_minor": 100}',
        b'{"id": "%(id)s"}',
        b'{"id": "%(id)s", "price_minor": "100"}',
        b'{"id": "%(id)s", "price_minor": 100.0}',
        b'{"id": "%(id)s", "price_minor": true}',
        b'{"id": "%(id)s", "price_minor": -1}',
        b'{"id": "%(id)s", "price_minor": 99}',
        b'{"id": "%(id)s", "price_minor": 1' + b"0" * 400 + b"}",
        b'{"id": "%(id)s", "price_minor": 100, "quantity": 0}',
        b'{"id": "%(id)s", "price_minor": 100, "quantity": 10001}',
        b'{"id": "%(id)s", "price_minor": 100, "quantity": null}',
        b'{"id": "%(id)s", "price_minor": 100, "colour": "red"}',
        b'{"id": "%(id)s", "price_minor": 100, "coupon": "NO-SUCH"}',
        b'{"id": "not a uuid", "price_minor": 100}',
        b'{"id": "%(id)s", "price_minor": 100, "quantity": 11}',  # more than the wallet holds
        b'{"id": "%(id)s", "price_minor": 100}' + b" " * 2000,
        b"[" * 1024,
        '{"id": "00000000-0000-4000-8000-000000000001", "price_minor": 100}'.encode("utf-16"),
        b'\xef\xbb\xbf{"id": "%(id)s", "price_minor": 100}',
    ],
)
def test_what_is_unusual_or_refused_is_the_views_to_answer(app: Flask, served: Served, lane: Lane, body: bytes) -> None:
    sent = body.replace(b"%(id)s", str(new_id()).encode())
    express, flask = served.ask("POST", PATH, sent, buyers_key()), through_flask(app, sent, buyers_key())
    assert told(express) == told(flask)
    assert not any(lane.answered)


def test_several_pieces_of_what_is_had_once_are_the_views_to_refuse(app: Flask, served: Served, lane: Lane) -> None:
    with transaction(SYSTEM):
        terms = pricing.offered(ONE_TIME)
    path, body = f"/api/v1/listings/{ONE_TIME}/orders", json.dumps({"id": str(new_id()), "price_minor": terms.price_minor, "quantity": 2}).encode()
    express = served.ask("POST", path, body, buyers_key(paid=10**7))
    assert told(express) == told(through_flask(app, body, buyers_key(paid=10**7), path))
    assert express.status_code == 422
    assert not any(lane.answered)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer jb_unknown"}, {"Authorization": "Basic x"}, {"Content-Type": "text/plain"}])
def test_strange_headers_are_the_views_to_answer(app: Flask, served: Served, lane: Lane, headers: dict[str, str]) -> None:
    body = json.dumps({"id": str(new_id()), "price_minor": PRICE}).encode()
    given = (buyers_key() if "Content-Type" in headers else {}) | headers
    assert told(served.ask("POST", PATH, body, given)) == told(through_flask(app, body, given))
    assert not any(lane.answered)


@pytest.mark.parametrize("role", ["owner", "viewer", "operator", "finance", "csm"])
def test_a_role_is_admitted_here_as_there(app: Flask, served: Served, lane: Lane, role: str) -> None:
    body = json.dumps({"id": str(new_id()), "price_minor": PRICE}).encode()
    express = served.ask("POST", PATH, body, buyers_key(role))
    assert told(express) == told(through_flask(app, body, buyers_key(role)))
    assert any(lane.answered) == (role == "owner") == (express.status_code == 201)


def test_a_key_revoked_here_buys_nothing(served: Served, lane: Lane) -> None:
    headers = buyers_key()
    body = json.dumps({"id": str(new_id()), "price_minor": PRICE}).encode()
    key_hash = api_keys.hash_key(headers["Authorization"].removeprefix("Bearer "))
    with transaction(SYSTEM) as session:
        key_id = session.query(ApiKey).filter_by(key_hash=key_hash).one().id
        api_keys.revoke(key_id, at=datetime.now(UTC))
    assert served.ask("POST", PATH, body, headers).status_code == 401
    assert not any(lane.answered)


def test_a_member_whose_host_runs_another_version_is_judged_by_the_view(served: Served, lane: Lane) -> None:
    member = make_member(paid=1_000)
    with transaction(SYSTEM) as session:
        session.add_all(HostVersion(member_id=member.id, product_line=line, version="0.9", source="reported", at=AT) for line in ("crm", "ops"))
    headers = bearer("buyer", member)
    with transaction(SYSTEM):
        api_keys.identify(api_keys.hash_key(headers["Authorization"].removeprefix("Bearer ")))
    refused = served.ask("POST", PATH, json.dumps({"id": str(new_id()), "price_minor": PRICE}).encode(), headers)
    assert (refused.status_code, refused.json["code"]) == (403, "host_version_unfit")
    assert not any(lane.answered)


def test_a_clock_that_must_be_asked_for_is_the_views_to_ask(app: Flask, served: Served, lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.extensions, "movable_clock", clock.MovableClock())
    headers, bodies = buyers_key(), [json.dumps({"id": str(new_id()), "price_minor": PRICE}).encode() for _ in range(2)]
    assert [served.ask("POST", PATH, body, headers).status_code for body in bodies] == [201, 201]
    assert lane.answered[0] is False, "nobody had asked yet"


def test_a_failed_call_leaves_each_to_the_view(app: Flask, served: Served, lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: Gatherer, _requests: list[str]) -> list[object]:
        raise ConnectionError("the database went away")

    monkeypatch.setattr(Gatherer, "_place", broken)
    headers, body = buyers_key(), json.dumps({"id": str(new_id()), "price_minor": PRICE}).encode()
    assert served.ask("POST", PATH, body, headers).status_code == 201
    assert lane.answered == [False]


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.uuids().map(str)
NAMES = st.sampled_from(["id", "price_minor", "quantity", "coupon", "x"])


@settings(max_examples=300, deadline=None)
@given(st.recursive(JSON, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=6))
def test_what_the_lane_takes_for_a_purchase_the_schema_takes_for_the_same(body: object) -> None:
    wanted = express_orders._wanted(json.dumps(body).encode())
    if wanted is not None:
        assert Wanted(**OrderIn().load(body)) == wanted


def test_the_lane_takes_what_clients_usually_send() -> None:
    order_id = uuid.uuid4()
    wanted = express_orders._wanted(json.dumps({"id": str(order_id), "price_minor": 5, "quantity": 2}).encode())
    assert wanted is not None
    assert (wanted.id, wanted.price_minor, wanted.quantity) == (order_id, 5, 2)
