"""Buying over the API: once, never below zero, gathered with its neighbours and yet alone."""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from billing.wallet import balances, wallets
from core import db as core_db
from core.composites import array
from core.db import SYSTEM, transaction
from core.errors import IdReused
from core.ids import new_id
from core.server import Server
from marketplace.order import express_orders, order_batches, orders, pricing
from marketplace.order.order_batches import Gatherer
from membership import api_keys, taxes
from membership.models import Member
from tests.billing.books import assert_books_hold
from tests.factories import AT, make_member
from tests.kept import Shelf
from tests.marketplace.store_world import CRM_ONLY, FREE, ONE_TIME, PACK, acting_for, open_store, price_of, set_listing, subscribe
from tests.memories import remember_for_long
from tests.served import Answer, Served
from tests.sign_in import bearer

PRICE = 100  # of PACK


@pytest.fixture(autouse=True)
def _books_hold(app: Flask, shelf: Shelf) -> Iterator[None]:
    """Whatever a test did, the books must hold afterwards."""
    shelf.take("four listings", lambda: open_store(PACK, ONE_TIME, FREE, CRM_ONLY))
    set_listing(ONE_TIME, required_rank=0, required_features=[])  # so that it takes the hot path
    pricing._offered.clear()
    yield
    assert_books_hold()


class Gated(Gatherer):
    """Its calls wait while a test holds them."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self.gate = threading.Event()
        self.gate.set()

    def _place(self, requests: list[str]) -> list:
        assert self.gate.wait(30)
        return super()._place(requests)


@pytest.fixture(autouse=True)
def served(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The web server's side of the application, with its express lane: `buy` goes through it."""
    remember_for_long(app, monkeypatch)
    gatherer = Gated(app)
    with Served(Server(app, [express_orders.lane(app, gatherer)])) as running:
        app.extensions["served"], app.extensions["gatherer"] = running, gatherer
        yield running


def buy(app: Flask, key: dict[str, str], slug: str = PACK, order_id: uuid.UUID | None = None, price: int = PRICE, **more: object) -> Answer:
    """POST the purchase; from any thread."""
    body = {"id": str(order_id or new_id()), "price_minor": price, **more}
    answer: Answer = app.extensions["served"].ask("POST", f"/api/v1/listings/{slug}/orders", json.dumps(body).encode(), key)
    return answer


def known(role: str, member: Member) -> dict[str, str]:
    """A key that this process has seen before, as the express lane wants it."""
    headers = bearer(role, member)
    with transaction(SYSTEM):
        assert api_keys.identify(api_keys.hash_key(headers["Authorization"].removeprefix("Bearer ")))
    return headers


def at_once(*calls: Callable[[], object]) -> list:
    """Run calls in as many threads, all started at the same moment; their results in order."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        gate.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def balance(member: Member) -> int:
    with transaction(SYSTEM):
        return balances.balance(member.id, "CNY", at=AT).available_minor


def rows(owner: Engine, statement: str, **given: object) -> list:
    with owner.connect() as connection:
        return list(connection.execute(text(statement), given))


def codes(answers: list) -> Counter:
    return Counter(a.status_code if a.status_code == 201 else (a.status_code, a.json["code"]) for a in answers)


def gathered(app: Flask, calls: list[Callable[[], object]]) -> list:
    """The first call is held, the others gather meanwhile and then go together; results in order."""
    gatherer: Gated = app.extensions["gatherer"]
    with ThreadPoolExecutor(len(calls)) as pool:
        gatherer.gate.clear()
        started = [pool.submit(calls[0])]
        until(lambda: gatherer._calling is not None and not gatherer._waiting)
        started += [pool.submit(call) for call in calls[1:]]
        until(lambda: len(gatherer._waiting) == len(calls) - 1)
        gatherer.gate.set()
        return [call.result(30) for call in started]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def remember(app: Flask, *slugs: str) -> None:
    """Let this process know the terms and the tax, so that purchases take the hot path."""
    with transaction(SYSTEM):
        taxes.refresh(datetime.now(UTC))
    key = known("buyer", make_member())
    for slug in slugs:
        assert buy(app, key, slug, price=1).json["code"] == "price_changed"


@contextlib.contextmanager
def locked(owner: Engine, member: Member) -> Iterator[None]:
    """Somebody else holds this member's wallet."""
    with owner.begin() as connection:
        connection.execute(text("select from wallet where member_id = :m for update"), {"m": member.id})
        yield


