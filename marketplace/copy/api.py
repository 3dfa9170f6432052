"""Copies and updates for machines."""

import base64
import binascii
import uuid
from typing import Any

from flask import Response
from flask_babel import gettext as _

from core.access import MEMBERS, requires
from core.actor import actor
from core.db import transaction
from core.errors import Invalid
from core.openapi import Blueprint
from core.schemas import fails
from marketplace.copy import checking, copies, editing, payload, updates
from marketplace.copy.copies import Copy
from marketplace.copy.pages import attachment, settings, writer
from marketplace.copy.schemas import CopyFileIn, CopyHistoryOut, CopyOut, CopyPathQuery, UpdateIn, UpdateOut, UpdateQuery
from marketplace.license import licenses
from marketplace.sandbox.limits import Limits
from marketplace.store import contents

blp = Blueprint("copies_api", __name__, url_prefix="/api/v1", description="Edited copies of installed apps, and their updates")
BINARY = {"type": "string", "format": "binary"}


def _copy(owned: licenses.Owned, copy: Copy) -> dict[str, Any]:
    theirs = {one.name: one for one in contents.of(copy.version.sha256).files}
    own = copies.mine(copy)
    files = []
    for path in copies.editable(owned, copy):
        step, entry = copy.own.get(path), theirs.get(path)
        content = own.get(path)
        assert content is not None or entry is not None
        files.append(
            {
                "path": path, "state": "untouched" if step is None else "edited" if entry else "beside",
                "installed_sha256": entry.sha256 if entry else None,
                "sha256": step.sha256 if step else entry.sha256 if entry else "", "size": len(content) if content is not None else entry.size if entry else 0,
                "is_text": payload.is_text_name(path),
            }
        )  # fmt: skip
    return {
        "license_id": owned.license.id, "version": copy.version.number, "is_installed": owned.license.installed_version is not None,
        "state": "edited" if copy.is_edited else "untouched", "installed_sha256": copy.version.sha256,
        "sha256": copies.bundle(copy).sha256 if copy.is_edited else copy.version.sha256, "update_version": owned.update, "files": files,
    }  # fmt: skip


@blp.get("/licenses/<uuid:license_id>/copy")
@blp.response(200, CopyOut)
@fails(blp, 401, 403, 404)
@requires(*MEMBERS)
def show_copy(license_id: uuid.UUID) -> dict[str, Any]:
    """What runs and downloads use: untouched as it was installed, or edited; with the hash of each file that does the app's work."""
    with transaction(actor()):
        owned = licenses.owned(actor().member, license_id)
        return _copy(owned, copies.of(owned))


@blp.get("/licenses/<uuid:license_id>/copy/file")
@blp.arguments(CopyPathQuery, location="query")
@blp.response(200, BINARY, content_type="application/octet-stream", description="The file as it is used")
@fails(blp, 401, 403, 404, 409, 422)
@requires(*MEMBERS)
def show_file(query: dict[str, Any], license_id: uuid.UUID) -> Response:
    """One file of the copy."""
    with transaction(actor()):
        owned = licenses.owned(actor().member, license_id)
        copy = copies.of(owned)
        copies.check_editable(owned, copy, query["path"])
        content = payload.with_changes(copies.theirs(copy.version), copies.mine(copy))[query["path"]]
    return attachment(query["path"], content)


@blp.post("/licenses/<uuid:license_id>/copy/file")
@blp.arguments(CopyFileIn)
@blp.response(200, CopyOut)
@fails(blp, 401, 403, 404, 409, 422, 429)
@requires("owner", "buyer")
def save_file(file_in: dict[str, Any], license_id: uuid.UUID) -> dict[str, Any]:
    """Make a file one's own. It is checked as the store checks; a copy that breaks policy is refused with the finding, and nothing is saved."""
    acting = actor()
    content = file_in["text"].encode() if file_in["text"] is not None else _decoded(file_in["base64"])
    with transaction(acting):
        owned = licenses.owned(acting.member, license_id)
        draft = editing.begin(owned, file_in["path"], content, file_in["seen_sha256"], settings(), writer(acting))
    found = checking.findings(draft.kind, draft.bundle, Limits.of(settings()))
    with transaction(acting):
        copy = editing.keep(acting.member, draft, found, "edit" if file_in["text"] is not None else "upload", writer(acting))
        return _copy(licenses.owned(acting.member, license_id), copy)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(_("This is not base64."), field="base64") from error


