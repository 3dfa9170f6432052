"""Jobs: work that a request leaves to a worker, over RQ. The database is the truth, the queue only a hint."""

import os
import time
from collections.abc import Callable
from typing import Any

import redis
import structlog
from flask import Flask, current_app
from rq import Queue, Worker
from rq.cron import CronScheduler
from rq.job import Job

from core import logging, schedule
from core.db import db, forget_member_engine
from core.settings import Settings

QUEUES = ("urgent", "default", "bulk")  # a worker empties the left one first
RESULT_TTL_S = 3600
SCHEDULED_RESULT_TTL_S = 300
FAILURE_TTL_S = 14 * 24 * 3600


def connection() -> "redis.Redis":
    """The queue's server, one pool per app and process."""
    found = current_app.extensions.get("redis")
    if found is None:
        settings: Settings = current_app.extensions["settings"]
        found = current_app.extensions["redis"] = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=2, health_check_interval=30)
    return found


def enqueue(job: Callable[..., object], *args: Any, queue: str = "default", timeout_s: int = 600, key: str | None = None) -> None:
    """Leave `job(*args)` to a worker. Call it after the commit; a sweep must find what gets lost here.

    With a `key` (unique per job and subject) a job that already waits is not put in line again.
    """
    assert queue in QUEUES
    line = Queue(queue, connection=connection())
    job_id = key.replace(":", "-") if key else None
    if job_id:
        waiting = line.fetch_job(job_id)
        if waiting is not None and waiting.get_status() in ("queued", "deferred", "scheduled"):
            return
    line.enqueue(job, args=args, job_id=job_id, job_timeout=timeout_s, result_ttl=RESULT_TTL_S, failure_ttl=FAILURE_TTL_S)


class AppWorker(Worker):
    """A worker whose jobs run inside the app's context; each forked job opens database connections of its own."""

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Begin a forked job: connections of the parent are not ours to use."""
        db.engine.dispose(close=False)
        forget_member_engine()
        current_app.extensions.pop("redis", None)
        super().main_work_horse(job, queue)

    def perform_job(self, job: Job, *args: Any) -> bool:
        """Run one job, its id on every log line."""
        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(job_id=job.id, job=job.func_name):
            succeeded = bool(super().perform_job(job, *args))
            took_ms = round((time.perf_counter() - began) * 1000, 1)
            if succeeded:
                logging.log.info("job", took_ms=took_ms)
            else:
                logging.log.error("job failed", took_ms=took_ms, error=(job.exc_info or "").strip().rpartition("\n")[2])
            return succeeded


def work(app: Flask) -> None:
    """Serve the queues until SIGTERM; a running job is finished first."""
    logging.configure()
    with app.app_context():
        AppWorker(QUEUES, connection=connection()).work(logging_level="WARNING")


def run_schedule(app: Flask) -> None:
    """Put scheduled jobs in line when they are due, until SIGTERM."""
    os.environ["TZ"] = "UTC"  # cron fields are read in local time
    time.tzset()
    logging.configure()
    with app.app_context():
        scheduler = CronScheduler(connection=connection(), logging_level="WARNING")
        register(scheduler, app)
        scheduler.start()  # type: ignore[no-untyped-call]


def register(scheduler: CronScheduler, app: Flask) -> None:
    """Tell RQ's scheduler what the app repeats."""
    for entry in schedule.entries(app):
        # A run that nobody took before the next but one is due is dropped: a line of stale runs helps nobody.
        scheduler.register(
            entry.job,
            "default",
            interval=entry.every_s,
            cron=entry.cron,
            job_timeout=entry.timeout_s,
            ttl=max(60, 2 * entry.every_s) if entry.every_s else None,
            result_ttl=SCHEDULED_RESULT_TTL_S,
            failure_ttl=FAILURE_TTL_S,
        )
