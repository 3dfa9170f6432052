"""What the ledger says that a document is made of: entries of wallets, each with what it was for. Reads only.

Orders, listings, services and subscriptions are read by table name: this room does not know the rooms above.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from core.db import db

# Targets of a charge that are consumption; the rest of a wallet's moves (expiry, refunds to a card, disputes) are not.
SUPPLY = "(26, 27, 28, 40, 41, 42, 43)"
ARRIVED_FROM = "(10, 11, 90)"  # card, bank
GIVEN_BACK_FROM = "(14, 24, 26, 27, 28, 29, 40, 41, 42, 43, 90)"  # where what a charge had fed may stand when it is given back

_ENTRIES = f"""
select t.book_id as member_id, t.id, t.currency, t.seq, t.kind, t.effective_at as at, t.reverses_id, t.memo,
  x.consumed_minor, x.consumed_tax_minor, x.from_paid_minor, x.from_bonus_minor, x.owed_minor, x.received_minor,
  x.returned_minor, coalesce(f.tax, x.returned_tax_minor) as returned_tax_minor, x.back_paid_minor, x.back_bonus_minor,
  l.name_zh || coalesce(' · ' || z.name_zh, '') || case when o.kind = 'usage' then ' · 单次运行' else '' end as name_zh,
  l.name_en || coalesce(' · ' || z.name_en, '') || case o.kind when 'usage' then ' · one run' when 'seats' then ' · more seats' else '' end as name_en,
  coalesce(y.tax_rate_bp, l.tax_rate_bp) as own_rate_bp, o.version, coalesce(o.quantity, 1) as quantity, c.motion, c.service_from, c.service_until,
  n.name_zh as line_zh, n.name_en as line_en, e.name_zh as edition_zh, e.name_en as edition_en, m.seats, p.base_minor, p.seat_minor,
  coalesce(o.excludes_tax, p.excludes_tax) as excludes_tax,
  u.method, u.bank_reference, u.bonus_minor as granted_minor, k.brand, k.last4
