"""Revenue as billed: tax included, in the month (of the legal entity's time zone) in which a wallet paid it.

Kinds: new, renewal, seats, edition (upgrades, and downgrades credited), store, and credits of other kinds. This is what
customers paid, not what has been earned over time: that is the ledger's (`deferred_revenue`, `subscription_revenue`).
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import text

from core.db import db

KINDS = ("new", "renewal", "seats", "edition", "store", "credit")
_KIND = """case motion when 'new' then 'new' when 'renewal' then 'renewal' when 'resume' then 'renewal' when 'seats' then 'seats'
  when 'upgrade' then 'edition' when 'downgrade' then 'edition' when 'period' then 'edition' else 'credit' end"""
_LINES = f"""
  select v.at, {_KIND} as kind, v.amount_minor, v.csm_id, v.member_id from subscription_history v
  where v.currency = :currency and v.at >= :since and v.at < :until and v.amount_minor <> 0
  union all
  select at, 'store', total_minor, csm_id, member_id from store_order
  where currency = :currency and state = 'completed' and at >= :since and at < :until and total_minor <> 0
"""  # noqa: S608 (made of constants)
_BY_MONTH = text(f"""
select cast(date_trunc('month', at at time zone :zone) as date), kind, sum(amount_minor) from ({_LINES}) lines group by 1, 2 order by 1, 2
""")  # noqa: S608
_BY_CSM = text(f"""
select l.csm_id, u.name, l.kind, count(*), sum(l.amount_minor)
from ({_LINES}) l join app_user u on u.id = l.csm_id where l.kind in ('store', 'seats', 'edition') and l.amount_minor > 0
group by 1, 2, 3 order by 2, 1, 3
""")  # noqa: S608
_ARR = text("""
select coalesce(sum(arr_after_minor - arr_before_minor) filter (where at < :since), 0),
  coalesce(sum(arr_after_minor - arr_before_minor) filter (where at >= :since and arr_before_minor = 0 and arr_after_minor > 0 and motion <> 'unpause'), 0),
  coalesce(sum(arr_after_minor - arr_before_minor)
    filter (where at >= :since and (arr_before_minor > 0 or motion = 'unpause') and arr_after_minor > arr_before_minor), 0),
  coalesce(sum(arr_before_minor - arr_after_minor)
    filter (where at >= :since and (arr_after_minor > 0 or motion = 'pause') and arr_after_minor < arr_before_minor), 0),
  coalesce(sum(arr_before_minor - arr_after_minor) filter (where at >= :since and arr_after_minor = 0 and arr_before_minor > 0 and motion <> 'pause'), 0)
from subscription_history where currency = :currency and at < :until
""")  # a pause is a contraction and its end an expansion: nobody has left
_RUNNING = text("""
select coalesce(sum(arr_after_minor), 0) from (
  select distinct on (member_id, subscription_id) arr_after_minor from subscription_history
  where currency = :currency and at < :until order by member_id, subscription_id, term desc, seq desc
) last
""")  # by term, not instant: a change may have been asked for a moment before the run that renewed first


@dataclass(frozen=True, slots=True)
class Period:
    """Whole months of a time zone: from the first instant of `first` to just before the month after `last`."""

    first: date
    last: date
    zone: str

    @property
    def months(self) -> list[date]:
        """The first day of each month."""
        count = (self.last.year - self.first.year) * 12 + self.last.month - self.first.month + 1
        return [shift(self.first, n) for n in range(count)]

    @property
    def since(self) -> datetime:
        """Its first instant."""
        return start_of(self.first, self.zone)

    @property
    def until(self) -> datetime:
        """The first instant after it."""
        return start_of(shift(self.last, 1), self.zone)


@dataclass(slots=True)
class Month:
    """Billed in one month, by kind, in minor units."""

    month: date
    by_kind: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    @property
    def total_minor(self) -> int:
        """All kinds together."""
        return sum(self.by_kind.values())


@dataclass(slots=True)
class Upsell:
    """What one CSM sold beyond renewals: store orders, seats, editions."""

    csm_id: uuid.UUID
    name: str
    sales: int = 0
    by_kind: dict[str, int] = field(default_factory=lambda: {"store": 0, "seats": 0, "edition": 0})

    @property
    def total_minor(self) -> int:
        """All kinds together."""
        return sum(self.by_kind.values())


@dataclass(frozen=True, slots=True)
class Movement:
    """How the yearly value of running subscriptions (ARR) moved: opening + new + expansion − contraction − churn = closing."""

    opening_minor: int
    new_minor: int
    expansion_minor: int
    contraction_minor: int
    churn_minor: int
    running_minor: int  # what the subscriptions' own last states add up to at the end; must equal closing

    @property
    def closing_minor(self) -> int:
        """What the movements add up to."""
        return self.opening_minor + self.new_minor + self.expansion_minor - self.contraction_minor - self.churn_minor

    @property
    def difference_minor(self) -> int:
        """Zero when every motion begins where the one before it ended."""
        return self.closing_minor - self.running_minor

    @property
    def mrr_minor(self) -> int:
        """A twelfth of the closing ARR."""
        return round(self.closing_minor / 12)


def shift(month: date, by: int) -> date:
    """The first day of the month `by` months on."""
    count = month.year * 12 + month.month - 1 + by
    return date(count // 12, count % 12 + 1, 1)


def start_of(day: date, zone: str) -> datetime:
    """The first instant of a day in a time zone."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))


def by_month(period: Period, currency: str) -> list[Month]:
    """Billed revenue of every month of the period, also of those without any."""
    months = {first: Month(first) for first in period.months}
    for first, kind, amount in db.session.execute(_BY_MONTH, {**_span(period, currency), "zone": period.zone}):
        months[first].by_kind[kind] += int(amount)
    return list(months.values())


def by_csm(period: Period, currency: str) -> list[Upsell]:
    """Upsell of each CSM, the largest first."""
    found: dict[uuid.UUID, Upsell] = {}
    for csm_id, name, kind, count, amount in db.session.execute(_BY_CSM, _span(period, currency)):
        row = found.setdefault(csm_id, Upsell(csm_id, name))
        row.sales += count
        row.by_kind[kind] += int(amount)
    return sorted(found.values(), key=lambda row: (-row.total_minor, row.name))


def outside_renewals(months: Iterable[Month]) -> float | None:
    """The share of billed revenue that is not renewals; None when nothing was billed."""
    months = list(months)
    total = sum(month.total_minor for month in months)
    return (total - sum(month.by_kind["renewal"] for month in months)) / total if total > 0 else None


def movement(since: datetime, until: datetime, currency: str) -> Movement:
    """How ARR moved between two instants, and what it must come to."""
    given = {"since": since, "until": until, "currency": currency}
    opening, new, expansion, contraction, churn = (int(value) for value in db.session.execute(_ARR, given).one())
    return Movement(opening, new, expansion, contraction, churn, int(db.session.execute(_RUNNING, given).scalar_one()))


def _span(period: Period, currency: str) -> dict[str, object]:
    return {"since": period.since, "until": period.until, "currency": currency}
