"""A wallet as its member reads it: where each grant came from, in the order in which it is used, and what ends next."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select, text

from billing.top_up.top_up_models import AutoTopUp, BalanceWarning
from billing.wallet import wallets
from core import formats
from core.db import db
from membership.models import Member

SHOWN = 50

# What is said about the order of use, by the vendor's setting. Within a kind the order is always the same: priority, end, age.
ORDERS: dict[str, LazyString] = {
    "bonus_first": _l("A purchase takes bonus first, the one that ends soonest before the others, and then paid money, the oldest first."),
    "paid_first": _l("A purchase takes paid money first, the oldest first, and then bonus, the one that ends soonest before the others."),
    "proportional": _l(
        "A purchase takes bonus and paid money together, in the proportion in which you have them: the bonus that ends soonest, the oldest paid money."
    ),
}
NEVER_BONUS = _l("Tax and a partner’s share are always paid with paid money.")
SOURCES: dict[str, LazyString] = {
    "opening_balance": _l("Opening balance"), "goodwill": _l("Goodwill"), "refund": _l("Refund"), "correction": _l("Correction"),
    "adjustment": _l("Adjustment"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GrantLine:
    """One grant as it is at an instant. `source_id` is the document it came with: a top-up, a goodwill entry."""

    id: uuid.UUID
    kind: str  # paid | bonus
    granted_minor: int
    remaining_minor: int
    held_minor: int
    priority: int
    granted_at: datetime
    expires_at: datetime | None
    is_past: bool  # its date has come, and it is only there because it is held
    source: str | None  # kind of the entry
    source_id: uuid.UUID | None
    memo: str | None
    top_up_id: uuid.UUID | None
    method: str | None
    is_automatic: bool
    offer_zh: str | None
    offer_en: str | None

    @property
    def where_from(self) -> str:
        """In words, in the reader's language."""
        if self.top_up_id is None:
            known = _("Top-up") if self.source == "top_up" else SOURCES.get(self.source or "", _l("Credit"))
            return f"{known}: {self.memo}" if self.memo and self.source == "goodwill" else str(known)
        name = (self.offer_zh if formats.language() == "zh" else self.offer_en) if self.kind == "bonus" else None
        if name:
            return str(_("Offer “%(name)s”", name=name))
        if self.is_automatic:
            return str(_("Automatic top-up"))
        return str(_("Top-up by card") if self.method == "card" else _("Top-up by bank transfer"))


@dataclass(frozen=True, slots=True)
class NextExpiry:
    """What ends next, and when; what is held does not end."""

    at: datetime
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Grants:
    """The first grants in the order of use, how many there are in all, and what ends next among all of them."""

    lines: list[GrantLine]
    count: int
    next_expiry: NextExpiry | None


# The entry of a grant carries its id; bonus that came with paid money carries that of the lot, other bonus one derived from the entry's.
_GRANTS = text("""
with line as (select g.id, g.kind, g.granted_minor, case when g.expires_at <= :at then l.held else g.remaining_minor end as remaining, l.held,
  g.priority, g.granted_at, g.expires_at, coalesce(g.expires_at <= :at, false) as is_past, coalesce(t.kind, o.kind) as source,
  coalesce(t.id, o.id) as source_id, coalesce(t.memo, o.memo) as memo, u.id as top_up_id, u.method, u.auto_number is not null as is_automatic,
  f.name_zh, f.name_en
from wallet_grant g
cross join lateral (select case when g.held_minor = 0 then 0 else coalesce((
  select sum(d.remaining_minor) from hold_draw d join hold h on h.member_id = d.member_id and h.id = d.hold_id
  where d.member_id = g.member_id and d.grant_id = g.id and h.state = 'open' and h.expires_at > :at), 0)::bigint end as held) l
left join ledger_transaction t on t.book_id = g.member_id and t.id = coalesce(g.lot_id, g.id)
left join lateral (
  select x.id, x.kind, x.memo from ledger_transaction x
  where t.id is null and x.book_id = g.member_id and x.currency = g.currency and x.effective_at >= g.granted_at and md5('bonus:' || x.id)::uuid = g.id
  order by x.effective_at limit 1) o on true
left join top_up u on u.member_id = g.member_id and u.id = t.id
left join top_up_offer f on f.id = u.offer_id
where g.member_id = :member and g.currency = :currency and g.is_open and (g.expires_at is null or g.expires_at > :at or l.held > 0)),
ending as (
  select expires_at, sum(remaining - held) as amount from line where not is_past and expires_at is not null and remaining > held
  group by 1 order by 1 limit 1)
select line.*, (select count(*) from line), (select e.expires_at from ending e), (select e.amount from ending e) from line
order by case when :paid_first then line.kind = 'bonus' else line.kind = 'paid' end, line.priority, line.expires_at nulls last, line.granted_at, line.id
limit :most
""")


def grants(member_id: uuid.UUID, currency: str, *, at: datetime, limit: int = SHOWN) -> Grants:
    """What is in the wallet, in the order in which it is used; one query, whatever there is."""
    is_paid_first = wallets.consumption_order() == "paid_first"
    rows = db.session.execute(_GRANTS, {"member": member_id, "currency": currency, "at": at, "paid_first": is_paid_first, "most": limit}).all()
    if not rows:
        return Grants([], 0, None)
    *_line, count, ends_at, ending = rows[0]
    return Grants([GrantLine(*row[:-3]) for row in rows], count, NextExpiry(ends_at, int(ending)) if ends_at else None)


def order_in_words() -> str:
    """How purchases use what is there, by the vendor's setting."""
    return f"{ORDERS[wallets.consumption_order()]} {NEVER_BONUS}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a member has agreed to around its wallet."""

    auto: AutoTopUp | None
    warning_minor: int | None


def standing(member_id: uuid.UUID) -> Standing:
    """Automatic top-up and warning, in one query."""
    row = db.session.execute(
        select(AutoTopUp, BalanceWarning.threshold_minor)
        .select_from(Member)
        .outerjoin(AutoTopUp, AutoTopUp.member_id == Member.id)
        .outerjoin(BalanceWarning, BalanceWarning.member_id == Member.id)
        .where(Member.id == member_id)
    ).one()
    return Standing(row[0], row[1])
