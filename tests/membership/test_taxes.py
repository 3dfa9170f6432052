"""Tax rates by date: the switch is at midnight of the entity's own zone, and Python and SQL agree on every side of it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core.actor import Actor
from core.db import SYSTEM, transaction
from core.errors import Invalid
from core.money import tax_included
from membership import taxes
from tests.factories import AT, ENTITY, make_entity

NAMES = ("增值税", "VAT")
MIDNIGHT = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)  # 1 July begins in Shanghai
TICK = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    taxes.forget()
    yield
    taxes.forget()


def add(day: date, rate_bp: int, at: datetime = AT) -> None:
    with transaction(SYSTEM):
        taxes.add_rate(ENTITY, day, rate_bp, NAMES, at=at)


def test_the_rate_switches_at_midnight_of_the_entitys_zone(app: Flask) -> None:
    make_entity()
    add(date(2026, 7, 1), 900)
    with transaction(SYSTEM) as session:
        for at, rate in ((MIDNIGHT - TICK, 600), (MIDNIGHT, 900), (AT, 600), (MIDNIGHT + timedelta(days=900), 900)):
            assert taxes.rate_at(ENTITY, at) == rate
            assert session.scalar(text("select tax_rate_at(:e, :at)"), {"e": ENTITY, "at": at}) == rate


def test_memory_switches_at_the_same_instant_and_is_not_believed_for_long(app: Flask) -> None:
    make_entity()
    add(date(2026, 7, 1), 900)
    with transaction(SYSTEM):
        assert taxes.remembered("CNY", MIDNIGHT) is None
        taxes.refresh(MIDNIGHT - timedelta(seconds=30))
    assert (taxes.remembered("CNY", MIDNIGHT - TICK), taxes.remembered("CNY", MIDNIGHT)) == (600, 900)
    assert taxes.remembered("CNY", MIDNIGHT + timedelta(days=1)) is None  # the clock was moved
    assert taxes.remembered("EUR", MIDNIGHT) is None


def test_a_rate_begins_tomorrow_at_the_earliest_and_once_a_day(app: Flask) -> None:
    make_entity()
    with pytest.raises(Invalid):
        add(date(2026, 6, 15), 900)  # AT is noon of that day in Shanghai
    with pytest.raises(Invalid):
        add(date(2026, 7, 1), 900, at=MIDNIGHT - timedelta(seconds=60))  # processes could still believe the old one
    add(date(2026, 7, 1), 900)
    with pytest.raises(Invalid):
        add(date(2026, 7, 1), 800)


def test_only_a_rate_that_has_not_begun_can_be_taken_back(app: Flask) -> None:
    make_entity()
    add(date(2026, 7, 1), 900)
    with transaction(SYSTEM), pytest.raises(Invalid):
        taxes.take_back(ENTITY, MIDNIGHT, at=MIDNIGHT)
    with transaction(Actor(kind="staff", role="finance")):
        taxes.take_back(ENTITY, MIDNIGHT, at=AT)
    with transaction(SYSTEM):
        assert taxes.rate_at(ENTITY, MIDNIGHT) == 600


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(0, 10_000)), min_size=50, max_size=50))
def test_sql_and_python_find_the_same_tax_inside(app: Flask, cases: list[tuple[int, int]]) -> None:
    with transaction(SYSTEM) as session:
        rows = session.execute(
            text("select tax_inside(g, r) from unnest(cast(:g as bigint[]), cast(:r as bigint[])) with ordinality x(g, r, n) order by n"),
            {"g": [gross for gross, _rate in cases], "r": [rate for _gross, rate in cases]},
        ).scalars()
        assert list(rows) == [tax_included(gross, rate) for gross, rate in cases]
