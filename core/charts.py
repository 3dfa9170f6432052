"""Geometry of the five charts, so that what is drawn can be tested.

The drawings are SVG by Jinja macros (`macros/charts.html`). Horizontal positions are percentages and text has no
`viewBox` around it: letters stay 12 px at any width. No chart library fits a strict Content-Security-Policy without
losing its text or links, hence our own few. Every chart keeps its data as a table, formatted by the same function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from flask import Flask
from flask_babel import gettext as _

from core.formats import MISSING, compact, number

MAX_SERIES = 5
LABELS_ON_PHONES = 4
LABELS_MAX = 12
PLOT_PX = 560
Format = Callable[[float], str]


@dataclass(frozen=True)
class Mark:
    """A label or rule at a place: x in percent or y in pixels."""

    at: float
    text: str
    minor: bool = False


@dataclass(frozen=True)
class Bar:
    """A rectangle: x and width in percent, y and height in pixels; `series` counts from 1."""

    x: float
    width: float
    y: float
    height: float
    series: int
    title: str


@dataclass(frozen=True)
class Line:
    """A drawn line as runs of points in a 100 × height box (a gap in the data starts a new run), and its last dot."""

    series: int
    name: str
    runs: tuple[str, ...]
    last: tuple[float, float] | None


@dataclass(frozen=True)
class Table:
    """The figures of a chart as text: the first column are the row heads."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """A bar or line chart."""

    kind: str
    label: str
    title: str
    height: int
    table: Table
    names: tuple[str, ...]
    y_marks: tuple[Mark, ...] = ()
    x_marks: tuple[Mark, ...] = ()
    zero: float = 0
    bars: tuple[Bar, ...] = ()
    lines: tuple[Line, ...] = ()
    axis_width: int = 40


@dataclass(frozen=True)
class Step:
    """One column of a waterfall, and its row below 480 px (`row_x`, `row_width` in percent)."""

    label: str
    text: str
    kind: str
    x: float
    width: float
    y: float
    height: float
    text_y: float
    link_y: float
    row_x: float
    row_width: float


@dataclass(frozen=True)
class Waterfall:
    """A roll-forward: opening, changes, closing."""

    label: str
    title: str
    height: int
    steps: tuple[Step, ...]
    zero: float
    table: Table


@dataclass(frozen=True)
class Spark:
    """A line of a few values inside a table cell."""

    label: str
    width: int
    height: int
    runs: tuple[str, ...]
    last: tuple[float, float] | None


@dataclass(frozen=True)
class HeatCell:
    """A cell's text and its step of colour, 0 to 4, or `None` where there is no figure."""

    text: str
    step: int | None


@dataclass(frozen=True)
class HeatMap:
    """A grid of values, drawn as a real table: it is its own data table."""

    label: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]
    low: str = MISSING
    high: str = MISSING
    steps: tuple[int, ...] = field(default=(0, 1, 2, 3, 4))


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round values (1, 2, 2.5, 5 × 10ⁿ) that cover low to high and always contain zero.

    After Heckbert, "Nice numbers for graph labels", Graphics Gems (1990).
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-6:
        high = low + 1
    raw = (high - low) / count
    power: float = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw - 1e-12)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _at_most_five(series: Mapping[str, Sequence[float | None]]) -> dict[str, list[float | None]]:
    """The first four series and the sum of the others, when there are more than five."""
    items = [(name, list(values)) for name, values in series.items()]
    if len(items) <= MAX_SERIES:
        return dict(items)
    rest = [values for _name, values in items[MAX_SERIES - 1 :]]
    other: list[float | None] = []
    for column in zip(*rest, strict=True):
        known = [value for value in column if value is not None]
        other.append(sum(known) if known else None)
    return {**dict(items[: MAX_SERIES - 1]), _("Other"): other}


def _text(value: float | None, fmt: Format) -> str:
    return MISSING if value is None else fmt(value)


def _table(first: str, labels: Sequence[str], series: Mapping[str, Sequence[float | None]], fmt: Format) -> Table:
    rows = tuple((label, *(_text(values[i], fmt) for values in series.values())) for i, label in enumerate(labels))
    return Table((first, *series), rows)


