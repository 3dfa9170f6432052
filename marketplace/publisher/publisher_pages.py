"""A publisher's pages: its listings with their sales, new versions, answers to reviews."""

import uuid
from datetime import timedelta

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError
from sqlalchemy import select

from core.access import requires
from core.actor import Actor, actor
from core.clock import now
from core.db import SYSTEM, db, transaction
from core.errors import AppError, NotFound
from marketplace.checks import jobs, records, words
from marketplace.license import installs
from marketplace.order import bundle_terms
from marketplace.publisher import drafts, publishers
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import lifecycle, submissions, term_sheets
from marketplace.release.version_models import ListingVersion
from marketplace.run import runs
from marketplace.store import reviews
from marketplace.store.listing_models import Listing
from marketplace.store.listings import version_key
from marketplace.store.store_schemas import AnswerForm, VersionForm

publisher = Blueprint("publisher", __name__)
publisher.add_app_template_filter(records.findings_of, "check_findings")
publisher.context_processor(words.for_templates)


def _publisher_id(acting: Actor) -> uuid.UUID:
    assert acting.publisher_id is not None, "only publishers act here"
    return acting.publisher_id


@publisher.get("/publisher")
@requires("publisher")
def list_listings() -> ResponseReturnValue:
    """The publisher's listings and what they bring in."""
    acting = actor()
    with transaction(acting) as session:
        rows = publishers.sales(_publisher_id(acting))
        return render_template("publisher/listings.html", rows=rows, me=session.get(Publisher, acting.publisher_id))


@publisher.get("/publisher/<slug>")
@requires("publisher")
def show_listing(slug: str) -> ResponseReturnValue:
    """One listing: versions and their state, the form for a new one, reviews to answer."""
    return _page(slug)


def _page(slug: str, *, errors: object = None, form: dict[str, str] | None = None, status: int = 200) -> ResponseReturnValue:
    acting = actor()
    with transaction(acting):
        listing = publishers.own_listing(_publisher_id(acting), slug)
        sold = publishers.sales_of([listing])[0]
        is_installed = listing.kind not in term_sheets.KINDS
        versions = sorted(_versions(listing), key=lambda one: version_key(one.number), reverse=True)
        page = render_template(
            "publisher/listing.html", listing=listing, sold=sold, versions=versions, reviews=reviews.of_listing(listing.id), errors=errors,
            form=form or {}, limit_mb=submissions.MAX_ZIP >> 20, promise_days=submissions.PROMISE.days, checks=records.of_many(versions),
            installed=installs.figures(listing) if is_installed else None, missing=drafts.missing(listing, versions),
            ran=runs.figures(listing.id, now() - timedelta(days=30)) if is_installed else None, shares=bundle_terms.of_listing(listing, at=now()),
        )  # fmt: skip
    return page, status


def _versions(listing: Listing) -> list[ListingVersion]:
    return list(db.session.scalars(select(ListingVersion).where(ListingVersion.listing_id == listing.id)))


@publisher.post("/publisher/<slug>/versions")
@requires("publisher")
def submit_version(slug: str) -> ResponseReturnValue:
    """Hand in a new version: checked at once for structure and manifest, then it waits for a reviewer."""
    acting, upload = actor(), request.files.get("bundle")
    try:
        form = VersionForm().load(request.form.to_dict())
        if not (form["notes_zh"] or form["notes_en"]):
            raise ValidationError({"notes_zh": [_("Say what is new, in one language at least.")]})
        if upload is None or not upload.filename:
            raise ValidationError({"bundle": [_("Choose the bundle's zip file.")]})
        content = upload.stream.read(submissions.MAX_ZIP + 1)
        with transaction(acting):
            listing = publishers.own_listing(_publisher_id(acting), slug)
            version = submissions.submit(listing, content, form["notes_zh"], form["notes_en"], acting.name, at=now())
    except ValidationError as error:
        return _page(slug, errors=error.messages, form=request.form.to_dict(), status=422)
    except AppError as error:
        if error.status == 404:
            raise
        return _page(slug, errors=error.fields, form=request.form.to_dict(), status=error.status)
    jobs.enqueue(version.listing_id, version.number)
    flash(_("Version %(number)s is handed in; its checks have begun.", number=version.number), "success")
    return redirect(url_for("publisher.show_version", slug=slug, number=version.number))


@publisher.get("/publisher/<slug>/versions/<number>")
@requires("publisher")
def show_version(slug: str, number: str) -> ResponseReturnValue:
    """One version: its checks as they end, what they found, and every step it took."""
    with transaction(actor()):
        version, listing = _own_version(slug, number)
        checks = records.of(version)
        return render_template(
            "publisher/version.html", version=version, listing=listing, checks=checks, history=lifecycle.history(version),
            progress=words.progress(version.state, checks), due_at=version.created_at + submissions.PROMISE,
            shares=bundle_terms.of_sheet(term_sheets.sheet_of(version), at=now()),
        )  # fmt: skip


@publisher.get("/publisher/<slug>/versions/<number>/progress")
@requires("publisher")
def show_progress(slug: str, number: str) -> ResponseReturnValue:
    """How far the checks are, for the page that waits."""
    with transaction(actor()):
        version, _listing = _own_version(slug, number)
        told = words.progress(version.state, records.of(version))
    return jsonify(text=told.text, percent=told.percent, done=told.done)


@publisher.post("/publisher/<slug>/versions/<number>/withdrawal")
@requires("publisher")
def withdraw_version(slug: str, number: str) -> ResponseReturnValue:
    """Take back a version that is not released; its number stays used."""
    acting = actor()
    with transaction(acting):
        version, listing = _own_version(slug, number)
        key = (listing.id, version.number)
    with transaction(SYSTEM) as session:  # a publisher may not write versions; whose it is was asked above
        again = session.get(ListingVersion, key, with_for_update=True, populate_existing=True)
        assert again is not None
        lifecycle.move_version(again, "withdraw", at=now())
    flash(_("Version %(number)s is taken back. Its number stays used.", number=number), "success")
    return redirect(url_for("publisher.show_version", slug=slug, number=number))


def _own_version(slug: str, number: str) -> tuple[ListingVersion, Listing]:
    acting = actor()
    listing = publishers.own_listing(_publisher_id(acting), slug)
    version = db.session.get(ListingVersion, (listing.id, number))
    if version is None:
        raise NotFound(_("There is no such version."))
    return version, listing


@publisher.post("/publisher/<slug>/reviews/<uuid:review_id>/answer")
@requires("publisher")
def answer_review(slug: str, review_id: uuid.UUID) -> ResponseReturnValue:
    """Answer a review in public."""
    acting = actor()
    try:
        form = AnswerForm().load(request.form.to_dict())
    except ValidationError as error:
        return _page(slug, errors={f"text-{review_id}": error.messages_dict["text"]}, status=422)
    with transaction(acting):
        reviews.answer(publishers.own_listing(_publisher_id(acting), slug), review_id, form["text"], at=now())
    flash(_("Your answer stands below the review."), "success")
    return redirect(url_for("publisher.show_listing", slug=slug, _anchor="reviews"))
