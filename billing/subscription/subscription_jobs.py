"""The scheduler's look at pauses that are over."""

from datetime import datetime

from billing.subscription import subscription_ends
from core.clock import now
from core.db import SYSTEM, transaction
from membership import pauses, subscriptions

BATCH = 500


def resume_paused(at: datetime | None = None) -> int:
    """Resume every subscription whose pause is over, each in a transaction of its own and at its own instant, however late the job comes."""
    at, done = at or now(), 0
    while True:
        with transaction(SYSTEM):
            due = pauses.due(at, BATCH)
        if not due:
            return done
        for member_id, subscription_id in due:
            with transaction(SYSTEM):
                subscription = subscriptions.locked(member_id, subscription_id)
                if subscription.state == "paused" and subscription.resumes_at is not None and subscription.resumes_at <= at:
                    subscription_ends.unpause(member_id, subscription_id, at=subscription.resumes_at)
                    done += 1
