"""Terms of a subscription: whole days of the legal entity's time zone, anchored to a day of the month (decision 0009).

A term covers the days from the one it begins on (that day counts in full) to the day of `term_end`, which is the first
instant of the first day that is no longer covered. So a term has a whole number of days, whatever the time of day it was
bought at, and the next one begins exactly where it ends.
"""

import calendar
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MONTHS = {"month": 1, "quarter": 3, "year": 12, "maintenance": 12}
TERMS_A_YEAR = {"month": 12, "quarter": 4, "year": 1, "maintenance": 1, "once": 0}
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)  # the end of a term after which nothing is renewed (a perpetual licence without maintenance)


def local_day(at: datetime, timezone: str) -> date:
    """The calendar day of an instant in a time zone."""
    return at.astimezone(ZoneInfo(timezone)).date()


def start_of_day(day: date, timezone: str) -> datetime:
    """The first instant of a local day, in UTC; where clocks skip midnight, the first instant that exists."""
    return datetime.combine(day, time.min, tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def add_months(day: date, months: int, anchor_day: int) -> date:
    """The anchor day of the month that lies `months` later; its last day where the month is shorter.

    The anchor is kept apart from the day, so that January 31, February 28, March 31 does not drift to the 28th.
    """
    month = day.year * 12 + day.month - 1 + months
    year, month = divmod(month, 12)
    return date(year, month + 1, min(anchor_day, calendar.monthrange(year, month + 1)[1]))


def term_end(begins_at: datetime, period: str, anchor_day: int, timezone: str) -> datetime:
    """When a term that begins at this instant is over (exclusive)."""
    return start_of_day(add_months(local_day(begins_at, timezone), MONTHS[period], anchor_day), timezone)


def trial_end(begins_at: datetime, days: int, timezone: str) -> datetime:
    """When a trial of so many days, the first one counted in full, is over (exclusive)."""
    return start_of_day(local_day(begins_at, timezone) + timedelta(days=days), timezone)


def term_price(base_minor: int, seat_minor: int, seats: int) -> int:
    """What a list states for a full term: base + seats × seat price. `catalogue.term_price` adds the tax that a list may leave out."""
    return base_minor + seats * seat_minor


def annualised(term_price_minor: int, period: str) -> int:
    """Annual recurring revenue (ARR) of a term price: what a year of such terms costs."""
    return term_price_minor * TERMS_A_YEAR[period]