def test_a_purchase_answers_with_the_order_and_the_balance(app: Flask, owner: Engine) -> None:
    member = make_member(paid=1000, bonus=50)
    answer = buy(app, known("buyer", member), quantity=3)
    assert answer.status_code == 201
    expected = {"quantity": 3, "price_minor": 100, "total_minor": 300, "tax_minor": 0, "paid_minor": 250, "bonus_minor": 50, "balance_after_minor": 750}
    assert expected.items() <= answer.json.items()
    assert balance(member) == 750
    assert rows(owner, "select id, quantity, state from license") == [(uuid.UUID(answer.json["license_id"]), 3, "active")]


def test_fifty_replays_at_once_are_one_order(app: Flask, owner: Engine) -> None:
    member, order_id = make_member(paid=1000), new_id()
    key = known("buyer", member)
    answers = at_once(*[lambda: buy(app, key, order_id=order_id)] * 50)
    assert codes(answers) == {201: 50}
    assert len({a.data for a in answers}) == 1
    assert balance(member) == 900
    assert rows(owner, "select count(*) from store_order") == [(1,)]


def test_money_for_120_of_200_buys_exactly_120(app: Flask, owner: Engine) -> None:
    member = make_member(paid=120 * PRICE)
    key = known("buyer", member)
    remember(app, PACK)
    answers = at_once(*[lambda: buy(app, key)] * 200)
    assert codes(answers) == {201: 120, (402, "insufficient_funds"): 80}
    assert {a.json["missing_minor"] for a in answers if a.status_code == 402} == {PRICE}
    assert sorted(a.json["balance_after_minor"] for a in answers if a.status_code == 201) == list(range(0, 120 * PRICE, PRICE))
    assert balance(member) == 0
    assert rows(owner, "select count(*) from license") == [(120,)]


def test_refusals_leave_their_neighbours_alone(app: Flask, owner: Engine) -> None:
    first, rich, poor, frozen, owning = (make_member(paid=paid) for paid in (1000, 100_000, 30, 100_000, 1_000_000))
    keys = {m.id: known("buyer", m) for m in (first, rich, poor, frozen, owning)}
    remember(app, PACK, ONE_TIME)
    price, used = price_of(ONE_TIME), new_id()
    assert buy(app, keys[rich.id], order_id=used).status_code == 201
    assert buy(app, keys[owning.id], ONE_TIME, price=price).status_code == 201
    with owner.begin() as connection:
        connection.execute(text("update wallet set state = 'frozen' where member_id = :m"), {"m": frozen.id})
    before = balance(owning)
    calls = [
        lambda: buy(app, keys[first.id]),
        *[lambda: buy(app, keys[rich.id])] * 10,
        *[lambda: buy(app, keys[poor.id])] * 3,
        *[lambda: buy(app, keys[frozen.id])] * 3,
        *[lambda: buy(app, keys[owning.id], ONE_TIME, price=price)] * 3,
        *[lambda: buy(app, keys[rich.id], order_id=used, quantity=2)] * 3,
        *[lambda: buy(app, keys[rich.id], order_id=used)] * 3,
    ]
    answers = gathered(app, calls)
    assert codes(answers) == {201: 14, (402, "insufficient_funds"): 3, (409, "wallet_frozen"): 3, (409, "already_owned"): 3, (409, "id_reused"): 3}
    assert (balance(first), balance(rich), balance(poor), balance(owning)) == (900, 100_000 - 11 * PRICE, 30, before)
    assert rows(owner, "select count(*) from store_order where member_id = :m", m=rich.id) == [(11,)]
    together = rows(owner, "select count(*), count(distinct xmin::text) from store_order where member_id = :m and id <> :used", m=rich.id, used=used)
    assert together == [(10, 1)]  # one transaction


def test_two_exclusive_licences_in_one_batch_are_one(app: Flask, owner: Engine) -> None:
    first, member = make_member(paid=1000), make_member(paid=1_000_000)
    keys = [known("buyer", first), known("buyer", member)]
    remember(app, PACK, ONE_TIME)
    price = price_of(ONE_TIME)
    answers = gathered(app, [lambda: buy(app, keys[0]), *[lambda: buy(app, keys[1], ONE_TIME, price=price)] * 6])
    assert codes(answers) == {201: 2, (409, "already_owned"): 5}
    assert balance(member) == 1_000_000 - price


