"""Proration by days, against exact fractions."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from membership import proration
from membership.proration import Progress

prices = st.integers(0, 10**11)
totals = st.integers(1, 366)


@st.composite
def gone(draw: st.DrawFn) -> Progress:
    total = draw(totals)
    return Progress(draw(st.integers(0, total)), total)


@given(prices, prices, gone())
def test_a_difference_is_within_one_fen_of_the_exact_fraction(old: int, new: int, term: Progress) -> None:
    exact = Fraction((new - old) * term.left, term.total)
    assert abs(proration.difference(old, new, term) - exact) <= 1


@given(prices, gone())
def test_what_is_used_and_what_remains_are_the_whole_and_round_half_up(price: int, term: Progress) -> None:
    used = proration.consumed(price, term)
    assert used + proration.remaining(price, term) == price
    assert -Fraction(1, 2) < used - Fraction(price * term.elapsed, term.total) <= Fraction(1, 2)


@given(st.lists(prices, min_size=1, max_size=6), st.data())
def test_the_parts_of_a_term_sum_to_the_whole(steps: list[int], data: st.DataObject) -> None:
    """Prices change on some days: what is paid in all is what each stretch of days consumes at its price."""
    total = data.draw(totals)
    cuts = sorted(data.draw(st.lists(st.integers(0, total), min_size=len(steps) - 1, max_size=len(steps) - 1)))
    paid = steps[0] + sum(proration.difference(old, new, Progress(day, total)) for old, new, day in zip(steps, steps[1:], cuts, strict=False))
    bounds = [0, *cuts, total]
    stretches = [
        proration.consumed(price, Progress(end, total)) - proration.consumed(price, Progress(begin, total))
        for price, begin, end in zip(steps, bounds, bounds[1:], strict=False)
    ]
    assert paid == sum(stretches)


@given(prices, prices, prices, gone())
def test_two_changes_of_a_day_cost_what_one_would(a: int, b: int, c: int, term: Progress) -> None:
    assert proration.difference(a, b, term) + proration.difference(b, c, term) == proration.difference(a, c, term)


@given(prices, st.integers(0, 10**9), gone())
def test_more_never_costs_less_than_nothing_nor_more_than_the_full_difference(price: int, more: int, term: Progress) -> None:
    assert 0 <= proration.difference(price, price + more, term) <= more


@given(st.integers(0, 24 * 3600 - 1))
def test_the_price_is_the_same_all_day(second: int) -> None:
    start, end = datetime(2026, 6, 15, 4, tzinfo=UTC), datetime(2026, 7, 14, 16, tzinfo=UTC)  # June 15 noon to July 15 midnight, in Shanghai
    midnight = datetime(2026, 6, 24, 16, tzinfo=UTC)
    assert proration.progress(start, end, midnight + timedelta(seconds=second), "Asia/Shanghai") == Progress(10, 30)


def test_the_first_day_counts_in_full_and_the_last_is_still_charged() -> None:
    start, end = datetime(2026, 6, 15, 4, tzinfo=UTC), datetime(2026, 7, 14, 16, tzinfo=UTC)
    assert proration.progress(start, end, start, "Asia/Shanghai") == Progress(0, 30)
    assert proration.progress(start, end, end - timedelta(seconds=1), "Asia/Shanghai").left == 1
