# ruff: noqa: E501 (a case of the table reads best on one line)
"""Receipts, invoices and credit notes: what the ledger says becomes a document, once, and stays as it was."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import ProgrammingError

from billing import passage as billing_passage
from billing.document import document_jobs
from billing.document.document_models import BillingDetails, Document
from billing.ledger.accounts import Account
from billing.refund.refunds import Part, refund_charge
from billing.wallet import wallets
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from membership.entity_models import LegalEntity
from membership.models import Member
from tests.billing import subscription_world as world
from tests.billing.books import accounts, as_owner, assert_books_hold, settled_top_up
from tests.factories import AT, ENTITY, make_member

HOUR = timedelta(hours=1)
JULY = datetime.fromisoformat("2026-07-01T00:00:00+08:00")


def top_up(member: Member, paid: int, bonus: int = 0, at: datetime = AT) -> uuid.UUID:
    one = wallets.Credit(member.id, new_id(), request_hash("t"), "top_up", "CNY", at, paid, bonus, bonus_expires_at=at + timedelta(days=365) if bonus else None)
    with transaction(SYSTEM) as session:
        wallets.credit(one)
        session.add(settled_top_up(one))
    return one.id


def charge(member: Member, gross: int, tax: int, at: datetime = AT) -> uuid.UUID:
    targets = tuple(t for t in (wallets.Target(Account.STORE_REVENUE, gross - tax, gross - tax), wallets.Target(Account.TAX_PAYABLE, tax)) if t.amount_minor)
    request = wallets.ChargeRequest(member.id, new_id(), request_hash("c"), "purchase", "CNY", at, targets)
    with transaction(SYSTEM):
        wallets.charge(request)
    return request.id


def refund(member: Member, original: uuid.UUID, net: int, tax: int, at: datetime = AT) -> uuid.UUID:
    parts = [part for part in (Part(Account.STORE_REVENUE, net), Part(Account.TAX_PAYABLE, tax)) if part.amount_minor]
    refund_id = new_id()
    with transaction(SYSTEM):
        refund_charge(member.id, original, refund_id=refund_id, request_hash=request_hash("r"), parts=parts, at=at, memo="不符合预期")
    return refund_id


def documents(member: Member) -> list[Document]:
    with transaction(SYSTEM) as session:
        return list(session.scalars(select(Document).where(Document.member_id == member.id).order_by(Document.issued_at, Document.kind.desc(), Document.n)))


def group_by_month(member: Member) -> None:
    with transaction(SYSTEM) as session:
        session.get_one(LegalEntity, ENTITY).invoice_grouping = "month"
        assert session.get(BillingDetails, (member.id, 1)) is None


def test_a_top_up_gives_a_receipt_and_consumption_the_invoice_never_both(app: Flask) -> None:
    member = make_member()
    top_up(member, 1_000_00, 100_00)
    charge(member, 212_00, 12_00)
    assert document_jobs.issue_all(AT + HOUR) == 2
    paper, bill = documents(member)
    assert (paper.kind, paper.number, paper.gross_minor, paper.tax_minor, paper.content["taxes"]) == ("receipt", "RCT-2026-000001", 1_000_00, 0, [])
    assert paper.content["payment"]["granted_minor"] == 100_00
    assert (bill.kind, bill.number, bill.net_minor, bill.tax_minor, bill.gross_minor) == ("invoice", "INV-2026-000001", 200_00, 12_00, 212_00)
    assert bill.content["payment"] == {"paid_minor": 112_00, "bonus_minor": 100_00, "owed_minor": 0, "bank": None}
    assert [tax["rate_bp"] for tax in bill.content["taxes"]] == [600]
    assert accounts(member.id)[Account.TAX_PAYABLE] == bill.tax_minor
    assert_books_hold()


def test_the_job_looks_at_each_entry_once(app: Flask) -> None:
    member = make_member()
    top_up(member, 1_000_00)
    assert [document_jobs.issue_all(AT + HOUR), document_jobs.issue_all(AT + HOUR)] == [1, 0]
    charge(member, 53_00, 3_00)
    assert [document_jobs.issue_all(AT + HOUR), document_jobs.issue_all(AT + HOUR)] == [1, 0]
    assert_books_hold()


def test_a_refund_gives_a_credit_note_that_names_its_invoice(app: Flask) -> None:
    member = make_member()
    top_up(member, 1_000_00)
    bought = charge(member, 212_00, 12_00)
    refund(member, bought, 60_00, 3_60)
    assert document_jobs.issue_all(AT + HOUR) == 3  # charge and refund in one run: the invoice comes first
    _paper, bill, note = documents(member)
    assert (note.kind, note.number, note.corrects_id, note.net_minor, note.tax_minor, note.gross_minor) == (
        "credit_note", "CN-2026-000001", bill.id, 60_00, 3_60, 63_60,
    )  # fmt: skip
    assert note.content["corrects"]["number"] == bill.number
    assert note.content["reason"] == "不符合预期"
    refund(member, bought, 140_00, 8_40, AT + HOUR)
    assert document_jobs.issue_all(AT + 2 * HOUR) == 1
    assert sum(d.gross_minor for d in documents(member) if d.kind == "credit_note") == bill.gross_minor
    assert_books_hold()


def test_one_invoice_a_month_waits_for_the_end_of_the_entitys_month(app: Flask) -> None:
    member = make_member()
    group_by_month(member)
    top_up(member, 1_000_00)
    first, last = charge(member, 106_00, 6_00), charge(member, 10_60, 60, JULY - timedelta(seconds=1))
    refund(member, first, 100_00, 6_00, JULY - timedelta(seconds=1))
    august = charge(member, 21_20, 1_20, JULY)
    assert document_jobs.issue_all(JULY - timedelta(seconds=1)) == 1  # the receipt
    assert_books_hold()
    assert document_jobs.issue_all(JULY) == 2
    _paper, bill, note = documents(member)
    assert [line["transaction_id"] for line in bill.content["lines"]] == [str(first), str(last)]
    assert (bill.gross_minor, bill.tax_minor, note.gross_minor, note.corrects_id) == (116_60, 6_60, 106_00, bill.id)
    assert document_jobs.issue_all(JULY + timedelta(days=31)) == 1
    assert documents(member)[-1].content["lines"][0]["transaction_id"] == str(august)
    assert_books_hold()


def test_a_subscription_shows_base_and_seats_and_its_service_period(app: Flask) -> None:
    world.sell()
    member = world.member_with(5_000_00)
    world.subscribe(member, rank=2, seats=3)
    document_jobs.issue_all(AT + HOUR)
    (bill,) = [d for d in documents(member) if d.kind == "invoice"]
    base, seats = bill.content["lines"]
    assert (base["gross_minor"], seats["quantity"], seats["unit_minor"], seats["gross_minor"]) == (200_00, 3, 20_00, 60_00)
    assert "标准版" in base["name_zh"]
    assert "Standard" in base["name_en"]
    assert base["tax_minor"] + seats["tax_minor"] == bill.tax_minor == accounts(member.id)[Account.TAX_PAYABLE]
    assert (bill.supplied_from, bill.supplied_until) == (AT, datetime.fromisoformat(base["service_until"]))
    assert_books_hold()


def test_a_moving_clock_writes_a_days_documents_at_its_last_second(app: Flask) -> None:
    """In the time zone of the legal entity, so that they bear the day's date; and what moves within that second is not left behind."""
    member = make_member()

    def due() -> datetime | None:
        with transaction(SYSTEM) as session:
            return session.scalar(text(f"select ({billing_passage.DOCUMENTS.due})"))  # type: ignore[no-any-return]

    top_up(member, 1_000_00)
    evening = due()
    assert evening == datetime(2026, 6, 15, 15, 59, 59, tzinfo=UTC)  # of Shanghai
    assert document_jobs.issue_all(evening) == 1
    assert due() is None
    late = evening + timedelta(milliseconds=500)
    top_up(member, 1_000_00, at=late)
    assert due() == late
    assert document_jobs.issue_all(late) == 1


