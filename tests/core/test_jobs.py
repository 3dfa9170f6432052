from datetime import UTC, datetime

from flask import Flask
from rq import Queue
from rq.cron import CronScheduler

from core import jobs, schedule
from core.clock import now


def test_a_job_runs_inside_the_app(app: Flask) -> None:
    jobs.enqueue(now)
    jobs.AppWorker(jobs.QUEUES, connection=jobs.connection()).work(burst=True, logging_level="WARNING")
    queue = Queue("default", connection=jobs.connection())
    assert queue.count == 0
    (job,) = (queue.fetch_job(job_id) for job_id in queue.finished_job_registry.get_job_ids())
    assert job
    assert isinstance(job.return_value(), datetime)


def test_a_job_with_a_key_waits_only_once(app: Flask) -> None:
    for _ in range(3):
        jobs.enqueue(now, key="sweep:now")
    jobs.enqueue(now, key="sweep:other", queue="bulk")
    assert Queue("default", connection=jobs.connection()).count == 1
    assert Queue("bulk", connection=jobs.connection()).count == 1


def test_what_is_scheduled_is_put_in_line(app: Flask) -> None:
    own = Flask("scheduled")
    schedule.every(own, 300, now)
    schedule.at(own, "15 2 * * *", now)
    assert [(entry.name, entry.every_s, entry.cron) for entry in schedule.entries(own)] == [
        ("core.clock.now", 300, None),
        ("core.clock.now", None, "15 2 * * *"),
    ]
    scheduler = CronScheduler(connection=jobs.connection(), logging_level="WARNING")
    jobs.register(scheduler, own)
    enqueued = scheduler.enqueue_jobs()
    assert len(enqueued) == 1  # the interval runs at once, the cron entry at its hour
    assert enqueued[0].next_enqueue_time is not None
    assert enqueued[0].next_enqueue_time > datetime.now(UTC)
