"""What a term is worth, exactly, and what a change within it costs (decision 0021).

A term has `total` units: whole local days, or seconds, less those it was paused. Its worth is what it costs in the end if nothing changes any more:
the sum over its units of the price held in each, divided by `total`. It is kept as an integer, in minor units × units, and what has been paid for
the term is that worth rounded up to the minor unit. What a change costs, or gives back, is the difference of two such figures, so the parts of a
term always sum to the whole and rounding never adds up in the member's favour.

The present unit costs the highest price that is held in it: more counts from this unit on, less from the next.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

from membership.subscription_models import Subscription
from membership.terms import local_day, start_of_day

SECOND = timedelta(seconds=1)
UNITS = ("day", "second")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a term has gone, in units; `elapsed` counts those before the present one."""

    elapsed: int
    total: int

    @property
    def left(self) -> int:
        """Units that remain, the present one included."""
        return self.total - self.elapsed

    @property
    def after(self) -> int:
        """Units that remain after the present one."""
        return max(0, self.left - 1)


@dataclass(frozen=True, slots=True)
class Worth:
    """What a term is worth as it stands: `price_minor × total + offset`, in minor units × units of the term.

    `offset` is what the earlier prices of this term differ by; `peak_minor` is the price at which the present unit is used up.
    """

    price_minor: int
    offset: int
    peak_minor: int
    gone: Progress

    @property
    def exact(self) -> Fraction:
        """In minor units."""
        return Fraction(self.price_minor * self.gone.total + self.offset, self.gone.total)

    @property
    def paid_minor(self) -> int:
        """What has been paid for the term: its exact worth, rounded up."""
        return ceil(self.exact)

    def at(self, price_minor: int) -> "Worth":
        """The same term with another price from now on: the present unit at the higher of the two, those after it at the new one."""
        now = min(1, self.gone.left)
        peak = max(self.peak_minor, price_minor)
        units = self.price_minor * self.gone.total + self.offset
        units += (peak - self.peak_minor) * now + (price_minor - self.price_minor) * (self.gone.left - now)
        return Worth(price_minor, units - price_minor * self.gone.total, peak, self.gone)

    @property
    def used(self) -> Fraction:
        """What is used up with the end of the present unit, in minor units."""
        return self.at(0).exact

    @property
    def unit_minor(self) -> Fraction:
        """What the present unit costs, in minor units."""
        return Fraction(self.peak_minor, self.gone.total) if self.gone.left else Fraction(0)


def progress(term_start: datetime, term_end: datetime, at: datetime, timezone: str, unit: str = "day", paused: int = 0) -> Progress:
    """How far the term has gone at an instant within it; `paused` units of it do not count. Days are those of the time zone."""
    if unit == "second":
        total, elapsed = (term_end - term_start) // SECOND, (at - term_start) // SECOND
    else:
        first, end, today = (local_day(instant, timezone) for instant in (term_start, term_end, at))
        total, elapsed = (end - first).days, (today - first).days
    return Progress(min(max(elapsed - paused, 0), total - paused), total - paused)


def _progress_of(one: Subscription, at: datetime, timezone: str) -> Progress:
    return progress(one.term_start, one.term_end, at, timezone, one.proration_unit or "day", one.paused_units or 0)


def worth_of(subscription: Subscription, at: datetime, timezone: str) -> Worth:
    """What a subscription's term is worth at an instant within it; of a paused one, at the pause."""
    if subscription.state == "paused" and subscription.paused_at is not None:
        at = subscription.paused_at
    gone, price, peak = _progress_of(subscription, at, timezone), subscription.term_price_minor, subscription.term_price_minor
    changed_at, highest = subscription.peak_at, subscription.peak_price_minor
    is_of_this_term = changed_at is not None and changed_at >= subscription.term_start
    if changed_at is not None and highest is not None and is_of_this_term and _progress_of(subscription, changed_at, timezone) == gone:
        peak = max(price, highest)
    return Worth(price, subscription.worth_offset or 0, peak, gone)


def next_unit(term_start: datetime, at: datetime, timezone: str, unit: str) -> datetime:
    """The first instant of the unit after the present one: midnight, or the next full second of the term."""
    if unit == "second":
        return term_start + ((at - term_start) // SECOND + 1) * SECOND
    return start_of_day(local_day(at, timezone) + timedelta(days=1), timezone)
