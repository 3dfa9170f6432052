"""A member's documents: the list, one of them, files; and whom they are made out to."""

import uuid
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.document import billing_details, document_files, document_list, document_words
from billing.document.billing_details import COUNTRIES, Details
from billing.document.document_list import Filters
from billing.document.document_models import Document
from billing.document.document_schemas import BillingDetailsForm, DocumentQuery
from billing.finance.finance_pages import read_query
from billing.ledger import ledger_queries
from billing.ledger.ledger_queries import Entity
from billing.wallet.wallet_schemas import errors_of
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError, Invalid
from core.formats import date
from core.paging import Page, keyset
from membership.entity_models import LegalEntity
from membership.models import Member

documents = Blueprint("documents", __name__)
MONTHS = 24  # offered to choose from
SELECTED_MOST = 100  # in one zip


def filters_of(query: dict[str, Any], entity: Entity, member_id: uuid.UUID | None = None) -> Filters:
    """The filters that a list's query asks for; the month is one of the entity's calendar."""
    since = until = None
    if query["month"]:
        year, month = (int(part) for part in query["month"].split("-"))
        if not 1900 <= year < 9000:
            raise Invalid(_("Write the month as 2026-06."), field="month")
        since, until = entity.month_of(datetime(year, month, 15, tzinfo=entity.zone))
    return Filters(query["kind"], since, until, query["q"], member_id)


def months(entity: Entity, at: datetime) -> list[tuple[str, str]]:
    """The last months, as options of a select."""
    return [(month, month) for back in range(MONTHS) if (month := entity.local(entity.month_of(at, back)[0]).strftime("%Y-%m"))]


@documents.get("/documents")
@requires(*MEMBERS)
def list_documents() -> ResponseReturnValue:
    """Receipts, invoices and credit notes, the latest first."""
    acting, at = actor(), now()
    query, errors = read_query(DocumentQuery)
    with transaction(acting) as session:
        member = session.get_one(Member, acting.member)
        entity = ledger_queries.entity_for(member.currency)
        filters = filters_of(query, entity, member.id)
        page: Page[Document] = keyset(session, document_list.find(filters), document_list.ORDER, query["after"])
        details, version = billing_details.present(member)
    kept = {name: query[name] for name in ("kind", "month", "q") if query[name]}
    return render_template(
        "account/documents.html", page=page, query=query, kept=kept, errors=errors or None, details=details, version=version, months=months(entity, at),
        kinds=kind_names(), entity=entity,
        period=lambda one: document_words.period(one.supplied_from.isoformat(), one.supplied_until.isoformat(), entity.zone.key),
    ), 422 if errors else 200  # fmt: skip


def kind_names() -> dict[str, str]:
    """What people call the kinds."""
    return {kind: document_words.title(kind) for kind in document_list.KINDS}


@documents.get("/documents/<uuid:document_id>")
@requires(*MEMBERS)
def show_document(document_id: uuid.UUID) -> ResponseReturnValue:
    """One document, with what it corrects and what corrects it."""
    with transaction(actor()):
        found = document_list.show(actor().member, document_id)
        own = lambda one: url_for("documents.show_document", document_id=one.id)  # noqa: E731 (a word for the template)
        return render_template("account/document.html", own=own, **shown(found))


def shown(found: Document) -> dict[str, Any]:
    """What the page of a document needs, for members and finance alike."""
    content = found.content
    zone = content["timezone"]
    return {
        "document": found, "content": content, "kinds": kind_names(), "corrections": document_list.corrections_of(found),
        "corrected": document_list.corrected_by(found), "day": lambda instant: document_words.day(instant, zone),
        "period": lambda since, until: document_words.period(since, until, zone), "percent": document_words.percent,
    }  # fmt: skip


@documents.get("/documents/<uuid:document_id>.pdf")
@requires(*MEMBERS)
def download(document_id: uuid.UUID) -> Response:
    """The file, in the document's language or the one asked for."""
    with transaction(actor()):
        found = document_list.show(actor().member, document_id)
    return document_files.pdf(found, asked_language())


