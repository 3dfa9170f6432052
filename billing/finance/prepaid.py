"""Prepaid money of all members as of an instant: what is owed, how it came to be so over a period, and whether it ties to the ledger.

`effective_at` decides; the balance of a wallet is the `paid_after`/`bonus_after` of its last transaction by then. The proof adds up the
postings themselves, wallet by wallet, so that two errors cannot cancel.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from core import paging
from core.db import db

SORTS = ("balance", "number")
SHOWS = ("balance", "all")

_AS_OF = """
select m.id, m.number, m.name, m.name_en, coalesce(t.paid_after_minor, 0) as paid, coalesce(t.bonus_after_minor, 0) as bonus, t.effective_at as last_at
from wallet w join member m on m.id = w.member_id left join lateral (
  select t.paid_after_minor, t.bonus_after_minor, t.effective_at from ledger_transaction t
  where t.book_id = w.member_id and t.currency = w.currency and t.effective_at <= :at order by t.effective_at desc, t.seq desc limit 1) t on true
where w.currency = :currency
"""
# Every wallet move by `at`, sorted into the lines of the roll-forward by what stands on its other side.
_PROOF = text(f"""
with cached as ({_AS_OF}),
moved as (
  select t.book_id, t.effective_at < :since as is_before,
    sum(case when p.target = 20 then p.amount_minor when p.source = 20 then -p.amount_minor else 0 end) as paid,
    sum(case when p.target = 21 then p.amount_minor when p.source = 21 then -p.amount_minor else 0 end) as bonus,
    case when t.kind in ('correction', 'adjustment', 'opening_balance') then 'other'
      when t.kind = 'expiry' then 'expired'
      when t.kind in ('card_refund', 'bank_refund', 'refund_failed', 'dispute', 'dispute_lost', 'dispute_won') then 'refunded'
      when t.kind = 'refund' and p.target in (20, 21) then 'used'
      when p.target = 20 and p.source in (10, 11, 12, 90) then 'topped_up'
      when p.target = 21 and p.source in (22, 53) then 'bonus_granted'
      when p.source in (20, 21) and p.target in (10, 11, 22, 23) or p.source = 23 then 'refunded'
      when p.source in (26, 27, 28, 40, 41, 42, 43) or p.target in (26, 27, 28, 40, 41, 42, 43) then 'used'
      else 'other' end as line
  from ledger_transaction t join posting p on p.book_id = t.book_id and p.transaction_id = t.id
  where t.currency = :currency and t.effective_at <= :at and (p.source in (20, 21) or p.target in (20, 21)) group by 1, 2, 5),
posted as (select book_id, sum(paid) as paid, sum(bonus) as bonus from moved group by 1),
tied as (
  select coalesce(c.id, p.book_id) as id, c.number, coalesce(c.paid, 0) as paid, coalesce(c.bonus, 0) as bonus,
    coalesce(p.paid, 0) as posted_paid, coalesce(p.bonus, 0) as posted_bonus
  from cached c full join posted p on p.book_id = c.id)
select sum(paid)::bigint as paid, sum(bonus)::bigint as bonus, sum(posted_paid)::bigint as posted_paid, sum(posted_bonus)::bigint as posted_bonus,
  count(*) filter (where paid + bonus > 0) as members,
  coalesce(sum(abs(paid - posted_paid) + abs(bonus - posted_bonus)), 0)::bigint as unexplained,
  (array_agg(coalesce(number, id::text) order by number) filter (where (paid, bonus) <> (posted_paid, posted_bonus)))[1:5] as at_fault,
  (select jsonb_object_agg(line, amount) from (
    select case when is_before then 'opening' else line end as line, sum(paid + bonus)::bigint as amount from moved group by 1) x) as lines
from tied
""")  # noqa: S608 (constants of this file)
_MEMBERS = f"""
with rows as (select *, paid + bonus as total from ({_AS_OF}
    and (:words = '' or m.number ilike :pattern or m.name ilike :pattern or m.name_en ilike :pattern)) x where :everybody or paid + bonus > 0),
