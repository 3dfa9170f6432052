"""The scheduler's renewal run."""

import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from flask import Flask, current_app
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from billing.renewal import renewal_notices, renewals
from billing.renewal.renewals import Run, RunResult
from core.clock import now
from core.db import SYSTEM, db, transaction
from core.ids import new_id

PAUSE_S = 0.05
PATIENCE = 40  # pauses in a row in which everything waits for another run: then that run, or the next one, does the rest
# A batch that a crash of the server undoes is due again, as if never begun. Whoever commits next waits for the disk: the end of the run at the latest.
_DISK_LATER = text("set local synchronous_commit = off")
_DUE = "select s.member_id from subscription s where s.state in ('trialing', 'active', 'past_due') and s.next_attempt_at <= :at"
_HOW_MANY = text(f"select count(*) from ({_DUE} limit :most) due")  # noqa: S608 (made of constants)
_FIRST = text(f"select distinct member_id from ({_DUE} order by s.next_attempt_at, s.member_id limit :most) due order by member_id")  # noqa: S608
_LAST = text(f"select distinct member_id from ({_DUE} order by s.next_attempt_at desc, s.member_id desc limit :most) due order by member_id")  # noqa: S608


def renew_due_subscriptions(at: datetime | None = None) -> RunResult:
    """Renew everything that is due now (or at `at`), a transaction a batch, several lanes side by side where one batch is not enough.

    Any number of runs may be under way; killed anywhere, the next one goes on.
    """
    started_at = now()
    run = Run(new_id(), at or started_at, started_at)
    if _is_more_than_a_batch(run.at):
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        count = renewals.lanes()
        with ThreadPoolExecutor(count) as lanes:
            total = sum(lanes.map(_lane_in, [app] * count, [run] * count, [n % 2 == 1 for n in range(count)]), RunResult())
    else:
        total = _lane(run)
    if total.settled:
        with transaction(SYSTEM):
            renewals.finish(run, at=now())
    return total


def _lane_in(app: Flask, run: Run, from_end: bool) -> RunResult:
    with app.app_context():
        return _lane(run, from_end=from_end)


def _lane(run: Run, *, from_end: bool = False) -> RunResult:
    """Batch after batch, until nothing is left, or nothing but what another lane or run holds an earlier one of the same wallet of."""
    total, waited = RunResult(), 0
    while waited < PATIENCE:
        batch = _batch(run, None, from_end)
        total += batch
        if not batch.examined:
            break
        waited = 0 if batch.settled else waited + 1
        if waited:
            time.sleep(PAUSE_S)
    return total


def _batch(run: Run, members: Sequence[uuid.UUID] | None, from_end: bool) -> RunResult:
    """One batch. Where the database refuses it, its halves, down to the one member that it refuses; that one is parked and the rest is renewed."""
    try:
        with transaction(SYSTEM) as session:
            session.execute(_DISK_LATER)
            return renewals.renew_due(run.at, run=run, members=members, from_end=from_end)
    except OperationalError:  # the connection or a lock was lost: nothing is wrong with the batch
        raise
    except DBAPIError as error:
        if members is not None and len(members) == 1:
            with transaction(SYSTEM):
                renewals.park(members[0], f"database: {type(error.orig).__name__}", at=run.at)
            return RunResult(1, parked=1)
        members = members or _due_members(run.at, from_end)
        middle = len(members) // 2 or 1
        return _batch(run, members[:middle], from_end) + _batch(run, members[middle:], from_end)


def _is_more_than_a_batch(at: datetime) -> bool:
    with transaction(SYSTEM):
        return int(db.session.execute(_HOW_MANY, {"at": at, "most": renewals.batch_size() + 1}).scalar_one()) > renewals.batch_size()


def _due_members(at: datetime, from_end: bool) -> list[uuid.UUID]:
    with transaction(SYSTEM):
        return list(db.session.scalars(_LAST if from_end else _FIRST, {"at": at, "most": renewals.batch_size()}))


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
