"""Living through time: from one instant at which something is due to the next, everything due at an instant in one defined order.

`app.py` lists the steps in that order. A step knows when it has something to do next, and does all that is due at an instant; it is what
the scheduled job does, with `at` given instead of asked for.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog
from flask import Flask
from sqlalchemy import text

from core.db import SYSTEM, transaction

ROUNDS = 5  # what one step makes due for another at the same instant is done at that instant, so many times over; then it is traffic, and time goes on
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of thing that time brings about. `due` tells the earliest instant at which there is something to do, or none: a scalar query or a function."""

    name: str
    due: str | Callable[[], datetime | None]
    run: Callable[[datetime], object]  # opens its own transactions; again at the same instant it finds nothing


def add(app: Flask, step: Step) -> None:
    """Let this step take part, after those added before."""
    steps(app).append(step)


def steps(app: Flask) -> list[Step]:
    """All steps in their order."""
    found: list[Step] = app.extensions.setdefault("passage", [])
    return found


def live_through(taking_part: list[Step], since: datetime, until: datetime, failed: Counter[str]) -> Iterator[datetime]:
    """From `since` to `until`: yields each instant before what is due at it is done, so that the caller can put the clock there; `until` comes last.

    What is overdue at `since` is done first of all, at `since`. Something that stays due (its rows are held by another process, or are parked)
    is left to the next instant and to the scheduled jobs. So is a step that fails: it is counted in `failed`, and time goes on without it, as in life.
    """
    at = since
    while True:
        yield at
        _do_all(taking_part, at, failed)
        if at >= until:
            return
        coming = [due for due in _dues(taking_part) if due is not None and due > at]
        at = min([*coming, until])


def _do_all(taking_part: list[Step], at: datetime, failed: Counter[str]) -> None:
    before: list[datetime | None] = []
    for _round in range(ROUNDS):
        dues = _dues(taking_part)
        ready = [step for step, due in zip(taking_part, dues, strict=True) if due is not None and due <= at]
        if not ready:
            return
        if dues == before:
            log.warning("left for later", at=at.isoformat(), steps=[step.name for step in ready])
            return
        for step in ready:
            try:
                step.run(at)
            except Exception:  # (whoever moves the clock says so when it has arrived)
                failed[step.name] += 1
                log.exception("a step failed", step=step.name, at=at.isoformat())
        before = dues
    log.info("still due", at=at.isoformat(), steps=[step.name for step in ready])


def _dues(taking_part: list[Step]) -> list[datetime | None]:
    """When each step has something to do next; one query asks all that are asked in SQL."""
    asked = [step.due for step in taking_part if isinstance(step.due, str)]
    answers: list[datetime | None] = []
    if asked:
        with transaction(SYSTEM) as session:
            answers = list(session.execute(text("select " + ", ".join(f"({query})" for query in asked))).one())
    told = iter(answers)
    return [next(told) if isinstance(step.due, str) else step.due() for step in taking_part]