from ({{entries}}) t
cross join lateral (
  select
    coalesce(sum(g.amount_minor) filter (where g.source in (12, 20, 21) and g.target in {SUPPLY}), 0)::bigint as consumed_minor,
    coalesce(sum(g.amount_minor) filter (where g.source in (12, 20, 21) and g.target = 27), 0)::bigint as consumed_tax_minor,
    coalesce(sum(g.amount_minor) filter (where g.source = 20 and g.target in {SUPPLY}), 0)::bigint as from_paid_minor,
    coalesce(sum(g.amount_minor) filter (where g.source = 21 and g.target in {SUPPLY}), 0)::bigint as from_bonus_minor,
    coalesce(sum(g.amount_minor) filter (where g.source = 12 and g.target in {SUPPLY}), 0)::bigint as owed_minor,
    coalesce(sum(g.amount_minor) filter (where g.source in {ARRIVED_FROM} and g.target in (12, 20)), 0)::bigint as received_minor,
    coalesce(sum(g.amount_minor) filter (where g.source in {GIVEN_BACK_FROM} and g.target in (12, 20, 21)), 0)::bigint as returned_minor,
    coalesce(sum(g.amount_minor) filter (where g.source = 27 and g.target in (12, 20, 21)), 0)::bigint as returned_tax_minor,
    coalesce(sum(g.amount_minor) filter (where g.source in {GIVEN_BACK_FROM} and g.target in (12, 20)), 0)::bigint as back_paid_minor,
    coalesce(sum(g.amount_minor) filter (where g.source in {GIVEN_BACK_FROM} and g.target = 21), 0)::bigint as back_bonus_minor
  from posting g where g.book_id = t.book_id and g.transaction_id = t.id
) x
left join lateral (
  select sum(y.amount_minor) filter (where y.account = 27)::bigint as tax from refund_line y where y.member_id = t.book_id and y.refund_id = t.id
) f on true
left join store_order o on o.member_id = t.book_id and o.id = t.id left join listing l on l.id = o.listing_id
left join service_milestone z on o.kind = 'milestone' and z.member_id = o.member_id and z.charge_id = o.id
left join service_order y on y.member_id = z.member_id and y.id = z.order_id
left join subscription_charge c on c.member_id = t.book_id and c.id = t.id
left join subscription_history m on m.member_id = c.member_id and m.id = c.id
left join subscription s on s.member_id = c.member_id and s.id = c.subscription_id
left join product_line n on n.code = s.product_line
left join edition e on e.product_line = s.product_line and e.rank = coalesce(m.rank, s.rank)
left join lateral (
  select v.base_minor, v.seat_minor, v.excludes_tax from edition_price v
  where v.product_line = s.product_line and v.rank = coalesce(m.rank, s.rank) and v.currency = s.currency
    and v.period = s.period and v.valid_from <= coalesce(s.price_locked_at, c.service_from) order by v.valid_from desc limit 1
) p on c.motion in ('new', 'renewal')
left join top_up u on u.member_id = t.book_id and u.id = t.id left join payment_method k on k.member_id = u.member_id and k.id = u.payment_method_id
order by t.book_id, t.currency, t.seq
"""  # noqa: S608 (constants of this file)
_MOVED = text("""
select w.member_id, w.currency, coalesce(p.last_seq, 0) as last_seq from wallet w join book b on b.id = w.member_id
left join document_position p on p.member_id = w.member_id and p.currency = w.currency
where b.entity_id = :entity and w.last_seq > coalesce(p.last_seq, 0) and (cast(:after as uuid) is null or w.member_id > :after)
order by w.member_id, w.currency limit :most
""")
_NEW = text(
    _ENTRIES.format(
        entries="select t.* from unnest(cast(:members as uuid[]), cast(:currencies as text[]), cast(:seqs as bigint[])) y(member_id, currency, last_seq)"
        " join ledger_transaction t on t.book_id = y.member_id and t.currency = y.currency and t.seq > y.last_seq"
        " order by t.book_id, t.currency, t.seq limit :most"
    )
)
_DUE = text(
    _ENTRIES.format(
        entries="select t.* from ledger_transaction t where (t.book_id, t.id) in (select q.member_id, q.transaction_id from document_waiting q"
        " where q.member_id = any(cast(:members as uuid[])) and q.entity_id = :entity and q.due_at <= :at)"
    )
)
_DUE_MEMBERS = text(
    "select distinct q.member_id from document_waiting q where q.entity_id = :entity and q.due_at <= :at"
    " and (cast(:after as uuid) is null or q.member_id > :after) order by 1 limit :most"
)
_ORIGINALS = text("""
select y.member_id, y.id, d.id as document_id, d.kind, d.number, d.issued_at, d.gross_minor, d.content -> 'lines' as lines, q.due_at
from unnest(cast(:members as uuid[]), cast(:ids as uuid[])) y(member_id, id)
left join document_line l on l.member_id = y.member_id and l.transaction_id = y.id and l.part = 1
left join document d on d.member_id = l.member_id and d.id = l.document_id
left join document_waiting q on q.member_id = y.member_id and q.transaction_id = y.id
""")


@dataclass(frozen=True, slots=True)
class Entry:
    """One ledger transaction of a wallet, its moves summed by meaning, and what it was for. Amounts in minor units, none below zero."""

    member_id: uuid.UUID
    id: uuid.UUID
    currency: str
    seq: int
    kind: str
    at: datetime
    reverses_id: uuid.UUID | None
    memo: str | None
    consumed_minor: int
    consumed_tax_minor: int
    from_paid_minor: int
    from_bonus_minor: int
    owed_minor: int
    received_minor: int
    returned_minor: int
    returned_tax_minor: int
    back_paid_minor: int
    back_bonus_minor: int
    name_zh: str | None
    name_en: str | None
    own_rate_bp: int | None
    version: str | None
    quantity: int
    motion: str | None
    service_from: datetime | None
    service_until: datetime | None
    line_zh: str | None
    line_en: str | None
    edition_zh: str | None
    edition_en: str | None
    seats: int | None
    base_minor: int | None
    seat_minor: int | None
    excludes_tax: bool | None  # is the price stated without tax
    method: str | None
    bank_reference: str | None
    granted_minor: int | None
    brand: str | None
    last4: str | None

    @property
    def document_kind(self) -> str | None:
        """The document it belongs on: receipt, invoice, credit_note; None for what needs none (expiry, goodwill, a refund to a card)."""
        if self.kind == "top_up":
            return "receipt" if self.received_minor else None
        if self.consumed_minor:
            return "invoice"
        return "credit_note" if self.reverses_id and self.returned_minor else None


@dataclass(frozen=True, slots=True)
class Moved:
    """A wallet with entries that nobody has looked at: those after `last_seq`."""

    member_id: uuid.UUID
    currency: str
    last_seq: int


@dataclass(frozen=True, slots=True)
class Original:
    """Where the charge that a refund takes back stands: on a document, waiting for one (until `due_at`), or nowhere."""

    member_id: uuid.UUID
    id: uuid.UUID
    document_id: uuid.UUID | None
    kind: str | None
    number: str | None
    issued_at: datetime | None
    gross_minor: int | None
    lines: list[dict[str, object]] | None
    due_at: datetime | None


def moved_wallets(entity_id: uuid.UUID, after: uuid.UUID | None, most: int) -> list[Moved]:
    """Wallets of a legal entity with new entries, in member order."""
    return [Moved(*row) for row in db.session.execute(_MOVED, {"entity": entity_id, "after": after, "most": most})]


def new_entries(wallets: Sequence[Moved], most: int) -> list[Entry]:
    """The first `most` entries after each wallet's position, by wallet and sequence number."""
    parameters = {"members": [w.member_id for w in wallets], "currencies": [w.currency for w in wallets], "seqs": [w.last_seq for w in wallets]}
    return [Entry(*row) for row in db.session.execute(_NEW, {**parameters, "most": most})]


def due_members(entity_id: uuid.UUID, at: datetime, after: uuid.UUID | None, most: int) -> list[uuid.UUID]:
    """Members with waiting entries whose time has come."""
    return list(db.session.scalars(_DUE_MEMBERS, {"entity": entity_id, "at": at, "after": after, "most": most}))


def due_entries(entity_id: uuid.UUID, members: Sequence[uuid.UUID], at: datetime) -> list[Entry]:
    """What waits of these members and is due."""
    return [Entry(*row) for row in db.session.execute(_DUE, {"entity": entity_id, "members": list(members), "at": at})]


def originals(refunds: Sequence[Entry]) -> dict[tuple[uuid.UUID, uuid.UUID], Original]:
    """The charges that these refunds take back, by member and transaction."""
    if not refunds:
        return {}
    parameters = {"members": [r.member_id for r in refunds], "ids": [r.reverses_id for r in refunds]}
    return {(row.member_id, row.id): Original(*row) for row in db.session.execute(_ORIGINALS, parameters)}
