"""Corrections (books, move 14): the reverse of each move, in a new transaction that names the old one.

They are written now, so they fall in the open period; what is closed is never touched. What a charge or refund did to a lot's discount is
worked out anew, which gives the same figures unless the lot has moved on since.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select

from billing.ledger.accounts import Account as A
from billing.ledger.ledger_models import Book, LedgerTransaction, Posting
from billing.refund import refunds
from billing.refund.refunds import Part
from billing.wallet import wallet_moves
from billing.wallet.wallet_moves import Entry, Move
from core.db import db
from core.errors import Conflict, NotFound
from core.ids import derived
from core.ids import request_hash as hash_of

KIND = "correction"
WITH_A_WAY_OF_THEIR_OWN = frozenset(
    {KIND, "recognition", "card_refund", "bank_refund", "refund_paid", "refund_failed", "dispute", "dispute_lost", "dispute_won"}
)
WALLET = (A.WALLET_PAID, A.WALLET_BONUS)
heard: list[Callable[[LedgerTransaction, datetime], None]] = []
"""Called with each entry that finance had corrected, in the same transaction; a room above whose rows stand for it adds itself."""


class NotCorrectable(Conflict):
    """This kind of entry has a way back of its own, or has been reversed already."""

    code = "not_correctable"


def find(book_id: uuid.UUID, tx_id: uuid.UUID) -> LedgerTransaction:
    """One transaction. Raises NotFound."""
    found = db.session.get(LedgerTransaction, (book_id, tx_id))
    if found is None:
        raise NotFound(_("There is no such entry."))
    return found


def postings(tx: LedgerTransaction) -> Sequence[Posting]:
    """Its moves, in order."""
    return db.session.scalars(select(Posting).where(Posting.book_id == tx.book_id, Posting.transaction_id == tx.id).order_by(Posting.n)).all()


def check(tx: LedgerTransaction) -> None:
    """Can this transaction be reversed as a whole? Raises NotCorrectable."""
    if tx.kind in WITH_A_WAY_OF_THEIR_OWN:
        raise NotCorrectable(_("Entries of this kind are not corrected: they have a way back of their own."))
    earlier = db.session.scalars(select(LedgerTransaction.kind).where(LedgerTransaction.book_id == tx.book_id, LedgerTransaction.reverses_id == tx.id)).all()
    if KIND in earlier:
        raise NotCorrectable(_("This entry was corrected before."))
    if is_charge(postings(tx)) and any(share.open_minor != share.charged_minor for share in refunds.shares(tx.book_id, tx.id)):
        raise NotCorrectable(_("A part of this charge was given back: refund the rest instead."))


def is_charge(moves: Sequence[Posting]) -> bool:
    """Does money leave the wallet (or the credit limit) for something bought?"""
    return any(move.source in (*WALLET, A.MEMBER_RECEIVABLE) and A(move.target) in refunds.FED for move in moves)


def correct(book_id: uuid.UUID, tx_id: uuid.UUID, *, id: uuid.UUID, at: datetime, memo: str) -> None:
    """Reverse a transaction, and its other half where it runs between books.

    Raises NotFound, NotCorrectable, MoneyNotThere where it would take money that has left the wallet since, IdReused.
    """
    content = hash_of(KIND, book=book_id, transaction=tx_id)
    if (known := db.session.get(LedgerTransaction, (book_id, id))) and known.request_hash == content:
        return
    tx = find(book_id, tx_id)
    if tx.paid_after_minor is not None:
        wallet_moves.lock(book_id, tx.currency, at=at)
    check(tx)
    _reverse(tx, id, content, at, memo)
    for other in other_halves(tx):
        _reverse(other, other_id(id, other.book_id), content, at, memo)


def other_id(id: uuid.UUID, book_id: uuid.UUID) -> uuid.UUID:
    """The id of a correction's other half."""
    return derived(KIND, id, book_id)


def other_halves(tx: LedgerTransaction) -> list[LedgerTransaction]:
    """What the same event wrote into other books: under the same id, or (a bank transfer) into the house's under one made from it."""
    if not any(A.INTERBOOK in (move.source, move.target) for move in postings(tx)):
        return []
    house = derived("bank_transfer", tx.book_id, tx.id)
    found = db.session.scalars(
        select(LedgerTransaction)
        .join(Book, Book.id == LedgerTransaction.book_id)
        .where(LedgerTransaction.id.in_([tx.id, house]), LedgerTransaction.book_id != tx.book_id, LedgerTransaction.currency == tx.currency)
        .where(Book.kind != "member")
    ).all()
    return [one for one in found if any(A.INTERBOOK in (move.source, move.target) for move in postings(one))]


def _reverse(tx: LedgerTransaction, id: uuid.UUID, content: bytes, at: datetime, memo: str) -> None:
    moves = postings(tx)
    if is_charge(moves):
        parts = [Part(share.account, share.open_minor) for share in refunds.shares(tx.book_id, tx.id)]
        refunds.refund_charge(tx.book_id, tx.id, refund_id=id, request_hash=content, parts=parts, kind=KIND, at=at, memo=memo)
        return
    back = [Move(A(move.target), A(move.source), move.amount_minor, move.grant_id) for move in moves if not _follows(move)]
    wallet_moves.post(
        Entry(
            tx.book_id, id, content, KIND, tx.currency, at, back, memo, reverses_id=tx.id, own=_own(tx, moves), takes_back=tx.kind not in ("expiry", "refund"),
        )
    )  # fmt: skip


def _follows(move: Posting) -> bool:
    """Moves on a lot's discount follow from the others, and are worked out anew."""
    return move.grant_id is None and A.BONUS_DISCOUNT in (move.source, move.target)


def _own(tx: LedgerTransaction, moves: Sequence[Posting]) -> A | None:
    """Where a refund or an expiry had earned the discount back, or given it back."""
    if tx.kind not in ("refund", "expiry"):
        return None
    ends = [A(end) for move in moves if _follows(move) for end in (move.source, move.target) if end not in (A.BONUS_DISCOUNT, A.BREAKAGE_REVENUE)]
    return ends[0] if ends else A.BREAKAGE_REVENUE
