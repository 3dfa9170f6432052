"""Deferred revenue as of an instant: what is still to be delivered, how it came to be so, and whether the schedule ties to the ledger."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text

from billing.ledger.ledger_queries import Entity
from core.db import db

LINES = ("charged", "discount", "given_back", "recognised", "other")

# Every move of `deferred_revenue` by the instant, over all books, by what stands on its other side; and what the schedule says of the same entries.
_SUMMARY = text("""
with moved as (
  select t.book_id, t.id, t.effective_at < :since as is_before, sum(case when p.target = 26 then p.amount_minor else -p.amount_minor end) as amount,
    case when t.kind = 'recognition' then 'recognised' when 22 in (p.source, p.target) then 'discount' when p.source in (12, 20, 21) then 'charged'
      when p.target in (12, 20, 21) then 'given_back' else 'other' end as line
  from posting p join ledger_transaction t on t.book_id = p.book_id and t.id = p.transaction_id
  where (p.source = 26 or p.target = 26) and t.currency = :currency and t.effective_at <= :at group by 1, 2, 3, 5),
entry as (select book_id, id, sum(amount) as amount from moved where line <> 'recognised' group by 1, 2),
scheduled as (
  select sum(coalesce(d.deferred_minor, case when c.id is not null then e.amount end, 0))::bigint as amount
  from entry e left join deferral d on d.member_id = e.book_id and d.id = e.id
  left join subscription_charge c on c.member_id = e.book_id and c.id = e.id and not c.is_deferred)  -- taken up with the next run
select (select jsonb_object_agg(line, amount) from (
    select case when is_before then 'opening' else line end as line, sum(amount)::bigint as amount from moved group by 1) x) as lines,
  coalesce((select amount from scheduled), 0) - coalesce((select sum(r.amount_minor) from recognition_day r join legal_entity l on l.id = r.entity_id
    where r.currency = :currency and (r.day + 1)::timestamp at time zone l.timezone <= cast(:at as timestamptz) + interval '1 microsecond'
    ), 0)::bigint as scheduled,
  (select max(r.day) from recognition_day r where r.currency = :currency) as done_until
""")
_MONTHS = text("select date_trunc('month', day)::date, sum(amount_minor)::bigint from recognition_day where currency = :currency and day >= :since group by 1")
_COMING = text("""
select m.ends::date, coalesce(sum(earned_of(l.deferred_minor, l.starts, l.ends, l.ended, l.pauses, micros(m.ends)) - l.recognised_minor), 0)::bigint
from unnest(cast(:months as timestamp[])) m(ends) left join deferral_line l on l.is_open and l.currency = :currency group by 1 order by 1
""")
_DETAIL = text("""
select m.number, m.name, m.name_en, l.product_line, l.charge_id, l.id, l.posted_on, to_timestamp(l.starts / 1000000) at time zone 'UTC',
  to_timestamp(l.ends / 1000000) at time zone 'UTC', l.deferred_minor, l.recognised_minor
from deferral_line l join member m on m.id = l.member_id where l.currency = :currency order by m.number, l.posted_on, l.id
""")


@dataclass(frozen=True, slots=True)
class Summary:
    """Minor units; changes are signed as they move the liability. `scheduled_minor` is the same balance by the schedule of every charge."""

    opening_minor: int
    changes: dict[str, int]  # by LINES
    scheduled_minor: int
    done_until: date | None  # the last local day whose revenue is recognised

    @property
    def closing_minor(self) -> int:
        """What is still to be delivered."""
        return self.opening_minor + sum(self.changes.values())

    @property
    def recognised_minor(self) -> int:
        """Revenue of the period, as income."""
        return -self.changes["recognised"]

    @property
    def difference_minor(self) -> int:
        """Ledger less schedule."""
        return self.closing_minor - self.scheduled_minor

    @property
    def ties(self) -> bool:
        """Every cent of deferred revenue belongs to a charge's schedule."""
        return self.difference_minor == 0


@dataclass(frozen=True, slots=True)
class Line:
    """One charge (or what was given back of one), its service period in local time, and how much of it is earned."""

    number: str
    name: str
    name_en: str | None
    product_line: str
    charge_id: uuid.UUID
    id: uuid.UUID
    posted_on: date
    starts: datetime
    ends: datetime
    deferred_minor: int
    recognised_minor: int


def summary(currency: str, at: datetime, since: datetime) -> Summary:
    """The roll-forward of [since, at] and the proof, in one pass over the moves of deferred revenue."""
    row = db.session.execute(_SUMMARY, {"currency": currency, "at": at, "since": since}).one()
    lines = row.lines or {}
    return Summary(lines.get("opening", 0), {line: lines.get(line, 0) for line in LINES}, row.scheduled, row.done_until)


def by_month(entity: Entity, at: datetime, back: int, ahead: int) -> list[tuple[str, int, int]]:
    """(month, recognised, still to come) of the present month, `back` months before it and `ahead` after it, as the schedule stands now."""
    present = entity.local(at).replace(day=1)
    months = [_month(present.date(), n) for n in range(-back, ahead + 1)]
    done: dict[date, int] = dict(db.session.execute(_MONTHS, {"currency": entity.currency, "since": months[0]}).all())
    ends = [datetime.combine(_month(present.date(), n + 1), datetime.min.time()) for n in range(ahead + 1)]
    coming, before = {}, 0
    for (_end, upto), month in zip(db.session.execute(_COMING, {"currency": entity.currency, "months": ends}), months[back:], strict=True):
        coming[month], before = upto - before, upto
    return [(f"{month:%Y-%m}", done.get(month, 0), coming.get(month, 0)) for month in months]


def detail(currency: str) -> Sequence[Line]:
    """Every line of the schedule as it stands now."""
    return [Line(*row) for row in db.session.execute(_DETAIL, {"currency": currency})]


def _month(first: date, later: int) -> date:
    months = first.year * 12 + first.month - 1 + later
    return date(months // 12, months % 12 + 1, 1)
