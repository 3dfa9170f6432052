"""Many at once, from threads and from processes: never below zero, one id one charge, no deadlock, and the books hold afterwards."""

import json
import random
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import create_engine, text

from billing.ledger.accounts import Account as A
from billing.wallet import balances, wallets
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from core.settings import Settings
from tests.billing.books import accounts, assert_books_hold
from tests.factories import AT, make_member

ROOT = Path(__file__).resolve().parents[3]
THREADS = 12
WORKER = """
import json, sys, uuid
from concurrent.futures import ThreadPoolExecutor
from flask import Flask
from billing.wallet import wallets
from billing.ledger.accounts import Account
from core.db import SYSTEM, db, transaction
from core.ids import request_hash
from tests.factories import AT
job = json.loads(sys.stdin.readline())
app = Flask("worker")
app.config.update(SQLALCHEMY_DATABASE_URI=job["url"], SQLALCHEMY_ENGINE_OPTIONS={"pool_size": 4})
db.init_app(app)
member = uuid.UUID(job["member"])
def charge(id):
    with app.app_context(), transaction(SYSTEM):
        target = wallets.Target(Account.STORE_REVENUE, job["amount"], job["amount"])
        request = wallets.ChargeRequest(member, uuid.UUID(id), request_hash("same"), "purchase", "CNY", AT, (target,))
        return wallets.charge_many([request])[0].status
with app.app_context():
    db.session.remove()
    db.engine.connect().close()
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(4) as pool:
    print(json.dumps(list(pool.map(charge, job["ids"]))))
"""


@pytest.fixture
def run_at_once(app: Flask) -> Callable[[list[Callable[[], object]]], list[object]]:
    """Run jobs on threads that start together; whatever one raises is raised here. Each has its own session."""

    def run(jobs: list[Callable[[], object]]) -> list[object]:
        start = threading.Barrier(THREADS)

        def one(place: int) -> list[tuple[int, object]]:
            start.wait(timeout=30)
            done = []
            for number in range(place, len(jobs), THREADS):
                with app.app_context():
                    done.append((number, jobs[number]()))
            return done

        with ThreadPoolExecutor(THREADS) as pool:
            results = dict(pair for part in pool.map(one, range(THREADS)) for pair in part)
        return [results[number] for number in range(len(jobs))]

    return run


def charge(member_id: uuid.UUID, amount: int, id: uuid.UUID | None = None) -> wallets.ChargeResult:
    target = wallets.Target(A.STORE_REVENUE, amount, amount)
    with transaction(SYSTEM):
        (result,) = wallets.charge_many([wallets.ChargeRequest(member_id, id or new_id(), request_hash("same"), "purchase", "CNY", AT, (target,))])
    return result


def test_a_wallet_that_suffices_for_n_of_many_serves_exactly_n(run_at_once: Callable[..., list[object]]) -> None:
    member = make_member(paid=80 * 7, bonus=20 * 7 + 3).id  # 100 times 7, and 3 too little for one more
    results = run_at_once([lambda: charge(member, 7)] * 240)
    assert Counter(result.status for result in results) == {"new": 100, "insufficient_funds": 140}  # type: ignore[attr-defined]
    assert {result.missing_minor for result in results if result.status == "insufficient_funds"} == {4}  # type: ignore[attr-defined]
    assert sorted((result.balance_after_minor for result in results if result.status == "new"), reverse=True) == list(range(696, 2, -7))  # type: ignore[attr-defined]
    books = accounts(member)
    assert books[A.WALLET_PAID] + books.get(A.WALLET_BONUS, 0) == 3
    assert_books_hold()


def test_one_id_sent_fifty_times_at_once_is_one_charge(run_at_once: Callable[..., list[object]]) -> None:
    member, id = make_member(paid=1_000).id, new_id()
    results = run_at_once([lambda: charge(member, 10, id)] * 50)
    assert Counter(result.status for result in results) == {"new": 1, "replayed": 49}  # type: ignore[attr-defined]
    assert {result.balance_after_minor for result in results} == {990}  # type: ignore[attr-defined]
    assert accounts(member)[A.WALLET_PAID] == 990
    assert_books_hold()


def test_one_top_up_settled_many_times_at_once_is_one_credit(run_at_once: Callable[..., list[object]]) -> None:
    member, id = make_member().id, new_id()
    one = wallets.Credit(member, id, request_hash("settle"), "opening_balance", "CNY", AT, 1_000, 100)

    def settle() -> str:
        with transaction(SYSTEM):
            return wallets.credit(one).status

    assert Counter(run_at_once([settle] * 50)) == {"new": 1, "replayed": 49}
    assert (accounts(member)[A.WALLET_PAID], accounts(member)[A.WALLET_BONUS]) == (1_000, 100)
    assert_books_hold()


