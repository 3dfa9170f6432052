"""A publisher's pages for its own new listings: the form, its draft, the submission; and its API keys."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import Schema, ValidationError
from sqlalchemy import select

from core import audit, clock
from core.access import requires
from core.actor import actor
from core.db import transaction
from core.errors import AppError
from core.formats import minor
from marketplace.checks import jobs
from marketplace.publisher import drafts
from marketplace.publisher.draft_schemas import KINDS_TO_DRAFT, ListingDraftForm, PublisherKeyForm
from marketplace.release import term_sheets
from marketplace.store.listing_models import Listing
from marketplace.store.listings import CATEGORIES, KINDS
from membership import api_keys, catalogue
from membership.models import ApiKey

publishing_pages = Blueprint("publishing", __name__)


def publisher_id() -> uuid.UUID:
    """The acting publisher's id, where a route admits publishers only."""
    found = actor().publisher_id
    assert found is not None, "only publishers act here"
    return found


@publishing_pages.get("/publisher/new")
@requires("publisher")
def new_listing() -> ResponseReturnValue:
    """The form for a new listing."""
    return _form({}, None)


@publishing_pages.post("/publisher/new")
@requires("publisher")
def create_listing() -> ResponseReturnValue:
    """Keep a new listing as a draft."""
    try:
        wanted = _load(ListingDraftForm())
        with transaction(actor()):
            listing = drafts.create(publisher_id(), wanted, at=clock.now())
    except (ValidationError, AppError) as error:
        return _form(request.form, beside(error)), status_of(error)
    flash(_("The draft is kept. Hand in its first version, then submit it."), "success")
    return redirect(url_for("publisher.show_listing", slug=listing.slug), 303)


@publishing_pages.get("/publisher/<slug>/draft")
@requires("publisher")
def edit_listing(slug: str) -> ResponseReturnValue:
    """A draft in its form."""
    with transaction(actor()):
        listing = drafts.find_draft(publisher_id(), slug)
    if listing.kind in term_sheets.KINDS:
        return redirect(url_for("publishing.edit_service" if listing.kind == term_sheets.SERVICE else "publishing.edit_bundle", slug=slug))
    return _form(_as_form(listing), None, listing)


@publishing_pages.post("/publisher/<slug>/draft")
@requires("publisher")
def change_listing(slug: str) -> ResponseReturnValue:
    """Keep what was changed in a draft."""
    with transaction(actor()):
        listing = drafts.find_draft(publisher_id(), slug)
    try:
        changes = _load(ListingDraftForm(exclude=drafts.FIXED))
        with transaction(actor()):
            drafts.change(publisher_id(), slug, changes, at=clock.now())
    except (ValidationError, AppError) as error:
        return _form(request.form, beside(error), listing), status_of(error)
    flash(_("The draft is kept."), "success")
    return redirect(url_for("publisher.show_listing", slug=slug), 303)


@publishing_pages.post("/publisher/<slug>/submission")
@requires("publisher")
def submit_listing(slug: str) -> ResponseReturnValue:
    """Hand a draft to the reviewers; what it lacks is said on its page."""
    try:
        with transaction(actor()):
            listing = drafts.submit(publisher_id(), slug, at=clock.now())
            unchecked = [one.number for one in drafts.versions(listing) if one.state == "draft"]
    except drafts.NotComplete as error:
        flash(" ".join(error.fields.values()), "danger")
    else:
        for number in unchecked:
            jobs.enqueue(listing.id, number)
        flash(_("The listing is with the reviewers. You are answered within two days."), "success")
    return redirect(url_for("publisher.show_listing", slug=slug), 303)


@publishing_pages.get("/publisher/keys")
@requires("publisher")
def list_keys() -> ResponseReturnValue:
    """The publisher's API keys."""
    return _keys({}, None)


@publishing_pages.post("/publisher/keys")
@requires("publisher")
def create_key() -> ResponseReturnValue:
    """Make a key; its secret is shown once, on the next page."""
    at, acting = clock.now(), actor()
    try:
        name = PublisherKeyForm().load(request.form.to_dict())["name"]
    except ValidationError as error:
        return _keys(request.form, error.messages_dict), 422
    with transaction(acting):
        key, secret = api_keys.create(name, "publisher", None, at=at, created_by=acting.user_id, publisher_id=publisher_id())
        audit.record("api_key.create", key.prefix, at=at, after={"name": name, "role": "publisher"})
    return _keys({}, None, secret), 201


@publishing_pages.post("/publisher/keys/<uuid:key_id>/revocation")
@requires("publisher")
def revoke_key(key_id: uuid.UUID) -> ResponseReturnValue:
    """End a key; the database shows a publisher its own alone."""
    at = clock.now()
    with transaction(actor()):
        key = api_keys.revoke(key_id, at=at)
        audit.record("api_key.revoke", key.prefix, at=at)
    flash(_("The key %(prefix)s… is revoked. It stops working within five seconds.", prefix=key.prefix), "success")
    return redirect(url_for("publishing.list_keys"), 303)


def _keys(form: Mapping[str, Any], errors: Mapping[str, Any] | None, fresh: str | None = None) -> str:
    with transaction(actor()) as session:
        rows = session.scalars(
            select(ApiKey).where(ApiKey.publisher_id == publisher_id(), ApiKey.revoked_at.is_(None)).order_by(ApiKey.created_at.desc())
        ).all()
    return render_template("publisher/keys.html", rows=rows, form=form, errors=errors, fresh=fresh, host=request.host_url.rstrip("/"))


def _form(form: Mapping[str, Any], errors: Mapping[str, str] | None, listing: Listing | None = None) -> str:
    with transaction(actor()):
        lines, editions = catalogue.product_lines(), catalogue.all_editions()
        currency = listing.currency if listing else drafts.currency()
    ranks = sorted({rank for _line, rank in editions})
    return render_template(
        "publisher/draft.html", form=form, errors=errors, listing=listing, lines=lines, ranks=ranks, editions=editions, currency=currency,
        kinds={code: KINDS[code] for code in KINDS_TO_DRAFT}, categories=CATEGORIES,
    )  # fmt: skip


def _load(schema: Schema) -> dict[str, Any]:
    wanted: dict[str, Any] = schema.load(request.form.to_dict())
    wanted["price_minor"] = wanted.pop("price")
    return wanted


def _as_form(listing: Listing) -> dict[str, Any]:
    kept = {name: getattr(listing, name) for name in (*drafts.DEFAULTS, "category", "name_zh", "name_en", "slug", "kind")}
    steps, features = "\n".join(" ".join(step) for step in listing.automates["steps"]), " ".join(listing.required_features)
    return kept | {"price": minor(listing.price_minor, listing.currency), "automates": steps, "required_features": features}


def beside(error: ValidationError | AppError) -> dict[str, str]:
    """A sentence for each field of the form."""
    if isinstance(error, AppError):
        if error.status in (403, 404):
            raise error
        return {"price" if name == "price_minor" else name: said for name, said in error.fields.items()} or {"": error.detail}
    return {str(name): first_of(said) for name, said in error.messages_dict.items()}


def first_of(said: Any) -> str:
    """The first sentence of marshmallow's, however deep in a list of lists."""
    while not isinstance(said, str):
        said = next(iter(said.values() if isinstance(said, dict) else said), "") if isinstance(said, (dict, list)) else str(said)
    return said


def status_of(error: ValidationError | AppError) -> int:
    """The status of a page that shows the form again."""
    return error.status if isinstance(error, AppError) else 422
