"""Running an app from My apps: the form, the run as it goes, what came out."""

import uuid

from flask import Blueprint, Response, current_app, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.formats import language
from core.ids import new_id
from core.settings import Settings
from marketplace.license import licenses
from marketplace.order import usage_charges
from marketplace.run import run_jobs, runs
from marketplace.run.run_models import Run
from marketplace.sandbox import box
from marketplace.seat import seats
from marketplace.store import contents
from marketplace.store.search_terms import HAN
from marketplace.store.store_schemas import RunForm

run_pages = Blueprint("runs", __name__)


@run_pages.app_template_filter("own_half")
def own_half(text: str) -> str:
    """A description in two languages (`中文 / English`) in that of the page; any other as it is."""
    one, slash, other = text.partition(" / ")
    if not slash or bool(HAN.search(one)) is bool(HAN.search(other)):
        return text
    chinese, english = (one, other) if HAN.search(one) else (other, one)
    return chinese if language() == "zh" else english


@run_pages.get("/apps/<uuid:license_id>/runs")
@requires(*MEMBERS)
def new_run(license_id: uuid.UUID) -> ResponseReturnValue:
    """What a run needs, and the runs before."""
    return _form(license_id)


def _form(
    license_id: uuid.UUID, *, errors: object = None, form: dict[str, str] | None = None, refused: AppError | None = None, status: int = 200
) -> ResponseReturnValue:
    acting = actor()
    settings: Settings = current_app.extensions["settings"]
    with transaction(acting):
        owned = licenses.owned(acting.member, license_id)
        copy = runs.runnable(owned)
        version = copy.version if copy else None
        inside = contents.of(version.sha256) if version else None
        page = render_template(
            "storefront/run_new.html", owned=owned, listing=owned.listing, version=version, copy=copy, inside=inside, missing=box.unavailable(),
            is_valid=licenses.is_valid(owned.license, now()), latest=runs.latest(acting.member, license_id), errors=errors, form=form or {},
            run_id=(form or {}).get("id") or new_id(), limit_mb=settings.run_input_mb, per_day=settings.runs_per_day, keep_days=settings.run_keep_days,
            refused=refused, has_seat=seats.holds(owned.license, acting), may_run=licenses.may_run(owned.license, acting),
            month=usage_charges.month_of(owned.license, now()) if owned.license.monthly_cap_minor else None,
        )  # fmt: skip
    return page, status


@run_pages.post("/apps/<uuid:license_id>/runs")
@requires(*MEMBERS)
def create_run(license_id: uuid.UUID) -> ResponseReturnValue:
    """Put a run in line; the form's id makes a double click one run."""
    acting, form = actor(), request.form.to_dict()
    settings: Settings = current_app.extensions["settings"]
    upload = request.files.get("input")
    content = upload.read((settings.run_input_mb << 20) + 1) if upload and upload.filename else None
    try:
        asked = RunForm().load(form)
        if content is not None and len(content) > settings.run_input_mb << 20:
            raise ValidationError(_("The file is larger than %(limit)s MB.", limit=settings.run_input_mb), "input")
        with transaction(acting):
            copy = runs.runnable(licenses.owned(acting.member, license_id))
            given = {name.removeprefix("p-"): value for name, value in form.items() if name.startswith("p-")}
            parameters = runs.parameters_of(copy.version.manifest, given) if copy else {}
            wanted = runs.Wanted(asked["id"], parameters, (upload.filename or "") if upload else "", content)
            run = runs.request(acting.member, license_id, wanted, settings, at=now(), by=acting.user_id, by_name=acting.name)
    except ValidationError as error:
        return _form(license_id, errors=error.messages, form=form, status=422)
    except AppError as error:
        if error.status == 404:
            raise
        if error.code in ("usage_cap_reached", "insufficient_funds"):
            return _form(license_id, form=form | {"id": str(new_id())}, refused=error, status=error.status)
        return _form(license_id, errors=error.fields or {"input": error.detail}, form=form | {"id": str(new_id())}, status=error.status)
    run_jobs.enqueue(acting.member, run.id)
    return redirect(url_for("runs.show_run", run_id=run.id))


@run_pages.get("/apps/runs/<uuid:run_id>")
@requires(*MEMBERS)
def show_run(run_id: uuid.UUID) -> ResponseReturnValue:
    """One run: how far it is, what came out, why it failed, its log."""
    acting = actor()
    with transaction(acting):
        run = runs.find(acting.member, run_id)
        owned = licenses.owned(acting.member, run.license_id)
        return render_template(
            "storefront/run.html", run=run, owned=owned, listing=owned.listing, files=runs.files(run), failure=runs.failure_of(run), told=_told(run)
        )  # fmt: skip


@run_pages.get("/apps/runs/<uuid:run_id>/progress")
@requires(*MEMBERS)
def show_progress(run_id: uuid.UUID) -> ResponseReturnValue:
    """How far a run is, for the page that waits."""
    with transaction(actor()):
        run = runs.find(actor().member, run_id)
        return jsonify(text=_told(run), percent=None, done=run.state not in runs.OPEN)


def _told(run: Run) -> str:
    if run.state == "queued":
        return str(_("Waits for a worker"))
    return str(_("Running: %(step)s", step=run.progress) if run.progress else _("Running"))


@run_pages.get("/apps/runs/<uuid:run_id>/files/<any(input, output):direction>/<int:n>")
@requires(*MEMBERS)
def download(run_id: uuid.UUID, direction: str, n: int) -> ResponseReturnValue:
    """One file that went in or came out: always as a download, whatever it claims to be."""
    acting = actor()
    with transaction(acting):
        found = runs.file(acting.member, run_id, direction, n)
    response = Response(found.content or b"", mimetype="application/octet-stream")
    response.headers.set("Content-Disposition", "attachment", filename=found.name.rpartition("/")[2])
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@run_pages.post("/apps/runs/<uuid:run_id>/again")
@requires(*MEMBERS)
def run_again(run_id: uuid.UUID) -> ResponseReturnValue:
    """The same input and parameters once more."""
    acting = actor()
    settings: Settings = current_app.extensions["settings"]
    with transaction(acting):
        before = runs.find(acting.member, run_id)
        given = [one for one in runs.files(before) if one.direction == "input"]
        content = runs.file(acting.member, run_id, "input", 0).content if given else None
        wanted = runs.Wanted(new_id(), before.parameters, given[0].name if given else "", content)
        run = runs.request(acting.member, before.license_id, wanted, settings, at=now(), by=acting.user_id, by_name=acting.name)
    run_jobs.enqueue(acting.member, run.id)
    flash(_("The same again is in line."), "success")
    return redirect(url_for("runs.show_run", run_id=run.id))
