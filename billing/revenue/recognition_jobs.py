"""The nightly recognition of revenue."""

from datetime import datetime

from billing.revenue import recognition
from core.clock import now
from core.db import SYSTEM, transaction


def recognise_days(at: datetime | None = None) -> int:
    """Recognise every day that is over, a month a transaction; returns how many. Killed anywhere, the next run goes on; two at once do each day once."""
    instant, done = at or now(), 0
    while True:
        with transaction(SYSTEM):
            days = recognition.recognise(instant)
        if not days:
            return done
        done += len(days)