def test_a_later_change_of_the_address_changes_no_document(app: Flask) -> None:
    member = make_member()
    top_up(member, 100_00)
    document_jobs.issue_all(AT + HOUR)
    before = [(d.content, d.content_hash) for d in documents(member)]
    details: dict[str, Any] = {"tax_number": None, "phone": None, "email": None, "invoice_grouping": None, "order_number": None, "cost_centre": None}
    with transaction(SYSTEM) as session:
        session.add(BillingDetails(member_id=member.id, version=1, title="新抬头", country="CN", address="新地址", language="en", set_at=AT, set_by=None,
                                   set_by_name="x", **details))  # fmt: skip
    assert [(d.content, d.content_hash) for d in documents(member)] == before
    top_up(member, 100_00, at=AT + HOUR)
    document_jobs.issue_all(AT + 2 * HOUR)
    assert [d.buyer for d in documents(member)] == [member.name, "新抬头"]
    assert_books_hold()


@pytest.mark.parametrize("role", ["app_member", "app_staff", "app_system"])
@pytest.mark.parametrize("table", ["document", "document_line", "document_counter"])
def test_nobody_writes_documents_but_the_one_function(app: Flask, owner: Engine, table: str, role: str) -> None:
    with owner.connect() as connection:
        for right in ("insert", "update", "delete", "truncate"):
            assert not connection.scalar(text("select has_table_privilege(:role, :table, :right)"), {"role": role, "table": table, "right": right})
    with pytest.raises(ProgrammingError, match="permission denied"), transaction(SYSTEM) as session:
        session.execute(text(f"delete from {table}"))


