"""The geometry of charts: what is drawn equals what the table says."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import charts
from tests.browser.gallery import create_gallery


@pytest.fixture(scope="module", autouse=True)
def request_context() -> Iterator[None]:
    with create_gallery().test_request_context("/?lang=en"):
        yield


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_ticks_cover_the_data_and_contain_zero(a: float, b: float) -> None:
    low, high = sorted((a, b))
    ticks = charts.nice_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    slack = (high - low) * 1e-6 + 1e-6
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert any(math.isclose(t, 0, abs_tol=1e-9) for t in ticks)


def test_bars_stack_without_gaps_and_in_proportion() -> None:
    chart = charts.bar_chart(["a", "b"], {"x": [10, 20], "y": [30, None]}, label="l", height=200)
    first = [bar for bar in chart.bars if bar.x < 50]
    assert [bar.series for bar in first] == [1, 2]
    assert first[0].y == pytest.approx(first[1].y + first[1].height)
    assert first[1].height == pytest.approx(3 * first[0].height)
    assert first[0].y + first[0].height == pytest.approx(chart.zero)
    assert len(chart.bars) == 3
    assert chart.table.rows == (("a", "10", "30"), ("b", "20", "--"))
    assert all(bar.x >= 0 and bar.x + bar.width <= 100 for bar in chart.bars)


def test_negative_bars_hang_below_zero() -> None:
    chart = charts.bar_chart(["a"], {"in": [10], "out": [-5]}, label="l")
    up, down = chart.bars
    assert up.y + up.height == pytest.approx(chart.zero) == pytest.approx(down.y)


def test_grouped_bars_do_not_overlap() -> None:
    one, two = charts.bar_chart(["a"], {"x": [1], "y": [2]}, label="l", stacked=False).bars
    assert one.x + one.width <= two.x + 1e-6


def test_more_than_five_series_become_other() -> None:
    chart = charts.bar_chart(["a"], {str(n): [n] for n in range(1, 8)}, label="l")
    assert chart.names == ("1", "2", "3", "4", "Other")
    assert chart.table.rows[0][-1] == "18"


def test_a_missing_value_is_a_gap_not_a_zero() -> None:
    chart = charts.line_chart(["a", "b", "c", "d"], {"x": [1, 2, None, 4]}, label="l")
    assert len(chart.lines[0].runs) == 2
    assert chart.lines[0].last is not None
    assert chart.lines[0].last[0] == 98
    assert chart.table.rows[2] == ("c", "--")


def test_empty_charts_do_not_fail() -> None:
    assert charts.bar_chart([], {}, label="l").bars == ()
    assert charts.line_chart(["a"], {"x": [None]}, label="l").lines[0].last is None
    assert charts.sparkline([], label="l").runs == ()
    assert charts.heat_map({}, [], label="l").rows == ()


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=8))
def test_the_waterfall_ties(values: list[int]) -> None:
    fall = charts.waterfall([(str(i), v) for i, v in enumerate(values)], label="l", fmt=lambda v: f"{v:.0f}")
    assert fall.steps[-1].text == f"{sum(values):.0f}"
    assert all(s.x >= 0 and s.x + s.width <= 100 and s.row_x >= 0 and s.row_x + s.row_width <= 100.61 for s in fall.steps)
    assert all(s.y >= -0.01 and s.y + s.height <= fall.height + 1 for s in fall.steps)
    assert [row[1] for row in fall.table.rows] == [s.text for s in fall.steps]


def test_waterfall_signs_are_words() -> None:
    fall = charts.waterfall([("o", 10), ("in", 5), ("out", -3)], label="l", fmt=lambda v: f"{v:.0f}")
    assert [s.text for s in fall.steps] == ["10", "+5", "-3", "12"]
    assert [s.kind for s in fall.steps] == ["total", "up", "down", "total"]


def test_heat_steps() -> None:
    heat = charts.heat_map({"r": [0.0, 0.25, 0.5, 0.99, 1.0, None]}, list("abcdef"), label="l", low=0, high=1)
    assert [cell.step for cell in heat.rows[0][1]] == [0, 1, 2, 4, 4, None]
    assert heat.rows[0][1][-1].text == "--"


def test_labels_thin_out() -> None:
    chart = charts.bar_chart([f"2026-{m:02d}" for m in range(1, 13)], {"x": list(range(12))}, label="l")
    assert len(chart.x_marks) <= 12
    assert sum(not mark.minor for mark in chart.x_marks) <= 4


def test_sparkline_stays_inside() -> None:
    spark = charts.sparkline([1, 5, 3], label="l", width=96, height=24)
    points = [tuple(map(float, p.split(","))) for p in spark.runs[0].split()]
    assert all(0 <= x <= 96 and 0 <= y <= 24 for x, y in points)
