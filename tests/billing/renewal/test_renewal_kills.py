"""`kill -9` of the renewal run at random points, again and again, with top-ups and a second run in between: nobody is charged twice or skipped."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from billing.ledger.ledger_models import LedgerTransaction
from billing.renewal import renewal_jobs, renewals
from billing.subscription.subscription_models import SubscriptionCharge
from core.db import SYSTEM, transaction
from membership.models import Member
from membership.subscription_models import Subscription
from tests.billing import subscription_world as world
from tests.billing.books import assert_books_hold

END = datetime(2026, 7, 14, 16, tzinfo=UTC)
PRICE = world.month_price(2, 5)
# The job as the worker runs it, in a process of its own, with small batches, so that a kill falls between and within them.
SCRIPT = """
import dataclasses, os, sys
from datetime import datetime
from core.settings import Settings
from app import create_app
settings = dataclasses.replace(Settings.from_env(), renewal_batch=3)
app = create_app(settings)
from billing.renewal import renewal_jobs
print("ready", flush=True)
sys.stdin.readline()
with app.app_context():
    print(renewal_jobs.renew_due_subscriptions(datetime.fromisoformat(sys.argv[1])), flush=True)
"""


def _worker(app: Flask) -> "subprocess.Popen[str]":
    settings = app.extensions["settings"]
    environment = os.environ | {
        "DATABASE_URL": settings.database_url, "MIGRATION_DATABASE_URL": settings.migration_database_url, "REDIS_URL": settings.redis_url,
        "STRIPE_API_KEY": "sk_test_product", "STRIPE_WEBHOOK_SECRET": "whsec_test", "SECRET_KEY": "x" * 40,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, END.isoformat()], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _world(members: int) -> dict[str, list[Subscription]]:
    """Members with two subscriptions each: with money for both, for one, for none."""
    world.sell()
    world.sell("ops")
    made: dict[str, list[Subscription]] = {"both": [], "one": [], "none": []}
    for n in range(members):
        kind = ("both", "both", "one", "none")[n % 4]
        member = world.member_with(paid=PRICE * (2 + {"both": 2, "one": 1, "none": 0}[kind]))
        made[kind] += [world.subscribe(member), world.subscribe(member, line="ops", at=world.AT + timedelta(hours=1))]
    return made


def _expect_everything_once(made: dict[str, list[Subscription]]) -> None:
    """The first of each wallet is served first; each term is charged once in the ledger, once in the charges, and the run's figures tie."""
    with transaction(SYSTEM) as session:
        held = {s.id: (s.state, s.term) for s in session.scalars(select(Subscription))}
        paid = Counter(session.scalars(select(SubscriptionCharge.subscription_id).where(SubscriptionCharge.state == "paid")))
        booked = Counter(session.scalars(select(LedgerTransaction.book_id).where(LedgerTransaction.kind == "subscription")))
    for kind, ones in made.items():
        for place, one in enumerate(ones):
            renewed = kind == "both" or (kind == "one" and place % 2 == 0)
            assert held[one.id] == (("active", 2) if renewed else ("past_due", 1)), (kind, place)
            assert paid[one.id] == 1 + renewed
    assert sum(booked.values()) == sum(paid.values())
    assert_books_hold()


def _storm(app: Flask, members: int, kills: int, seed: int) -> None:
    rng, made = random.Random(seed), _world(members)
    for _n in range(kills):
        process = _worker(app)
        _go(process)
        time.sleep(rng.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.wait()
    renewal_jobs.renew_due_subscriptions(END)
    _expect_everything_once(made)


def test_killed_twice_nothing_is_lost_or_doubled(app: Flask) -> None:
    _storm(app, members=12, kills=2, seed=1)


@pytest.mark.long
@pytest.mark.timeout(900)  # each run is a new process
def test_killed_again_and_again(app: Flask) -> None:
    _storm(app, members=80, kills=20, seed=7)


def test_two_processes_and_top_ups_at_the_same_time(app: Flask) -> None:
    """Both runs, and money that arrives meanwhile: whoever is first pays; nothing is paid twice, nobody who has money stays past due."""
    made = _world(16)
    workers = [_worker(app) for _n in range(2)]
    poor = [Member(id=one.member_id) for one in made["none"][::2]]
    for worker in workers:
        _go(worker)

    def bring_money() -> None:
        with app.app_context():
            for member in poor:
                world.put_in(member, 2 * PRICE, at=END + timedelta(minutes=1))

    thread = threading.Thread(target=bring_money)
    thread.start()
    thread.join(60)
    for worker in workers:
        assert worker.wait(60) == 0
    renewal_jobs.renew_due_subscriptions(END + timedelta(minutes=2))
    made["both"] += made.pop("none")
    _expect_everything_once(made | {"none": []})


def test_a_row_that_the_database_refuses_is_parked_and_its_batch_goes_on(app: Flask, owner) -> None:  # type: ignore[no-untyped-def]
    world.sell()
    members = [world.member_with(paid=2 * PRICE) for _n in range(7)]
    ones = [world.subscribe(member) for member in members]
    with owner.begin() as connection:
        connection.execute(text("alter table subscription_charge add constraint odd check (subscription_id <> '%s' or term = 1)" % ones[3].id))  # noqa: UP031
    try:
        done = renewal_jobs.renew_due_subscriptions(END)
        assert (done.renewed, done.parked) == (6, 1)
        held = world.now_of(ones[3])
        assert held.parked_reason == "database: CheckViolation"
        assert world.balance(members[3]) == (PRICE, 0)
        assert renewal_jobs.renew_due_subscriptions(END) == renewals.RunResult()
    finally:
        with owner.begin() as connection:
            connection.execute(text("alter table subscription_charge drop constraint odd"))
    assert_books_hold()
