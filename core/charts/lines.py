"""Lines, and sparklines for table cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from core.charts.scales import at_most_five, axis_width, nice_ticks, scale, table_of, x_marks
from core.charts.shapes import Chart, Format, Line, Mark, Spark
from core.formats import compact, number


def runs(values: Sequence[float | None], x: Callable[[int], float], y: Callable[[float], float]) -> tuple[str, ...]:
    """Polyline points; a missing value is a gap, and a lone value a short dash."""
    runs: list[list[tuple[float, float]]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x(i), y(value)))
    kept = [run if len(run) > 1 else [run[0], (run[0][0] + 0.5, run[0][1])] for run in runs if run]
    return tuple(" ".join(f"{a:.2f},{b:.2f}" for a, b in run) for run in kept)


def last_point(values: Sequence[float | None], x: Callable[[int], float], y: Callable[[float], float]) -> tuple[float, float] | None:
    """Where a line ends, at its last known value."""
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
    series = at_most_five(series)
    flat = [v for values in series.values() for v in values if v is not None]
    ticks = nice_ticks(min(flat, default=0), max(flat, default=0))
    y = scale(ticks[0], ticks[-1], height)

    def x(i: int) -> float:
        return 2 + 96 * i / max(1, len(labels) - 1)

    lines = tuple(Line(n, name, runs(values, x, y), last_point(values, x, y)) for n, (name, values) in enumerate(series.items(), 1))
    marks = tuple(Mark(round(y(tick), 2), axis_fmt(tick)) for tick in ticks)
    return Chart(
        "line",
        label,
        title,
        height,
        table_of(first_column, labels, series, fmt),
        tuple(series),
        marks,
        x_marks(labels, lambda i: round(x(i), 3)),
        round(y(0), 2),
        (),
        lines,
        axis_width(marks),
    )


def sparkline(values: Sequence[float | None], *, label: str, width: int = 96, height: int = 24) -> Spark:
    """A line without axes in its own pixels; `label` is the sentence read aloud ("rose from 3 to 12 in 8 weeks")."""
    known = [v for v in values if v is not None]
    low, high = min([*known, 0]), max([*known, 0])
    y = scale(low, high if high > low else low + 1, height - 6)

    def x(i: int) -> float:
        return 3 + (width - 6) * i / max(1, len(values) - 1)

    def down(value: float) -> float:
        return y(value) + 3

    return Spark(label, width, height, runs(values, x, down), last_point(values, x, down))
