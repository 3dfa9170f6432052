"""Tables of receipts, tax invoices and credit notes. Documents are written by the SQL function `issue_documents` alone, and never changed."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class BillingDetails(Base):
    """Whom a member's documents are made out to. A change is a new version; the last one holds."""

    __tablename__ = "billing_details"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]  # 发票抬头
    tax_number: Mapped[str | None]
    country: Mapped[str]  # ISO 3166 two letters: which kind of tax number it is
    address: Mapped[str | None]
    phone: Mapped[str | None]
    email: Mapped[str | None]
    language: Mapped[str]  # zh | en
    invoice_grouping: Mapped[str | None]  # charge | month; None: as the legal entity does
    order_number: Mapped[str | None]  # the buyer's own standing order, printed on its documents
    cost_centre: Mapped[str | None]
    set_at: Mapped[datetime]
    set_by: Mapped[uuid.UUID | None]
    set_by_name: Mapped[str]
    __table_args__ = (
        CheckConstraint("language in ('zh', 'en')", name="language"),
        CheckConstraint("invoice_grouping in ('charge', 'month')", name="invoice_grouping"),
    )


class Document(Base):
    """A receipt, a tax invoice or a credit note: the snapshot in `content`, and beside it what is searched and added up."""

    __tablename__ = "document"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    entity_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("legal_entity.id"))
    kind: Mapped[str]  # receipt | invoice | credit_note
    year: Mapped[int]
    n: Mapped[int]  # without gaps within entity, kind and year
    number: Mapped[str]
    currency: Mapped[str]
    issued_at: Mapped[datetime]
    supplied_from: Mapped[datetime]
    supplied_until: Mapped[datetime]
    net_minor: Mapped[int]
    tax_minor: Mapped[int]
    gross_minor: Mapped[int]  # of a credit note too: what it takes back, above zero
    buyer: Mapped[str]
    corrects_id: Mapped[uuid.UUID | None]  # the invoice that a credit note takes back in part or whole
    content: Mapped[dict[str, Any]]
    content_hash: Mapped[bytes]  # SHA-256 of the content
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "corrects_id"], ["document.member_id", "document.id"], name="document_corrects_fkey"),
        CheckConstraint("kind in ('receipt', 'invoice', 'credit_note')", name="kind"),
        CheckConstraint("(kind = 'credit_note') = (corrects_id is not null)", name="corrects"),
        CheckConstraint("gross_minor > 0 and tax_minor >= 0 and net_minor + tax_minor = gross_minor", name="amounts"),
        Index("document_number_idx", "entity_id", "kind", "year", "n", unique=True),
        Index("document_issued_idx", "issued_at", "id"),
        Index("document_member_idx", "member_id", "issued_at", "id"),
        Index("document_corrects_idx", "member_id", "corrects_id", postgresql_where=text("corrects_id is not null")),
    )


class DocumentLine(Base):
    """Which ledger transaction stands on which document; a transaction stands on one only, in one or more parts."""

    __tablename__ = "document_line"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    transaction_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    document_id: Mapped[uuid.UUID]
    n: Mapped[int] = mapped_column(SmallInteger)
    net_minor: Mapped[int]
    tax_minor: Mapped[int]
    gross_minor: Mapped[int]
    rate_bp: Mapped[int | None]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "document_id"], ["document.member_id", "document.id"], name="document_line_document_fkey"),
        ForeignKeyConstraint(["member_id", "transaction_id"], ["ledger_transaction.book_id", "ledger_transaction.id"], name="document_line_transaction_fkey"),
        CheckConstraint("net_minor + tax_minor = gross_minor and gross_minor >= 0", name="amounts"),
        Index("document_line_document_idx", "member_id", "document_id", "n", unique=True),
    )


class DocumentCounter(Base):
    """The last number given out per legal entity, kind and year."""

    __tablename__ = "document_counter"
    entity_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("legal_entity.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_n: Mapped[int]


class DocumentPosition(Base):
    """How far a wallet's entries have been looked at, by the wallet's own sequence number."""

    __tablename__ = "document_position"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    last_seq: Mapped[int]
    __table_args__ = (ForeignKeyConstraint(["member_id", "currency"], ["wallet.member_id", "wallet.currency"], name="document_position_wallet_fkey"),)


class DocumentWaiting(Base):
    """An entry that waits for its document: a charge on a monthly invoice to come, or a refund of one."""

    __tablename__ = "document_waiting"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    transaction_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    entity_id: Mapped[uuid.UUID]
    due_at: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(
            ["member_id", "transaction_id"], ["ledger_transaction.book_id", "ledger_transaction.id"], name="document_waiting_transaction_fkey"
        ),
        Index("document_waiting_due_idx", "entity_id", "due_at", "member_id"),
    )


class DocumentArchive(Base):
    """A zip of many documents that finance asked for. `parts` of it are written, with `done` documents up to the cursor `reached`."""

    __tablename__ = "document_archive"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    currency: Mapped[str]
    kind: Mapped[str]  # what it is narrowed to, as in Filters; empty: all
    since: Mapped[datetime | None]
    until: Mapped[datetime]  # exclusive
    words: Mapped[str]
    month: Mapped[str]  # as it was asked for, for people; empty: all
    state: Mapped[str]  # queued | running | ready | failed | removed | expired
    total: Mapped[int]
    done: Mapped[int]
    parts: Mapped[int]
    reached: Mapped[str | None]
    size_bytes: Mapped[int | None]
    failure: Mapped[str | None]  # a code of document_archive_jobs
    failed_number: Mapped[str | None]  # the document that it failed on
    asked_by: Mapped[uuid.UUID | None]
    asked_by_name: Mapped[str]
    asked_at: Mapped[datetime]
    holder: Mapped[uuid.UUID | None]
    held_at: Mapped[datetime | None]
    losses: Mapped[int]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint(
            "state in ('queued', 'running', 'ready', 'failed', 'removed', 'expired')"
            " and (state = 'failed') = (failure is not null) and (holder is null) = (held_at is null) and (holder is null or state = 'running')"
            " and (state not in ('ready', 'expired') or size_bytes is not null and finished_at is not null and expires_at is not null)",
            name="state",
        ),
        CheckConstraint("total > 0 and done >= 0 and parts >= 0 and losses >= 0", name="done"),
        Index(None, "asked_at"),
        Index("document_archive_open_idx", "id", postgresql_where=text("state in ('queued', 'running', 'ready')")),
    )

    @property
    def name(self) -> str:
        """The file's name for people."""
        kind = f"-{self.kind.replace('_', '-')}" if self.kind else ""
        return f"documents-{self.currency}-{self.month or 'all'}{kind}.zip"

    @property
    def percent(self) -> int:
        """How much of it is written; joining the parts is the last one."""
        return min(99, 100 * self.done // self.total)
