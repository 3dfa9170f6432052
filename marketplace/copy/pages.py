"""My copy of an app: its files, editing one, and what an update would do to them."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from core.access import MEMBERS, requires
from core.actor import Actor, actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.settings import Settings
from marketplace.copy import checking, copies, diffs, editing, merging, payload
from marketplace.copy.copies import Writer
from marketplace.copy.editing import ChangedMeanwhile
from marketplace.license import licenses
from marketplace.sandbox.limits import Limits
from marketplace.store import contents

copy_pages = Blueprint("copies", __name__)


def writer(acting: Actor) -> Writer:
    """Who writes, now."""
    return Writer(now(), acting.user_id, acting.name)


def settings() -> Settings:
    """The settings of this process."""
    found: Settings = current_app.extensions["settings"]
    return found


@copy_pages.get("/apps/<uuid:license_id>/copy")
@requires(*MEMBERS)
def show_copy(license_id: uuid.UUID) -> ResponseReturnValue:
    """The files that do the app's work, whose each is, and everything the member ever wrote."""
    acting = actor()
    with transaction(acting):
        owned = licenses.owned(acting.member, license_id)
        copy = copies.of(owned)
        theirs = {one.name: one for one in contents.of(copy.version.sha256).files}
        return render_template(
            "copies/copy.html", owned=owned, listing=owned.listing, license=owned.license, copy=copy, theirs=theirs, paths=copies.editable(owned, copy),
            history=copies.history(owned.license), is_valid=licenses.is_valid(owned.license, now()),
            sizes={path: len(content) for path, content in copies.mine(copy).items()},
        )  # fmt: skip


@copy_pages.get("/apps/<uuid:license_id>/copy/file")
@requires(*MEMBERS)
def show_file(license_id: uuid.UUID) -> ResponseReturnValue:
    """One file of the copy, to read or to edit."""
    return _file_page(license_id, request.args.get("path", ""))


def _file_page(
    license_id: uuid.UUID, path: str, *, text: str | None = None, errors: Mapping[str, Any] | None = None, shown: dict[str, bytes] | None = None,
    status: int = 200,
) -> ResponseReturnValue:  # fmt: skip
    acting = actor()
    with transaction(acting):
        owned = licenses.owned(acting.member, license_id)
        copy = copies.of(owned)
        copies.check_editable(owned, copy, path)
        theirs = copies.theirs(copy.version).get(path)
        own = copies.mine(copy).get(path)
        present = own if own is not None else theirs or b""
        page = render_template(
            "copies/file.html", owned=owned, listing=owned.listing, license=owned.license, copy=copy, path=path, step=copy.own.get(path),
            text=_for_textarea(text if text is not None else payload.text_of(present, path)), seen=payload.digest(present), size_bytes=len(present),
            has_theirs=theirs is not None,
            changed=diffs.unified(theirs, own, path) if own is not None and theirs is not None else None, history=copies.history(owned.license, path),
            errors=errors, shown=[(name, payload.text_of(content, name), len(content)) for name, content in (shown or {}).items()] if shown else None,
            limit_mb=settings().copy_file_mb, is_valid=licenses.is_valid(owned.license, now()), may_edit=acting.role in ("owner", "buyer"),
        )  # fmt: skip
    return page, status


def _for_textarea(text: str | None) -> str | None:
    """HTML drops the first line end of a text field, so one that is meant is said twice."""
    return f"\n{text}" if text is not None and text.startswith(("\n", "\r")) else text


@copy_pages.get("/apps/<uuid:license_id>/copy/download")
@requires(*MEMBERS)
def download_file(license_id: uuid.UUID) -> ResponseReturnValue:
    """One file of the copy as it is used."""
    acting, path = actor(), request.args.get("path", "")
    with transaction(acting):
        owned = licenses.owned(acting.member, license_id)
        copy = copies.of(owned)
        copies.check_editable(owned, copy, path)
        content = payload.with_changes(copies.theirs(copy.version), copies.mine(copy))[path]
    return attachment(path, content)


@copy_pages.post("/apps/<uuid:license_id>/copy/file")
@requires("owner", "buyer")
def save_file(license_id: uuid.UUID) -> ResponseReturnValue:
    """Check what was written, in a text field or a file, as the store checks it; then show what it gives, or keep it."""
    path, text = request.form.get("path", ""), request.form.get("content")
    upload = request.files.get("file")
    is_upload = upload is not None and bool(upload.filename)
    content = upload.read((settings().copy_file_mb << 20) + 1) if upload is not None and is_upload else text or ""
    return _checked(license_id, path, content, request.form.get("seen") or None, "upload" if is_upload else "edit", preview="preview" in request.form)


