"""Finance's zips of many documents: a small selection at once, a large one by a job that shows how far it is."""

import uuid
from typing import Any

from flask import Response, current_app, flash, jsonify, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import ValidationError, fields

from billing.document import document_archive_jobs, document_files, document_list, document_pages
from billing.document import document_archives as archives
from billing.document.document_finance_pages import asked_documents
from billing.document.document_models import DocumentArchive
from billing.document.document_schemas import DocumentQuery
from billing.finance.finance_blueprint import finance
from billing.finance.finance_pages import read_query
from core import audit
from core.access import requires
from core.actor import actor
from core.clock import now, real_now
from core.db import transaction
from core.errors import Invalid
from core.formats import number
from core.settings import Settings

FAILURES = {
    "disk_full": _l("There was no room left on the disk. Ask the operator to make room, then prepare it again."),
    "disk": _l("The file could not be written. Ask the operator to look at the disk, then prepare it again."),
    "document": _l("One document could not be made into a file. Tell the operator its number; the others can be prepared by another month or kind."),
    "gave_up": _l("The work was interrupted several times and was given up. Tell the operator, or prepare less at a time."),
}


class ArchiveForm(DocumentQuery):
    """What a prepared zip is narrowed to; `id` makes a double click one zip."""

    id = fields.UUID(required=True)


def _settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found


@finance.get("/documents.zip")
@requires("finance")
def download_documents() -> ResponseReturnValue:
    """The PDFs of a small selection, sent while they are made. Too many are prepared by a job instead."""
    at, (query, errors) = now(), read_query(DocumentQuery)
    most = _settings().document_zip_direct
    with transaction(actor()):
        entity, filters, _period = asked_documents(query, errors, at)
        found = [] if errors else document_list.part(filters, 0, most + 1)
        if 0 < len(found) <= most:
            what = {"currency": entity.currency, "month": query["month"], "kind": query["kind"], "words": query["q"], "documents": len(found)}
            audit.record("document.download", entity.currency, at=at, after=what)
    if 0 < len(found) <= most:
        return document_files.archive(found, f"documents-{entity.currency}-{query['month'] or 'all'}")
    if found:
        flash(_("These are more than %(most)s documents: let a zip be prepared.", most=number(most)), "warning")
    return redirect(url_for("finance.list_documents", **{name: query[name] for name in ("kind", "month", "q", "currency") if query[name]}), 303)


@finance.post("/documents/zips")
@requires("finance")
def create_document_archive() -> ResponseReturnValue:
    """Let a zip of what the filter lets through be prepared."""
    at, errors = now(), dict[str, Any]()
    kept: dict[str, Any] = {name: value for name in ("kind", "month", "q", "currency") if (value := request.form.get(name))}
    try:
        form = ArchiveForm().load(request.form.to_dict())
        with transaction(actor()):
            _entity, filters, _period = asked_documents(form, errors, at)
            if errors:
                raise ValidationError(errors)
            count = sum(one.count for one in document_list.sums(filters).values())
            made = archives.request(form["id"], filters, form["month"], count, actor(), most=_settings().document_zip_most, at=at)
    except ValidationError as error:
        flash(" ".join(text for texts in error.messages_dict.values() for text in texts), "danger")
        return redirect(url_for("finance.list_documents", **kept), 303)
    except Invalid as error:
        flash(error.detail, "danger")
        return redirect(url_for("finance.list_documents", **kept), 303)
    document_archive_jobs.enqueue(made.id, made.parts)
    return redirect(url_for("finance.show_document_archive", archive_id=made.id), 303)


@finance.get("/documents/zips")
@requires("finance")
def list_document_archives() -> ResponseReturnValue:
    """The zips that were prepared of late, whoever asked for them."""
    with transaction(actor()):
        return render_template(
            "finance/document_archives.html", archives=archives.latest(), kinds=document_pages.kind_names(), hours=_settings().document_archive_hours
        )


@finance.get("/documents/zips/<uuid:archive_id>")
@requires("finance")
def show_document_archive(archive_id: uuid.UUID) -> ResponseReturnValue:
    """One zip: how far it is, the file, or why there is none."""
    with transaction(actor()):
        found = archives.show(archive_id)
        return render_template(
            "finance/document_archive.html", archive=found, told=_told(found), failure=FAILURES.get(found.failure or ""), kinds=document_pages.kind_names(),
            is_open=found.state in archives.OPEN, kept={"kind": found.kind, "month": found.month, "q": found.words, "currency": found.currency},
        )  # fmt: skip


@finance.get("/documents/zips/<uuid:archive_id>/progress")
@requires("finance")
def show_archive_progress(archive_id: uuid.UUID) -> Response:
    """How far a zip is, for the page that waits."""
    with transaction(actor()):
        found = archives.show(archive_id)
        return jsonify(text=_told(found), percent=found.percent, done=found.state not in archives.OPEN)


def _told(one: DocumentArchive) -> str:
    if one.state == "queued":
        return str(_("Waits for a worker"))
    if one.done >= one.total:
        return str(_("All documents are written; the file is being put together"))
    return str(_("%(done)s of %(total)s documents are written", done=number(one.done), total=number(one.total)))


@finance.get("/documents/zips/<uuid:archive_id>.zip")
@requires("finance")
def download_document_archive(archive_id: uuid.UUID) -> ResponseReturnValue:
    """The file. A download that was cut off goes on where it was."""
    try:
        with transaction(actor()):
            found = archives.take_out(archive_id, at=now(), real_at=real_now(), told="Range" not in request.headers)
        path = document_archive_jobs.file_of(archive_id)
        if not path.is_file():
            raise archives.NotReady(_("The file of this zip is not on this machine. Tell the operator, or prepare it again."))
    except archives.NotReady as error:
        flash(error.detail, "danger")
        return redirect(url_for("finance.show_document_archive", archive_id=archive_id), 303)
    answer = send_file(path, mimetype="application/zip", as_attachment=True, download_name=found.name, conditional=True, max_age=0)
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


@finance.post("/documents/zips/<uuid:archive_id>/removal")
@requires("finance")
def remove_document_archive(archive_id: uuid.UUID) -> ResponseReturnValue:
    """Stop it, or delete the file before its time."""
    with transaction(actor()):
        archives.remove(archive_id, at=now())
    document_archive_jobs.delete(archive_id)
    return redirect(url_for("finance.list_document_archives"), 303)
