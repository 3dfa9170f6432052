"""Runs in the background: one job a run, and sweeps for what was lost and what is kept too long."""

import time
import uuid
from datetime import timedelta
from pathlib import PurePosixPath

import redis
from flask import current_app
from sqlalchemy import select, update

from core import jobs
from core.clock import now
from core.db import SYSTEM, transaction
from core.settings import Settings
from marketplace.checks import replay
from marketplace.checks.findings import Finding
from marketplace.checks.unpack import unpack
from marketplace.run import runs
from marketplace.run.run_models import Run, RunFile
from marketplace.sandbox import box
from marketplace.sandbox.limits import Limits
from marketplace.store.contents import read

LOST_AFTER = timedelta(minutes=15)
PICKED_UP_AFTER = timedelta(seconds=20)
TOLD_EVERY_S = 1.0
RULES = {
    "replay_failed": "run_failed",
    "replay_time": "run_time",
    "replay_memory": "run_memory",
    "replay_output": "run_output",
    "replay_crashed": "run_crashed",
}


def enqueue(member_id: uuid.UUID, run_id: uuid.UUID) -> None:
    """Leave a run to a worker. Call it after the commit. A queue that is away costs a minute: the sweep finds the run."""
    try:
        jobs.enqueue(perform, str(member_id), str(run_id), key=f"run-{run_id}")
    except redis.RedisError as error:
        current_app.logger.warning("run %s waits for the sweep: %r", run_id, error)


def perform(member_id: str, run_id: str) -> str | None:
    """One run from the queue to its end. Returns its state; None where somebody else had it."""
    settings: Settings = current_app.extensions["settings"]
    key = (uuid.UUID(member_id), uuid.UUID(run_id))
    with transaction(SYSTEM):
        work = runs.begin(*key, at=now())
    if work is None:
        return None
    told_at = 0.0

    def on_progress(words: str, _percent: int | None) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > TOLD_EVERY_S:
            told_at = time.monotonic()
            with transaction(SYSTEM):
                runs.note_progress(*key, words)

    outcome, failure = _run(work, Limits.of(settings), on_progress)
    with transaction(SYSTEM):
        runs.finish(*key, outcome, failure, at=now())
    return "failed" if failure else "succeeded"


def _run(work: runs.Work, limits: Limits, on_progress: box.Progress) -> tuple[box.Outcome, Finding | None]:
    files, manifest = unpack(work.content), read(work.content).manifest
    sample = manifest["cases"][0]["input"]
    path = sample
    if work.input_content is not None:
        path = f"input/data{PurePosixPath(sample).suffix}"  # a name of ours: what the member calls its file means nothing to the task
        files[path] = work.input_content
    hidden = tuple(one["expected"].rstrip("/") + "/" for one in manifest["cases"])
    seen = {name: content for name, content in files.items() if not name.startswith(hidden)}
    options = {"entry": manifest["entry"], "input": path, "variables": replay.variables(manifest, work.parameters), "keep": True}
    try:
        outcome = box.run(work.kind, options, seen, limits, on_progress)
    except box.SandboxMissing as error:
        return box.Outcome(), Finding("sandbox_missing", str(error))
    failed = replay.failure("", outcome, manifest["entry"])
    return outcome, Finding(RULES[failed.rule], failed.what.removeprefix(": "), failed.file, failed.line) if failed else None


def run_waiting() -> int:
    """Every minute: put in line what no job has taken, give up what a worker lost. Returns how many."""
    at = now()
    with transaction(SYSTEM) as session:
        runs.give_up_lost(at - LOST_AFTER, at=at)
        waiting = session.execute(select(Run.member_id, Run.id).where(Run.state == "queued", Run.queued_at < at - PICKED_UP_AFTER)).all()
    for member_id, run_id in waiting:
        enqueue(member_id, run_id)
    return len(waiting)


def put_away_files() -> int:
    """Daily: forget the content of files of old runs; names and sizes stay. Returns how many."""
    settings: Settings = current_app.extensions["settings"]
    with transaction(SYSTEM) as session:
        old = select(Run.id).where(Run.member_id == RunFile.member_id, Run.id == RunFile.run_id, Run.queued_at < now() - timedelta(days=settings.run_keep_days))
        done = session.execute(update(RunFile).where(RunFile.content.is_not(None), old.exists()).values(content=None))
        return int(done.rowcount)  # type: ignore[attr-defined]