def test_two_processes_sell_an_exclusive_licence_once(app: Flask, owner: Engine) -> None:
    """The pre-check of one cannot see what the other has not committed: the unique index decides, and nothing is charged."""
    member = make_member(paid=1_000_000)
    key, price = known("buyer", member), price_of(ONE_TIME)
    remember(app, ONE_TIME)

    def elsewhere() -> object:
        with app.app_context(), transaction(acting_for(member)):
            try:
                return orders.place(member.id, ONE_TIME, orders.Wanted(new_id(), price), at=AT)
            except orders.AlreadyOwned as refused:
                return refused

    with ThreadPoolExecutor(2) as pool:
        with locked(owner, member):
            both = [pool.submit(elsewhere), pool.submit(lambda: buy(app, key, ONE_TIME, price=price))]
            until(lambda: rows(owner, "select count(*) from pg_locks where not granted")[0][0] >= 2)
        there, here = (b.result(30) for b in both)
    assert isinstance(there, orders.AlreadyOwned) == (here.status_code == 201)
    assert balance(member) == 1_000_000 - price
    assert rows(owner, "select count(*) from license") == [(1,)]


def test_a_bug_in_one_request_fails_that_one_only(app: Flask, owner: Engine) -> None:
    """Here: a quantity that no order may have got past the edge. The batch is undone, and each goes by itself."""
    first, *members = (make_member(paid=1000) for _ in range(6))
    remember(app, PACK)
    keys = [known("buyer", m) for m in members]

    def broken() -> object:
        wanted = orders.Wanted(new_id(), PRICE, 0)
        with app.app_context():
            prepared = orders.prepare(members[0].id, PACK, wanted, at=AT)
            assert app.extensions["served"].wait_for(app.extensions["gatherer"].place(prepared.request)) is None
            with pytest.raises(psycopg.errors.CheckViolation):
                orders.place_alone(members[0].id, PACK, wanted, at=AT)

    first_key = known("buyer", first)
    answers = gathered(app, [lambda: buy(app, first_key), broken, *[lambda k=k: buy(app, k) for k in keys]])
    assert codes([a for a in answers if a]) == {201: 6}
    assert [balance(m) for m in members] == [900] * 5


def test_a_wallet_that_stays_locked_does_not_hold_up_its_neighbours(app: Flask, owner: Engine) -> None:
    first, stuck, free = (make_member(paid=1000) for _ in range(3))
    remember(app, PACK)
    calls = [lambda key=key: buy(app, key) for key in [known("buyer", m) for m in (first, stuck, free)]]
    with ThreadPoolExecutor(1) as pool:
        with locked(owner, stuck):
            answers = pool.submit(gathered, app, calls)
            until(lambda: bool(rows(owner, "select from store_order where member_id = :m", m=free.id)))  # while the other is still locked
            assert not rows(owner, "select from store_order where member_id = :m", m=stuck.id)
        assert codes(answers.result(30)) == {201: 3}


def test_a_lone_locked_wallet_does_not_hold_up_those_who_come_later(app: Flask, owner: Engine) -> None:
    stuck, free = make_member(paid=1000), make_member(paid=1000)
    remember(app, PACK)
    stuck_key, free_key = known("buyer", stuck), known("buyer", free)
    with ThreadPoolExecutor(1) as pool:
        with locked(owner, stuck):
            waiting = pool.submit(buy, app, stuck_key)
            until(lambda: app.extensions["gatherer"]._calling is not None)
            assert buy(app, free_key).status_code == 201
            assert not waiting.done()
        assert waiting.result(30).status_code == 201
    assert (balance(stuck), balance(free)) == (900, 900)


def test_members_with_one_id_do_not_meet(app: Flask, owner: Engine) -> None:
    mine, theirs, order_id = make_member(paid=1000), make_member(paid=1000), new_id()
    remember(app, PACK)
    keys = [known("buyer", m) for m in (mine, theirs)]
    assert codes(at_once(*[lambda k=k: buy(app, k, order_id=order_id) for k in keys] * 10)) == {201: 20}
    assert (balance(mine), balance(theirs)) == (900, 900)
    assert rows(owner, "select count(*) from store_order where id = :i", i=order_id) == [(2,)]


