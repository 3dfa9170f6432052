"""Paying partners out: a statement of the partner's book is prepared by one person and paid, with the bank's reference, by another (books, move 5)."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select, text

from billing.approval import approvals
from billing.ledger.accounts import Account as A
from billing.ledger.ledger_models import Book
from billing.revenue import partner_shares
from billing.wallet import wallet_moves
from billing.wallet.wallet_moves import Entry, Move
from core import audit
from core.actor import Actor
from core.db import db
from core.errors import Conflict, Invalid, NotFound
from core.ids import derived
from core.ids import request_hash as hash_of
from core.settings import Settings
from marketplace.partner.partner_models import Payout
from marketplace.publisher import publisher_notices
from marketplace.publisher.publisher_models import Publisher
from membership.entity_models import LegalEntity

_ENTRIES = text("""
select t.seq, t.id, t.kind, t.effective_at as at, t.memo, sum(case when p.target in (14, 29) then p.amount_minor else 0 end
  - case when p.source in (14, 29) then p.amount_minor else 0 end)::bigint as amount_minor,
  r.member_id, r.order_id, r.sold_at, r.total_minor, r.refunded_minor, r.tax_minor, r.commission_minor,
  l.name_zh, l.name_en, f.order_id as refunded_order_id
from ledger_transaction t join posting p on p.book_id = t.book_id and p.transaction_id = t.id
left join partner_release r on r.publisher_id = t.book_id and r.entry_id = t.id
left join order_refund f on f.id = t.id and t.kind = 'refund'
left join store_order o on o.member_id = f.member_id and o.id = f.order_id
left join listing l on l.id = coalesce(r.listing_id, o.listing_id)
where t.book_id = :book and t.currency = :currency and t.seq > :after and t.seq <= :until
group by t.book_id, t.id, t.seq, t.kind, t.effective_at, t.memo, r.member_id, r.order_id, l.id, f.order_id
having sum(case when p.target in (14, 29) then p.amount_minor else 0 end - case when p.source in (14, 29) then p.amount_minor else 0 end) <> 0
order by t.seq
""")
_LAST = text("select coalesce(max(seq), 0) from ledger_transaction where book_id = :book and currency = :currency")


class NothingToPay(Conflict):
    """Nothing has happened in the partner's book since its last statement."""

    code = "nothing_to_pay"


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a partner's book; `amount_minor` raises (or, below zero, lowers) what the partner is owed. Orders' figures for what became due."""

    seq: int
    id: uuid.UUID
    kind: str  # partner_share | refund | payout | correction
    at: datetime
    memo: str | None
    amount_minor: int
    member_id: uuid.UUID | None
    order_id: uuid.UUID | None
    sold_at: datetime | None
    total_minor: int | None
    refunded_minor: int | None
    tax_minor: int | None
    commission_minor: int | None
    name_zh: str | None
    name_en: str | None
    refunded_order_id: uuid.UUID | None


def owed(publisher_id: uuid.UUID, currency: str) -> int:
    """What a partner is owed by its book; below zero: it owes us."""
    return partner_shares.balance(publisher_id, A.PARTNER_DUE, currency) + partner_shares.balance(publisher_id, A.PARTNER_RECEIVABLE, currency)


def lines(publisher_id: uuid.UUID, currency: str, after_seq: int, until_seq: int | None = None) -> list[Line]:
    """The entries of a partner's book in a range, as a statement shows them."""
    until = db.session.scalar(_LAST, {"book": publisher_id, "currency": currency}) if until_seq is None else until_seq
    rows = db.session.execute(_ENTRIES, {"book": publisher_id, "currency": currency, "after": after_seq, "until": until})
    return [Line(*row) for row in rows]


def last(publisher_id: uuid.UUID, currency: str) -> Payout | None:
    """The latest statement that stands."""
    query = select(Payout).where(Payout.publisher_id == publisher_id, Payout.currency == currency, Payout.state != "discarded")
    return db.session.scalars(query.order_by(Payout.until_seq.desc()).limit(1)).one_or_none()


