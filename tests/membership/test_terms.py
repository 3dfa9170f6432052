"""Terms: whole local days, anchored to a day of the month."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from membership import terms

ZONES = ["Asia/Shanghai", "UTC", "America/New_York", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Australia/Lord_Howe"]
days = st.dates(date(2015, 1, 1), date(2035, 12, 31))


def shanghai(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo("Asia/Shanghai")).astimezone(UTC)  # type: ignore[misc, arg-type]


def test_a_term_bought_on_the_31st_ends_on_the_last_day_of_short_months_and_never_drifts() -> None:
    begins, ends = shanghai(2027, 1, 31, 15, 30), []
    for _ in range(5):
        begins = terms.term_end(begins, "month", 31, "Asia/Shanghai")
        ends.append(begins)
    assert ends == [shanghai(2027, 2, 28), shanghai(2027, 3, 31), shanghai(2027, 4, 30), shanghai(2027, 5, 31), shanghai(2027, 6, 30)]


def test_a_year_from_february_29_ends_on_the_28th_and_comes_back_to_the_29th() -> None:
    first = terms.term_end(shanghai(2024, 2, 29, 9), "year", 29, "Asia/Shanghai")
    assert first == shanghai(2025, 2, 28)
    assert terms.add_months(date(2025, 2, 28), 36, 29) == date(2028, 2, 29)


@given(days, st.integers(1, 60), st.sampled_from(sorted(terms.MONTHS)))
def test_chained_terms_equal_one_jump_of_dateutil(start: date, count: int, period: str) -> None:
    day = start
    for _ in range(count):
        day = terms.add_months(day, terms.MONTHS[period], start.day)
    assert day == start + relativedelta(months=count * terms.MONTHS[period])


@given(st.integers(1_420_000_000, 2_050_000_000), st.sampled_from(ZONES), st.sampled_from(sorted(terms.MONTHS)))
def test_a_term_ends_at_the_first_instant_of_its_last_day_in_every_zone(second: int, zone: str, period: str) -> None:
    begins = datetime.fromtimestamp(second, UTC)
    first_day = terms.local_day(begins, zone)
    end = terms.term_end(begins, period, first_day.day, zone)
    assert terms.local_day(end, zone) == first_day + relativedelta(months=terms.MONTHS[period])
    assert terms.local_day(end - timedelta(microseconds=1), zone) < terms.local_day(end, zone)
    assert end > begins


def test_a_trial_counts_its_first_day() -> None:
    assert terms.trial_end(shanghai(2026, 6, 15, 23, 59), 14, "Asia/Shanghai") == shanghai(2026, 6, 29)


@pytest.mark.parametrize(("period", "arr"), [("month", 12_000), ("quarter", 4_000), ("year", 1_000)])
def test_annual_revenue_and_term_price(period: str, arr: int) -> None:
    assert terms.annualised(1_000, period) == arr
    assert terms.term_price(499_00, 69_00, 7) == 982_00
