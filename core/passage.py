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
    """One kind of thing that time brings about. `due` tells the earliest instant at which there is something to do, or none.

    It is a scalar query, or a function that is called within a transaction.
    """

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
    at, dues = since, None
    while True:
        yield at
        dues = _do_all(taking_part, _dues(taking_part) if dues is None else dues, at, failed)
        if at >= until:
            return
        at = min([*(due for due in dues if due is not None and due > at), until])


def _do_all(taking_part: list[Step], dues: list[datetime | None], at: datetime, failed: Counter[str]) -> list[datetime | None]:
    """Do what is due at an instant. Takes and returns when each step has something to do: it is asked for anew only where something was done."""
    for _round in range(ROUNDS):
        ready = [step for step, due in zip(taking_part, dues, strict=True) if due is not None and due <= at]
        if not ready:
            return dues
        for step in ready:
            try:
                step.run(at)
            except Exception:  # (whoever moves the clock says so when it has arrived)
                failed[step.name] += 1
                log.exception("a step failed", step=step.name, at=at.isoformat())
        before, dues = dues, _dues(taking_part)
        if dues == before:
            log.warning("left for later", at=at.isoformat(), steps=[step.name for step in ready])
            return dues
    log.info("still due", at=at.isoformat(), steps=[step.name for step in ready])
    return dues


def _dues(taking_part: list[Step]) -> list[datetime | None]:
    """When each step has something to do next; one query asks all that are asked in SQL, each question once."""
    asked = list(dict.fromkeys(step.due for step in taking_part if isinstance(step.due, str)))
    with transaction(SYSTEM) as session:
        answers = session.execute(text("select " + ", ".join(f"({query})" for query in asked))).one() if asked else ()
        told = dict(zip(asked, answers, strict=True))
        return [told[step.due] if isinstance(step.due, str) else step.due() for step in taking_part]
