"""What a change within a term costs: by whole days of the legal entity's time zone (decision 0009).

A price is used up day by day. After `elapsed` of `total` days, round-half-up(price × elapsed / total) of it is consumed
and the rest remains. A change made today counts from today: it costs what remains of the new price minus what remains of
the old one. Because every amount is a difference of the same rounded curve, the parts of a term always sum to the whole,
two changes of one day cost what the one change would have cost, and the price is the same all day.
"""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from core.money import round_half_up
from membership.terms import local_day


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a term has gone, in whole local days; `elapsed` counts the days before today."""

    elapsed: int
    total: int

    @property
    def left(self) -> int:
        """Days that remain, today included."""
        return self.total - self.elapsed


def progress(term_start: datetime, term_end: datetime, at: datetime, timezone: str) -> Progress:
    """How far the term has gone at an instant within it."""
    first, end, today = (local_day(instant, timezone) for instant in (term_start, term_end, at))
    return Progress(min(max((today - first).days, 0), (end - first).days), (end - first).days)


def consumed(price_minor: int, gone: Progress) -> int:
    """The part of a term's price that is used up: round-half-up(price × elapsed / total), in minor units."""
    return round_half_up(Fraction(price_minor * gone.elapsed, gone.total))


def remaining(price_minor: int, gone: Progress) -> int:
    """The part of a term's price that is not used up yet, in minor units."""
    return price_minor - consumed(price_minor, gone)


def difference(old_price_minor: int, new_price_minor: int, gone: Progress) -> int:
    """What changing the term's price today costs for the rest of the term; negative when the new price is lower."""
    return remaining(new_price_minor, gone) - remaining(old_price_minor, gone)
