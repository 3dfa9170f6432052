"""What a publisher's listings bring in, by month: sales, money given back, earnings, installs and uninstalls, runs, ratings.

All of it runs as the publisher, so the database shows it its own listings only. Six queries, however many listings and months there are.
Months are those of the reader's time zone. Money is in minor units of one currency; *earned* is read from the ledger: what an order put
on the partner's account (or on our revenue, for our own listings), less what refunds took from there, each in the month it happened.
"""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import defer

from core.db import db
from marketplace.store.listing_models import Listing

MONTHS = 12
LONGEST = 36
_SOURCES = {
    "sales": """
        select o.listing_id, date_trunc('month', o.at at time zone :zone)::date, count(*) filter (where o.kind not in ('trial', 'usage', 'renewal')) as orders,
          count(*) filter (where o.kind = 'trial') as trials, coalesce(sum(o.total_minor), 0)::bigint as sold_minor
        from store_order o where o.listing_id = any(:ids) and o.at >= :since and o.at < :until group by 1, 2""",
    "earned": """
        select o.listing_id, date_trunc('month', o.at at time zone :zone)::date, sum(p.amount_minor)::bigint as earned_minor
        from store_order o join posting p on p.book_id = o.member_id and p.transaction_id = o.id and p.target in (28, 41)
        where o.listing_id = any(:ids) and o.at >= :since and o.at < :until and o.total_minor > 0 group by 1, 2""",
    "given_back": """
        select o.listing_id, date_trunc('month', r.at at time zone :zone)::date, sum(r.amount_minor)::bigint as refunded_minor,
          -coalesce(sum(p.taken), 0)::bigint as earned_minor
        from order_refund r join store_order o on o.member_id = r.member_id and o.id = r.order_id
        left join lateral (select sum(x.amount_minor) as taken from posting x
          where x.book_id = r.member_id and x.transaction_id = r.id and x.source in (28, 41, 90)) p on true
        where o.listing_id = any(:ids) and r.at >= :since and r.at < :until and r.undone_at is null group by 1, 2""",
    "installs": """
        select listing_id, date_trunc('month', at at time zone :zone)::date, count(*) filter (where kind = 'install') as installs,
          count(*) filter (where kind = 'update') as updates, count(*) filter (where kind = 'uninstall') as uninstalls
        from install_event where listing_id = any(:ids) and at >= :since and at < :until group by 1, 2""",
    "runs": """
        select listing_id, date_trunc('month', queued_at at time zone :zone)::date, count(*) as runs, count(*) filter (where state = 'failed') as failed
        from run where copy_n is null
        and listing_id = any(:ids) and queued_at >= :since and queued_at < :until and state in ('succeeded', 'failed') group by 1, 2""",
    "ratings": """
        select listing_id, date_trunc('month', at at time zone :zone)::date, sum(stars)::bigint as stars, count(*) as ratings
        from review where listing_id = any(:ids) and at >= :since and at < :until and hidden_at is null group by 1, 2""",
}


@dataclass(slots=True)
class Figures:
    """What happened to one listing in one month, or the sum of several such."""

    orders: int = 0
    trials: int = 0
    sold_minor: int = 0
    refunded_minor: int = 0
    earned_minor: int = 0
    installs: int = 0
    updates: int = 0
    uninstalls: int = 0
    runs: int = 0
    failed: int = 0
    stars: int = 0
    ratings: int = 0

    def add(self, other: "Figures") -> None:
        """Count another's figures in."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    @property
    def failure_rate(self) -> float | None:
        """Failed of all runs that ended."""
        return self.failed / self.runs if self.runs else None

    @property
    def rating(self) -> float | None:
        """Average stars given."""
        return self.stars / self.ratings if self.ratings else None


@dataclass(frozen=True, slots=True)
class Report:
    """A publisher's months, oldest first, and its listings, those that earned most first."""

    months: list[date]
    listings: list[Listing]
    by_cell: dict[tuple[uuid.UUID, date], Figures]
    currency: str

    @property
    def busy_months(self) -> list[date]:
        """The months in which something happened, latest first."""
        return sorted({month for _listing_id, month in self.by_cell}, reverse=True)

    def total(self, *, listing: Listing | None = None, month: date | None = None) -> Figures:
        """The sum over one listing, one month, or everything."""
        found = Figures()
        for (listing_id, when), figures in self.by_cell.items():
            if (listing is None or listing.id == listing_id) and (month is None or month == when):
                found.add(figures)
        return found


def months_until(last: date, count: int) -> list[date]:
    """So many months, the last of them at the end."""
    number = last.year * 12 + last.month - 1
    return [date(n // 12, n % 12 + 1, 1) for n in range(number - count + 1, number + 1)]


def report(publisher_id: uuid.UUID, zone: str, *, at: datetime, months: int = MONTHS, slug: str | None = None) -> Report:
    """The figures of the last months up to `at`, of all listings that were ever on sale, or of one.

    Listings in another currency than the first one's are left out: sums of two currencies mean nothing.
    """
    statement = (
        select(Listing).where(Listing.publisher_id == publisher_id, Listing.published_at.is_not(None)).order_by(Listing.slug).options(defer(Listing.search))
    )
    found = db.session.scalars(statement.where(Listing.slug == slug) if slug else statement).all()
    currency = found[0].currency if found else "CNY"
    shown = [one for one in found if one.currency == currency]
    tz = ZoneInfo(zone)
    spans = months_until(at.astimezone(tz).date(), months)
    since = datetime.combine(spans[0], datetime.min.time(), tz)
    cells: defaultdict[tuple[uuid.UUID, date], Figures] = defaultdict(Figures)
    asked = {"zone": zone, "ids": [one.id for one in shown], "since": since, "until": at}
    for query in _SOURCES.values():
        _read(query, asked, cells)
    result = Report(spans, shown, dict(cells), currency)
    return Report(spans, sorted(shown, key=lambda one: (-result.total(listing=one).earned_minor, one.slug)), result.by_cell, currency)


def _read(query: str, asked: dict[str, object], cells: defaultdict[tuple[uuid.UUID, date], Figures]) -> None:
    rows = db.session.execute(text(query), asked)
    names = list(rows.keys())[2:]
    for listing_id, month, *values in rows:
        cells[listing_id, month].add(Figures(**dict(zip(names, values, strict=True))))


def rows_of(report: Report) -> Sequence[tuple[date, Listing, Figures]]:
    """Every month of every listing in which something happened, for an export."""
    return [(month, one, report.by_cell[one.id, month]) for month in report.months for one in report.listings if (one.id, month) in report.by_cell]
