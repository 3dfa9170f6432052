"""Documents on pages and in the API: each sees its own, files are what they say, numbers and amounts are proven on finance's page."""

import io
import zipfile
from datetime import timedelta
from typing import Any

import openpyxl
import pytest
from flask import Flask
from pypdf import PdfReader

from billing.document import document_jobs
from core.db import SYSTEM, transaction
from membership import taxes
from membership.entity_models import LegalEntity
from membership.models import Member, User
from tests.billing.books import assert_books_hold
from tests.billing.document.test_documents import charge, documents, refund, top_up
from tests.factories import AT, ENTITY, make_member, make_user
from tests.sign_in import bearer, signed_in

LATER = AT + timedelta(hours=1)
VALID = "91110000600037341L"


@pytest.fixture
def member(app: Flask) -> Member:
    """A member with a receipt, an invoice and a credit note."""
    found = make_member(name="上海岚岳供应链")
    top_up(found, 1_000_00, 100_00)
    bought = charge(found, 212_00, 12_00)
    refund(found, bought, 60_00, 3_60)
    document_jobs.issue_all(LATER)
    return found


@pytest.fixture
def owner_user(member: Member) -> User:
    return make_user("owner", member)


def form(**changes: Any) -> dict[str, Any]:
    blank = dict.fromkeys(("tax_number", "address", "phone", "email", "invoice_grouping", "order_number", "cost_centre"), "")
    return {"version": "0", "title": "岚岳供应链股份有限公司", "country": "CN", "language": "zh", **blank, **changes}


def test_the_list_shows_and_filters(app: Flask, member: Member, owner_user: User) -> None:
    client = signed_in(app, owner_user)
    whole = client.get("/documents?lang=en").text
    assert all(number in whole for number in ("RCT-2026-000001", "INV-2026-000001", "CN-2026-000001"))
    assert "−¥63.60" in whole or "-¥63.60" in whole
    only = client.get("/documents?kind=invoice&lang=en").text
    assert "INV-2026-000001" in only
    assert "RCT-2026-000001" not in only
    assert "INV-2026-000001" not in client.get("/documents?month=2026-05").text
    assert client.get("/documents?month=2026-13").status_code == 422
    assert client.get("/documents?month=0000-01").status_code == 422


def test_invoice_and_credit_note_lead_to_each_other(app: Flask, member: Member, owner_user: User) -> None:
    _paper, bill, note = documents(member)
    client = signed_in(app, owner_user)
    first, second = client.get(f"/documents/{bill.id}?lang=en").text, client.get(f"/documents/{note.id}?lang=en").text
    assert f"/documents/{note.id}" in first
    assert "¥148.40" in first  # what is left of the invoice
    assert f"/documents/{bill.id}" in second


def test_files_are_the_documents(app: Flask, member: Member, owner_user: User) -> None:
    paper, bill, _note = documents(member)
    client = signed_in(app, owner_user)
    one = client.get(f"/documents/{bill.id}.pdf?in=en")
    assert (one.mimetype, one.headers["Content-Disposition"]) == ("application/pdf", 'inline; filename="INV-2026-000001-en.pdf"')
    assert "Total incl. tax" in PdfReader(io.BytesIO(one.data)).pages[0].extract_text()
    chosen = client.get(f"/documents.zip?document={bill.id}&document={paper.id}")
    files = zipfile.ZipFile(io.BytesIO(chosen.data))
    assert files.testzip() is None
    assert sorted(files.namelist()) == ["INV-2026-000001.pdf", "RCT-2026-000001.pdf"]
    assert files.read("INV-2026-000001.pdf") == client.get(f"/documents/{bill.id}.pdf").data
    assert client.get("/documents.zip").status_code == 303
    assert client.get("/documents.zip?document=nonsense").status_code == 303


def test_another_members_documents_are_not_found(app: Flask, member: Member) -> None:
    stranger = signed_in(app, make_user("owner", make_member()))
    bill = documents(member)[1]
    for path in (f"/documents/{bill.id}", f"/documents/{bill.id}.pdf", f"/documents.zip?document={bill.id}"):
        assert stranger.get(path).status_code == 404


def test_an_entry_leads_to_its_document_or_says_when_there_will_be_one(app: Flask, member: Member, owner_user: User) -> None:
    client, bill = signed_in(app, owner_user), documents(member)[1]
    bought = bill.content["lines"][0]["transaction_id"]
    assert client.get(f"/documents/of/{bought}").location.endswith(f"/documents/{bill.id}")
    fresh = charge(member, 10_60, 60, LATER)
    answer = client.get(f"/documents/of/{fresh}?lang=en", follow_redirects=True)
    assert "within a minute or two" in answer.text
    with transaction(SYSTEM) as session:
        session.get_one(LegalEntity, ENTITY).invoice_grouping = "month"
    document_jobs.issue_all(LATER)
    assert "2026-07-01" in client.get(f"/documents/of/{fresh}?lang=en", follow_redirects=True).text


def test_an_owner_changes_the_billing_details_and_sees_who_did(app: Flask, member: Member, owner_user: User) -> None:
    client = signed_in(app, owner_user)
    assert client.post("/billing-details", data=form(tax_number=VALID.lower(), order_number="PO-1")).status_code == 303
    page = client.get("/billing-details?lang=en").text
    assert VALID in page
    assert owner_user.name in page
    top_up(member, 10_00, at=LATER)
    document_jobs.issue_all(LATER + timedelta(hours=1))
    latest = documents(member)[-1]
    assert (latest.buyer, latest.content["buyer"]["tax_number"], latest.content["buyer"]["order_number"]) == ("岚岳供应链股份有限公司", VALID, "PO-1")
    assert [d.buyer for d in documents(member)[:-1]] == [member.name] * 3
    assert_books_hold()


