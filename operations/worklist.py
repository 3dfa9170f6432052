"""Which members need a CSM, why now, and how much money hangs on it. One row a member, its strongest cause first.

No score: a cause is a fact with an amount and a date. Risk is what may be lost at the next renewal; chance is what a
recommendation may bring. A member's risk is its largest one, never a sum: its causes are about the same money.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from core.db import db
from operations.activity import FALLING, Figures, figures, is_falling
from operations.models import Activity

RENEWAL_DAYS = 60  # a renewal that near with too little money in the wallet is a cause
QUIET_DAYS = 7  # an offer unanswered for so long is a cause
TOIL_MINUTES = 30  # minutes a month that a listing would save, for a routine to be a cause
KINDS = ("past_due", "short", "leaving", "falling", "toil", "quiet")  # strongest first
RISKS = frozenset(KINDS[:4])

_SNAPSHOTS = text(f"""
with running as (
  select member_id, sum(seats) as seats, sum(term_price_minor) as term_minor, min(term_end) as term_end,
    sum(term_price_minor) filter (where state = 'active' and not cancel_at_term_end and term_end <= :soon) as due_minor,
    min(term_end) filter (where state = 'active' and not cancel_at_term_end and term_end <= :soon) as due_at,
    sum(term_price_minor) filter (where state = 'active' and cancel_at_term_end) as leaving_minor,
    min(term_end) filter (where state = 'active' and cancel_at_term_end) as leaving_at
  from subscription where state <> 'ended' group by member_id
), unpaid as (
  select member_id, sum(amount_minor) as unpaid_minor, min(due_at) as unpaid_since from subscription_charge where state = 'unpaid' group by member_id
), waiting as (
  select member_id, count(*) as offers, min(sent_at) as quiet_since, min(expires_at) as offers_until, sum(price_minor) as offers_minor
  from offer where state = 'sent' and expires_at > :at and sent_at <= :quiet group by member_id
), toil as (
  select distinct on (r.member_id) r.member_id, r.steps, r.runs, r.minutes_saved_a_month as toil_minutes, l.slug as toil_slug,
    l.name_zh as toil_name_zh, l.name_en as toil_name_en, l.price_minor as toil_price_minor
  from routine r join listing l on l.id = r.listing_id and l.state = 'published'
  where r.minutes_saved_a_month >= :least
    and not exists (select from license x where x.member_id = r.member_id and x.listing_id = r.listing_id and x.state <> 'ended')
    and not exists (select from offer x where x.member_id = r.member_id and x.listing_id = r.listing_id and (x.state = 'sent' or x.decided_at > :recent))
  order by r.member_id, r.minutes_saved_a_month desc, r.id
), people as (
  select member_id, count(*) as users from app_user where member_id is not null and disabled_at is null group by member_id
)
select m.id, m.number, m.name, m.name_en, m.industry, m.size, m.sales_cycle, m.channel, m.currency, m.created_at, m.csm_id, c.name as csm_name,
  coalesce(p.users, 0) as users, coalesce(r.seats, 0) as seats, r.term_minor, r.term_end, r.due_minor, r.due_at, r.leaving_minor, r.leaving_at,
  u.unpaid_minor, u.unpaid_since, coalesce(w.paid_minor + w.bonus_minor - w.held_minor, 0) as available_minor,
  coalesce(o.offers, 0) as offers, o.quiet_since, o.offers_until, o.offers_minor,
  t.steps as toil_steps, t.runs as toil_runs, t.toil_minutes, t.toil_slug, t.toil_name_zh, t.toil_name_en, t.toil_price_minor,
  to_jsonb(a) as activity
from member m
left join app_user c on c.id = m.csm_id
left join wallet w on w.member_id = m.id and w.currency = m.currency
left join activity a on a.member_id = m.id
left join running r on r.member_id = m.id
left join unpaid u on u.member_id = m.id
left join waiting o on o.member_id = m.id
left join toil t on t.member_id = m.id
left join people p on p.member_id = m.id
where (cast(:member as uuid) is null and m.state = 'active' or m.id = :member) and (cast(:csm as uuid) is null or m.csm_id = :csm)
  and (cast(:member as uuid) is not null or u.unpaid_minor > 0 or r.due_minor > coalesce(w.paid_minor + w.bonus_minor - w.held_minor, 0)
    or r.leaving_minor is not null or ({FALLING}) or o.offers > 0 or t.member_id is not null)
