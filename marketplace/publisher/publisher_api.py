"""Publishing for machines: draft listings, their versions with every check, and the submission. A key sees and changes its own publisher's things only."""

import uuid
from typing import Any

from flask import request
from flask_babel import gettext as _
from werkzeug.exceptions import UnsupportedMediaType

from core import paging
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import db, transaction
from core.errors import NotFound
from core.openapi import Blueprint
from core.schemas import PageQuery, fails, page_of
from marketplace.checks import jobs, pipeline, records, words
from marketplace.checks.findings import read
from marketplace.publisher import drafts, publishers
from marketplace.publisher.draft_schemas import CheckedVersionOut, ListingDraftFields, ListingDraftIn, NotesQuery, OwnListingDetailOut, OwnListingOut
from marketplace.release import submissions
from marketplace.release.lifecycle_models import VersionCheck
from marketplace.release.version_models import ListingVersion
from marketplace.store.listing_models import Listing

blp = Blueprint("publisher_api", __name__, url_prefix="/api/v1/publisher", description="Publishing: draft listings, versions and their checks")
ZIP = "application/zip"
_BUNDLE = {"type": "string", "format": "binary", "description": "The bundle; see the publisher's guide."}
_UPLOAD = {
    "required": True,
    "content": {
        ZIP: {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["bundle"],
                "properties": {"bundle": _BUNDLE, "notes_zh": {"type": "string", "maxLength": 2000}, "notes_en": {"type": "string", "maxLength": 2000}},
            }
        },
    },
}


def _publisher_id() -> uuid.UUID:
    found = actor().publisher_id
    assert found is not None, "only publishers act here"
    return found


@blp.get("/listings")
@blp.arguments(PageQuery, location="query")
@blp.response(200, page_of(OwnListingOut))
@fails(blp, 400, 403)
@requires("publisher")
def list_own(query: dict[str, Any]) -> paging.Page[Listing]:
    """Your listings in any state, by name."""
    with transaction(actor()) as session:
        return paging.keyset(session, drafts.own_statement(_publisher_id()), [Listing.slug], query["after"], query["limit"], descending=False)


@blp.post("/listings")
@blp.arguments(ListingDraftIn)
@blp.response(201, OwnListingOut)
@fails(blp, 403, 409)
@requires("publisher")
def create_listing(wanted: dict[str, Any]) -> Listing:
    """Begin a listing as a draft. Nobody but you and our reviewers sees it until it is on sale."""
    with transaction(actor()):
        return drafts.create(_publisher_id(), wanted, at=now())


@blp.get("/listings/<slug>")
@blp.response(200, OwnListingDetailOut)
@fails(blp, 403, 404)
@requires("publisher")
def show_own(slug: str) -> dict[str, Any]:
    """One of your listings, its versions, and what it still needs before it can be submitted."""
    with transaction(actor()):
        listing = publishers.own_listing(_publisher_id(), slug)
        known = drafts.versions(listing)
        return {"listing": listing, "versions": known, "missing": drafts.missing(listing, known)}


@blp.patch("/listings/<slug>")
@blp.arguments(ListingDraftFields(partial=True))
@blp.response(200, OwnListingOut)
@fails(blp, 403, 404, 409)
@requires("publisher")
def change_listing(changes: dict[str, Any], slug: str) -> Listing:
    """Change a draft: only what you send. What is on sale can't be changed here."""
    with transaction(actor()):
        return drafts.change(_publisher_id(), slug, changes, at=now())


@blp.post("/listings/<slug>/submission")
@blp.response(200, OwnListingOut)
@fails(blp, 403, 404, 409, 422)
@requires("publisher")
def submit_listing(slug: str) -> Listing:
    """Hand a complete draft to the reviewers. `errors` names each field that still lacks something, and `version` where none has passed its checks."""
    with transaction(actor()):
        return drafts.submit(_publisher_id(), slug, at=now())


@blp.post("/listings/<slug>/versions")
@blp.arguments(NotesQuery, location="query")
@blp.doc(requestBody=_UPLOAD)
@blp.response(202, CheckedVersionOut)
@blp.alt_response(200, schema=CheckedVersionOut, description="These very files were handed in under this number before")
@fails(blp, 400, 403, 404, 409, 413, 415)
@requires("publisher")
def create_version(query: dict[str, Any], slug: str) -> tuple[dict[str, Any], int]:
    """Hand in a version: as the zip alone, or as a form with `bundle` and the notes. A plainly wrong bundle is refused at once; the rest is checked by a job.

    Again with the same files is the same version; the same number with other files is refused.
    """
    content, notes = _upload(query)
    acting = actor()
    with transaction(acting):
        listing = publishers.own_listing(_publisher_id(), slug)
        version, is_new = submissions.submit_once(listing, content, notes["notes_zh"], notes["notes_en"], acting.name, at=now())
        told = _told(listing, version)
    if is_new:
        jobs.enqueue(version.listing_id, version.number)
    return told, 202 if is_new else 200


@blp.get("/listings/<slug>/versions/<number>")
@blp.response(200, CheckedVersionOut)
@fails(blp, 403, 404)
@requires("publisher")
def show_version(slug: str, number: str) -> dict[str, Any]:
    """A version and its checks, each as it ends: what was found, where, and how to mend it."""
    with transaction(actor()):
        listing = publishers.own_listing(_publisher_id(), slug)
        version = db.session.get(ListingVersion, (listing.id, number))
        if version is None:
            raise NotFound(_("There is no such version."))
        return _told(listing, version)


def _upload(query: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """The zip and the notes, from either form of the request; one byte more than is allowed is enough to see that it is too much."""
    if request.mimetype == ZIP:
        return request.stream.read(submissions.MAX_ZIP + 1), query
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType
    sent = request.files.get("bundle")
    if sent is None:
        raise submissions.SubmissionInvalid(_("Send the bundle's zip file."), field="bundle")
    wrong = NotesQuery().validate({name: value for name, value in request.form.items() if name in query})
    if wrong:
        raise submissions.SubmissionInvalid(next(iter(wrong.values()))[0], fields={name: said[0] for name, said in wrong.items()})
    return sent.stream.read(submissions.MAX_ZIP + 1), {name: request.form.get(name, query[name]) for name in query}


def _told(listing: Listing, version: ListingVersion) -> dict[str, Any]:
    checks = records.of(version)
    progress = words.progress(version.state, checks)
    return {"listing": listing.slug, "version": version, "progress": progress, "checks": [_check(one) for one in checks]}


def _check(row: VersionCheck) -> dict[str, Any]:
    return {
        "name": row.name, "title": words.said(words.CHECKS[row.name][0]), "state": row.state, "findings": records.findings_of(row),
        "advice": [read(one) for one in row.detail.get("advice", [])] if row.state != pipeline.WAITING else [], "started_at": row.started_at,
        "finished_at": row.finished_at,
    }  # fmt: skip
