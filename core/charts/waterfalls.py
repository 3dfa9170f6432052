"""From an opening to a closing figure, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from flask_babel import gettext as _

from core.charts.scales import scale
from core.charts.shapes import Format, Step, Table, Waterfall
from core.formats import number


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
    to_y = scale(bottom, bottom + span, height - above - below)

    def y(value: float) -> float:
        return to_y(value) + above

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
