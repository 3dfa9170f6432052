"""Finding documents: lists, one with what corrects it, and the proof over all of them. Reads only."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, Select, func, or_, select, text

from billing.document.document_models import Document, DocumentLine, DocumentWaiting
from billing.ledger.ledger_models import LedgerTransaction
from core.db import db
from core.errors import NotFound
from membership.models import Member

ORDER = [Document.issued_at, Document.kind, Document.n, Document.id]  # by issue, and by number among what was issued together
KINDS = ("invoice", "receipt", "credit_note")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; empty means all. `since` and `until` bound the instant of issue: [since, until)."""

    kind: str = ""
    since: datetime | None = None
    until: datetime | None = None
    words: str = ""  # in the number, the buyer's title or the member's number
    member_id: uuid.UUID | None = None
    currency: str = ""


def find(filters: Filters) -> Select[Any]:
    """The documents that pass, in no order."""
    return select(Document).where(*_conditions(filters))


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.kind:
        found.append(Document.kind == filters.kind)
    if filters.since:
        found.append(Document.issued_at >= filters.since)
    if filters.until:
        found.append(Document.issued_at < filters.until)
    if filters.member_id:
        found.append(Document.member_id == filters.member_id)
    if filters.currency:
        found.append(Document.currency == filters.currency)
    if words := filters.words.strip():
        like = "%" + words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        members = select(Member.id).where(Member.number.ilike(like))
        found.append(or_(Document.number.ilike(like), Document.buyer.ilike(like), Document.member_id.in_(members)))
    return found


@dataclass(frozen=True, slots=True)
class Sum:
    """Documents of one kind: how many, and what they come to."""

    kind: str
    count: int
    net_minor: int
    tax_minor: int
    gross_minor: int


def sums(filters: Filters) -> dict[str, Sum]:
    """Count and totals of what passes, by kind; every kind has one."""
    totals = (func.count(), *(func.coalesce(func.sum(column), 0) for column in (Document.net_minor, Document.tax_minor, Document.gross_minor)))
    rows = db.session.execute(select(Document.kind, *totals).where(*_conditions(filters)).group_by(Document.kind)).all()
    found = {kind: Sum(kind, 0, 0, 0, 0) for kind in KINDS}
    return found | {row[0]: Sum(row[0], int(row[1]), int(row[2]), int(row[3]), int(row[4])) for row in rows}


def show(member_id: uuid.UUID, document_id: uuid.UUID) -> Document:
    """One document. Raises NotFound."""
    found = db.session.get(Document, (member_id, document_id))
    if found is None:
        raise NotFound(_("There is no such document."))
    return found


def chosen(member_id: uuid.UUID, ids: Sequence[uuid.UUID]) -> list[Document]:
    """Several of a member's documents, in the order of issue. Raises NotFound when one of them is not there."""
    found = db.session.scalars(
        select(Document).where(Document.member_id == member_id, Document.id.in_(ids)).order_by(Document.issued_at, Document.kind, Document.n)
    ).all()
    if len(found) != len(set(ids)):
        raise NotFound(_("There is no such document."))
    return list(found)


def corrections_of(document: Document) -> Sequence[Document]:
    """The credit notes that take an invoice back, the first one first."""
    wanted = select(Document).where(Document.member_id == document.member_id, Document.corrects_id == document.id)
    return db.session.scalars(wanted.order_by(Document.issued_at, Document.n)).all()


def corrected_by(document: Document) -> Document | None:
    """The invoice that a credit note takes back, None for others."""
    return db.session.get(Document, (document.member_id, document.corrects_id)) if document.corrects_id else None


def of_entry(member_id: uuid.UUID, transaction_id: uuid.UUID) -> uuid.UUID | None:
    """The document that a ledger entry stands on, or None."""
    return db.session.scalar(
        select(DocumentLine.document_id).where(DocumentLine.member_id == member_id, DocumentLine.transaction_id == transaction_id, DocumentLine.part == 1)
    )


def assert_entry(member_id: uuid.UUID, transaction_id: uuid.UUID) -> None:
    """The ledger has an entry of this id in the member's book. Raises NotFound."""
    if db.session.get(LedgerTransaction, (member_id, transaction_id)) is None:
        raise NotFound(_("There is no such entry."))


def waits_until(member_id: uuid.UUID, transaction_id: uuid.UUID) -> datetime | None:
    """When the monthly invoice is made that an entry waits for, or None."""
    waiting = db.session.get(DocumentWaiting, (member_id, transaction_id))
    return waiting.due_at if waiting else None


