"""What a member reads about its wallet: entries in order, and money on its way."""

import uuid
from collections.abc import Sequence

from flask_babel import LazyString
from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from billing.ledger.ledger_models import LedgerTransaction
from billing.top_up.top_up_models import TopUp
from core.db import db
from core.paging import Page, keyset

KINDS: dict[str, LazyString] = {
    "top_up": _l("Top-up"),
    "purchase": _l("Purchase"),
    "subscription": _l("Subscription"),
    "refund": _l("Refund"),
    "expiry": _l("Expired"),
    "goodwill": _l("Goodwill"),
    "opening_balance": _l("Opening balance"),
    "correction": _l("Correction"),
    "card_refund": _l("Back to the card"),
    "bank_refund": _l("Back to the bank account"),
    "refund_failed": _l("Refund failed"),
    "dispute": _l("Disputed payment"),
    "dispute_lost": _l("Dispute lost"),
    "dispute_won": _l("Dispute won"),
    "adjustment": _l("Adjustment"),
}


def list_entries(member_id: uuid.UUID, currency: str, after: str | None = None, limit: int | None = None) -> Page[LedgerTransaction]:
    """Entries that changed the wallet, the latest first. Raises BadCursor."""
    changed = select(LedgerTransaction).where(
        LedgerTransaction.book_id == member_id, LedgerTransaction.currency == currency, LedgerTransaction.amount_minor != 0
    )
    return keyset(db.session(), changed, [LedgerTransaction.seq], after, limit)


def pending_top_ups(member_id: uuid.UUID, limit: int = 5) -> Sequence[TopUp]:
    """Money on its way, the latest first."""
    return db.session.scalars(
        select(TopUp).where(TopUp.member_id == member_id, TopUp.state == "pending").order_by(TopUp.created_at.desc(), TopUp.id).limit(limit)
    ).all()
