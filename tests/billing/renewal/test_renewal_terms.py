"""The next term in SQL against its reference in Python: the calendar over years of dates, ids, ARR, and which price holds."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from billing.renewal import renewals
from core.ids import named
from membership import terms
from membership.models import Member
from membership.subscription_models import Subscription
from tests.billing import subscription_world as world

AT, END = world.AT, datetime(2026, 7, 14, 16, tzinfo=UTC)
# Zones that change clocks at 2, at 1, at midnight both ways, by half an hour, on the far side of the date line; and some that never do.
ZONES = ("Asia/Shanghai", "UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Asia/Beirut", "Africa/Cairo", "America/Sao_Paulo", "Atlantic/Azores",
         "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "America/Asuncion", "Asia/Tehran")  # fmt: skip
_SQL = text(
    "select end_of_term(a, p, d, z)"
    " from unnest(cast(:at as timestamptz[]), cast(:period as text[]), cast(:anchor as bigint[]), cast(:zone as text[])) x(a, p, d, z)"
)
Case = tuple[datetime, str, int, str]
CASES = st.tuples(
    st.integers(1_420_000_000, 2_110_000_000).map(lambda s: datetime.fromtimestamp(s, UTC)),  # 2015 to 2036
    st.sampled_from(sorted(terms.MONTHS)),
    st.integers(1, 31),
    st.sampled_from(ZONES),
)


def _compare(owner: Engine, cases: list[Case]) -> None:
    columns = zip(*cases, strict=True)
    with owner.connect() as connection:
        found = connection.scalars(_SQL, dict(zip(("at", "period", "anchor", "zone"), map(list, columns), strict=True))).all()
    for case, sql in zip(cases, found, strict=True):
        assert sql == terms.term_end(*case), case


@pytest.mark.parametrize("zone", ZONES)
def test_every_day_of_six_years_ends_as_in_python(owner: Engine, zone: str) -> None:
    """Terms that begin at each local midnight of 2023 to 2028, for the anchors that differ from month to month."""
    days = [datetime(2023, 1, 1, tzinfo=UTC).date() + timedelta(days=n) for n in range(6 * 366)]
    cases = [
        (terms.start_of_day(day, zone), period, anchor, zone)
        for n, day in enumerate(days)
        for period in terms.MONTHS
        for anchor in {day.day, (29, 30, 31)[n % 3]}
    ]
    _compare(owner, cases)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CASES, min_size=1, max_size=200))
def test_any_instant_ends_as_in_python(owner: Engine, cases: list[Case]) -> None:
    _compare(owner, cases)


def test_ids_and_arr_are_the_same_on_both_sides(owner: Engine) -> None:
    one = uuid.uuid4()
    with owner.connect() as connection:
        assert connection.scalar(text("select named_id('renewal:' || cast(:s as uuid) || ':' || 12)"), {"s": one}) == named("renewal", one, 12)
        assert renewals.charge_id(one, 12) == named("renewal", one, 12)
        for period, times in terms.TERMS_A_YEAR.items():
            assert connection.scalar(text("select terms_a_year(:p)"), {"p": period}) == times


@pytest.fixture
def member(app: Flask) -> Member:
    world.sell()
    return world.member_with(paid=9_000_00)


def renewed_at(subscription: Subscription, at: datetime) -> int:
    assert world.renew_all(at).renewed >= 1
    return world.now_of(subscription).term_price_minor


OLD = world.month_price(2, 5)


def test_an_increase_nobody_was_told_of_does_not_hold(member: Member) -> None:
    subscription = world.subscribe(member)
    world.reprice("crm", AT + timedelta(days=3), factor=2)
    assert renewed_at(subscription, END) == OLD
    assert world.now_of(subscription).priced_at == AT
    assert renewed_at(subscription, END + timedelta(days=31)) == OLD  # nor a term later, although it has been in force all the while
    ends = world.now_of(subscription).term_end
    world.announce(subscription, AT + timedelta(days=3), applies_from=ends, told_at=ends - timedelta(days=30))
    assert renewed_at(subscription, ends) == 2 * OLD
    assert world.now_of(subscription).priced_at is None


def test_an_announced_increase_holds_from_the_day_that_was_named(member: Member) -> None:
    subscription = world.subscribe(member)
    world.reprice("crm", AT + timedelta(days=3), factor=2)
    world.announce(subscription, AT + timedelta(days=3), applies_from=END + timedelta(seconds=1))
    assert renewed_at(subscription, END) == OLD
    assert renewed_at(subscription, END + timedelta(days=31)) == 2 * OLD


def test_a_renewal_before_the_date_keeps_the_old_price_and_a_decrease_needs_no_notice(member: Member) -> None:
    subscription = world.subscribe(member, rank=4)
    world.reprice("crm", END + timedelta(seconds=1), factor=3)
    assert renewed_at(subscription, END) == world.month_price(4, 5)
    world.reprice("crm", END + timedelta(days=20), factor=0)
    assert renewed_at(subscription, END + timedelta(days=31)) == 0


def test_of_two_increases_the_announced_one_holds(member: Member) -> None:
    subscription = world.subscribe(member)
    world.reprice("crm", AT + timedelta(days=3), factor=2)
    world.reprice("crm", AT + timedelta(days=4), factor=3)
    world.announce(subscription, AT + timedelta(days=3), applies_from=END)
    assert renewed_at(subscription, END) == 2 * OLD
    assert renewed_at(subscription, END + timedelta(days=31)) == 2 * OLD