def _x_marks(labels: Sequence[str], centre: Callable[[int], float]) -> tuple[Mark, ...]:
    """As many labels as fit a column of some 560 pixels (twelve at most), of which a phone shows about four."""
    room = max(LABELS_ON_PHONES, min(LABELS_MAX, PLOT_PX // (16 + max((_pixels(text) for text in labels), default=0))))
    every = max(1, math.ceil(len(labels) / room))
    shown = list(range(0, len(labels), every))
    coarse = max(1, math.ceil(len(shown) / LABELS_ON_PHONES))
    return tuple(Mark(centre(i), labels[i], minor=n % coarse != 0) for n, i in enumerate(shown))


def _pixels(text: str) -> int:
    """The width of a 12 px text, roughly: a Chinese letter counts as two."""
    return sum(13 if ord(c) > 0x2E80 else 7 for c in text)


def _axis_width(marks: Sequence[Mark]) -> int:
    return max(8 + _pixels(mark.text) for mark in marks)


def bar_chart(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    label: str,
    title: str = "",
    fmt: Format = number,
    axis_fmt: Format = compact,
    height: int = 200,
    stacked: bool = True,
    first_column: str = "",
) -> Chart:
    """Bars over `labels`, stacked (or side by side); positive values stack up from zero, negative ones down."""
    series = _at_most_five(series)
    count, names = max(1, len(labels)), tuple(series)
    ups = [sum(max(v[i] or 0, 0) for v in series.values()) for i in range(len(labels))]
    downs = [sum(min(v[i] or 0, 0) for v in series.values()) for i in range(len(labels))]
    flat = [v or 0 for values in series.values() for v in values]
    ticks = nice_ticks(min([*downs, 0] if stacked else [*flat, 0]), max([*ups, 0] if stacked else [*flat, 0]))
    y = _scale(ticks[0], ticks[-1], height)
    slot = 100 / count
    bars: list[Bar] = []
    for i, name in enumerate(labels):
        up = down = 0.0
        for n, (series_name, values) in enumerate(series.items(), 1):
            value = values[i]
            if not value:
                continue
            start = (up if value > 0 else down) if stacked else 0.0
            end = start + value
            if value > 0:
                up = end
            else:
                down = end
            wide = slot * 0.68 if stacked else slot * 0.76 / len(names)
            left = slot * i + (slot * 0.16 if stacked else slot * 0.12 + wide * (n - 1))
            top, bottom = sorted((y(start), y(end)))
            bars.append(Bar(round(left, 3), round(wide, 3), round(top, 2), round(bottom - top, 2), n, f"{name} · {series_name}: {fmt(value)}"))
    marks = tuple(Mark(round(y(tick), 2), axis_fmt(tick)) for tick in ticks)
    return Chart(
        "bar",
        label,
        title,
        height,
        _table(first_column, labels, series, fmt),
        names,
        marks,
        _x_marks(labels, lambda i: round(slot * (i + 0.5), 3)),
        round(y(0), 2),
        tuple(bars),
        (),
        _axis_width(marks),
    )


def _scale(low: float, high: float, height: int) -> Callable[[float], float]:
    return lambda value: height - (value - low) / (high - low) * height


def _runs(values: Sequence[float | None], x: Callable[[int], float], y: Callable[[float], float]) -> tuple[str, ...]:
    """Polyline points; a missing value is a gap, and a lone value a short dash."""
    runs: list[list[tuple[float, float]]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x(i), y(value)))
    kept = [run if len(run) > 1 else [run[0], (run[0][0] + 0.5, run[0][1])] for run in runs if run]
    return tuple(" ".join(f"{a:.2f},{b:.2f}" for a, b in run) for run in kept)


def _last(values: Sequence[float | None], x: Callable[[int], float], y: Callable[[float], float]) -> tuple[float, float] | None:
    known = [(i, value) for i, value in enumerate(values) if value is not None]
    return (round(x(known[-1][0]), 2), round(y(known[-1][1]), 2)) if known else None


def line_chart(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    label: str,
    title: str = "",
    fmt: Format = number,
    axis_fmt: Format = compact,
    height: int = 200,
    first_column: str = "",
) -> Chart:
    """Lines over `labels`; every series has its own dashes beside its colour. A missing value is a gap."""
    series = _at_most_five(series)
    flat = [v for values in series.values() for v in values if v is not None]
    ticks = nice_ticks(min(flat, default=0), max(flat, default=0))
    y = _scale(ticks[0], ticks[-1], height)

    def x(i: int) -> float:
        return 2 + 96 * i / max(1, len(labels) - 1)

    lines = tuple(Line(n, name, _runs(values, x, y), _last(values, x, y)) for n, (name, values) in enumerate(series.items(), 1))
    marks = tuple(Mark(round(y(tick), 2), axis_fmt(tick)) for tick in ticks)
    return Chart(
        "line",
        label,
        title,
        height,
        _table(first_column, labels, series, fmt),
        tuple(series),
        marks,
        _x_marks(labels, lambda i: round(x(i), 3)),
        round(y(0), 2),
        (),
        lines,
        _axis_width(marks),
    )


def sparkline(values: Sequence[float | None], *, label: str, width: int = 96, height: int = 24) -> Spark:
    """A line without axes in its own pixels; `label` is the sentence read aloud ("rose from 3 to 12 in 8 weeks")."""
    known = [v for v in values if v is not None]
    low, high = min([*known, 0]), max([*known, 0])
    y = _scale(low, high if high > low else low + 1, height - 6)

    def x(i: int) -> float:
        return 3 + (width - 6) * i / max(1, len(values) - 1)

    def down(value: float) -> float:
        return y(value) + 3

    return Spark(label, width, height, _runs(values, x, down), _last(values, x, down))


def waterfall(
    steps: Sequence[tuple[str, float]],
    *,
    label: str,
    title: str = "",
    fmt: Format = number,
    signed_fmt: Format | None = None,
    height: int = 220,
    closing: str | None = None,
    first_column: str = "",
    value_column: str = "",
) -> Waterfall:
    """Opening (first step), changes, and a closing column that is their sum, so that it ties by construction."""
    show = signed_fmt or (lambda value: ("+" if value > 0 else "") + fmt(value))
    levels = [0.0]
    for _name, value in steps:
        levels.append(levels[-1] + value)
    top, bottom = max(levels), min(levels)
    span = (top - bottom) or 1
    above, below = 22, 2
    scale = _scale(bottom, bottom + span, height - above - below)

    def y(value: float) -> float:
        return scale(value) + above

    slot = 100 / (len(steps) + 1)
    drawn: list[Step] = []
    names = [name for name, _value in steps] + [closing or _("Closing")]
    for i, name in enumerate(names):
        total = i in (0, len(steps))
        value = levels[-1] if i == len(steps) else steps[i][1]
        start, end = (0.0, value) if total else (levels[i], levels[i + 1])
        low, high = sorted((start, end))
        kind = "total" if total else "up" if value >= 0 else "down"
        drawn.append(
            Step(
                name,
                fmt(value) if total else show(value),
                kind,
                round(slot * i + slot * 0.14, 3),
                round(slot * 0.72, 3),
                round(y(high), 2),
                round(max(y(low) - y(high), 1), 2),
                round(y(high) - 6, 2),
                round(y(end), 2),
                round((low - bottom) / span * 100, 3),
                round(max((high - low) / span * 100, 0.6), 3),
            )
        )
    table = Table((first_column, value_column), tuple((step.label, step.text) for step in drawn))
    return Waterfall(label, title, height, tuple(drawn), round(y(0), 2), table)


def heat_map(
    rows: Mapping[str, Sequence[float | None]],
    columns: Sequence[str],
    *,
    label: str,
    corner: str = "",
    fmt: Format = number,
    low: float | None = None,
    high: float | None = None,
) -> HeatMap:
    """Values in five equal steps of colour between `low` and `high` (the data's own extremes by default)."""
    known = [v for values in rows.values() for v in values if v is not None]
    floor = low if low is not None else min(known, default=0)
    ceiling = high if high is not None else max(known, default=1)
    span = (ceiling - floor) or 1

    def cell(value: float | None) -> HeatCell:
        if value is None:
            return HeatCell(MISSING, None)
        return HeatCell(fmt(value), max(0, min(4, int((value - floor) / span * 5))))

    return HeatMap(
        label,
        corner,
        tuple(columns),
        tuple((name, tuple(cell(v) for v in values)) for name, values in rows.items()),
        _text(floor, fmt),
        _text(ceiling, fmt),
    )


def numeric(columns: Sequence[str]) -> list[tuple[str, str]]:
    """Column heads of amounts, as the `table` macro wants them."""
    return [(name or _("Value"), "num") for name in columns]


def init_app(app: Flask) -> None:
    """Make the chart functions callable in templates (pages normally compute them in Python)."""
    app.jinja_env.globals.update(bar_chart=bar_chart, line_chart=line_chart, sparkline=sparkline, waterfall=waterfall, heat_map=heat_map, numeric=numeric)
