"""Tables of the ledger: books, accounts, entries and their moves. They are written by SQL functions of the `ledger` role alone."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Book(Base):
    """A set of ledger accounts kept apart: a member's (same id as the member), a legal entity's house book, or a partner's."""

    __tablename__ = "book"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]  # member | house | partner
    entity_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("legal_entity.id"))
    __table_args__ = (CheckConstraint("kind in ('member', 'house', 'partner')", name="kind"),)


class AccountKind(Base):
    """The chart of accounts. A ledger account is (book, kind, currency)."""

    __tablename__ = "account_kind"
    code: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(unique=True)
    category: Mapped[str]  # asset | liability | income | expense | between
    is_own_part: Mapped[bool]  # our revenue, now or deferred: where a lot's discount is taken back


class LedgerTransaction(Base):
    """One entry in a book: never updated, never deleted. `id` is the idempotency key within the book."""

    __tablename__ = "ledger_transaction"
    book_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # its wallet or position refers to the book
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]  # top_up | purchase | subscription | refund | expiry | bank | correction …
    currency: Mapped[str]
    seq: Mapped[int]  # position within the book and currency; what pages sort by
    effective_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    request_hash: Mapped[bytes]
    amount_minor: Mapped[int]  # effect on the wallet: + in, − out; 0 where it does not touch it
    paid_after_minor: Mapped[int | None]
    bonus_after_minor: Mapped[int | None]
    reverses_id: Mapped[uuid.UUID | None]
    memo: Mapped[str | None]
    __table_args__ = (
        Index("ledger_transaction_seq_idx", "book_id", "currency", "seq", unique=True),
        Index("ledger_transaction_effective_idx", "book_id", "currency", "effective_at", "seq"),
        Index("ledger_transaction_reverses_idx", "book_id", "reverses_id", postgresql_where=text("reverses_id is not null")),
    )


class Posting(Base):
    """A move `source → target`: the source is debited, the target credited; unbalanced is not expressible."""

    __tablename__ = "posting"
    book_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    transaction_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    source: Mapped[int] = mapped_column(SmallInteger)
    target: Mapped[int] = mapped_column(SmallInteger)
    amount_minor: Mapped[int]
    grant_id: Mapped[uuid.UUID | None]  # the grant a wallet move drew on or fed
    __table_args__ = (CheckConstraint("amount_minor > 0 and source <> target", name="move"),)


class LedgerPosition(Base):
    """Last sequence number of a house or partner book, which have no wallet row to count in."""

    __tablename__ = "ledger_position"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    book_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("book.id"))
    currency: Mapped[str]
    last_seq: Mapped[int]
    __table_args__ = (Index("ledger_position_book_idx", "book_id", "currency", unique=True),)
