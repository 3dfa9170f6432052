"""Reading the ledger as of an instant: when that is, who is meant, the journal, and the balance of every account.

An instant is a transaction's `effective_at` (what it belongs to), never when it was written down.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select, text

from billing.ledger.accounts import Account
from core import paging, typed
from core.db import db
from core.errors import Invalid, NotFound
from membership.entity_models import LegalEntity
from membership.models import Member

INSTANT = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2}))?)?")
TICK = timedelta(microseconds=1)

ACCOUNT_NAMES: dict[Account, LazyString] = {
    Account.STRIPE_CLEARING: _l("Stripe clearing"), Account.BANK: _l("Cash at bank"), Account.MEMBER_RECEIVABLE: _l("Receivable from members"),
    Account.DISPUTE_RECEIVABLE: _l("Receivable from disputes"), Account.PARTNER_RECEIVABLE: _l("Receivable from partners"),
    Account.WALLET_PAID: _l("Wallet, paid"), Account.WALLET_BONUS: _l("Wallet, bonus"), Account.BONUS_DISCOUNT: _l("Bonus discount"),
    Account.REFUND_PENDING: _l("Refunds on their way"), Account.REFUND_LIABILITY: _l("Refund liability"), Account.DISPUTE_RESERVE: _l("Dispute reserve"),
    Account.DEFERRED_REVENUE: _l("Deferred revenue"), Account.TAX_PAYABLE: _l("Tax payable"), Account.PARTNER_PENDING: _l("Partner share, pending"),
    Account.PARTNER_DUE: _l("Partner share, due"), Account.UNCLAIMED_PROPERTY: _l("Unclaimed property"),
    Account.SUBSCRIPTION_REVENUE: _l("Subscription revenue"), Account.STORE_REVENUE: _l("Store revenue"), Account.SERVICE_REVENUE: _l("Service revenue"),
    Account.COMMISSION_REVENUE: _l("Commission revenue"), Account.BREAKAGE_REVENUE: _l("Breakage revenue"), Account.PAYMENT_FEES: _l("Payment fees"),
    Account.DISPUTE_FEES: _l("Dispute fees"), Account.BAD_DEBT: _l("Bad debt"), Account.GOODWILL: _l("Goodwill given"), Account.INTERBOOK: _l("Between books"),
}  # fmt: skip
CATEGORY_NAMES: dict[str, LazyString] = {
    "asset": _l("Assets"), "liability": _l("Liabilities"), "income": _l("Income"), "expense": _l("Expenses"), "between": _l("Between books"),
}  # fmt: skip
KIND_NAMES: dict[str, LazyString] = {
    "top_up": _l("Top-up"), "purchase": _l("Purchase"), "subscription": _l("Subscription"), "expiry": _l("Expired"), "goodwill": _l("Goodwill"),
    "refund": _l("Refund"), "opening_balance": _l("Opening balance"), "recognition": _l("Recognition"), "payout": _l("Payout"),
    "partner_share": _l("Partner share"), "bank": _l("Bank transfer"), "correction": _l("Correction"),
    "card_refund": _l("Back to the card"), "bank_refund": _l("Back to the bank account"), "refund_paid": _l("Refund paid"),
    "refund_failed": _l("Refund failed"), "dispute": _l("Disputed payment"), "dispute_lost": _l("Dispute lost"), "dispute_won": _l("Dispute won"),
    "adjustment": _l("Adjustment"), "write_off": _l("Write-off"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entity:
    """What a legal entity decides about its figures: the currency, and the zone whose days and months count."""

    name: str
    currency: str
    zone: ZoneInfo

    @property
    def option(self) -> tuple[str, str]:
        """Its currency as an option of a select."""
        return self.currency, self.currency

    def local(self, instant: datetime) -> datetime:
        """The instant in the entity's zone."""
        return instant.astimezone(self.zone)

    def written(self, instant: datetime | None, seconds: bool = True) -> str:
        """The instant in the entity's zone, as people write it; `--` for none."""
        return self.local(instant).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M") if instant else "--"

    def month_of(self, instant: datetime, back: int = 0) -> tuple[datetime, datetime]:
        """First instant of the month (`back` months earlier) that `instant` falls in, and first instant of the one after."""
        here = self.local(instant)
        months = here.year * 12 + here.month - 1 - back
        first, after = (datetime(m // 12, m % 12 + 1, 1, tzinfo=self.zone).astimezone(UTC) for m in (months, months + 1))
        return first, after


def entities() -> list[Entity]:
    """The legal entities, one a currency."""
    found = db.session.scalars(select(LegalEntity).order_by(LegalEntity.currency, LegalEntity.id)).all()
    return list({one.currency: Entity(one.name, one.currency, ZoneInfo(one.timezone)) for one in found}.values())


def entity_for(currency: str | None) -> Entity:
    """The entity that keeps its books in `currency` (the first where none is asked for). Raises NotFound."""
    for one in entities():
        if not currency or one.currency == currency:
            return one
    raise NotFound(_("There are no books in this currency."), field="currency")


def parse_instant(written: str, entity: Entity, *, end: bool, field: str) -> datetime:
    """`2026-06-30`, `2026-06-30 14:08` or with seconds, in the entity's zone: its first instant, or its last one (`end`).

    A day or a minute lasts: as of `23:59` includes what happened in that minute, so a month's last minute is its end. Raises Invalid.
    """
    match = INSTANT.fullmatch(typed.date(written))
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part) if part else 0 for part in match.groups())
        if not 1900 <= year < 9000:  # further out, time zones have no place to go
            raise ValueError
        first = datetime(year, month, day, hour, minute, second, tzinfo=entity.zone)
    except ValueError:
        raise Invalid(_("Write the day and time like 2026-06-30 14:08."), field=field) from None
    if not end:
        return first.astimezone(UTC)
    lasts = {"days": 1} if match[4] is None else {"minutes": 1} if match[6] is None else {"seconds": 1}
    return (first + timedelta(**lasts)).astimezone(UTC) - TICK


def find_member(words: str) -> Member | None:
    """The member of this number, or the only one whose name contains the words."""
    words = words.strip()
    found = db.session.scalars(select(Member).where(Member.number.in_([words, words.upper()])).limit(1)).first()
    if found is None and words:
        like = f"%{words}%"
        some = db.session.scalars(select(Member).where(Member.name.ilike(like) | Member.name_en.ilike(like)).limit(2)).all()
        found = some[0] if len(some) == 1 else None
    return found


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One move of a transaction: source is debited, target credited."""

    source: Account
    target: Account
    amount_minor: int
    grant_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One transaction of a book, with its moves."""

    book_id: uuid.UUID
    id: uuid.UUID
    seq: int
    kind: str
    effective_at: datetime
    recorded_at: datetime
    amount_minor: int
    memo: str | None
    member_number: str | None  # None: a house or partner book
    name_zh: str | None
    name_en: str | None
    book_kind: str
    lines: Sequence[JournalLine]


# The latest few of each book by its own index, then merged: no index over all books burdens the hot path.
_JOURNAL = text("""
select t.book_id, t.id, t.seq, t.kind, t.effective_at, t.recorded_at, t.amount_minor, t.memo, m.number, m.name, coalesce(m.name_en, m.name), b.kind
from book b left join member m on m.id = b.id cross join lateral (
  select * from ledger_transaction t where t.book_id = b.id and t.currency = :currency and t.effective_at >= :since and t.effective_at <= :until
    and (cast(:kind as text) is null or t.kind = :kind)
    and (cast(:last_at as timestamptz) is null or (t.effective_at, t.book_id, t.seq) < (:last_at, cast(:last_book as uuid), cast(:last_seq as bigint)))
  order by t.effective_at desc, t.seq desc limit :most) t
where cast(:member as uuid) is null or b.id = :member
order by t.effective_at desc, t.book_id desc, t.seq desc limit :most
""")
_LINES = text(
    "select p.book_id, p.transaction_id, p.source, p.target, p.amount_minor, p.grant_id"
    " from unnest(cast(:books as uuid[]), cast(:ids as uuid[])) x(book_id, id) join posting p on p.book_id = x.book_id and p.transaction_id = x.id order by p.n"
)


def journal(
    currency: str,
    since: datetime,
    until: datetime,
    *,
    member_id: uuid.UUID | None = None,
    kind: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> paging.Page[JournalEntry]:
    """Transactions of a period, the latest first, each with its moves. Raises BadCursor."""
    size = paging.bounded(limit)
    last_at, last_book, last_seq = paging.decode(after, [datetime, uuid.UUID, int]) if after else (None, None, None)
    rows = db.session.execute(
        _JOURNAL,
        {"currency": currency, "since": since, "until": until, "kind": kind or None, "member": member_id, "last_at": last_at, "last_book": last_book,
         "last_seq": last_seq, "most": size + 1},
    ).all()  # fmt: skip
    shown = rows[:size]
    lines: dict[tuple[uuid.UUID, uuid.UUID], list[JournalLine]] = {}
    if shown:
        for book_id, id, source, target, *rest in db.session.execute(_LINES, {"books": [r[0] for r in shown], "ids": [r[1] for r in shown]}):
            lines.setdefault((book_id, id), []).append(JournalLine(Account(source), Account(target), *rest))
    items = [JournalEntry(*(*row, lines.get((row[0], row[1]), []))) for row in shown]
    more = paging.encode([shown[-1].effective_at, shown[-1].book_id, shown[-1].seq]) if len(rows) > size else None
    return paging.Page(items, more)


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """What stands in an account of all books together (or of one), as debit or credit."""

    account: Account
    category: str
    debit_minor: int
    credit_minor: int


_TRIAL = text("""
select k.code, k.category, greatest(-sum(x.amount), 0)::bigint, greatest(sum(x.amount), 0)::bigint from account_kind k join (
  select s.account, sum(s.amount) as amount from ledger_transaction t join posting p on p.book_id = t.book_id and p.transaction_id = t.id
  cross join lateral (values (p.source, -p.amount_minor), (p.target, p.amount_minor)) s(account, amount)
  where t.currency = :currency and t.effective_at <= :at and (cast(:member as uuid) is null or t.book_id = :member) group by 1
) x on x.account = k.code group by k.code, k.category order by k.code
""")


def trial_balance(currency: str, at: datetime, *, member_id: uuid.UUID | None = None) -> list[AccountBalance]:
    """Every account that was ever moved by `at`, over all books or one, in the order of the chart; debits equal credits."""
    rows = db.session.execute(_TRIAL, {"currency": currency, "at": at, "member": member_id})
    return [AccountBalance(Account(code), category, debit, credit) for code, category, debit, credit in rows]


def words(query: Mapping[str, Any]) -> dict[str, Any]:
    """Query arguments without those that say nothing, for links."""
    return {key: value for key, value in query.items() if value not in (None, "")}
