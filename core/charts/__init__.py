"""Geometry of the five charts, so that what is drawn can be tested.

The drawings are SVG by Jinja macros (`macros/charts.html`). Horizontal positions are percentages and text has no
`viewBox` around it: letters stay 12 px at any width. No chart library fits a strict Content-Security-Policy without
losing its text or links, hence our own few. Every chart keeps its data as a table, formatted by the same function.
"""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask
from flask_babel import gettext as _

from core.charts.bars import bar_chart
from core.charts.heat_maps import heat_map
from core.charts.lines import line_chart, sparkline
from core.charts.scales import nice_ticks
from core.charts.shapes import Chart, HeatMap, Spark, Waterfall
from core.charts.waterfalls import waterfall

__all__ = ["Chart", "HeatMap", "Spark", "Waterfall", "bar_chart", "heat_map", "init_app", "line_chart", "nice_ticks", "numeric", "sparkline", "waterfall"]


def numeric(columns: Sequence[str]) -> list[tuple[str, str]]:
    """Column heads of amounts, as the `table` macro wants them."""
    return [(name or _("Value"), "num") for name in columns]


def init_app(app: Flask) -> None:
    """Make the chart functions callable in templates (pages normally compute them in Python)."""
    app.jinja_env.globals.update(bar_chart=bar_chart, line_chart=line_chart, sparkline=sparkline, waterfall=waterfall, heat_map=heat_map, numeric=numeric)
