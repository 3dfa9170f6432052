"""Finance's documents: all of them, with the proof of their numbers and amounts, and as tables."""

import uuid
from datetime import datetime
from typing import Any

from flask import Response, current_app, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from billing.document import document_files, document_list, document_pages
from billing.document.document_list import Filters
from billing.document.document_models import Document
from billing.document.document_schemas import DocumentQuery
from billing.finance import exports
from billing.finance.finance_blueprint import finance
from billing.finance.finance_pages import read_query
from billing.ledger import ledger_queries
from billing.ledger.ledger_queries import Entity
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.ids import new_id
from core.paging import Page, keyset
from core.settings import Settings
from membership.models import Member

EXPORT_MOST = 100_000


def asked_documents(query: dict[str, Any], errors: dict[str, Any], at: datetime) -> tuple[Entity, Filters, tuple[datetime, datetime]]:
    """The entity, the filters, and the period that is held against the ledger: the month asked for, or the present one."""
    entities = ledger_queries.entities()
    entity = next((one for one in entities if one.currency == query["currency"]), None) or ledger_queries.entity_for(None)
    filters = Filters(query["kind"], words=query["q"])
    try:
        filters = document_pages.filters_of(query, entity)
    except AppError as error:
        errors |= error.fields
    narrowed = Filters(filters.kind, filters.since, filters.until, filters.words, currency=entity.currency)
    period = (filters.since, filters.until) if filters.since and filters.until else entity.month_of(at)
    return entity, narrowed, period


@finance.get("/documents")
@requires("finance")
def list_documents() -> ResponseReturnValue:
    """Every document, the latest first; what they come to; and whether numbers and amounts hold."""
    at, (query, errors) = now(), read_query(DocumentQuery)
    with transaction(actor()) as session:
        entity, filters, (since, until) = asked_documents(query, errors, at)
        page: Page[Document] = keyset(session, document_list.find(filters), document_list.ORDER, query["after"])
        members = {m.id: m for m in session.query(Member).filter(Member.id.in_({one.member_id for one in page.items}))}
        sums, series, tie = document_list.sums(filters), document_list.series(entity.currency), document_list.tie(entity.currency, since, until)
        entities = ledger_queries.entities()
    kept = {name: query[name] for name in ("kind", "month", "q", "currency") if query[name]}
    count = sum(one.count for one in sums.values())
    settings: Settings = current_app.extensions["settings"]
    return render_template(
        "finance/documents.html", page=page, query=query, kept=kept, errors=errors or None, entity=entity, entities=entities, members=members, sums=sums,
        series=series, tie=tie, since=since, until=until, months=document_pages.months(entity, at), kinds=document_pages.kind_names(), count=count,
        is_small=count <= settings.document_zip_direct, most=settings.document_zip_most, zip_id=new_id(), at=at,
    ), 422 if errors else 200  # fmt: skip


@finance.get("/documents.<any(csv, xlsx):form>")
@requires("finance")
def export_documents(form: str) -> Response:
    """What the filter lets through as a table."""
    at, (query, errors) = now(), read_query(DocumentQuery)
    with transaction(actor()) as session:
        entity, filters, (since, until) = asked_documents(query, errors, at)
        found = document_list.for_export(filters, EXPORT_MOST)
        tie = document_list.tie(entity.currency, since, until)
        numbers = {row.id: row.number for row in session.query(Member.id, Member.number).filter(Member.id.in_({one.member_id for one in found}))}
    names, money = document_pages.kind_names(), ((1, "net_minor"), (1, "tax_minor"), (1, "gross_minor"))
    rows = []
    for one in found:
        sign = -1 if one.kind == "credit_note" else 1
        corrects = (one.content["corrects"] or {}).get("number")
        rows.append((
            one.number, str(names[one.kind]), entity.local(one.issued_at).strftime("%Y-%m-%d"), numbers[one.member_id], one.buyer,
            one.content["buyer"]["tax_number"], entity.local(one.supplied_from).strftime("%Y-%m-%d"), *(sign * getattr(one, name) for _one, name in money),
            corrects, one.content["buyer"]["order_number"], one.content["buyer"]["cost_centre"], one.content_hash.hex(),
        ))  # fmt: skip
    taxed = [row for row, one in zip(rows, found, strict=True) if one.kind != "receipt"]
    sheet = exports.Sheet(
        title=_("Documents"),
        head=[
            (_("Legal entity"), entity.name, "text"), (_("Time zone"), entity.zone.key, "text"), (_("Currency"), entity.currency, "text"),
            (_("Month"), query["month"] or _("all"), "text"), (_("As of"), entity.written(at), "text"), (_("Rows"), len(rows), "count"),
            (_("Invoices less credit notes, tax included"), sum(int(row[9]) for row in taxed), "money"),
            (_("Difference to the ledger"), tie.difference_minor, "money"),
        ],
        columns=[
            exports.Column(_("Number")), exports.Column(_("Kind")), exports.Column(_("Date of issue")), exports.Column(_("Member")),
            exports.Column(_("Billed to")),
            exports.Column(_("Tax number")), exports.Column(_("Supplied from")), exports.Column(_("Net amount"), "money"), exports.Column(_("Tax"), "money"),
            exports.Column(_("Amount incl. tax"), "money"), exports.Column(_("Corrects")), exports.Column(_("Order number")), exports.Column(_("Cost centre")),
            exports.Column(_("Content SHA-256")),
        ],
        rows=rows, currency=entity.currency,
    )  # fmt: skip
    return exports.download(sheet, form, f"documents-{entity.currency}-{query['month'] or 'all'}")


@finance.get("/documents/<uuid:member_id>/<uuid:document_id>")
@requires("finance")
def show_document(member_id: uuid.UUID, document_id: uuid.UUID) -> ResponseReturnValue:
    """One document, with what it corrects and what corrects it."""
    with transaction(actor()):
        own = lambda one: url_for("finance.show_document", member_id=one.member_id, document_id=one.id)  # noqa: E731 (a word for the template)
        return render_template("finance/document.html", own=own, **document_pages.shown(document_list.show(member_id, document_id)))


@finance.get("/documents/<uuid:member_id>/<uuid:document_id>.pdf")
@requires("finance")
def download_document(member_id: uuid.UUID, document_id: uuid.UUID) -> Response:
    """One document as its file."""
    with transaction(actor()):
        found = document_list.show(member_id, document_id)
    return document_files.pdf(found, document_pages.asked_language())
