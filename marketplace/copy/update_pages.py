"""The page of an update: what it changes, and for an edited copy each file side by side with its choice."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError, NotFound
from marketplace.copy import checking, diffs, merging, payload, updates
from marketplace.copy.pages import attachment, copy_pages, settings, writer
from marketplace.license import licenses
from marketplace.sandbox.limits import Limits
from marketplace.store import contents


@copy_pages.get("/apps/<uuid:license_id>/update")
@requires(*MEMBERS)
def show_update(license_id: uuid.UUID) -> ResponseReturnValue:
    """What changes, and what is asked."""
    return _page(license_id, request.args.get("version") or None)


def _page(license_id: uuid.UUID, wanted: str | None, *, chosen: Mapping[str, str] | None = None, errors: Any = None, status: int = 200) -> ResponseReturnValue:
    acting = actor()
    with transaction(acting):
        owned = licenses.owned(acting.member, license_id)
        try:
            update = updates.plan(owned, wanted)
        except updates.NothingToUpdate as error:
            flash(error.detail, "info")
            return redirect(url_for("apps.show_app", license_id=license_id), 303)
        before, after = contents.of(update.copy.version.sha256), contents.of(update.version.sha256)
        page = render_template(
            "copies/update.html", owned=owned, listing=owned.listing, license=owned.license, update=update, compared=_compared(update),
            changed=_changed(update, before, after), added=_added(before, after), chosen=chosen or {}, errors=errors,
            field_of=field_of, is_valid=licenses.is_valid(owned.license, now()), may_update=acting.role in ("owner", "buyer"),
        )  # fmt: skip
    return page, status


def _compared(update: updates.Update) -> list[tuple[str, merging.Change, list[diffs.Row] | None, str | None]]:
    """(field, change, rows, the text it was based on) of each file that needs a choice."""
    return [
        (
            field_of(one.path), one, diffs.rows(one.mine, one.new, one.base, one.path) if one.new is not None else None,
            payload.text_of(one.base, one.path) if one.base is not None else None,
        )
        for one in update.open_changes
    ]  # fmt: skip


def field_of(path: str) -> str:
    """The name of a file's choice in the form."""
    return f"choice-{payload.digest(path.encode())[:12]}"


def _changed(update: updates.Update, before: contents.Contents, after: contents.Contents) -> list[tuple[str, str, list[str] | None]]:
    """(what became of it, file, lines of its difference) of each of the publisher's working files that differ and are not asked about."""
    old, new, asked = update.old, update.new, {one.path for one in update.open_changes}
    works = {*payload.names(before.manifest, old), *payload.names(after.manifest, new)}
    rows = [(kind, entry.name) for kind, entry in contents.file_changes(after, before) if kind != "same" and entry.name in works - asked]
    return [(kind, name, diffs.unified(old[name], new[name], name) if kind == "changed" else None) for kind, name in rows]


def _added(before: contents.Contents, after: contents.Contents) -> list[str]:
    """Permissions that the new version has and the old one had not."""
    return sorted(set(after.manifest["permissions"]) - set(before.manifest["permissions"]))


@copy_pages.post("/apps/<uuid:license_id>/update")
@requires("owner", "buyer")
def update_app(license_id: uuid.UUID) -> ResponseReturnValue:
    """Put the other version in. An edited copy goes along as chosen, file by file; it is checked first."""
    acting, form = actor(), request.form.to_dict()
    wanted = form.get("version") or None
    try:
        with transaction(acting):
            owned = licenses.owned(acting.member, license_id)
            asked = updates.plan(owned, wanted).open_changes
            choices = {one.path: form[field_of(one.path)] for one in asked if form.get(field_of(one.path))}
            draft = updates.begin(owned, wanted, choices, writer(acting))
        found = checking.findings(draft.kind, draft.bundle, Limits.of(settings())) if draft.bundle is not None else []
        with transaction(acting):
            updates.finish(acting.member, draft, found, writer(acting))
    except updates.NothingToUpdate as error:
        flash(error.detail, "info")
        return redirect(url_for("apps.show_app", license_id=license_id), 303)
    except AppError as error:
        if error.status in (403, 404):
            raise
        errors = {field_of(path): words for path, words in error.fields.items()} or {"_form": error.detail}
        return _page(license_id, wanted, chosen=form, errors=errors, status=error.status)
    flash(_("You have version %(number)s now.", number=draft.version), "success")
    return redirect(url_for("apps.show_app", license_id=license_id), 303)


@copy_pages.get("/apps/<uuid:license_id>/update/<any(base, mine, new):side>")
@requires(*MEMBERS)
def download_side(license_id: uuid.UUID, side: str) -> ResponseReturnValue:
    """One of the three files of a choice, to be compared in its own program."""
    acting = actor()
    path = request.args.get("path", "")
    with transaction(acting):
        update = updates.plan(licenses.owned(acting.member, license_id), request.args.get("version") or None)
        found = next((getattr(one, side) for one in update.changes if one.path == path), None)
    if found is None:
        raise NotFound(_("You have no such file."))
    return attachment(path, found)
