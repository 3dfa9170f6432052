"""What runs again and again, and how often.

A room says so once, in `app.py`: `schedule.every(app, 300, top_ups.sweep)` or `schedule.at(app, "15 2 * * *", renewals.run)` (cron
fields in UTC). The function is an ordinary importable one without arguments; it runs in a worker, inside the app's
context, and must be idempotent: two hosts may schedule it at the same time.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask

Job = Callable[[], object]
DEFAULT_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Entry:
    """One repeated job: either every so many seconds or by cron fields."""

    job: Job
    every_s: int | None = None
    cron: str | None = None
    timeout_s: int = DEFAULT_TIMEOUT_S

    @property
    def name(self) -> str:
        """The dotted name of its function."""
        return f"{self.job.__module__}.{self.job.__qualname__}"


def every(app: Flask, seconds: int, job: Job, *, timeout_s: int = DEFAULT_TIMEOUT_S) -> None:
    """Run `job` when the scheduler starts and then every so many seconds."""
    assert seconds > 0
    _entries(app).append(Entry(job, every_s=seconds, timeout_s=timeout_s))


def at(app: Flask, cron: str, job: Job, *, timeout_s: int = DEFAULT_TIMEOUT_S) -> None:
    """Run `job` when the cron fields (minute hour day month weekday, UTC) say so."""
    _entries(app).append(Entry(job, cron=cron, timeout_s=timeout_s))


def entries(app: Flask) -> tuple[Entry, ...]:
    """Everything that is scheduled, for the scheduler and the status page."""
    return tuple(_entries(app))


def _entries(app: Flask) -> list[Entry]:
    found: list[Entry] = app.extensions.setdefault("schedule", [])
    return found
