"""Moving the product's clock: forward only, in the demo and in tests only, and by living through the time in between (`core.passage`).

The clock is one row: how far product time runs ahead of real time, and where it is on its way to. Whoever moves it holds an advisory lock;
killed anywhere, the next `go_on` continues from where the clock stands.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask, current_app
from flask_babel import gettext as _
from sqlalchemy import CheckConstraint, Connection, SmallInteger, event, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, SessionTransaction, mapped_column

from core import audit, clock, formats, passage
from core.db import SYSTEM, Base, db, transaction
from core.errors import Conflict, Invalid
from core.passage import Step
from core.settings import Settings

THE_ONE = 1
LOCK = 0x636C6F63  # the advisory lock of whoever moves the clock
MICROSECOND = timedelta(microseconds=1)


class ClockIsReal(Conflict):
    """Here the clock shows real time and cannot be moved."""

    code = "clock_is_real"


class ClockIsMoving(Conflict):
    """It is on its way to another instant."""

    code = "clock_is_moving"


class NotForward(Invalid):
    """The instant is not in the product's future."""

    code = "not_forward"


class TooFar(Invalid):
    """Further than the setting `clock_days_max` allows in one move."""

    code = "too_far"


class StepsFailed(Exception):
    """The clock has arrived, but some of what was due on the way failed; each failure is in the log, and the scheduled jobs come back to it."""

    def __init__(self, failed: Counter[str]) -> None:
        super().__init__(", ".join(f"{name} failed {count} times" for name, count in failed.items()))


class ProductClock(Base):
    """The one row of the movable clock; none means that it was never moved. `moving_to` is set while it is under way."""

    __tablename__ = "product_clock"
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    ahead_us: Mapped[int]  # product time less real time, in microseconds
    moving_from: Mapped[datetime | None]  # product time when the last move began
    moving_to: Mapped[datetime | None]
    moved_by: Mapped[str | None]  # who asked for the last move
    __table_args__ = (
        CheckConstraint("id = 1", name="one"),
        CheckConstraint("ahead_us >= 0", name="forward"),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """The clock as it stands: product and real time, and the way it is going."""

    now: datetime
    real_now: datetime
    is_movable: bool
    moving_from: datetime | None = None
    moving_to: datetime | None = None
    moved_by: str | None = None

    @property
    def ahead_seconds(self) -> int:
        """How far product time runs ahead, in whole seconds."""
        return round((self.now - self.real_now).total_seconds())

    @property
    def is_moving(self) -> bool:
        """Is it on its way?"""
        return self.moving_to is not None

    @property
    def percent(self) -> int:
        """How much of the way is done."""
        if self.moving_to is None or self.moving_from is None:
            return 100
        way = self.moving_to - self.moving_from
        return max(0, min(100, int(100 * ((self.now - self.moving_from) / way)))) if way else 100


def show() -> Standing:
    """The clock as it stands, read within the caller's transaction."""
    real, row = clock.real_now(), db.session.get(ProductClock, THE_ONE, populate_existing=True)
    if row is None or not _settings().demo:
        return Standing(real, real, _settings().demo)
    return Standing(real + timedelta(microseconds=row.ahead_us), real, True, row.moving_from, row.moving_to, row.moved_by)


def target(to: datetime | None, days: int | None) -> datetime:
    """Where a request wants the clock to be: at an instant, or so many days on. Raises Invalid.

    The clock is read within the caller's transaction: a process that has not yet heard of a move that just ended remembers an earlier one.
    """
    if (to is None) == (days is None):
        raise Invalid(_("Say either a time or a number of days."), field="to")
    if to is not None:
        return to
    assert days is not None
    return show().now + timedelta(days=min(days, 100_000))


def start(to: datetime, by: str) -> Standing:
    """Send the clock on its way, within the caller's transaction; `go_on` then takes it there. The same again while it is under way changes nothing.

    Raises ClockIsReal, NotForward, TooFar, ClockIsMoving.
    """
    settings = _settings()
    if not settings.demo:
        raise ClockIsReal(_("The clock shows real time here. It can be moved in a demo only (BACKOFFICE_DEMO=1)."))
    db.session.execute(insert(ProductClock).values(id=THE_ONE, ahead_us=0).on_conflict_do_nothing())
    db.session.get(ProductClock, THE_ONE, with_for_update=True)
    now = show()
    if now.moving_to == to:
        return now
    if now.moving_to is not None:
        raise ClockIsMoving(_("The clock is on its way to %(instant)s. Wait until it is there.", instant=formats.datetime(now.moving_to)))
    if to <= now.now:
        raise NotForward(_("The clock moves forward only; it shows %(instant)s now.", instant=formats.datetime(now.now)), field="to")
    if to > now.now + timedelta(days=settings.clock_days_max):
        raise TooFar(_("Move the clock %(days)s days at most at a time.", days=settings.clock_days_max), field="to")
    db.session.execute(update(ProductClock).values(moving_from=now.now, moving_to=to, moved_by=by))
    audit.record("clock.advance", formats.datetime(to), at=now.now, before={"now": now.now.isoformat()}, after={"to": to.isoformat()})
    return show()


def go_on(tell: Callable[[Standing], None] = lambda _standing: None, also: tuple[Step, ...] = ()) -> bool:
    """Take the clock to where it was sent, living through the time in between; False when it was not sent anywhere, or somebody else does it.

    `tell` hears of every instant; `also` are steps that take part in this move only, after the others. Returns when every process sees the new time.
    Raises StepsFailed then, where something failed on the way.
    """
    failed: Counter[str] = Counter()
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    with _alone() as is_alone, _commits_not_awaited():
        standing = _read() if is_alone else None
        if standing is None or standing.moving_to is None:
            return False
        for at in passage.live_through([*passage.steps(app), *also], standing.now, standing.moving_to, failed):
            tell(_put(at))
        with transaction(SYSTEM) as session:
            session.execute(update(ProductClock).values(moving_to=None))
    time.sleep(clock.CACHE_S)
    if failed:
        raise StepsFailed(failed)
    return True


def _put(at: datetime) -> Standing:
    """Let the clock show `at`; if it shows more already, it stays. Returns how it stands then."""
    ahead_us = (at - clock.real_now()) // MICROSECOND
    with transaction(SYSTEM) as session:
        session.execute(text("update product_clock set ahead_us = greatest(ahead_us, :ahead_us)"), {"ahead_us": ahead_us})
        standing = show()
    clock.forget()
    return standing


def _read() -> Standing:
    with transaction(SYSTEM):
        return show()


@contextmanager
def _alone() -> Iterator[bool]:
    """Hold the lock of the clock's mover on a connection of its own; False where another process has it. The server lets go when we die."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(text("select pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
            yield False
            return
        try:
            yield True
        finally:
            connection.scalar(text("select pg_advisory_unlock(:lock)"), {"lock": LOCK})


@contextmanager
def _commits_not_awaited() -> Iterator[None]:
    """Let this process's transactions not wait for the disk: thousands of them are under way, and who moves a demo's clock waits for them all.

    Where the database server dies, the last half second of the move is lost, in its order, and `go_on` lives it again; where this process dies, nothing is.
    """

    def begin(_session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
        connection.exec_driver_sql("set local synchronous_commit to off")

    event.listen(db.session, "after_begin", begin)
    try:
        yield
    finally:
        event.remove(db.session, "after_begin", begin)


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings
