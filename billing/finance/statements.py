"""Statement of one member: opening balance, every movement with its document, closing balance, and what expires when.

What a movement was for is read from orders, listings and subscription charges by table name: this room does not know the rooms above.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import text

from billing.approval.approvals import REASONS
from core import formats, paging
from core.db import db

PAGE = 200

_BALANCE = """
(select jsonb_build_array(t.paid_after_minor, t.bonus_after_minor) from ledger_transaction t
 where t.book_id = :member and t.currency = :currency and t.effective_at < {instant} order by t.effective_at desc, t.seq desc limit 1)
"""
_FRAME = text(f"""
select {_BALANCE.format(instant=":since")} as opening, {_BALANCE.format(instant=":until")} as closing, x.*,
  (select max(t.effective_at) from ledger_transaction t
    where t.book_id = :member and t.currency = :currency and t.amount_minor <> 0 and t.effective_at < :since) as last_before,
  (select min(t.effective_at) from ledger_transaction t
    where t.book_id = :member and t.currency = :currency and t.amount_minor <> 0 and t.effective_at >= :until) as first_after
from (
  select count(*) as movements, coalesce(sum(t.amount_minor) filter (where t.amount_minor > 0), 0)::bigint as came_in,
    coalesce(sum(t.amount_minor) filter (where t.amount_minor < 0), 0)::bigint as went_out
  from ledger_transaction t
  where t.book_id = :member and t.currency = :currency and t.effective_at >= :since and t.effective_at < :until and t.amount_minor <> 0) x
""")  # noqa: S608 (constants of this file)
_NAMED = """
select t.id, t.seq, t.effective_at, t.kind, t.amount_minor, t.paid_after_minor, t.bonus_after_minor, t.memo,
  l.name_zh, l.name_en, o.quantity, c.motion, c.service_from, c.service_until,
  exists (select from top_up u where u.member_id = t.book_id and u.id = t.id) as has_receipt
from ledger_transaction t
left join store_order o on o.member_id = t.book_id and o.id = t.id left join listing l on l.id = o.listing_id
left join subscription_charge c on c.member_id = t.book_id and c.id = t.id
"""
_LATEST = text(
    _NAMED
    + """
where t.book_id = :member and t.currency = :currency and t.amount_minor <> 0 and (cast(:last as bigint) is null or t.seq < :last)
order by t.seq desc limit :most
"""
)
_MOVEMENTS = text(
    _NAMED
    + """
where t.book_id = :member and t.currency = :currency and t.effective_at >= :since and t.effective_at < :until and t.amount_minor <> 0
  and (cast(:last_at as timestamptz) is null or (t.effective_at, t.seq) > (:last_at, cast(:last_seq as bigint)))
order by t.effective_at, t.seq limit :most
"""
)
_EXPIRING = text("""
select g.kind, g.expires_at, sum(case when p.target in (20, 21) then p.amount_minor else -p.amount_minor end)::bigint as amount
from wallet_grant g join posting p on p.book_id = g.member_id and p.grant_id = g.id
join ledger_transaction t on t.book_id = p.book_id and t.id = p.transaction_id
where g.member_id = :member and g.currency = :currency and g.expires_at >= :until and t.effective_at < :until
group by 1, 2 having sum(case when p.target in (20, 21) then p.amount_minor else -p.amount_minor end) > 0 order by 2, 1
""")


@dataclass(frozen=True, slots=True)
class Movement:
    """One change of the wallet; what it was for, as far as a document says so."""

    id: uuid.UUID
    seq: int
    at: datetime
    kind: str
    amount_minor: int
    paid_after_minor: int
    bonus_after_minor: int
    memo: str | None
    name_zh: str | None
    name_en: str | None
    quantity: int | None
    motion: str | None
    service_from: datetime | None
    service_until: datetime | None
    has_receipt: bool  # a top-up with a page of its own

    @property
    def balance_after_minor(self) -> int:
        """The running balance, as recorded with the movement."""
        return self.paid_after_minor + self.bonus_after_minor

    @property
    def document(self) -> str:
        """Its number for people: the end of its id."""
        return str(self.id)[-12:].upper()


@dataclass(frozen=True, slots=True)
class Expiring:
    """Money of the closing balance that ends at an instant."""

    kind: str
    expires_at: datetime
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A member's wallet over [since, until): balances are those the ledger recorded, the sums are added up anew."""

    currency: str
    since: datetime
    until: datetime
    is_provisional: bool  # the period is not over
    opening_paid_minor: int
    opening_bonus_minor: int
    closing_paid_minor: int
    closing_bonus_minor: int
    came_in_minor: int
    went_out_minor: int
    count: int
    last_before: datetime | None
    first_after: datetime | None
    movements: Sequence[Movement]
    next: str | None
    expiring: Sequence[Expiring]

    @property
    def opening_minor(self) -> int:
        """Paid and bonus before the first instant of the period."""
        return self.opening_paid_minor + self.opening_bonus_minor

    @property
    def closing_minor(self) -> int:
        """Paid and bonus at the last instant of the period."""
        return self.closing_paid_minor + self.closing_bonus_minor

    @property
    def difference_minor(self) -> int:
        """Closing less (opening + movements): 0, or the books are wrong."""
        return self.closing_minor - self.opening_minor - self.came_in_minor - self.went_out_minor


def latest(member_id: uuid.UUID, currency: str, after: str | None = None, limit: int = paging.LIMIT_DEFAULT) -> paging.Page[Movement]:
    """What changed the wallet, the latest first. Raises BadCursor."""
    (last,) = paging.decode(after, [int]) if after else (None,)
    rows = db.session.execute(_LATEST, {"member": member_id, "currency": currency, "last": last, "most": limit + 1}).all()
    found = [Movement(*row) for row in rows[:limit]]
    return paging.Page(found, paging.encode([found[-1].seq]) if len(rows) > limit else None)


def what(movement: Movement, local: Callable[[datetime], datetime]) -> str:
    """What a movement was for, in the reader's words; `local` says in which zone its days are."""
    if movement.name_zh or movement.name_en:
        times = f" × {movement.quantity}" if movement.quantity and movement.quantity > 1 else ""
        return formats.local(movement) + times
    if movement.motion and movement.service_from and movement.service_until:
        words = {"new": _("New subscription"), "renewal": _("Renewal"), "seats": _("More seats"), "upgrade": _("Upgrade")}
        days = f"{local(movement.service_from):%Y-%m-%d}{formats.RANGE}{local(movement.service_until):%Y-%m-%d}"
        return f"{words.get(movement.motion, movement.motion)} {days}"
    return str(REASONS.get(movement.memo or "", movement.memo or ""))


def statement(member_id: uuid.UUID, currency: str, since: datetime, until: datetime, *, at: datetime, after: str | None = None, limit: int = PAGE) -> Statement:
    """The statement of [since, until) as it stands at `at`, with one page of its movements. Raises BadCursor."""
    period = {"member": member_id, "currency": currency, "since": since, "until": until}
    frame = db.session.execute(_FRAME, period).one()
    last_at, last_seq = paging.decode(after, [datetime, int]) if after else (None, None)
    rows = db.session.execute(_MOVEMENTS, period | {"last_at": last_at, "last_seq": last_seq, "most": limit + 1}).all()
    movements = [Movement(*row) for row in rows[:limit]]
    expiring = [Expiring(*row) for row in db.session.execute(_EXPIRING, period)]
    more = paging.encode([movements[-1].at, movements[-1].seq]) if len(rows) > limit else None
    (opening_paid, opening_bonus), (closing_paid, closing_bonus) = frame.opening or (0, 0), frame.closing or (0, 0)
    return Statement(
        currency, since, until, until > at, opening_paid, opening_bonus, closing_paid, closing_bonus, frame.came_in, frame.went_out, frame.movements,
        frame.last_before, frame.first_after, movements, more, expiring,
    )  # fmt: skip