@dataclass(frozen=True, slots=True)
class Series:
    """One run of numbers: it has no gap when there are as many documents as the last number says."""

    kind: str
    year: int
    count: int
    last_n: int

    @property
    def holds(self) -> bool:
        """No number is missing."""
        return self.count == self.last_n


def series(currency: str) -> list[Series]:
    """Every run of numbers of the entity that sells in a currency, the newest year first."""
    rows = db.session.execute(
        text(
            "select c.kind, c.year, coalesce(d.count, 0), c.last_n from document_counter c join legal_entity e on e.id = c.entity_id left join"
            " (select entity_id, kind, year, count(*) as count from document group by 1, 2, 3) d on d.entity_id = c.entity_id and d.kind = c.kind"
            " and d.year = c.year where e.currency = :currency order by c.year desc, c.kind"
        ),
        {"currency": currency},
    )
    return [Series(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Tie:
    """A period's entries as documents say them and as the ledger does; the period is that of the entries, not of the papers."""

    invoiced_minor: int
    credited_minor: int
    received_minor: int
    waiting_minor: int  # consumed less given back, not on a document yet
    consumed_minor: int  # by the ledger
    topped_up_minor: int  # by the ledger

    @property
    def difference_minor(self) -> int:
        """Documents and what waits, less the ledger: 0, or documents are wrong."""
        documents = self.invoiced_minor - self.credited_minor + self.waiting_minor
        return abs(documents - self.consumed_minor) + abs(self.received_minor - self.topped_up_minor)


_TIE = text("""
with entries as (
  select t.book_id, t.id, t.kind, d.kind as document_kind, w.member_id is not null or p.member_id is null as is_waiting,
    coalesce(sum(g.amount_minor) filter (where g.source in (12, 20, 21) and g.target in (26, 27, 28, 40, 41, 42, 43)), 0) as consumed,
    coalesce(sum(g.amount_minor) filter (where t.reverses_id is not null and g.source in (14, 24, 26, 27, 28, 29, 40, 41, 42, 43, 90)
      and g.target in (12, 20, 21)), 0) as returned,
    coalesce(sum(g.amount_minor) filter (where t.kind = 'top_up' and g.source in (10, 11, 90) and g.target in (12, 20)), 0) as received
  from ledger_transaction t join posting g on g.book_id = t.book_id and g.transaction_id = t.id
  join wallet v on v.member_id = t.book_id and v.currency = t.currency
  left join document_line l on l.member_id = t.book_id and l.transaction_id = t.id and l.part = 1
  left join document d on d.member_id = l.member_id and d.id = l.document_id
  left join document_waiting w on w.member_id = t.book_id and w.transaction_id = t.id
  left join document_position p on p.member_id = t.book_id and p.currency = t.currency and p.last_seq >= t.seq
  where t.currency = :currency and t.effective_at >= :since and t.effective_at < :until group by 1, 2, 3, 4, 5),
told as (
  select coalesce(sum(l.gross_minor) filter (where d.kind = 'invoice'), 0) as invoiced, coalesce(sum(l.gross_minor) filter (where d.kind = 'credit_note'), 0) as
    credited, coalesce(sum(l.gross_minor) filter (where d.kind = 'receipt'), 0) as received
  from document_line l join document d on d.member_id = l.member_id and d.id = l.document_id
  join ledger_transaction t on t.book_id = l.member_id and t.id = l.transaction_id
  where t.currency = :currency and t.effective_at >= :since and t.effective_at < :until)
select (select invoiced from told)::bigint, (select credited from told)::bigint, (select received from told)::bigint + coalesce(sum(e.received) filter (where
    e.is_waiting), 0)::bigint,
  coalesce(sum(e.consumed - e.returned) filter (where e.is_waiting and (e.consumed > 0 or e.returned > 0)), 0)::bigint,
  coalesce(sum(e.consumed - case when e.consumed = 0 and (e.document_kind = 'credit_note' or e.is_waiting) then e.returned else 0 end), 0)::bigint,
  coalesce(sum(e.received), 0)::bigint
from entries e
""")


def tie(currency: str, since: datetime, until: datetime) -> Tie:
    """Documents against the ledger over [since, until) of the entries' own instants."""
    return Tie(*db.session.execute(_TIE, {"currency": currency, "since": since, "until": until}).one())


def for_export(filters: Filters, most: int) -> Sequence[Document]:
    """What passes, in the order of issue."""
    return db.session.scalars(find(filters).order_by(*ORDER).limit(most)).all()


def part(filters: Filters, after: int, most: int) -> Sequence[Document]:
    """Some of what passes, in the order of issue, so many left out before them."""
    return db.session.scalars(find(filters).order_by(*ORDER).offset(after).limit(most)).all()
