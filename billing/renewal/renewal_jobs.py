"""The scheduler's renewal run."""

import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from flask import Flask, current_app
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from billing.renewal import renewal_notices, renewals
from billing.renewal.renewals import Run, RunResult
from billing.renewal.stretches import ALL, Stretch, cut, due_members
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id

PAUSE_S = 0.05
PATIENCE = 40  # pauses in a row in which everything waits for another run: then that run, or the next one, does the rest
# A batch that a crash of the server undoes is due again, as if never begun. Whoever commits next waits for the disk: the end of the run at the latest.
_DISK_LATER = text("set local synchronous_commit = off")


def renew_due_subscriptions(at: datetime | None = None) -> RunResult:
    """Renew everything that is due now (or at `at`), a transaction a batch, on several lanes side by side where one batch is not enough.

    Any number of runs may be under way; killed anywhere, the next one goes on.
    """
    started_at = now()
    run = Run(new_id(), at or started_at, started_at)
    total, due = _on_lanes(run)
    if total.settled < due:  # one batch, or what others held meanwhile
        total += _rest(run)
    if total.settled:
        with transaction(SYSTEM):
            renewals.finish(run, at=now())
    return total


def _on_lanes(run: Run) -> tuple[RunResult, int]:
    """Each lane takes the next stretch, as soon as it is cut; what others hold is left out, and what one batch can hold.

    Returns what became of them, and how many are due.
    """
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]

    def renew(stretch: Stretch) -> RunResult:
        with app.app_context():
            return _batch(run, stretch)

    batches: list[Future[RunResult]] = []
    due = 0
    with ThreadPoolExecutor(renewals.lanes()) as lanes:
        with transaction(SYSTEM):
            for stretch in cut(run.at, renewals.batch_size()):
                due += stretch.size
                if stretch.until or (batches and stretch.size):  # the last one may be empty, or the only one
                    batches.append(lanes.submit(renew, stretch))
        return sum((batch.result() for batch in batches), RunResult()), due


def _rest(run: Run) -> RunResult:
    """Batch after batch, until nothing is left, or nothing but what another run holds an earlier one of the same wallet of."""
    total, waited = RunResult(), 0
    while waited < PATIENCE:
        batch = _batch(run)
        total += batch
        if not batch.examined:
            break
        waited = 0 if batch.settled else waited + 1
        if waited:
            time.sleep(PAUSE_S)
    return total


def _batch(run: Run, stretch: Stretch | None = None, members: Sequence[uuid.UUID] | None = None) -> RunResult:
    """One batch. Where the database refuses it, its halves, down to the one member that it refuses; that one is parked and the rest is renewed."""
    try:
        with transaction(SYSTEM) as session:
            session.execute(_DISK_LATER)
            return renewals.renew_due(run.at, run=run, members=members, stretch=stretch)
    except OperationalError:  # the connection or a lock was lost: nothing is wrong with the batch
        raise
    except DBAPIError as error:
        if members is None:
            with transaction(SYSTEM):
                members = due_members(run.at, stretch or ALL, None if stretch else renewals.batch_size())
        if not members:
            raise
        if len(members) == 1:
            with transaction(SYSTEM):
                renewals.park(members[0], f"database: {type(error.orig).__name__}", at=run.at)
            return RunResult(1, parked=1)
        middle = len(members) // 2
        return _batch(run, members=members[:middle]) + _batch(run, members=members[middle:])


def tell_members(at: datetime | None = None) -> None:
    """Announce renewals and price increases to come, and ask who lapsed to come back."""
    at = at or now()
    told: int | None = None
    while told != 0:
        with transaction(SYSTEM):
            told = renewal_notices.tell_upcoming(at)
    with transaction(SYSTEM):
        after, _told = renewal_notices.tell_increases(at)
    while after is not None:
        with transaction(SYSTEM):
            after, _told = renewal_notices.tell_increases(at, after)
    with transaction(SYSTEM):
        renewal_notices.win_back(at)
