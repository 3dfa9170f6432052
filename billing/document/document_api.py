"""Receipts, invoices and credit notes as JSON and PDF."""

import uuid
from typing import Any

from flask import Response

from billing.document import document_files, document_list
from billing.document.document_list import Filters
from billing.document.document_models import Document
from billing.document.document_schemas import InvoiceDetailOut, InvoiceFileQuery, InvoiceOut, InvoiceQuery
from core.access import MEMBERS, requires
from core.actor import actor
from core.db import transaction
from core.openapi import Blueprint
from core.paging import Page, keyset
from core.schemas import fails, page_of

blp = Blueprint("document_api", __name__, url_prefix="/api/v1", description="Receipts, invoices and credit notes")


@blp.get("/invoices")
@blp.arguments(InvoiceQuery, location="query")
@blp.response(200, page_of(InvoiceOut))
@fails(blp, 400, 401, 403, 422)
@requires(*MEMBERS)
def list_invoices(query: dict[str, Any]) -> Page[Document]:
    """The member's documents, the latest first: receipts of top-ups, invoices of what was consumed, credit notes of what was given back."""
    acting = actor()
    with transaction(acting) as session:
        wanted = document_list.find(Filters(query["kind"], query["since"], query["until"], member_id=acting.member))
        return keyset(session, wanted, document_list.ORDER, query["after"], query["limit"])


@blp.get("/invoices/<uuid:document_id>")
@blp.response(200, InvoiceDetailOut)
@fails(blp, 401, 403, 404)
@requires(*MEMBERS)
def show_invoice(document_id: uuid.UUID) -> dict[str, Any]:
    """One document as it was issued: nothing of it changes later."""
    with transaction(actor()):
        found = document_list.show(actor().member, document_id)
        notes = [note.id for note in document_list.corrections_of(found)]
    content, seller, buyer = found.content, found.content["seller"], found.content["buyer"]
    english = content["language"] == "en"
    parts = {name: getattr(found, name) for name in InvoiceOut().fields}
    return parts | {
        "language": content["language"], "content_sha256": found.content_hash.hex(), "lines": content["lines"], "taxes": content["taxes"],
        "seller_party": {
            "name": (english and seller["name_en"]) or seller["name"], "tax_number": seller["tax_number"],
            "address": seller["address_en"] if english else seller["address_zh"], "phone": seller["phone"], "email": seller["email"],
        },
        "buyer_party": {"name": buyer["title"]} | {name: buyer[name] for name in ("tax_number", "address", "phone", "email")},
        "order_number": buyer["order_number"], "cost_centre": buyer["cost_centre"], "corrected_by": notes,
    }  # fmt: skip


@blp.get("/invoices/<uuid:document_id>/pdf")
@blp.arguments(InvoiceFileQuery, location="query")
@blp.response(200, {"type": "string", "format": "binary"}, content_type="application/pdf")
@fails(blp, 401, 403, 404, 422)
@requires(*MEMBERS)
def download_invoice(query: dict[str, Any], document_id: uuid.UUID) -> Response:
    """One document as a PDF/A file; the same document always gives the same bytes."""
    with transaction(actor()):
        found = document_list.show(actor().member, document_id)
    return document_files.pdf(found, query["lang"])
