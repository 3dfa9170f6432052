"""Giving back what was charged, to the very grants that paid (books, moves 6 and 10). The rules live in migrations/sql/0210_refunds.sql."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import text

from billing.ledger.accounts import Account
from core.db import db
from core.errors import Conflict, IdReused, Invalid, NotFound
from core.formats import money
from core.money import split
from core.settings import Settings


class NoSuchCharge(NotFound):
    """The member has no charge of this id."""

    code = "no_such_charge"


class RefundTooLarge(Conflict):
    """More than what is still to be given back; `open_minor` says how much that is."""

    code = "refund_too_large"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a charge to give back: `account` is what the charge fed; `source` where that money stands now, if it has moved on."""

    account: Account
    amount_minor: int
    source: Account | None = None  # deferred revenue that was recognised since, a partner's share that was paid out


@dataclass(frozen=True, slots=True)
class Share:
    """What a charge fed one account with, and what of that is still to be given back."""

    account: Account
    charged_minor: int
    open_minor: int


@dataclass(frozen=True, slots=True)
class RefundResult:
    """What became of a refund. `receivable_minor` lowered what the member owes instead of coming back into the wallet."""

    refund_id: uuid.UUID
    status: str  # new | replayed
    paid_minor: int
    bonus_minor: int
    receivable_minor: int
    balance_after_minor: int

    @property
    def total_minor(self) -> int:
        """All that was given back."""
        return self.paid_minor + self.bonus_minor + self.receivable_minor


FED = frozenset(Account) - {Account.MEMBER_RECEIVABLE, Account.WALLET_PAID, Account.WALLET_BONUS, Account.BONUS_DISCOUNT, Account.BREAKAGE_REVENUE}
"""Accounts that something bought can feed."""

_REFUND = text(
    "select f.* from refund_charge((select row(r.*)::refund_request from jsonb_to_record(cast(:request as jsonb))"
    " as r(book_id uuid, id uuid, request_hash bytea, original_id uuid, kind text, at timestamptz, reopen_until timestamptz, memo text,"
    " accounts smallint[], sources smallint[], amounts bigint[]))) f"
)
_SHARES = text(
    "select p.target, sum(p.amount_minor)::bigint as charged, (sum(p.amount_minor) - coalesce((select sum(f.amount_minor) from refund_line f"
    " where f.member_id = :member and f.original_id = :original and f.account = p.target), 0))::bigint as open"
    " from posting p where p.book_id = :member and p.transaction_id = :original and p.source in (12, 20, 21) and p.target not in (12, 20, 21, 22, 44)"
    " group by p.target order by min(p.n)"
)


def refund_charge(
    member_id: uuid.UUID, original_id: uuid.UUID, *, refund_id: uuid.UUID, request_hash: bytes, parts: Sequence[Part], kind: str = "refund",
    at: datetime, memo: str | None = None,
) -> RefundResult:  # fmt: skip
    """Give back parts of a purchase or subscription, once.

    Each part goes back to the grants that had paid that account, bonus as bonus and paid as paid, in proportion to what is still open on each, by
    largest remainder: partial refunds sum exactly to the whole. The lot's discount is earned back in reverse. An empty grant that has expired, or is
    about to, lives for `refund_grace_days` more. What the credit limit had paid lowers what the member owes. The entry names the charge (`reverses_id`).
    A member's own transaction may give back its subscriptions only; the rest is for staff and jobs.
    Raises NoSuchCharge, RefundTooLarge (nothing is changed), IdReused, and Invalid for a part that is not positive.
    """
    settings: Settings = current_app.extensions["settings"]
    if not parts or any(part.amount_minor <= 0 for part in parts):
        raise Invalid(_("Enter an amount above zero."), field="amount_minor")
    request = {
        "book_id": str(member_id), "id": str(refund_id), "request_hash": "\\x" + request_hash.hex(), "original_id": str(original_id), "kind": kind,
        "at": at.isoformat(), "reopen_until": (at + timedelta(days=settings.refund_grace_days)).isoformat(), "memo": memo,
        "accounts": [int(part.account) for part in parts], "sources": [int(part.source or part.account) for part in parts],
        "amounts": [part.amount_minor for part in parts],
    }  # fmt: skip
    row = db.session.execute(_REFUND, {"request": json.dumps(request)}).one()
    if row.status == "not_a_charge":
        raise NoSuchCharge(_("There is no such charge."))
    if row.status == "id_reused":
        raise IdReused(_("This id was already used for another request."), field="id")
    if row.status == "too_much":
        words = _("Of this part only %(open)s can still be given back.", open=money(row.open_minor, _currency(member_id, original_id)))
        raise RefundTooLarge(words, field="amount_minor", open_minor=row.open_minor, account=Account(row.account).name.lower())
    return RefundResult(refund_id, row.status, row.paid_minor, row.bonus_minor, row.receivable_minor, row.balance_after_minor)


def shares(member_id: uuid.UUID, original_id: uuid.UUID) -> list[Share]:
    """Which accounts a charge fed, in its own order, and what of each is still to be given back. Raises NoSuchCharge."""
    rows = db.session.execute(_SHARES, {"member": member_id, "original": original_id}).all()
    if not rows:
        raise NoSuchCharge(_("There is no such charge."))
    return [Share(Account(account), charged, still) for account, charged, still in rows]


def spread(charged: Sequence[Share], amount_minor: int) -> list[Part]:
    """An amount spread over what is still open of each share, by largest remainder. Raises RefundTooLarge when less than that is open."""
    still = [share.open_minor for share in charged]
    if amount_minor > sum(still):
        raise RefundTooLarge(_("That is more than can still be given back."), field="amount_minor", open_minor=sum(still))
    return [Part(share.account, part) for share, part in zip(charged, split(amount_minor, still), strict=True) if part]


def _currency(member_id: uuid.UUID, original_id: uuid.UUID) -> str:
    return str(db.session.scalar(text("select currency from ledger_transaction where book_id = :m and id = :id"), {"m": member_id, "id": original_id}))