counted as (select count(*) as number_of, coalesce(sum(paid), 0)::bigint as paid, coalesce(sum(bonus), 0)::bigint as bonus from rows)
select r.*, c.number_of, c.paid as all_paid, c.bonus as all_bonus from rows r cross join counted c where {{after}} order by {{order}} limit :most
"""  # noqa: S608 (constants of this file)
_ORDER = {
    "balance": ("(cast(:total as bigint) is null or (r.total, r.number) < (:total, cast(:number as text)))", "r.total desc, r.number desc"),
    "number": ("(cast(:number as text) is null or r.number > :number)", "r.number"),
}
_PAGES = {sort: text(_MEMBERS.format(after=after, order=order)) for sort, (after, order) in _ORDER.items()}
_FIRST = text("select min(effective_at) from ledger_transaction where currency = :currency and amount_minor <> 0")
LINES = ("topped_up", "bonus_granted", "used", "refunded", "expired", "other")


@dataclass(frozen=True, slots=True)
class Summary:
    """The closing figures, the way there since the start of the period, and the proof; minor units, changes signed."""

    paid_minor: int
    bonus_minor: int
    posted_paid_minor: int
    posted_bonus_minor: int
    members: int  # with any balance
    unexplained_minor: int  # Σ |cached − posted| over wallets: 0 exactly when every wallet ties
    at_fault: Sequence[str]  # the first members (or books) that do not tie
    opening_minor: int
    changes: dict[str, int]  # by LINES

    @property
    def total_minor(self) -> int:
        """Paid and bonus together."""
        return self.paid_minor + self.bonus_minor

    @property
    def difference_minor(self) -> int:
        """Cached balances less postings, in total."""
        return self.total_minor - self.posted_paid_minor - self.posted_bonus_minor

    @property
    def ties(self) -> bool:
        """Whether every single wallet equals its postings."""
        return self.unexplained_minor == 0


@dataclass(frozen=True, slots=True)
class MemberBalance:
    """One member's prepaid money as of the instant; `last_at` is its last entry by then."""

    id: uuid.UUID
    number: str
    name: str
    name_en: str | None
    paid_minor: int
    bonus_minor: int
    last_at: datetime | None
    total_minor: int


@dataclass(frozen=True, slots=True)
class MemberPage:
    """One page of members, and the totals of all rows that the filter lets through, not only of this page."""

    items: list[MemberBalance]
    next: str | None
    count: int
    paid_minor: int
    bonus_minor: int


def summary(currency: str, at: datetime, since: datetime) -> Summary:
    """Everything above the members' table, in one pass over the postings by `at`. The period is [since, at]."""
    row = db.session.execute(_PROOF, {"currency": currency, "at": at, "since": since}).one()
    lines = row.lines or {}
    return Summary(
        row.paid or 0, row.bonus or 0, row.posted_paid or 0, row.posted_bonus or 0, row.members, row.unexplained, row.at_fault or [],
        lines.get("opening", 0), {line: lines.get(line, 0) for line in LINES},
    )  # fmt: skip


def members(
    currency: str, at: datetime, *, search: str = "", sort: str = "balance", show: str = "balance", after: str | None = None, limit: int | None = None
) -> MemberPage:
    """One page of members by balance (largest first) or number. Raises BadCursor."""
    return _members(currency, at, search=search, sort=sort, show=show, after=after, size=paging.bounded(limit))


def every_member(currency: str, at: datetime, *, search: str = "", sort: str = "balance", show: str = "balance") -> MemberPage:
    """All members that the filter lets through, for an export."""
    return _members(currency, at, search=search, sort=sort, show=show, after=None, size=10_000_000)


def _members(currency: str, at: datetime, *, search: str, sort: str, show: str, after: str | None, size: int) -> MemberPage:
    search = search.strip()
    pattern = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    values = {"currency": currency, "at": at, "words": search, "pattern": pattern, "everybody": show == "all", "most": size + 1}
    cursor = paging.decode(after, [int, str] if sort == "balance" else [str]) if after else []
    values |= dict(zip(("total", "number") if sort == "balance" else ("number",), cursor or (None, None), strict=False))
    rows = db.session.execute(_PAGES[sort], values).all()
    items = [MemberBalance(r.id, r.number, r.name, r.name_en, r.paid, r.bonus, r.last_at, r.total) for r in rows[:size]]
    last = [items[-1].total_minor, items[-1].number] if sort == "balance" and items else [items[-1].number] if items else []
    more = paging.encode(last) if len(rows) > size else None
    return MemberPage(items, more, *((rows[0].number_of, rows[0].all_paid, rows[0].all_bonus) if rows else (0, 0, 0)))


def first_movement(currency: str) -> datetime | None:
    """When prepaid money first moved."""
    found: datetime | None = db.session.scalar(_FIRST, {"currency": currency})
    return found
