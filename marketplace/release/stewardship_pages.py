"""Pages of listings in any state, for reviewers: their versions, their steps, and what may be done with them."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import db, transaction
from core.errors import AppError
from marketplace.checks import words
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import lifecycle, stewardship
from marketplace.store.listing_models import Listing
from marketplace.store.store_schemas import ListingStepForm, VersionStepForm

stewardship_pages = Blueprint("stewardship", __name__)
stewardship_pages.context_processor(words.for_templates)


@stewardship_pages.get("/review/listings")
@requires("reviewer", "operator")
def list_listings() -> ResponseReturnValue:
    """Every listing and its state."""
    with transaction(actor()):
        return render_template("review/listings.html", listings=stewardship.all_listings())


@stewardship_pages.get("/review/listings/<slug>")
@requires("reviewer", "operator")
def show_listing(slug: str) -> ResponseReturnValue:
    """One listing: its state, its versions, every step it took."""
    return _page(slug)


def _page(slug: str, *, errors: object = None, form: dict[str, str] | None = None, status: int = 200) -> ResponseReturnValue:
    with transaction(actor()):
        listing = stewardship.find(slug)
        versions = stewardship.versions(listing)
        page = render_template(
            "review/listing.html", listing=listing, versions=versions, history=lifecycle.listing_history(listing), possible=stewardship.possible(listing),
            possible_for={one.number: stewardship.possible_for(one) for one in versions}, publisher=db.session.get(Publisher, listing.publisher_id),
            replacement=db.session.get(Listing, listing.replacement_id) if listing.replacement_id else None, errors=errors, form=form or {},
        )  # fmt: skip
    return page, status


@stewardship_pages.post("/review/listings/<slug>/steps")
@requires("reviewer", "operator")
def act_on_listing(slug: str) -> ResponseReturnValue:
    """Deprecate, reinstate, archive, quarantine or lift that."""
    try:
        form = ListingStepForm().load(request.form.to_dict())
        with transaction(actor()):
            stewardship.act_on_listing(slug, form["action"], form["reason"], form["replacement"], at=now())
    except ValidationError as error:
        return _page(slug, errors=error.messages, form=request.form.to_dict(), status=422)
    except AppError as error:
        if not error.fields:
            raise
        return _page(slug, errors=error.fields, form=request.form.to_dict(), status=error.status)
    flash(_("%(slug)s: %(step)s.", slug=slug, step=words.said(words.STEPS[form["action"]])), "success")
    return redirect(url_for("stewardship.show_listing", slug=slug))


@stewardship_pages.post("/review/listings/<slug>/versions/<number>/steps")
@requires("reviewer", "operator")
def act_on_version(slug: str, number: str) -> ResponseReturnValue:
    """Withdraw a release, quarantine it or lift that."""
    try:
        form = VersionStepForm().load(request.form.to_dict())
    except ValidationError as error:
        messages = {f"{name}-{number}": said for name, said in error.messages_dict.items()}
        return _page(slug, errors=messages, form={f"reason-{number}": request.form.get("reason", "")}, status=422)
    with transaction(actor()):
        stewardship.act_on_version(slug, number, form["action"], form["reason"], at=now())
    flash(_("%(slug)s: %(step)s.", slug=f"{slug} {number}", step=words.said(words.STEPS[form["action"]])), "success")
    return redirect(url_for("stewardship.show_listing", slug=slug))
