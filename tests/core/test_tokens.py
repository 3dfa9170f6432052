"""Contrast and distance of the colours, computed from the stylesheet (WCAG 2.2, 1.4.3 and 1.4.11); axe cannot see most of these."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import pytest

CSS = (Path(__file__).resolve().parents[2] / "static/css/app.css").read_text(encoding="utf-8")
Colour = tuple[float, float, float]


def _tokens(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+):(#[0-9A-Fa-f]{3,6})\b", block))


LIGHT = _tokens(CSS[: CSS.index("@media(prefers-color-scheme:dark)")])
DARK = LIGHT | _tokens(CSS[CSS.index("@media(prefers-color-scheme:dark)") : CSS.index(".num{")])
THEMES = pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])


def _linear(colour: str) -> Colour:
    digits = colour.lstrip("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits

    def channel(at: int) -> float:
        value = int(digits[at : at + 2], 16) / 255
        return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)

    return channel(0), channel(2), channel(4)


def contrast(one: str, two: str) -> float:
    """WCAG contrast ratio of two hexadecimal colours."""
    light, dark = sorted((sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), _linear(x), strict=True)) for x in (one, two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@THEMES
def test_text(tokens: dict[str, str]) -> None:
    for name in ("ink", "muted", "brand", "accent", "info", "ok", "warn", "danger"):
        for ground in ("bg", "surface"):
            assert contrast(tokens[name], tokens[ground]) >= 4.5, f"{name} on {ground}"
    assert contrast(tokens["on-brand"], tokens["brand"]) >= 4.5
    assert contrast(tokens["surface"], tokens["ink"]) >= 4.5
    assert contrast(tokens["surface"], tokens["accent"]) >= 4.5
    assert contrast(tokens["surface"], tokens["danger"]) >= 4.5


@THEMES
def test_borders_of_controls_and_charts(tokens: dict[str, str]) -> None:
    for name in ("field", "c1", "c2", "c3", "c4", "c5", "brand"):
        assert contrast(tokens[name], tokens["surface"]) >= 3, name


@THEMES
def test_heat_map_text(tokens: dict[str, str]) -> None:
    for step in (0, 1, 2):
        assert contrast(tokens["ink"], tokens[f"h{step}"]) >= 4.5
    for step in (3, 4):
        assert contrast("#FFF" if tokens is LIGHT else tokens["surface"], tokens[f"h{step}"]) >= 4.5
    for text in ("ink", "muted", "brand"):
        assert contrast(tokens[text], tokens["h0"]) >= 4.5, f"{text} on a selected row"


# Viénot, Brettel & Mollon (1999) for protan and deutan, after Machado et al. (2009), severity 1, on linear RGB.
SIGHT = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def _lab(rgb: Colour) -> Colour:
    r, g, b = (min(1.0, max(0.0, c)) for c in rgb)
    x = (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883

    def f(t: float) -> float:
        return t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116

    return 116 * f(y) - 16, 500 * (f(x) - f(y)), 200 * (f(y) - f(z))


@THEMES
@pytest.mark.parametrize("sight", list(SIGHT))
def test_series_stay_apart_for_every_eye(tokens: dict[str, str], sight: str) -> None:
    """ΔE76 ≥ 14 between any two series; hatching and dashes are the second cue."""
    seen = {}
    for n in range(1, 6):
        rgb = _linear(tokens[f"c{n}"])
        r, g, b = (sum(w * c for w, c in zip(row, rgb, strict=True)) for row in SIGHT[sight])
        seen[n] = _lab((r, g, b))
    for one, two in itertools.combinations(seen, 2):
        assert math.dist(seen[one], seen[two]) >= 14, f"c{one} and c{two} for {sight}"