order by m.number
""")  # noqa: S608 (made of constants)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A member as the worklist sees it at one instant; money in the member's currency, minor units."""

    id: uuid.UUID
    number: str
    name: str
    name_en: str | None
    industry: str
    size: str
    sales_cycle: str
    channel: str
    currency: str
    created_at: datetime
    csm_id: uuid.UUID | None
    csm_name: str | None
    users: int
    seats: int
    term_minor: int | None  # price of a full term of everything subscribed to
    term_end: datetime | None
    due_minor: int | None  # renewals within 60 days
    due_at: datetime | None
    leaving_minor: int | None  # cancelled for the end of the term
    leaving_at: datetime | None
    unpaid_minor: int | None
    unpaid_since: datetime | None
    available_minor: int
    offers: int
    quiet_since: datetime | None
    offers_until: datetime | None
    offers_minor: int | None
    toil_steps: list[list[str]] | None
    toil_runs: int | None
    toil_minutes: int | None
    toil_slug: str | None
    toil_name_zh: str | None
    toil_name_en: str | None
    toil_price_minor: int | None
    activity: Activity | None

    @property
    def name_zh(self) -> str:
        """The member's own name, for the `local` filter."""
        return self.name

    @property
    def figures(self) -> Figures | None:
        """The ratios of its activity; None while nothing was computed."""
        return figures(self.activity, max(self.users, self.seats))


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a member needs somebody: `money_minor` is at risk, or to be won; `due` is when it will be too late."""

    kind: str
    money_minor: int
    due: datetime | None

    @property
    def is_risk(self) -> bool:
        """Whether the money may be lost, rather than won."""
        return self.kind in RISKS


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the worklist."""

    member: Snapshot
    causes: Sequence[Cause]

    @property
    def first(self) -> Cause:
        """The strongest cause."""
        return self.causes[0]

    @property
    def risk_minor(self) -> int:
        """Its largest risk: the causes are about the same money."""
        return max((cause.money_minor for cause in self.causes if cause.is_risk), default=0)

    @property
    def chance_minor(self) -> int:
        """Its largest chance."""
        return max((cause.money_minor for cause in self.causes if not cause.is_risk), default=0)

    @property
    def due(self) -> datetime | None:
        """The earliest date among its causes."""
        return min((cause.due for cause in self.causes if cause.due), default=None)


@dataclass(frozen=True, slots=True)
class Worklist:
    """Members that need somebody, most money at risk first."""

    items: list[Item]

    @property
    def risk_minor(self) -> int:
        """What is at risk in all rows."""
        return sum(item.risk_minor for item in self.items)


def build(csm_id: uuid.UUID | None, *, grace_days: int, at: datetime) -> Worklist:
    """The worklist of one CSM's members (None: of all). One query."""
    items = [Item(member, found) for member in _snapshots(at, csm=csm_id) if (found := causes(member, grace_days=grace_days, at=at))]
    return Worklist(sorted(items, key=lambda item: (-item.risk_minor, -item.chance_minor, KINDS.index(item.first.kind), item.member.number)))


def snapshot(member_id: uuid.UUID, *, at: datetime) -> Snapshot | None:
    """One member, whether it needs somebody or not. One query."""
    return next(iter(_snapshots(at, member=member_id)), None)


def _snapshots(at: datetime, *, member: uuid.UUID | None = None, csm: uuid.UUID | None = None) -> list[Snapshot]:
    given: dict[str, Any] = {
        "at": at, "soon": at + timedelta(days=RENEWAL_DAYS), "quiet": at - timedelta(days=QUIET_DAYS), "recent": at - timedelta(days=90),
        "least": TOIL_MINUTES, "member": member, "csm": csm,
    }  # fmt: skip
    return [_read(dict(row._mapping)) for row in db.session.execute(_SNAPSHOTS, given)]


def _read(row: dict[str, Any]) -> Snapshot:
    """A row with whole numbers (SQL sums of bigint are numeric) and its activity as an object of no session."""
    for name, value in row.items():
        if isinstance(value, Decimal):
            row[name] = int(value)
    if stored := row["activity"]:
        stored["day"], stored["computed_at"] = date.fromisoformat(stored["day"]), datetime.fromisoformat(stored["computed_at"])
        row["activity"] = Activity(**stored)
    return Snapshot(**row)


def causes(member: Snapshot, *, grace_days: int, at: datetime) -> list[Cause]:
    """What makes this member need somebody, strongest first. Pure."""
    found: list[Cause] = []
    if member.unpaid_minor and member.unpaid_since:
        found.append(Cause("past_due", member.unpaid_minor, member.unpaid_since + timedelta(days=grace_days)))
    if member.due_minor and member.due_minor > member.available_minor:
        found.append(Cause("short", member.due_minor, member.due_at))
    if member.leaving_minor is not None and member.leaving_at and member.leaving_at > at:
        found.append(Cause("leaving", member.leaving_minor, member.leaving_at))
    if member.activity and is_falling(member.activity):
        found.append(Cause("falling", member.term_minor or 0, member.term_end))
    if member.toil_minutes and member.toil_minutes >= TOIL_MINUTES:
        found.append(Cause("toil", member.toil_price_minor or 0, None))
    if member.offers:
        found.append(Cause("quiet", member.offers_minor or 0, member.offers_until))
    return found
