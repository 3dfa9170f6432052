"""What looks after wallets by itself: automatic top-ups, warnings of a low balance, holds that end. Each may be stopped anywhere and started again."""

import redis
from flask import current_app

from billing import auto_top_ups, balance_warnings, holds, passage, top_up_jobs
from core import jobs
from core.clock import now
from core.db import SYSTEM, transaction

AUTO_TOP_UP_EVERY_S = 5
WARN_EVERY_S = 30
EXPIRE_HOLDS_EVERY_S = 30
HOLDS_AT_ONCE = 1_000
EXPIRE_MONEY_EVERY_S = 60


def top_up_low_wallets() -> int:
    """Begin the automatic top-ups that are due and leave asking Stripe to the workers; returns how many were begun.

    An attempt that gets lost between the commit and the queue is asked for by the sweep of pending top-ups, with the same key.
    """
    with transaction(SYSTEM):
        started = auto_top_ups.start_due(at=now())
    for member_id, top_up_id in started:
        try:
            jobs.enqueue(top_up_jobs.pay, member_id, top_up_id, queue="urgent", key=f"top-up:{top_up_id}")
        except redis.RedisError:
            current_app.logger.exception("automatic top-up %s waits for the sweep", top_up_id)
    return len(started)


def warn_of_low_balances() -> int:
    """Tell members whose available money has fallen below what they named; returns how many."""
    with transaction(SYSTEM):
        return balance_warnings.tell_due(at=now())


def expire_holds() -> int:
    """End the holds whose instant has come, batch by batch; returns how many. Whoever charges meanwhile ends those of its wallet itself."""
    done = 0
    while True:
        with transaction(SYSTEM):
            ended = holds.expire_due(at=now(), limit=HOLDS_AT_ONCE)
        done += ended
        if ended < HOLDS_AT_ONCE:
            return done


def expire_money() -> int:
    """Book what has expired at its instant; returns how many grants. Whoever charges meanwhile does so for its wallet itself."""
    return passage.expire(now())
