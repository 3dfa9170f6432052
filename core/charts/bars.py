"""Bars, stacked or side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.charts.scales import at_most_five, axis_width, nice_ticks, scale, table_of, x_marks
from core.charts.shapes import Bar, Chart, Format, Mark
from core.formats import compact, number


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
    series = at_most_five(series)
    count, names = max(1, len(labels)), tuple(series)
    ups = [sum(max(v[i] or 0, 0) for v in series.values()) for i in range(len(labels))]
    downs = [sum(min(v[i] or 0, 0) for v in series.values()) for i in range(len(labels))]
    flat = [v or 0 for values in series.values() for v in values]
    ticks = nice_ticks(min([*downs, 0] if stacked else [*flat, 0]), max([*ups, 0] if stacked else [*flat, 0]))
    y = scale(ticks[0], ticks[-1], height)
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
        table_of(first_column, labels, series, fmt),
        names,
        marks,
        x_marks(labels, lambda i: round(slot * (i + 0.5), 3)),
        round(y(0), 2),
        tuple(bars),
        (),
        axis_width(marks),
    )
