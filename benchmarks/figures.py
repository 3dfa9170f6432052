"""How figures are printed: one line each on standard output, and nothing else there."""

import statistics
import sys


def tell(text: str) -> None:
    """Progress and detail, on standard error."""
    print(text, file=sys.stderr, flush=True)


def figure(name: str, ratios: list[float], goal: float, *, most: bool = False) -> None:
    """The median of interleaved pairs' ratios against its goal."""
    tell(f"{name}: {' '.join(f'{r:.2f}' for r in ratios)}")
    print(f"figure {name} {statistics.median(ratios):.2f} goal {'<=' if most else '>='}{goal:.2f}", flush=True)
