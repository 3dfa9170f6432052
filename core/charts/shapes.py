"""What a chart consists of, ready to draw: positions in per cent or pixels, texts already formatted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from core.formats import MISSING

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
