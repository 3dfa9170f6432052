"""What a term is worth, against a second model that adds up every unit of it with exact fractions."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from membership import proration
from membership.proration import Progress, Worth

prices = st.integers(0, 10**11)
totals = st.integers(1, 366)
START, END = datetime(2026, 6, 15, 4, tzinfo=UTC), datetime(2026, 7, 14, 16, tzinfo=UTC)  # June 15 noon to July 15 midnight, in Shanghai
ZONE = "Asia/Shanghai"


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int]]]:
    """Units of a term, its first price, and changes: (unit, new price), in the order of time."""
    total = draw(totals)
    steps = draw(st.lists(st.tuples(st.integers(0, total - 1), prices), max_size=8))
    return total, draw(prices), sorted(steps, key=lambda step: step[0])


def begun(price: int, total: int) -> Worth:
    return Worth(price, 0, price, Progress(0, total))


def moved(worth: Worth, unit: int) -> Worth:
    """The same term seen from a later unit: the peak is the present price again once its unit is over."""
    peak = worth.peak_minor if unit == worth.gone.elapsed else worth.price_minor
    return replace(worth, peak_minor=peak, gone=Progress(unit, worth.gone.total))


def played(total: int, price: int, steps: list[tuple[int, int]]) -> tuple[Worth, list[int]]:
    """The worth after all changes, and what each of them cost."""
    worth, costs = begun(price, total), []
    for unit, new in steps:
        before = moved(worth, unit)
        worth = before.at(new)
        costs.append(worth.paid_minor - before.paid_minor)
    return worth, costs


def unit_by_unit(total: int, price: int, steps: list[tuple[int, int]]) -> Fraction:
    """The oracle: each unit costs the highest price held in it, by its share of the term."""
    changes = defaultdict(list)
    for unit, new in steps:
        changes[unit].append(new)
    used = Fraction(0)
    for unit in range(total):
        used += Fraction(max([price, *changes[unit]]), total)
        price = changes[unit][-1] if changes[unit] else price
    return used


@given(histories())
def test_a_term_costs_each_unit_at_the_highest_price_held_in_it_rounded_up_once(history: tuple[int, int, list[tuple[int, int]]]) -> None:
    total, price, steps = history
    worth, costs = played(total, price, steps)
    exact = unit_by_unit(total, price, steps)
    assert worth.exact == exact
    assert price + sum(costs) == ceil(exact)  # the parts sum to the whole, however many there are, and never to less than what is used


@given(histories(), st.integers(0, 365))
def test_ended_now_it_has_cost_what_is_used_with_the_present_unit(history: tuple[int, int, list[tuple[int, int]]], unit: int) -> None:
    total, price, steps = history
    unit = min(unit, total - 1)
    steps = [step for step in steps if step[0] <= unit]
    worth = moved(played(total, price, steps)[0], unit)
    used = unit_by_unit(total, price, [*steps, (unit, 0)])
    assert worth.used == used
    assert worth.at(0).paid_minor == ceil(used)
    assert worth.paid_minor - worth.at(0).paid_minor >= 0


@given(totals, prices, st.lists(prices, min_size=1, max_size=8), st.data())
def test_changes_of_one_day_cost_what_its_highest_and_its_last_would(total: int, price: int, day: list[int], data: st.DataObject) -> None:
    unit = data.draw(st.integers(0, total - 1))
    _many, costs = played(total, price, [(unit, new) for new in day])
    peak = max([price, *day])
    _few, two = played(total, price, [(unit, peak), (unit, day[-1])])
    assert sum(costs) == sum(two)
    if peak in (price, day[-1]):  # only up, only down, or down and up again: as one change would
        _one, once = played(total, price, [(unit, day[-1])])
        assert sum(costs) == sum(once)


@given(prices, st.integers(0, 10**9), totals, st.data())
def test_more_costs_the_units_from_this_one_on_and_less_gives_back_those_after_it(price: int, more: int, total: int, data: st.DataObject) -> None:
    gone = Progress(data.draw(st.integers(0, total - 1)), total)
    low, high = Worth(price, 0, price, gone), Worth(price + more, 0, price + more, gone)
    assert low.at(price + more).paid_minor - low.paid_minor == ceil(Fraction(more * gone.left, total))
    assert high.paid_minor - high.at(price).paid_minor == more * gone.after // total


@given(prices, prices, st.integers(2, 366), st.data())
def test_days_and_seconds_agree_at_whole_days(old: int, new: int, days: int, data: st.DataObject) -> None:
    """Of a term that begins at midnight: a change counted from midnight on costs the same, by days or by seconds."""
    day = data.draw(st.integers(0, days - 1))
    start = datetime(2026, 6, 14, 16, tzinfo=UTC)
    end, at = start + timedelta(days=days), start + timedelta(days=day)
    by_day = proration.progress(start, end, at, ZONE)
    by_second = proration.progress(start, end, at, ZONE, "second")
    assert (by_day, by_second) == (Progress(day, days), Progress(day * 86_400, days * 86_400))
    if new >= old:
        assert Worth(old, 0, old, by_day).at(new).exact == Worth(old, 0, old, by_second).at(new).exact
    last = replace(by_second, elapsed=(day + 1) * 86_400 - 1)  # less: given back from the next midnight on
    if new < old:
        assert Worth(old, 0, old, by_day).at(new).exact == Worth(old, 0, old, last).at(new).exact


@given(st.integers(0, 24 * 3600 - 1))
def test_by_days_the_price_is_the_same_all_day(second: int) -> None:
    midnight = datetime(2026, 6, 24, 16, tzinfo=UTC)
    assert proration.progress(START, END, midnight + timedelta(seconds=second), ZONE) == Progress(10, 30)


def test_the_first_day_counts_in_full_and_the_last_is_still_charged() -> None:
    assert proration.progress(START, END, START, ZONE) == Progress(0, 30)
    last = proration.progress(START, END, END - timedelta(seconds=1), ZONE)
    assert (last.left, last.after) == (1, 0)


@given(st.integers(0, 20), st.integers(0, 28))
def test_paused_days_do_not_count(paused: int, day: int) -> None:
    """The end has moved by what was paused: the total stays, and so does what is over."""
    end, at = END + timedelta(days=paused), START + timedelta(days=day + paused)
    assert proration.progress(START, end, at, ZONE, paused=paused) == Progress(day, 30)


def test_the_next_unit_is_midnight_or_the_next_full_second_of_the_term() -> None:
    at = datetime(2026, 6, 20, 15, 59, 59, 500_000, tzinfo=UTC)
    assert proration.next_unit(START, at, ZONE, "day") == datetime(2026, 6, 20, 16, tzinfo=UTC)
    assert proration.next_unit(START, at, ZONE, "second") == datetime(2026, 6, 20, 16, tzinfo=UTC)
