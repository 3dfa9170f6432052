"""A partner's share of a sale: pending while the buyer may be refunded, then due, then paid out (books, move 5); taken back by a refund (move 6)."""

import json
import uuid
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import text

from billing.ledger.accounts import Account as A
from billing.ledger.ledger_models import LedgerTransaction
from billing.wallet import wallet_moves
from billing.wallet.wallet_moves import Entry, Move
from core.db import db
from core.errors import Conflict
from core.ids import derived
from core.ids import request_hash as hash_of

SHARE_RELEASES = (
    "array(select row(r.*)::share_release from jsonb_to_recordset(cast(:releases as jsonb))"
    " as r(member_id uuid, charge_id uuid, partner_id uuid, currency text, id uuid, request_hash bytea))"
)
"""The releases of a statement's parameter `releases`, in their order."""

_RELEASE = text(f"select * from release_shares({SHARE_RELEASES}, :at)")  # noqa: S608 (made of constants)
_BALANCE = text(
    "select coalesce(sum(case when p.target = :account then p.amount_minor else -p.amount_minor end), 0)::bigint from posting p"
    " join ledger_transaction t on t.book_id = p.book_id and t.id = p.transaction_id and t.currency = :currency"
    " where p.book_id = :book and :account in (p.source, p.target)"
)


class NotDue(Conflict):
    """More than the partner is owed."""

    code = "not_due"


def balance(book_id: uuid.UUID, account: A, currency: str) -> int:
    """Credits − debits of an account of a house or partner book."""
    return int(db.session.scalar(_BALANCE, {"book": book_id, "account": int(account), "currency": currency}) or 0)


def release_id(member_id: uuid.UUID, charge_id: uuid.UUID) -> uuid.UUID:
    """The entry, in both books, that closes the refund window of a charge."""
    return derived("partner_share", member_id, charge_id)


def is_released(member_id: uuid.UUID, charge_id: uuid.UUID) -> bool:
    """Has the partner's share of this charge left the member's book?"""
    return db.session.get(LedgerTransaction, (member_id, release_id(member_id, charge_id))) is not None


@dataclass(frozen=True, slots=True)
class Release:
    """A charge whose refund window is over, and the partner that sold it."""

    member_id: uuid.UUID
    charge_id: uuid.UUID
    partner_id: uuid.UUID
    currency: str


def as_request(one: Release) -> dict[str, str]:
    """A release as the SQL function `release_shares` reads it from JSON (`share_release`)."""
    return {
        "member_id": str(one.member_id), "charge_id": str(one.charge_id), "partner_id": str(one.partner_id), "currency": one.currency,
        "id": str(release_id(one.member_id, one.charge_id)), "request_hash": "\\x" + hash_of("partner_share", charge=one.charge_id).hex(),
    }  # fmt: skip


def release(member_id: uuid.UUID, charge_id: uuid.UUID, partner_id: uuid.UUID, currency: str, *, at: datetime) -> int:
    """The refund window of one charge closes: what was not refunded of the partner's share becomes due. Again changes nothing; returns what became due now."""
    asked = json.dumps([as_request(Release(member_id, charge_id, partner_id, currency))])
    row = db.session.execute(_RELEASE, {"releases": asked, "at": at}).one_or_none()
    return row.share_minor if row and row.is_new else 0


def pay_out(partner_id: uuid.UUID, house_id: uuid.UUID, payout_id: uuid.UUID, amount_minor: int, currency: str, *, at: datetime) -> bool:
    """Our bank has paid the partner; False for a replay. Raises NotDue, IdReused."""
    wallet_moves.lock(partner_id, currency, at=at)
    known = db.session.get(LedgerTransaction, (partner_id, payout_id))
    due = balance(partner_id, A.PARTNER_DUE, currency)
    if known is None and amount_minor > due:
        raise NotDue(_("The partner is owed less than that."), field="amount_minor", due_minor=due)
    content = hash_of("payout", amount=amount_minor, currency=currency)
    is_new = wallet_moves.post(Entry(partner_id, payout_id, content, "payout", currency, at, [Move(A.PARTNER_DUE, A.INTERBOOK, amount_minor)]))
    wallet_moves.post(Entry(house_id, payout_id, content, "payout", currency, at, [Move(A.INTERBOOK, A.BANK, amount_minor)]))
    return is_new


def take_back(partner_id: uuid.UUID, refund_id: uuid.UUID, amount_minor: int, currency: str, *, at: datetime) -> None:
    """The buyer was refunded after its window: the partner is owed less, and owes us what it has been paid already."""
    wallet_moves.lock(partner_id, currency, at=at)
    from_due = min(amount_minor, max(0, balance(partner_id, A.PARTNER_DUE, currency)))
    moves = [Move(A.PARTNER_DUE, A.INTERBOOK, from_due), Move(A.PARTNER_RECEIVABLE, A.INTERBOOK, amount_minor - from_due)]
    wallet_moves.post(Entry(partner_id, refund_id, hash_of("take_back", amount=amount_minor), "refund", currency, at, moves))