def test_a_year_begins_at_one_in_the_entitys_zone(app: Flask) -> None:
    member = make_member()
    new_year = datetime.fromisoformat("2027-01-01T00:00:00+08:00")
    for at in (new_year - timedelta(seconds=1), new_year):
        top_up(member, 100_00, at=at)
        document_jobs.issue_all(at)
    assert [d.number for d in documents(member)] == ["RCT-2026-000001", "RCT-2027-000001"]
    assert_books_hold()


CORRUPTIONS = {
    "a document is gone": ("delete from document_line where document_id in (select id from document where kind = 'receipt'); delete from document where kind = 'receipt'", "document numbers"),
    "the counter ran ahead": ("update document_counter set last_n = last_n + 1 where kind = 'invoice'", "document numbers"),
    "an amount was changed": ("update document set net_minor = net_minor - 1, tax_minor = tax_minor + 1 where kind = 'invoice'", "document"),
    "a word was changed": ("""update document set content = jsonb_set(content, '{buyer,title}', '"x"'), buyer = 'x' where kind = 'invoice'""", "document"),
    "a charge was skipped": ("insert into document_position select member_id, 'CNY', 99 from document limit 1 on conflict (member_id, currency) do update set last_seq = 99", "document against ledger"),
    "a line has another amount": ("update document_line set net_minor = net_minor + 1, gross_minor = gross_minor + 1 where gross_minor = 21200", "document"),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_verify_finds_what_is_wrong_with_documents(app: Flask, owner: Engine, name: str) -> None:
    from billing.ledger import verify

    member = make_member()
    top_up(member, 1_000_00)
    charge(member, 212_00, 12_00)
    document_jobs.issue_all(AT + HOUR)
    charge(member, 53_00, 3_00, AT + 2 * HOUR)
    assert_books_hold()
    statement, check = CORRUPTIONS[name]
    as_owner(owner, statement)
    with transaction(SYSTEM) as session:
        found = [difference.check for difference in verify.differences(session)]
    assert check in found