def asked_language() -> str | None:
    """`in=zh` or `in=en`: the language of the paper, whatever that of the page."""
    asked = request.args.get("in", "")
    return asked if asked in ("zh", "en") else None


@documents.get("/documents.zip")
@requires(*MEMBERS)
def download_selected() -> ResponseReturnValue:
    """The ticked documents in one file."""
    ids = []
    for written in request.args.getlist("document"):
        try:
            ids.append(uuid.UUID(written))
        except ValueError:
            continue
    if not ids or len(ids) > SELECTED_MOST:
        flash(_("Tick the documents to download, at most %(most)s at a time.", most=SELECTED_MOST), "warning")
        return redirect(url_for("documents.list_documents"), 303)
    with transaction(actor()):
        found = document_list.chosen(actor().member, ids)
    return document_files.archive(found, "documents")


@documents.get("/documents/of/<uuid:transaction_id>")
@requires(*MEMBERS)
def show_document_of(transaction_id: uuid.UUID) -> ResponseReturnValue:
    """The document of a purchase, a subscription charge or a top-up; or word of when it is made."""
    acting = actor()
    with transaction(acting) as session:
        document_id = document_list.of_entry(acting.member, transaction_id)
        if document_id is None:
            document_list.assert_entry(acting.member, transaction_id)
            due = document_list.waits_until(acting.member, transaction_id)
            entity = ledger_queries.entity_for(session.get_one(Member, acting.member).currency)
    if document_id:
        return redirect(url_for("documents.show_document", document_id=document_id))
    if due:
        flash(_("This stands on the monthly invoice, which is made on %(day)s.", day=date(entity.local(due))), "info")
    else:
        flash(_("Documents are made within a minute or two of the payment. Look again shortly."), "info")
    return redirect(url_for("documents.list_documents"))


@documents.get("/billing-details")
@requires(*MEMBERS)
def show_billing_details() -> ResponseReturnValue:
    """Whom documents are made out to, and who changed it when."""
    return _details()


@documents.post("/billing-details")
@requires("owner")
def save_billing_details() -> ResponseReturnValue:
    """Let other details hold from the next document on."""
    acting = actor()
    try:
        form = BillingDetailsForm().load(request.form.to_dict())
        version = form.pop("version")
        with transaction(acting) as session:
            is_new = billing_details.save(session.get_one(Member, acting.member), Details(**form), version, acting, at=now())
    except ValidationError as error:
        return _details(dict(errors_of(error)), 422)
    except AppError as error:
        return _details(error.fields or {"_form": error.detail}, error.status)
    flash(_("Saved. Documents made from now on say so; earlier ones stay as they are.") if is_new else _("Nothing has changed."), "success")
    return redirect(url_for("documents.show_billing_details"), 303)


def _details(errors: dict[str, Any] | None = None, status: int = 200) -> ResponseReturnValue:
    acting = actor()
    with transaction(acting) as session:
        member = session.get_one(Member, acting.member)
        details, version = billing_details.present(member)
        past = billing_details.history(member.id)
        seller_grouping = session.get_one(LegalEntity, member.entity_id).invoice_grouping
        entity = ledger_queries.entity_for(member.currency)
    given = request.form.to_dict() if errors else {name: getattr(details, name) or "" for name in Details.__slots__}
    territories = get_locale().territories
    page = render_template(
        "account/billing_details.html", country_options=[(code, territories[code]) for code in COUNTRIES], form=given, version=version,
        errors=errors, past=past, may_change=acting.role == "owner",
        groupings=grouping_names(), seller_grouping=seller_grouping, entity=entity,
    )  # fmt: skip
    return page, status


def grouping_names() -> dict[str, str]:
    """How charges are gathered on invoices."""
    return {"charge": _("one for each charge, at once"), "month": _("one for all charges of a month, when it is over")}