def _checked(license_id: uuid.UUID, path: str, content: bytes | str, seen: str | None, kind: str, *, preview: bool = False) -> ResponseReturnValue:
    acting, limits = actor(), Limits.of(settings())
    field = "file" if kind == "upload" else "content"
    text = content if isinstance(content, str) else None
    try:
        with transaction(acting):
            draft = editing.begin(licenses.owned(acting.member, license_id), path, content, seen, settings(), writer(acting))
        found = checking.findings(draft.kind, draft.bundle, limits)
        if preview and not found:
            made, failure = checking.preview(draft.kind, draft.bundle, limits)
            wrong = {field: [editing.words(failure)]} if failure else None
            return _file_page(license_id, path, text=text, errors=wrong, shown=made, status=422 if failure else 200)
        with transaction(acting):
            editing.keep(acting.member, draft, found, kind, writer(acting))
    except ChangedMeanwhile as error:
        return _file_page(license_id, path, text=text, errors={field: [error.detail]}, status=error.status)
    except editing.CopyRefused as error:
        return _file_page(license_id, path, text=text, errors={field: list(error.fields.values())}, status=error.status)
    except AppError as error:
        if error.status in (403, 404) or error.code == "not_editable":
            raise
        return _file_page(license_id, path, text=text, errors={field: [error.detail]}, status=error.status)
    flash(_("Saved. Runs and downloads use your copy from now on.") if draft.is_change else _("Nothing was changed."), "success")
    return redirect(url_for("copies.show_copy", license_id=license_id), 303)


@copy_pages.post("/apps/<uuid:license_id>/copy/original")
@requires("owner", "buyer")
def drop_file(license_id: uuid.UUID) -> ResponseReturnValue:
    """Take the publisher's file again."""
    acting = actor()
    with transaction(acting):
        editing.drop(licenses.owned(acting.member, license_id), request.form.get("path", ""), writer(acting))
    flash(_("Done. What you wrote is kept in the history below."), "success")
    return redirect(url_for("copies.show_copy", license_id=license_id), 303)


@copy_pages.post("/apps/<uuid:license_id>/copy/steps/<uuid:step_id>/restoration")
@requires("owner", "buyer")
def restore_file(license_id: uuid.UUID, step_id: uuid.UUID) -> ResponseReturnValue:
    """Make an earlier file the present one; it is checked against the app as it is now."""
    acting = actor()
    with transaction(acting):
        owned = licenses.owned(acting.member, license_id)
        step, content = copies.earlier(owned.license, step_id)
        path = request.form.get("path") or step.path
    return _checked(license_id, path, content, None, "restore")


@copy_pages.get("/apps/<uuid:license_id>/copy/steps/<uuid:step_id>/file")
@requires(*MEMBERS)
def download_step(license_id: uuid.UUID, step_id: uuid.UUID) -> ResponseReturnValue:
    """A file as it was written then; also after the licence has ended."""
    acting = actor()
    with transaction(acting):
        step, content = copies.earlier(licenses.owned(acting.member, license_id).license, step_id)
        name = step.path
    return attachment(name, content)


def attachment(name: str, content: bytes) -> Response:
    """Foreign bytes, always as a download."""
    response = Response(content, mimetype="application/octet-stream")
    response.headers.set("Content-Disposition", "attachment", filename=name.rpartition("/")[2])
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@copy_pages.app_template_global("copy_kinds")
def copy_kinds() -> dict[str, str]:
    """What a step did, in words."""
    return {
        "edit": _("Edited"), "upload": _("Replaced by a file"), "restore": _("Taken from the history"), "carry": _("Kept through an update"),
        "merge": _("Joined with the publisher’s changes"), "beside": _("Kept beside the publisher’s"), "drop": _("Back to the publisher’s"),
    }  # fmt: skip


@copy_pages.app_template_global("copy_choices")
def copy_choices(change: merging.Change, number: str) -> list[tuple[str, str]]:
    """What may become of a file, in words."""
    said = {
        merging.MERGED: _("Both changes in one file: they do not touch each other"),
        merging.MINE: _("Mine, as it is"),
        merging.NEW: _("The new one, without mine") if change.new is not None else _("Without it, as in version %(number)s", number=number),
        merging.BOTH: _("The new one, and mine kept beside it"),
    }
    return [(option, said[option]) for option in change.options]
