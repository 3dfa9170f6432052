"""The year's behaviour events, written in bulk, and their daily rollup."""

import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.composites import column
from operations.demo import behaviour
from operations.demo.cast import Cast

BATCH = 20_000
SHOWN_TOIL = ("merge-duplicate-contacts", "clean-phone-numbers")  # of the member whose people the demo's logins are
_INSERT = text(
    "insert into event (member_id, id, user_ref, at, received_at, feature, action, object, duration_ms, is_automated)"
    " select m, i, u, a, a, f, c, o, d, z from unnest(cast(:m as uuid[]), cast(:i as text[]), cast(:u as text[]), cast(:a as timestamptz[]),"
    " cast(:f as text[]), cast(:c as text[]), cast(:o as text[]), cast(:d as bigint[]), cast(:z as boolean[])) x(m, i, u, a, f, c, o, d, z)"
)


def habits(rng: random.Random, cast: list[Cast], toils: dict[str, list[tuple[str, str]]], until: datetime) -> dict[str, behaviour.Habit]:
    """How each member uses the product: who grows, who fades, and which toil each repeats."""
    made = {}
    for one in cast:
        growth = rng.choices([-1.3, -0.5, 0.0, 0.4, 0.9], [12, 13, 35, 25, 15])[0]
        names = rng.sample(sorted(toils), rng.choices([1, 2, 3], [40, 40, 20])[0])
        made[one.number] = behaviour.Habit([ref for _, ref in one.users], one.joined_at, until, growth, {n: toils[n] for n in names})
    made[cast[0].number].growth = 0.4
    made[cast[0].number].toil = {name: toils[name] for name in SHOWN_TOIL if name in toils}
    return made


def write(
    session: Session, rng: random.Random, cast: list[Cast], habits: dict[str, behaviour.Habit], since: datetime, until: datetime,
    wanted: int, progress: Callable[[int], None],
) -> int:  # fmt: skip
    """Write about `wanted` events between the two instants; returns how many. `progress` is told each batch's size."""
    midnight = since.replace(hour=1, minute=0, second=0, microsecond=0)  # 9:00 in Shanghai
    days = behaviour.working_days(midnight, until)
    total = sum(behaviour.expected_sessions(h, days, until) for h in habits.values())
    intensity = wanted / max(total, 1) / behaviour.STEPS_A_SESSION
    written = 0

    def rows() -> Iterable[tuple[Any, ...]]:
        for one in cast:
            for n, (user, at, feature, action, thing, took, automated) in enumerate(behaviour.events(rng, habits[one.number], days, intensity, until)):
                if at < until:
                    yield one.id, f"{one.number}-{n}", user, at, feature, action, thing, took, automated

    stream = iter(rows())
    while batch := list(islice(stream, BATCH)):
        columns = zip(*batch, strict=True)
        session.execute(_INSERT, dict(zip("miuafcodz", map(column, columns), strict=True)))
        written += len(batch)
        progress(len(batch))
    return written


def window(until: datetime) -> datetime:
    """The beginning of the year that ends at `until`."""
    return (until - timedelta(days=365)).replace(hour=0, minute=0, second=0, microsecond=0)