def prepare(publisher_id: uuid.UUID, acting: Actor, *, at: datetime) -> Payout:
    """Draw up the statement of all that happened since the last one, and what is to be paid of it. Raises NotFound, NothingToPay."""
    publisher = db.session.get(Publisher, publisher_id, with_for_update=True)
    book = db.session.get(Book, publisher_id)
    if publisher is None or book is None or publisher.kind != "partner":
        raise NotFound(_("There is no such partner."))
    currency = db.session.get_one(LegalEntity, book.entity_id).currency
    wallet_moves.lock(publisher_id, currency, at=at)
    before = last(publisher_id, currency)
    if before and before.state == "prepared":
        raise Conflict(_("A payout is prepared already: pay it or discard it first."))
    after_seq, until_seq = before.until_seq if before else 0, int(db.session.scalar(_LAST, {"book": publisher_id, "currency": currency}) or 0)
    found = lines(publisher_id, currency, after_seq, until_seq)
    if not found:
        raise NothingToPay(_("Nothing has happened since the last statement."))
    sums = {kind: sum(line.amount_minor for line in found if line.kind == kind) for kind in ("partner_share", "refund")}
    other = sum(line.amount_minor for line in found) - sum(sums.values())
    opening = before.closing_minor if before else 0
    closing = opening + sum(sums.values()) + other
    assert closing == owed(publisher_id, currency), "a statement ties to the ledger"
    settings: Settings = current_app.extensions["settings"]
    amount = closing if closing > 0 and closing >= settings.payout_min_minor else 0
    made = Payout(
        id=derived("payout", publisher_id, currency, until_seq, at.isoformat()), publisher_id=publisher_id, currency=currency,
        after_seq=after_seq, until_seq=until_seq, since=before.until if before else None, until=at,
        opening_minor=opening, released_minor=sums["partner_share"], taken_back_minor=-sums["refund"], other_minor=other, closing_minor=closing,
        amount_minor=amount, state="prepared" if amount else "carried", prepared_by=approvals.person(acting), prepared_name=acting.name, prepared_at=at,
        paid_by=None, paid_name=None, paid_at=None, bank_reference=None,
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    audit.record("payout.prepare", made.id, at=at, after={"partner": publisher.code, "amount_minor": amount, "closing_minor": closing, "currency": currency})
    return made


def pay(payout_id: uuid.UUID, bank_reference: str, acting: Actor, *, at: datetime) -> Payout:
    """Our bank has paid it: a second person says so, with the bank's reference. Again changes nothing.

    Raises NotFound, NeedsAnother, Invalid, Conflict, and NotDue where a refund has lowered what is owed since.
    """
    one = _locked(payout_id)
    reference = bank_reference.strip()
    if not 3 <= len(reference) <= 100:
        raise Invalid(_("Enter the bank’s reference."), field="bank_reference")
    if one.state == "paid" and one.bank_reference == reference:
        return one
    if one.state != "prepared":
        raise Conflict(_("Somebody has decided about this before."))
    if approvals.person(acting) == one.prepared_by:
        raise approvals.NeedsAnother(_("You prepared this yourself: somebody else has to pay it."))
    wallet_moves.lock(one.publisher_id, one.currency, at=at)
    now_owed = owed(one.publisher_id, one.currency)
    if now_owed < one.amount_minor:
        raise partner_shares.NotDue(_("The partner is owed less than that by now: discard this and prepare it anew."), due_minor=now_owed)
    _net(one, at)
    book = db.session.get_one(Book, one.publisher_id)
    partner_shares.pay_out(one.publisher_id, book.entity_id, one.id, one.amount_minor, one.currency, at=at)
    one.state, one.paid_by, one.paid_name, one.paid_at, one.bank_reference = "paid", approvals.person(acting), acting.name, at, reference
    db.session.flush()
    publisher_notices.tell(
        one.publisher_id, "payout_paid", {"amount_minor": one.amount_minor, "currency": one.currency, "reference": reference}, at=at, key=str(one.id)
    )  # fmt: skip
    audit.record("payout.pay", one.id, at=at, before={"state": "prepared"}, after={"state": "paid", "amount_minor": one.amount_minor, "bank": reference})
    return one


def _net(one: Payout, at: datetime) -> None:
    """What the partner owes us is taken out of what it is owed, within its book."""
    receivable = -partner_shares.balance(one.publisher_id, A.PARTNER_RECEIVABLE, one.currency)
    if receivable > 0:
        content = hash_of("partner_netting", payout=one.id)
        moves = [Move(A.PARTNER_DUE, A.PARTNER_RECEIVABLE, receivable)]
        wallet_moves.post(Entry(one.publisher_id, derived("partner_netting", one.id), content, "netting", one.currency, at, moves))


def discard(payout_id: uuid.UUID, *, at: datetime) -> Payout:
    """Take a prepared payout back; its entries fall into the next statement. Raises NotFound, Conflict."""
    one = _locked(payout_id)
    if one.state not in ("prepared", "discarded"):
        raise Conflict(_("Somebody has decided about this before."))
    if one.state == "prepared":
        one.state = "discarded"
        db.session.flush()
        audit.record("payout.discard", one.id, at=at, before={"state": "prepared"}, after={"state": "discarded"})
    return one


def find(payout_id: uuid.UUID) -> Payout:
    """One statement. Raises NotFound."""
    found = db.session.get(Payout, payout_id)
    if found is None:
        raise NotFound(_("There is no such payout."))
    return found


def _locked(payout_id: uuid.UUID) -> Payout:
    found = db.session.get(Payout, payout_id, with_for_update=True, populate_existing=True)
    if found is None:
        raise NotFound(_("There is no such payout."))
    return found


def of_partner(publisher_id: uuid.UUID, limit: int = 60) -> Sequence[Payout]:
    """A partner's statements that stand, the latest first."""
    query = select(Payout).where(Payout.publisher_id == publisher_id, Payout.state != "discarded")
    return db.session.scalars(query.order_by(Payout.until_seq.desc()).limit(limit)).all()