def test_processes_share_one_wallet_and_one_id(app: Flask, settings: Settings) -> None:
    """Four processes of four threads: 240 requests, of which the wallet suffices for 60; every id is sent by two processes."""
    member = make_member(paid=60 * 5).id
    ids = [str(new_id()) for _ in range(120)]
    workers = []
    for number in range(4):
        worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        mine = random.Random(number).sample(ids[:60] if number < 2 else ids[60:], 60)
        assert worker.stdin is not None
        worker.stdin.write(json.dumps({"url": settings.database_url, "member": str(member), "amount": 5, "ids": mine}) + "\n")
        worker.stdin.flush()
        workers.append(worker)
    assert [worker.stdout.readline() for worker in workers if worker.stdout] == ["ready\n"] * 4
    for worker in workers:  # all are connected: now
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.close()
    statuses: Counter[str] = Counter()
    for worker in workers:
        assert worker.stdout is not None
        statuses.update(json.loads(worker.stdout.read()))
        assert worker.wait(timeout=60) == 0
    assert statuses["new"] == 60
    assert statuses["replayed"] + statuses["insufficient_funds"] == 180
    assert A.WALLET_PAID not in accounts(member)
    assert_books_hold()


def test_credits_charges_and_expiry_over_several_wallets_do_not_deadlock(run_at_once: Callable[..., list[object]]) -> None:
    members = [make_member(paid=2_000, bonus=500, bonus_expires_at=AT + timedelta(minutes=20)).id for _ in range(6)]
    chance = random.Random(7)

    def credits() -> Callable[[], object]:
        chosen = chance.sample(members, 4)
        batch = [
            wallets.Credit(m, new_id(), request_hash("c"), "opening_balance", "CNY", AT, 30, 11, bonus_expires_at=AT + timedelta(minutes=chance.randint(1, 40)))
            for m in chosen
        ]

        def run() -> object:
            with transaction(SYSTEM):
                return [result.status for result in wallets.credit_many(batch)]

        return run

    def charges() -> Callable[[], object]:
        at, chosen = AT + timedelta(minutes=chance.randint(0, 60)), chance.choices(members, k=5)
        parts = (wallets.Target(A.COMMISSION_REVENUE, 20, 15), wallets.Target(A.TAX_PAYABLE, 3), wallets.Target(A.PARTNER_PENDING, 17))
        batch = [wallets.ChargeRequest(m, new_id(), request_hash("x"), "purchase", "CNY", at, parts) for m in chosen]

        def run() -> object:
            with transaction(SYSTEM):
                return [result.status for result in wallets.charge_many(batch)]

        return run

    def expiry() -> Callable[[], object]:
        at = AT + timedelta(minutes=chance.randint(0, 60))

        def run() -> object:
            with transaction(SYSTEM) as session:
                return session.scalar(text("select expire_due(:at, 100)"), {"at": at})

        return run

    jobs = [chance.choice([credits, charges, charges, expiry])() for _ in range(200)]
    results = run_at_once(jobs)
    assert len(results) == 200
    assert_books_hold()
    totals = [accounts(member) for member in members]
    assert all(sum(books.values()) == 0 and min(books.get(A.WALLET_PAID, 0), books.get(A.WALLET_BONUS, 0)) >= 0 for books in totals)


def test_a_wallet_can_be_read_while_it_is_being_charged(app: Flask, settings: Settings) -> None:
    """A charge in progress holds up other charges of the wallet, never those who look at it."""
    member = make_member(paid=1_000).id
    engine = create_engine(settings.database_url)
    with engine.connect() as busy, busy.begin():
        busy.execute(text("set local role app_system"))
        busy.execute(
            text(
                "select * from charge_many(array[row(:m, :i, '', 'purchase', 'CNY', cast(:at as timestamptz), null, '{41}', '{10}', '{0}', null, null)"
                "::charge_request])"
            ),
            {"m": member, "i": new_id(), "at": AT},
        )
        with transaction(SYSTEM):
            assert balances.balance(member, "CNY", at=AT).paid_minor == 1_000
    engine.dispose()
    with transaction(SYSTEM):
        assert balances.balance(member, "CNY", at=AT).paid_minor == 990
