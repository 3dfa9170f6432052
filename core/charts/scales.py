"""Axes: round tick values, labels that fit, the data as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from flask_babel import gettext as _

from core.charts.shapes import Format, Mark, Table
from core.formats import MISSING

MAX_SERIES = 5
LABELS_ON_PHONES = 4
LABELS_MAX = 12
PLOT_PX = 560


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


def at_most_five(series: Mapping[str, Sequence[float | None]]) -> dict[str, list[float | None]]:
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


def text_of(value: float | None, fmt: Format) -> str:
    """A value as people read it; a missing one is said to be missing."""
    return MISSING if value is None else fmt(value)


def table_of(first: str, labels: Sequence[str], series: Mapping[str, Sequence[float | None]], fmt: Format) -> Table:
    """The chart's data as a table, formatted as in the drawing."""
    rows = tuple((label, *(text_of(values[i], fmt) for values in series.values())) for i, label in enumerate(labels))
    return Table((first, *series), rows)


def x_marks(labels: Sequence[str], centre: Callable[[int], float]) -> tuple[Mark, ...]:
    """As many labels as fit a column of some 560 pixels (twelve at most), of which a phone shows about four."""
    room = max(LABELS_ON_PHONES, min(LABELS_MAX, PLOT_PX // (16 + max((_pixels(text) for text in labels), default=0))))
    every = max(1, math.ceil(len(labels) / room))
    shown = list(range(0, len(labels), every))
    coarse = max(1, math.ceil(len(shown) / LABELS_ON_PHONES))
    return tuple(Mark(centre(i), labels[i], minor=n % coarse != 0) for n, i in enumerate(shown))


def _pixels(text: str) -> int:
    """The width of a 12 px text, roughly: a Chinese letter counts as two."""
    return sum(13 if ord(c) > 0x2E80 else 7 for c in text)


def axis_width(marks: Sequence[Mark]) -> int:
    """Pixels that the widest label of an axis takes."""
    return max(8 + _pixels(mark.text) for mark in marks)


def scale(low: float, high: float, height: int) -> Callable[[float], float]:
    """From a value to its height in pixels, counted from the top."""
    return lambda value: height - (value - low) / (high - low) * height