def test_billing_details_that_cannot_be_are_refused_and_kept_in_the_form(app: Flask, member: Member, owner_user: User) -> None:
    client = signed_in(app, owner_user)
    wrong = client.post("/billing-details?lang=en", data=form(tax_number=VALID[:-1] + "M", title="新名称"))
    assert wrong.status_code == 422
    assert "typing mistake" in wrong.text
    assert "新名称" in wrong.text
    assert client.post("/billing-details", data=form(title=" ")).status_code == 422
    assert client.post("/billing-details", data=form(email="no address")).status_code == 422
    assert client.post("/billing-details", data=form()).status_code == 303
    assert client.post("/billing-details", data=form(title="别的名称")).status_code == 409  # somebody saved version 1 meanwhile
    for role in ("buyer", "viewer"):
        assert signed_in(app, make_user(role, member)).post("/billing-details", data=form()).status_code == 403


def test_finance_sees_all_with_the_proof(app: Flask, member: Member) -> None:
    client = signed_in(app, make_user("finance"))
    page = client.get("/finance/documents?month=2026-06&lang=en").text
    assert "numbers 1 to 1, none missing" in page
    assert "difference ¥0.00" in page
    assert "¥148.40" in page  # invoices less credit notes
    charge(member, 53_00, 3_00, LATER)  # waits for its document
    page = client.get("/finance/documents?month=2026-06&lang=en").text
    assert "difference ¥0.00" in page
    assert "¥53.00" in page
    assert "INV-2026-000001" in client.get(f"/finance/documents?q={member.number}").text
    assert "INV-2026-000001" not in client.get("/finance/documents?q=%25").text


def test_finance_takes_tables_and_a_months_files(app: Flask, member: Member) -> None:
    client = signed_in(app, make_user("finance"))
    book = openpyxl.load_workbook(io.BytesIO(client.get("/finance/documents.xlsx?lang=en").data))
    cells = [[cell.value for cell in row] for row in book.active.rows]
    (note,) = [row for row in cells if row[0] == "CN-2026-000001"]
    assert note[7:11] == [-60, -3.6, -63.6, "INV-2026-000001"]
    assert client.get("/finance/documents.csv").data.startswith(b"\xef\xbb\xbf")
    files = zipfile.ZipFile(io.BytesIO(client.get("/finance/documents.zip?month=2026-06").data))
    assert len(files.namelist()) == 3
    bill = documents(member)[1]
    assert client.get(f"/finance/documents/{member.id}/{bill.id}").status_code == 200
    assert client.get(f"/finance/documents/{member.id}/{bill.id}.pdf").data.startswith(b"%PDF-")


def test_finance_sets_a_rate_for_a_day_to_come(app: Flask, member: Member) -> None:
    client = signed_in(app, make_user("finance"))
    sent = {"entity_id": str(ENTITY), "first_day": "2031-01-01", "rate": "6.5", "rate_name_zh": "增值税", "rate_name_en": "VAT"}
    assert client.post("/finance/legal-entities/tax-rates", data=sent).status_code == 303
    with transaction(SYSTEM):
        rates = [(rate.rate_bp, rate.valid_from.isoformat()) for rate in taxes.schedule_of(ENTITY)]
    assert rates[0] == (650, "2030-12-31T16:00:00+00:00")
    for wrong in ({"first_day": "2020-01-01"}, {"first_day": "soon"}, {"rate": "six"}, {"rate": "101"}, {"rate_name_zh": ""}):
        assert client.post("/finance/legal-entities/tax-rates", data={**sent, "first_day": "2031-02-01", **wrong}).status_code == 422
    taken_back = {"entity_id": str(ENTITY), "valid_from": rates[0][1]}
    assert client.post("/finance/legal-entities/tax-rates/removal", data=taken_back).status_code == 303
    assert client.post("/finance/legal-entities/tax-rates/removal", data=taken_back).status_code == 404


def test_the_api_lists_shows_and_hands_out(app: Flask, member: Member) -> None:
    key = bearer("buyer", member)
    client = app.test_client()
    page = client.get("/api/v1/invoices?limit=2", headers=key).json
    assert (len(page["items"]), page["next"] is not None) == (2, True)
    rest = client.get(f"/api/v1/invoices?limit=2&after={page['next']}", headers=key).json
    assert len({one["id"] for one in page["items"] + rest["items"]}) == 3
    _paper, bill, note = documents(member)
    shown = client.get(f"/api/v1/invoices/{bill.id}", headers=key).json
    assert (shown["gross_minor"], shown["corrected_by"], shown["taxes"][0]["rate_bp"]) == (212_00, [str(note.id)], 600)
    assert shown["content_sha256"] == bill.content_hash.hex()
    file = client.get(f"/api/v1/invoices/{bill.id}/pdf?lang=en", headers=key)
    assert (file.status_code, file.mimetype) == (200, "application/pdf")
    assert [one["kind"] for one in client.get("/api/v1/invoices?kind=receipt", headers=key).json["items"]] == ["receipt"]
    assert client.get("/api/v1/invoices?kind=x", headers=key).status_code == 422
    assert client.get(f"/api/v1/invoices/{bill.id}", headers=bearer("buyer", make_member())).status_code == 404
