"""Numbers without gaps: under threads, rollbacks and kill -9, with and without the lock that keeps jobs apart."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from billing.document import document_jobs, documents
from core.db import SYSTEM, transaction
from core.settings import Settings
from membership.models import Member
from tests.billing.books import assert_books_hold
from tests.billing.document.test_documents import charge, refund, top_up
from tests.factories import AT, ENTITY, make_member

ROOT = Path(__file__).resolve().parents[3]
LATER = AT + timedelta(days=1)
WORKER = """
import json, sys
from flask import Flask
from billing.document import document_jobs, documents
from core.db import db
from core.settings import Settings
from tests.billing.document.test_document_numbers import LATER
job = json.loads(sys.stdin.readline())
app = Flask("worker")
app.config.update(SQLALCHEMY_DATABASE_URI=job["url"])
unused = dict.fromkeys(("migration_database_url", "redis_url", "stripe_api_key", "stripe_webhook_secret", "secret_key"), "")
app.extensions["settings"] = Settings(database_url=job["url"], **unused)
db.init_app(app)
documents.WALLETS, documents.ENTRIES = 2, 3
print("ready", flush=True)
with app.app_context():
    document_jobs.issue_all(LATER)
"""


class RolledBack(Exception):
    """What a test raises to undo a transaction."""


def numbers() -> dict[str, list[int]]:
    with transaction(SYSTEM) as session:
        rows = session.execute(text("select kind, array_agg(n order by n) from document group by 1")).all()
    return {kind: list(found) for kind, found in rows}


def filled(members: int, each: int) -> list[Member]:
    """Members with a receipt, `each` invoices and a credit note to come."""
    found = [make_member() for _ in range(members)]
    for member in found:
        top_up(member, 1_000_00)
        bought = [charge(member, 10_60, 60) for _ in range(each)]
        refund(member, bought[0], 5_00, 30)
    return found


def expected(members: int, each: int) -> dict[str, list[int]]:
    return {
        "receipt": list(range(1, members + 1)), "invoice": list(range(1, members * each + 1)), "credit_note": list(range(1, members + 1)),
    }  # fmt: skip


def test_threads_and_rollbacks_leave_no_gap(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "ENTRIES", 7)
    monkeypatch.setattr(documents, "WALLETS", 3)
    filled(8, 6)
    chance, guard = random.Random(1), threading.Lock()

    def work(_n: int) -> None:
        with app.app_context():
            for _ in range(6):
                with guard:
                    is_undone = chance.random() < 0.5
                try:
                    with transaction(SYSTEM):
                        documents.issue_new(ENTITY, None, at=LATER)
                        if is_undone:
                            raise RolledBack
                except RolledBack:
                    pass

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    document_jobs.issue_all(LATER)
    assert numbers() == expected(8, 6)
    assert_books_hold()


def test_the_counter_alone_leaves_no_gap_where_jobs_are_not_kept_apart(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_lock", lambda entity_id: None)
    filled(4, 3)
    lost = 0

    def work(_n: int) -> bool:
        with app.app_context():
            try:
                with transaction(SYSTEM):
                    documents.issue_new(ENTITY, None, at=LATER)
            except IntegrityError:  # another had written the same documents first; its own numbers go back
                return True
            return False

    for _ in range(4):
        with ThreadPoolExecutor(4) as pool:
            lost += sum(pool.map(work, range(4)))
        filled(4, 3)
    assert lost, "no two met: the test shows nothing"
    document_jobs.issue_all(LATER)
    assert numbers() == expected(20, 3)
    assert_books_hold()


def test_a_job_that_is_killed_anywhere_leaves_no_gap_and_loses_nothing(app: Flask, settings: Settings) -> None:
    filled(12, 4)
    every, killed_at = sum(len(found) for found in expected(12, 4).values()), []
    for few in (1, 10, 25, 40, 55):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        assert worker.stdin
        assert worker.stdout
        worker.stdin.write(json.dumps({"url": settings.database_url}) + "\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "ready\n"
        until = time.monotonic() + 20
        while sum(len(found) for found in numbers().values()) < few and time.monotonic() < until:
            time.sleep(0.002)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()
        killed_at.append(sum(len(found) for found in numbers().values()))
        assert_books_hold()
    assert 0 < killed_at[0] < every, killed_at  # in the midst of it
    document_jobs.issue_all(LATER)
    assert numbers() == expected(12, 4)
    assert_books_hold()
