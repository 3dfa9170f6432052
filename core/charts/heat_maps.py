"""A coloured table: the heat map is its own data table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.charts.scales import text_of
from core.charts.shapes import Format, HeatCell, HeatMap
from core.formats import MISSING, number


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
        text_of(floor, fmt),
        text_of(ceiling, fmt),
    )
