"""The renewal run against the same renewals as hand-written SQL that knows a single balance; how it scales; what memory it takes.

`renewal_vs_sql` alternates batches of 10,000 of hand-written SQL (the unchanged raw_renewals.sql, one connection) and runs of the product over 40,000, on one
server, each batch committed. The product's run is the scheduler's job itself, with its lanes side by side, over wallets that have grants and lots.
`renewal_vs_sql_one_lane` is one batch of the product by itself: one connection on both sides.
"""

import contextlib
import os
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from flask import Flask
from sqlalchemy import text

from benchmarks.figures import figure, tell
from benchmarks.stage import HERE, Stage, stage
from billing.renewal import renewal_jobs, renewals
from core.db import SYSTEM, db, transaction
from core.embedded.postgres import dsn

BATCH = 10_000
BATCHES = 4  # of the run
PAIRS = 7
RAW = 100_000  # subscriptions, as raw_renewals.sql says
AT = datetime(2026, 6, 30, 16, tzinfo=UTC)  # July 1, midnight in Shanghai
_RUN = uuid.UUID(int=1)
MANY = int(os.environ.get("RENEWALS_MANY") or 1_000_000)  # the upper end; lower it for a quick run


def measure() -> None:
    """Print renewal_vs_sql, the same with one lane, and renewal_linear; on standard error time per subscription at both ends, and memory."""
    run, one_lane = _pairs()
    few, few_mb = _alone(BATCH, rounds=7)
    many, many_mb = _alone(MANY, rounds=1)
    for count, times, peak in ((BATCH, few, few_mb), (MANY, many, many_mb)):
        spread = f"{statistics.median(times):.1f} µs each (batches {min(times):.1f} to {max(times):.1f})"
        tell(f"{count:,} subscriptions: {spread}, the backend's own memory {peak:.0f} MB at most")
    figure("renewal_vs_sql", run, 0.50)
    figure("renewal_vs_sql_one_lane", one_lane, 0.50)
    figure("renewal_linear", [statistics.median(few) / statistics.median(many)], 0.80)


def _pairs() -> tuple[list[float], list[float]]:
    """Ratios of the job's run over `BATCHES` batches, and of one batch by itself. Each pair has subscriptions of its own, due in an hour of its own."""
    with _world(PAIRS * (BATCHES + 1) * BATCH, each=(BATCHES + 1) * BATCH) as (on, app):
        on.psql("-v", f"n={RAW}", "-f", str(HERE / "raw_renewals.sql"), "-c", "checkpoint")  # both sides write every page for the first time since
        run, one_lane = [], []
        with psycopg.connect(dsn(on.postgres.url("backoffice")), autocommit=True) as raw, app.app_context():
            for n in range(PAIRS):
                at = AT + timedelta(hours=n)
                began = time.perf_counter()
                settled = raw.execute("select raw_renewals.run_batch(%s)", [BATCH]).fetchone()
                peer = time.perf_counter() - began
                assert settled == (BATCH,)
                alone, one = _batch(at)
                assert (one.renewed, one.past_due) == (BATCH * 19 // 20, BATCH // 20)
                began = time.perf_counter()
                done = renewal_jobs.renew_due_subscriptions(at)
                together = time.perf_counter() - began
                assert (done.renewed, done.past_due) == (BATCHES * BATCH * 19 // 20, BATCHES * BATCH // 20)
                one_lane.append(peer / alone)
                run.append(peer * BATCHES / together)
                micros = [seconds / BATCH * 1e6 for seconds in (peer, alone, together / BATCHES)]
                tell("{}/{} raw {:.1f} µs, a batch by itself {:.1f} µs, the run {:.1f} µs".format(n + 1, PAIRS, *micros))
        on.verify()
    return run, one_lane


def _alone(count: int, rounds: int) -> tuple[list[float], float]:
    """Microseconds a subscription of each batch, all `count` of them `rounds` times (a month apart), and the backend's peak private memory in MB."""
    times: list[float] = []
    with _world(count, each=count) as (on, app), app.app_context():
        with _watched() as peak:
            for month in range(rounds):
                while True:
                    took, done = _batch(AT + timedelta(days=31 * month))
                    if not done.examined:
                        break
                    if done.renewed > BATCH // 2:  # not the few that were past due before
                        times.append(took / done.settled * 1e6)
        on.verify()
    return times, peak[0]


def _batch(at: datetime) -> tuple[float, renewals.RunResult]:
    began = time.perf_counter()
    with transaction(SYSTEM):
        done = renewals.renew_due(at, BATCH, run=renewals.Run(_RUN, at, at))
    return time.perf_counter() - began, done


@contextlib.contextmanager
def _world(count: int, *, each: int) -> Iterator[tuple[Stage, Flask]]:
    with stage() as on:
        app = on.start()
        began = time.perf_counter()
        on.psql("-v", "ON_ERROR_STOP=1", "-v", f"n={count}", "-v", f"each={each}", "-v", f"at={AT.isoformat()}", "-f", str(HERE / "renewals.sql"))
        tell(f"{count:,} members made in {time.perf_counter() - began:.0f} s")
        try:
            yield on, app
        finally:
            with app.app_context():
                db.engine.dispose()


@contextlib.contextmanager
def _watched() -> Iterator[list[float]]:
    """The most private memory (RssAnon, MB) that the application's backend has while the block runs; a new connection is the block's own."""
    with transaction(SYSTEM) as session:
        status = Path(f"/proc/{session.scalar(text('select pg_backend_pid()'))}/status")
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            line = next((line for line in status.read_text().splitlines() if line.startswith("RssAnon")), "RssAnon: 0 kB")
            peak[0] = max(peak[0], int(line.split()[1]) / 1024)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
