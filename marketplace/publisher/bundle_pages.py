"""Bundles of listings: a publisher's own on its pages; those that hold what several publishers offer on finance's, because they share money out."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import defer

from billing.finance.finance_blueprint import finance
from core import clock
from core.access import requires
from core.actor import actor
from core.db import db, transaction
from core.errors import AppError, NotFound
from core.formats import minor
from marketplace.checks import jobs
from marketplace.order import bundle_terms
from marketplace.order.bundle_models import BundlePart
from marketplace.publisher import drafts, publishers, term_changes, vendor_pages
from marketplace.publisher.draft_pages import beside, publisher_id, publishing_pages, status_of
from marketplace.publisher.term_pages import kept, to_waiting
from marketplace.publisher.term_schemas import BundleTermsForm
from marketplace.release import term_sheets
from marketplace.store.listing_models import Listing
from marketplace.store.listings import CATEGORIES

Form = Mapping[str, Any]


def _vendor_id() -> uuid.UUID:
    found = publishers.find_vendor()
    if found is None:
        raise NotFound(_("There is no such publisher."))
    return found


@publishing_pages.route("/publisher/new/bundle", methods=["GET", "POST"])
@requires("publisher")
def new_bundle() -> ResponseReturnValue:
    """Put own listings together, and keep them as a draft."""
    return _new(publisher_id(), lambda slug: url_for("publisher.show_listing", slug=slug))


@publishing_pages.route("/publisher/<slug>/bundle", methods=["GET", "POST"])
@requires("publisher")
def edit_bundle(slug: str) -> ResponseReturnValue:
    """What a bundle offers: kept in a draft, handed in once it is on sale."""
    return _edit(publisher_id(), slug)


@finance.get("/bundles")
@requires("finance")
def list_bundles() -> ResponseReturnValue:
    """Our bundles in any state."""
    with transaction(actor()):
        counts = select(BundlePart.bundle_id, func.count().label("n")).group_by(BundlePart.bundle_id).subquery()
        query = select(Listing, counts.c.n).outerjoin(counts, counts.c.bundle_id == Listing.id).where(Listing.publisher_id == publishers.find_vendor())
        rows = db.session.execute(query.where(Listing.kind == term_sheets.BUNDLE).order_by(Listing.slug).options(defer(Listing.search))).all()
        return render_template("finance/bundles.html", rows=rows)


@finance.route("/bundles/new", methods=["GET", "POST"])
@requires("finance")
def new_vendor_bundle() -> ResponseReturnValue:
    """Put listings of any publishers together, and keep them as a draft of ours; before that we need a name to offer under."""
    with transaction(actor()):
        vendor = publishers.find_vendor()
    if vendor is None:
        return vendor_pages.ask_for_a_name()
    return _new(vendor, lambda slug: url_for("finance.edit_vendor_bundle", slug=slug))


@finance.route("/bundles/<slug>", methods=["GET", "POST"])
@requires("finance")
def edit_vendor_bundle(slug: str) -> ResponseReturnValue:
    """What one of our bundles offers, and how its price is shared out."""
    with transaction(actor()):
        vendor = _vendor_id()
    return _edit(vendor, slug)


@finance.post("/bundles/<slug>/submission")
@requires("finance")
def submit_vendor_bundle(slug: str) -> ResponseReturnValue:
    """Hand a draft of ours to the reviewers: who shares the money out does not put it on sale."""
    try:
        with transaction(actor()):
            listing = drafts.submit(_vendor_id(), slug, at=clock.now())
            unchecked = [one.number for one in drafts.versions(listing) if one.state == "draft"]
    except drafts.NotComplete as error:
        flash(" ".join(error.fields.values()), "danger")
    else:
        for number in unchecked:
            jobs.enqueue(listing.id, number)
        flash(_("The bundle is with the reviewers."), "success")
    return redirect(url_for("finance.edit_vendor_bundle", slug=slug), 303)


def _new(seller: uuid.UUID, place: Any) -> ResponseReturnValue:
    if request.method == "GET":
        return _page(seller, {}, [], None)
    form, chosen, is_kept = _sent()
    if not is_kept:
        return _page(seller, form, chosen, None)
    try:
        said, _notes = _load(form, chosen, is_new=True)
        with transaction(actor()):
            listing = term_changes.begin_bundle(seller, said, at=clock.now())
    except (ValidationError, AppError) as error:
        return _page(seller, form, chosen, None, errors=beside(error)), status_of(error)
    flash(_("The draft is kept. Submit it when it is complete."), "success")
    return redirect(place(listing.slug), 303)


def _edit(seller: uuid.UUID, slug: str) -> ResponseReturnValue:
    is_ours = actor().kind == "staff"
    with transaction(actor()):
        listing = term_changes.find(seller, slug, term_sheets.BUNDLE)
        waiting = term_changes.waiting(term_changes.versions(listing))
        sheet = term_sheets.sheet_of(waiting) or term_changes.proposed(listing)
    if request.method == "GET":
        if waiting and not is_ours:
            return to_waiting(listing, waiting)
        return _page(seller, {**sheet, "price": minor(sheet["price_minor"], listing.currency)}, sheet["parts"], listing)
    form, chosen, is_kept = _sent()
    if not is_kept:
        return _page(seller, form, chosen, listing)
    try:
        said, notes = _load(form, chosen, is_new=False)
        with transaction(actor()):
            version = term_changes.keep(seller, slug, said, notes, actor().name, at=clock.now())
    except (ValidationError, AppError) as error:
        return _page(seller, form, chosen, listing, errors=beside(error)), status_of(error)
    if not is_ours:
        return kept(listing, version)
    if version:
        jobs.enqueue(version.listing_id, version.number)
    flash(_("The change is with the reviewers.") if version else _("The draft is kept."), "success")
    return redirect(url_for("finance.edit_vendor_bundle", slug=slug), 303)


def _sent() -> tuple[dict[str, str], list[str], bool]:
    """The form, the parts chosen in it, and whether it is to be kept: else it is shown again, with other choices or with the shares worked out."""
    form = request.form.to_dict()
    chosen = list(dict.fromkeys(request.form.getlist("part")))[: bundle_terms.MOST_PARTS + 1]
    return form, chosen, form.get("do") not in ("find", "shares")


def _load(form: Form, chosen: Sequence[str], *, is_new: bool) -> tuple[dict[str, Any], term_changes.Notes]:
    """What is offered, and what is new about it. Raises ValidationError."""
    said = BundleTermsForm(exclude=() if is_new else ("slug",)).load({**form, "parts": list(chosen)})
    price, notes = said.pop("price"), (said.pop("notes_zh"), said.pop("notes_en"))
    return {**said, "price_minor": price}, notes


def _price(form: Form) -> int:
    """The price as far as it can be read; 0 while it cannot."""
    try:
        return int(BundleTermsForm(only=("price",)).load({"price": form.get("price", "")})["price"])
    except ValidationError:
        return 0


def _page(seller: uuid.UUID, form: Form, chosen: Sequence[str], listing: Listing | None, *, errors: Mapping[str, str] | None = None) -> str:
    at, is_ours = clock.now(), actor().kind == "staff"
    with transaction(actor()):
        publisher = term_changes.seller(seller)
        currency = listing.currency if listing else drafts.currency()
        shares = bundle_terms.shares(chosen, _price(form), at=at) if chosen else []
        known = term_changes.versions(listing) if listing else []
        return render_template(
            "publisher/bundle_terms.html", form=form, chosen=chosen, shares=shares, listing=listing, errors=errors, currency=currency, is_ours=is_ours,
            choice=bundle_terms.choice(publisher, currency, form.get("find", "").strip()[:60], chosen), categories=CATEGORIES, price=_price(form),
            is_change=listing is not None and listing.state != "draft", waiting=term_changes.waiting(known), versions=known,
            missing=drafts.missing(listing, known) if listing else {},
        )  # fmt: skip
