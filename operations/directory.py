"""The CSM's list of members with their activity: filtered, sorted and paged in the database."""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, text

from core import paging
from core.db import db
from operations.activity import LEAST_BEFORE, Figures, figures
from operations.models import Activity

STEADY_BP = 1_000  # a change below a tenth is no trend
LIMIT = 20
FAR = "timestamptz '9999-01-01'"
# What to sort by: expression, direction, and its type in a cursor.
SORTS = {
    "number": ("m.number", "asc", "text"),
    "trend": ("coalesce(a.trend_bp, 1000000000)", "asc", "bigint"),
    "active": ("coalesce(a.active_28, 0)", "desc", "bigint"),
    "renewal": (f"coalesce(r.term_end, {FAR})", "asc", "timestamptz"),
    "wallet": ("coalesce(w.paid_minor + w.bonus_minor - w.held_minor, 0)", "asc", "bigint"),
}
TRENDS = {
    "falling": f"a.trend_bp <= -{STEADY_BP} and a.user_days_prev_28 >= {LEAST_BEFORE}",
    "rising": f"a.trend_bp >= {STEADY_BP} and a.user_days_prev_28 >= {LEAST_BEFORE}",
    "steady": f"a.trend_bp > -{STEADY_BP} and a.trend_bp < {STEADY_BP} and a.user_days_prev_28 >= {LEAST_BEFORE}",
    "idle": "coalesce(a.active_28, 0) = 0",
}
_FROM = """
from member m
left join app_user c on c.id = m.csm_id
left join wallet w on w.member_id = m.id and w.currency = m.currency
left join activity a on a.member_id = m.id
left join (select member_id, sum(seats) as seats, min(term_end) as term_end from subscription where state <> 'ended' group by member_id) r on r.member_id = m.id
left join (select member_id, count(*) as users from app_user where member_id is not null and disabled_at is null group by member_id) p on p.member_id = m.id
where m.state = 'active' and (cast(:csm as uuid) is null or m.csm_id = :csm) and (:industry = '' or m.industry = :industry) and (:size = '' or m.size = :size)
  and (:like = '' or m.name ilike :like or m.name_en ilike :like or m.number ilike :like)
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filters and order of the list; empty means everything, by number."""

    search: str = ""
    industry: str = ""
    size: str = ""
    trend: str = ""
    csm_id: uuid.UUID | None = None
    sort: str = "number"


@dataclass(frozen=True, slots=True)
class Row:
    """One member of the list."""

    id: uuid.UUID
    number: str
    name: str
    name_en: str | None
    industry: str
    size: str
    currency: str
    csm_name: str | None
    people: int
    term_end: datetime | None
    available_minor: int
    activity: Activity | None

    @property
    def name_zh(self) -> str:
        """The member's own name, for the `local` filter."""
        return self.name

    @property
    def figures(self) -> Figures | None:
        """The ratios of its activity; None while nothing was computed."""
        return figures(self.activity, self.people)


def find(wanted: Wanted, after: str | None, limit: int = LIMIT) -> tuple[list[Row], str | None, int]:
    """One page of members, the next page's cursor, and how many match in all: three queries. Raises BadCursor."""
    expression, direction, kind = SORTS[wanted.sort]
    where = _FROM + (f" and {TRENDS[wanted.trend]}" if wanted.trend else "")
    like = "%" + re.sub(r"([\\%_])", r"\\\1", wanted.search.strip()) + "%" if wanted.search.strip() else ""
    given: dict[str, Any] = {"csm": wanted.csm_id, "industry": wanted.industry, "size": wanted.size, "like": like}
    total = db.session.execute(text(f"select count(*) {where}"), given).scalar_one()
    bound = ""
    if after:
        given["value"], given["last"] = paging.decode(after, [{"text": str, "bigint": int, "timestamptz": datetime}[kind], str])
        beyond = "<" if direction == "desc" else ">"
        bound = f" and ({expression} {beyond} cast(:value as {kind}) or ({expression} = cast(:value as {kind}) and m.number > :last))"
    statement = f"""select m.id, m.number, m.name, m.name_en, m.industry, m.size, m.currency, c.name as csm_name,
      greatest(coalesce(p.users, 0), coalesce(r.seats, 0)) as people,
      r.term_end, coalesce(w.paid_minor + w.bonus_minor - w.held_minor, 0) as available_minor, {expression} as sort_value
      {where} {bound} order by {expression} {direction}, m.number limit :limit"""
    found = db.session.execute(text(statement), {**given, "limit": limit + 1}).all()
    shown = found[:limit]
    activities = _activities([row.id for row in shown])
    rows = [
        Row(
            row.id, row.number, row.name, row.name_en, row.industry, row.size, row.currency, row.csm_name, int(row.people), row.term_end,
            int(row.available_minor), activities.get(row.id),
        )
        for row in shown
    ]  # fmt: skip
    return rows, paging.encode([_plain(shown[-1].sort_value), shown[-1].number]) if len(found) > limit else None, total


def _activities(members: list[uuid.UUID]) -> dict[uuid.UUID, Activity]:
    return {row.member_id: row for row in db.session.scalars(select(Activity).where(Activity.member_id.in_(members)))}


def _plain(value: Any) -> Any:
    """A sort value a cursor can carry: sums of bigint are numeric."""
    return int(value) if isinstance(value, Decimal) else value
