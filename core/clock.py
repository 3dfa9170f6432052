"""The one place that asks what time it is; everything else is told.

There are two times. *Product time* (`now`) is what prices, terms, expiry and the books go by; in the demo and in tests an operator may
move it forward (`core.clock_moves`). *Real time* (`real_now`) is for what protects people and machines, or speaks with the world outside:
sessions, invitations, the tolerance of signed webhooks, rate limits, the job queue, remembered API keys, logs. Unless the clock may be moved
they are the same instant, asked of the machine and nobody else.
"""

import threading
import time
from datetime import UTC, datetime, timedelta

import psycopg
from flask import Flask, current_app, has_app_context

from core.db import ConnectionLost, member_call
from core.settings import Settings

CACHE_S = 0.5  # how long a process goes on with what it knows; whoever moves the clock waits as long before saying that it has moved
NOTHING = timedelta()


def now() -> datetime:
    """The present instant of the product in UTC. Called by edges; pure functions take `at`."""
    return real_now() + ahead()


def now_as_known() -> datetime | None:
    """As `now`, where the process knows it without asking the database."""
    movable = current_app.extensions.get("movable_clock")
    if movable is None:
        return real_now()
    known = movable.known()
    return None if known is None else real_now() + known


def real_now() -> datetime:
    """The present instant of the world in UTC, wherever the product's clock stands."""
    return datetime.now(UTC)


def ahead() -> timedelta:
    """How far product time runs ahead of real time; nothing unless the clock may be moved."""
    movable = current_app.extensions.get("movable_clock") if has_app_context() else None
    return movable.ahead() if movable is not None else NOTHING


def real_instant(at: datetime) -> datetime:
    """An instant of real time that is not later than when the product's clock showed `at`; for questions to the world outside."""
    return at - ahead()


def forget() -> None:
    """Let this process read the clock anew: it has just been moved here."""
    movable = current_app.extensions.get("movable_clock")
    if movable is not None:
        movable.forget()


class MovableClock:
    """What this process knows of the clock that stands in the database; asked for at most every `CACHE_S` seconds, never per request."""

    def __init__(self) -> None:
        self._ahead: timedelta | None = None
        self._fresh_until = 0.0
        self._lock = threading.Lock()

    def ahead(self) -> timedelta:
        """How far ahead the clock stands. While the database is away, what was known before holds: it cannot have been moved."""
        at = time.monotonic()
        if self._ahead is None:
            with self._lock:  # nobody may act on a guess
                if self._ahead is None:
                    self._read()
        elif at >= self._fresh_until:
            self._fresh_until = at + CACHE_S  # the other threads go on with what is known
            self._read()
        return self._ahead or NOTHING

    def known(self) -> timedelta | None:
        """How far ahead it stands, unless it is time to ask."""
        return self._ahead if time.monotonic() < self._fresh_until else None

    def forget(self) -> None:
        """Ask again the next time."""
        self._ahead = None

    def _read(self) -> None:
        try:
            rows = member_call("select ahead_us from product_clock", ())
        except (psycopg.OperationalError, ConnectionLost):
            return
        self._ahead = timedelta(microseconds=rows[0][0]) if rows else NOTHING
        self._fresh_until = time.monotonic() + CACHE_S


def init_app(app: Flask) -> None:
    """Make the clock movable where it may be moved, and tell every page how far ahead it is."""
    settings: Settings = app.extensions["settings"]
    if settings.demo:
        app.extensions["movable_clock"] = MovableClock()

    @app.context_processor
    def _context() -> dict[str, object]:
        moved = ahead()
        return {"clock_moved_to": real_now() + moved if moved else None}
