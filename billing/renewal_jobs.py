"""The scheduler's renewal run."""

import time
from datetime import datetime

from billing import renewals
from billing.renewals import RunResult
from core.clock import now
from core.db import SYSTEM, transaction

PAUSE_S = 0.05


def renew_due_subscriptions(at: datetime | None = None) -> RunResult:
    """Renew everything that is due now (or at `at`), a transaction a batch. Any number of runs may be under way; killed anywhere, the next one goes on."""
    at, total = at or now(), RunResult()
    while True:
        with transaction(SYSTEM):
            batch = renewals.renew_due(at)
        total += batch
        if not batch.examined:
            return total
        if not (batch.renewed or batch.past_due or batch.ended or batch.parked):  # all wait for what another run holds
            time.sleep(PAUSE_S)