def test_a_batch_leaves_no_member_behind(app: Flask) -> None:
    """After the transaction nobody is acting: the connection sees no rows, of nobody."""
    key = known("buyer", make_member(paid=1000))
    remember(app, PACK)
    assert buy(app, key).status_code == 201
    assert core_db.member_call("select count(*) from store_order", []) == [(0,)]


def request_of(member: Member) -> str:
    """A purchase of PACK as it goes into a batch."""
    quote = pricing.quote(member.id, pricing.remembered(PACK), 1, at=AT, is_judged=True)
    return orders._request(member.id, quote, orders.Wanted(new_id(), PRICE), AT, None, None)


def test_batches_in_opposite_order_do_not_wait_for_each_other_in_a_circle(app: Flask) -> None:
    """Whatever the order of the requests, the wallets are locked in member order, and each result stands where its request did."""
    members = [make_member(paid=10_000) for _ in range(6)]
    remember(app, PACK)

    def call(batch: list[Member]) -> list[tuple[object, ...]]:
        with app.app_context():
            return order_batches.place([request_of(member) for member in batch])

    for found in at_once(*[lambda: call(members), lambda: call(members[::-1])] * 4):
        assert [row[0] for row in found] == ["new"] * 6
    assert [balance(member) for member in members] == [10_000 - 8 * PRICE] * 6


def test_a_batch_writes_for_its_own_members_only(app: Flask, owner: Engine) -> None:
    """Neither may a member place another's order, nor does naming a batch open anything to those who are not in it."""
    mine, theirs = make_member(paid=1000), make_member(paid=1000)
    for member in (mine, theirs):
        core_db.db.session.expunge(member)  # a refusal must not forget who they are
    remember(app, PACK)
    both = array([request_of(mine), request_of(theirs)])
    with pytest.raises(DBAPIError, match="a member may buy for itself only"), transaction(acting_for(mine)) as session:
        session.execute(orders._PLACE, {"requests": both})
    given = "from unnest(cast(:r as order_request[])) r"
    record = f"select record_orders(array[r], array[(r.member_id, r.id, 'new', 0, 0, 0, 0, 0)::charge_result]) {given}"
    charge = (
        f"select charge_many(array[(r.member_id, r.id, r.request_hash, 'purchase', r.currency, r.at, null, r.targets, r.amounts, r.bonus_limits, null, null)"
        f"::charge_request]) {given}"
    )
    for statement, refusal in ((record, "row-level security"), (charge, "own book only")):
        with transaction(acting_for(mine)) as session, session.begin_nested() as savepoint:
            session.execute(text("select set_config('app.batch_members', :m, true)"), {"m": f"{{{mine.id}}}"})
            with pytest.raises(DBAPIError, match=refusal):
                session.execute(text(statement), {"r": array([request_of(theirs)])})
            savepoint.rollback()
    with transaction(acting_for(mine)) as session:  # and whoever is in a batch is still not seen by its neighbours
        session.execute(text("select set_config('app.batch_members', :m, true)"), {"m": f"{{{mine.id},{theirs.id}}}"})
        assert session.scalar(text("select count(*) from wallet")) == 1
    assert (balance(mine), balance(theirs)) == (1000, 1000)
    assert not rows(owner, "select from store_order")


