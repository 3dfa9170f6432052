"""How the machinery is: what waits in the database, and what the queue's server says. Read only."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import redis
from rq import Queue, Worker
from rq.job import Job
from sqlalchemy import text

from core.db import db

LAST_FAILED = 50  # of a queue's failed jobs, how many are looked at for their names
# Read by table name: the tables belong to other rooms, but what waits in them is the operator's business.
_WAITING = text(
    "select 'outbox' as name, count(*) as number, min(at) as oldest, count(*) filter (where attempts > 0) as failing from outbox where delivered_at is null"
    " union all select 'stripe_events', count(*), min(received_at), count(*) filter (where error is not null) from stripe_event where processed_at is null"
    " union all select 'top_ups', count(*), min(created_at), 0 from top_up where state = 'pending' and method = 'card'"
    " union all select 'renewals', count(*), min(next_attempt_at), 0 from subscription"
    " where state in ('trialing', 'active', 'past_due') and next_attempt_at <= :at"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Work of one kind that is not done yet; `failing` of it was tried in vain."""

    name: str
    number: int
    oldest: datetime | None
    failing: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue: jobs in line, and jobs that failed and are kept to be looked at; what the last of these were, by the dotted names of their functions."""

    name: str
    in_line: int
    failed: int
    failing: tuple[str, ...]


def backlog(at: datetime) -> list[Waiting]:
    """What the jobs have before them: messages between rooms, Stripe's events, card payments under way, renewals that are due."""
    return [Waiting(*row) for row in db.session.execute(_WAITING, {"at": at})]


def queues(names: tuple[str, ...], connect: Callable[[], "redis.Redis"]) -> tuple[list[QueueState], int] | None:
    """The queues and the number of workers, or None when the queue's server does not answer."""
    try:
        connection = connect()
        return [_state(Queue(name, connection=connection)) for name in names], Worker.count(connection=connection)
    except (redis.RedisError, ValueError, OSError):
        return None


def _state(queue: Queue) -> QueueState:
    failed = queue.failed_job_registry
    last = Job.fetch_many(failed.get_job_ids(0, LAST_FAILED - 1, desc=True), connection=queue.connection)
    return QueueState(queue.name, queue.count, failed.count, tuple(dict.fromkeys(job.func_name for job in last if job and job.func_name)))