@blp.post("/licenses/<uuid:license_id>/copy/file/original")
@blp.arguments(CopyPathQuery)
@blp.response(200, CopyOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def drop_file(dropped: dict[str, Any], license_id: uuid.UUID) -> dict[str, Any]:
    """Take the publisher's file again. What was written stays in the history."""
    acting = actor()
    with transaction(acting):
        owned = licenses.owned(acting.member, license_id)
        return _copy(owned, editing.drop(owned, dropped["path"], writer(acting)))


@blp.get("/licenses/<uuid:license_id>/copy/steps")
@blp.response(200, CopyHistoryOut)
@fails(blp, 401, 403, 404)
@requires(*MEMBERS)
def list_steps(license_id: uuid.UUID) -> dict[str, Any]:
    """What was done to the files, the latest first: nothing that was ever written is lost."""
    with transaction(actor()):
        return {"items": copies.history(licenses.owned(actor().member, license_id).license, limit=200)}


@blp.get("/licenses/<uuid:license_id>/copy/steps/<uuid:step_id>/file")
@blp.response(200, BINARY, content_type="application/octet-stream", description="The file as it was written then")
@fails(blp, 401, 403, 404)
@requires(*MEMBERS)
def show_step(license_id: uuid.UUID, step_id: uuid.UUID) -> Response:
    """A file as it was written then, also after the licence has ended."""
    with transaction(actor()):
        step, content = copies.earlier(licenses.owned(actor().member, license_id).license, step_id)
        return attachment(step.path, content)


@blp.get("/licenses/<uuid:license_id>/update")
@blp.arguments(UpdateQuery, location="query")
@blp.response(200, UpdateOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires(*MEMBERS)
def show_update(query: dict[str, Any], license_id: uuid.UUID) -> dict[str, Any]:
    """What an update would do to the copy, and which files need a choice."""
    with transaction(actor()):
        owned = licenses.owned(actor().member, license_id)
        update = updates.plan(owned, query["version"])
        return {
            "from_version": owned.license.installed_version, "to_version": update.version.number, "state": "edited" if update.copy.is_edited else "untouched",
            "files": [
                {
                    "path": one.path, "needs_choice": one.needs_choice, "options": one.options, "mine_sha256": payload.digest(one.mine),
                    "base_sha256": payload.digest(one.base) if one.base is not None else None,
                    "new_sha256": payload.digest(one.new) if one.new is not None else None,
                }
                for one in update.changes
            ],
        }  # fmt: skip


@blp.post("/licenses/<uuid:license_id>/update")
@blp.arguments(UpdateIn)
@blp.response(200, CopyOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def update_app(update_in: dict[str, Any], license_id: uuid.UUID) -> dict[str, Any]:
    """Put another version in. An untouched copy just goes along; an edited one as chosen: `choice_needed` lists the files that both sides have changed."""
    acting = actor()
    choices = {one["path"]: one["choice"] for one in update_in["choices"]}
    with transaction(acting):
        draft = updates.begin(licenses.owned(acting.member, license_id), update_in["version"], choices, writer(acting))
    found = checking.findings(draft.kind, draft.bundle, Limits.of(settings())) if draft.bundle is not None else []
    with transaction(acting):
        copy = updates.finish(acting.member, draft, found, writer(acting))
        return _copy(licenses.owned(acting.member, license_id), copy)