def test_a_dead_connection_is_replaced(app: Flask, owner: Engine) -> None:
    member = make_member(paid=1000)
    key = known("buyer", member)
    remember(app, PACK)
    core_db._member_engine().dispose()
    assert buy(app, key).status_code == 201
    fairy = core_db._member_engine().raw_connection()
    dead = fairy.driver_connection
    with socket.socket(fileno=os.dup(dead.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
    fairy.close()  # back into the pool, as nobody knows yet
    assert buy(app, key).status_code == 201
    assert dead.closed
    assert balance(member) == 800


def test_an_order_told_again_is_the_first_one_whatever_is_on_sale_by_now(app: Flask) -> None:
    key, order_id = known("buyer", make_member(paid=1000)), new_id()
    remember(app, PACK)
    first = buy(app, key, order_id=order_id)
    set_listing(PACK, current_version="9.9.9")
    remember(app, PACK)
    assert buy(app, key).json["version"] == "9.9.9"
    assert buy(app, key, order_id=order_id).data == first.data


def test_terms_that_changed_are_read_again(app: Flask, owner: Engine) -> None:
    member = make_member(paid=1000)
    key = known("buyer", member)
    remember(app, PACK)
    set_listing(PACK, summary_en="New words")  # another revision, the same price
    assert buy(app, key).status_code == 201
    set_listing(PACK, price_minor=250)
    answer = buy(app, key)
    assert (answer.status_code, answer.json["code"], answer.json["errors"][0]["field"], answer.json["price_minor"]) == (
        409,
        "price_changed",
        "price_minor",
        250,
    )
    assert buy(app, key, price=250).status_code == 201
    assert balance(member) == 1000 - 100 - 250


def test_a_replay_is_answered_when_the_listing_is_gone(app: Flask) -> None:
    member, order_id = make_member(paid=1000), new_id()
    key = known("buyer", member)
    first = buy(app, key, order_id=order_id)
    set_listing(PACK, state="archived")
    again = buy(app, key, order_id=order_id)
    assert (again.status_code, again.data) == (201, first.data)
    assert buy(app, key).json["code"] == "not_for_sale"
    assert balance(member) == 900


def test_an_id_serves_one_purchase(app: Flask) -> None:
    member, order_id = make_member(paid=100_000), new_id()
    key = known("buyer", member)
    assert buy(app, key, order_id=order_id).status_code == 201
    assert buy(app, key, order_id=order_id, quantity=2).json["code"] == "id_reused"
    other = orders.Wanted(order_id, price_of(ONE_TIME))
    with transaction(acting_for(member)), pytest.raises(IdReused):
        orders.place(member.id, ONE_TIME, other, at=AT)
    assert balance(member) == 99_900


def test_a_failed_purchase_does_not_use_up_its_id(app: Flask) -> None:
    poor, order_id = make_member(paid=30), new_id()
    key = known("buyer", poor)
    assert buy(app, key, order_id=order_id).json == buy(app, key, order_id=order_id).json
    with transaction(SYSTEM):
        wallets.credit(wallets.Credit(poor.id, new_id(), b"more", "opening_balance", "CNY", AT, 200))
    assert buy(app, key, order_id=order_id).status_code == 201
    assert balance(poor) == 130


def test_a_free_listing_moves_no_money_and_is_had_once(app: Flask, owner: Engine) -> None:
    member, order_id = make_member(paid=500), new_id()
    key = known("buyer", member)
    remember(app, PACK)
    answer = buy(app, key, FREE, order_id, price=0)
    assert (answer.status_code, answer.json["total_minor"], answer.json["balance_after_minor"]) == (201, 0, 500)
    assert buy(app, key, FREE, order_id, price=0).data == answer.data
    assert codes(at_once(*[lambda: buy(app, key, FREE, price=0)] * 8)) == {(409, "already_owned"): 8}
    assert rows(owner, "select count(*) from ledger_transaction where kind = 'purchase'") == [(0,)]
    assert rows(owner, "select count(*) from license") == [(1,)]


def test_an_edition_too_low_is_refused_and_the_right_one_is_not(app: Flask) -> None:
    member = make_member(paid=1_000_000)
    key, price = known("buyer", member), price_of(CRM_ONLY)
    refused = buy(app, key, CRM_ONLY, price=price)
    assert (refused.status_code, refused.json["code"]) == (403, "edition_too_low")
    subscribe(member)
    assert buy(app, key, CRM_ONLY, price=price).status_code == 201
    assert balance(member) == 1_000_000 - price


@pytest.mark.parametrize(
    "body", [{}, {"id": "x", "price_minor": 1}, {"price_minor": 100}, {"quantity": 0}, {"quantity": 10_001}, {"price_minor": -1}, {"more": 1}]
)
def test_a_wrong_body_is_told_field_by_field(app: Flask, body: dict[str, object]) -> None:
    member = make_member(paid=1000)
    given = body if not body or "id" in body or body == {"price_minor": 100} else {"id": str(new_id()), "price_minor": 100, **body}
    answer = app.test_client().post(f"/api/v1/listings/{PACK}/orders", json=given, headers=known("buyer", member))
    assert (answer.status_code, bool(answer.json["errors"])) == (422, True)
    assert balance(member) == 1000


def test_viewers_and_strangers_do_not_buy(app: Flask) -> None:
    assert buy(app, bearer("viewer", make_member(paid=1000))).status_code == 403
    assert buy(app, bearer("operator")).status_code == 403
    assert buy(app, {}).status_code == 401
