"""What a proposal would do, shown before it is done: it is done for real in a savepoint, looked at, and undone."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from billing.approval import approvals
from billing.approval.approval_models import Approval
from billing.approval.approvals import Done
from billing.ledger.accounts import Account
from billing.ledger.ledger_models import Book, Posting
from billing.wallet.wallet_models import Wallet
from core.db import db
from membership.models import Member


@dataclass(frozen=True, slots=True)
class BookMoves:
    """The moves in one book; the member's name, or None for a house or partner book of that kind."""

    member: Member | None
    kind: str
    lines: Sequence[tuple[Account, Account, int]]


@dataclass(frozen=True, slots=True)
class Purse:
    """A wallet's figures at a moment."""

    paid_minor: int
    bonus_minor: int
    owed_minor: int
    state: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The moves, and the wallet before and after; or why it cannot be done as things stand."""

    books: Sequence[BookMoves]
    before: Purse | None
    after: Purse | None
    error: str | None


def rehearsed(one: Approval, *, at: datetime) -> Preview:
    """What approving would do now."""
    before = _purse(one)
    done, error, undo = approvals.rehearse(one, at=at)
    try:
        return Preview(_moves(done) if done else [], before, _purse(one) if done else before, error.detail if error else None)
    finally:
        undo()


def booked(one: Approval) -> Sequence[BookMoves]:
    """What a decision that is done has written under its own id."""
    books = db.session.scalars(select(Posting.book_id).where(Posting.transaction_id == one.id, Posting.n == 1)).all() if one.member_id is None else []
    return _moves(Done([(book, one.id) for book in books or ([one.member_id] if one.member_id else [])]))


def _moves(done: Done) -> list[BookMoves]:
    found = []
    for book_id, tx_id in done.entries:
        lines = db.session.execute(
            select(Posting.source, Posting.target, Posting.amount_minor)
            .where(Posting.book_id == book_id, Posting.transaction_id == tx_id)
            .order_by(Posting.n)
        )  # fmt: skip
        found.append(BookMoves(_member(book_id), _kind(book_id), [(Account(source), Account(target), amount) for source, target, amount in lines]))
    return [one for one in found if one.lines]


def _member(book_id: uuid.UUID) -> Member | None:
    return db.session.get(Member, book_id)


def _kind(book_id: uuid.UUID) -> str:
    return db.session.get_one(Book, book_id).kind


def _purse(one: Approval) -> Purse | None:
    wallet = db.session.get(Wallet, (one.member_id, one.currency), populate_existing=True) if one.member_id else None
    return Purse(wallet.paid_minor, wallet.bonus_minor, wallet.receivable_minor, wallet.state) if wallet else None
