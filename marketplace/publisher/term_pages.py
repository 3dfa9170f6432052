"""A publisher's pages for what it offers without a file: services here, bundles in `bundle_pages`. Every button works without scripts."""

from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from core import clock
from core.access import requires
from core.actor import actor
from core.db import transaction
from core.errors import AppError
from core.formats import minor
from marketplace.checks import jobs
from marketplace.publisher import drafts, term_changes
from marketplace.publisher.draft_pages import beside, first_of, publisher_id, publishing_pages, status_of
from marketplace.publisher.term_schemas import BLANK, COLUMNS, Row, ServiceTermsForm, is_blank, rows_of
from marketplace.release import term_sheets
from marketplace.release.version_models import ListingVersion
from marketplace.service import service_offerings
from marketplace.store.listing_models import Listing
from marketplace.store.listings import CATEGORIES

BEGINS_WITH = 2  # rows of milestones


@publishing_pages.get("/publisher/new/service")
@requires("publisher")
def new_service() -> ResponseReturnValue:
    """The form for a new service."""
    with transaction(actor()):
        service_offerings.check_partner(term_changes.seller(publisher_id()))
    return _form({}, [dict(BLANK) for _n in range(BEGINS_WITH)], None)


@publishing_pages.post("/publisher/new/service")
@requires("publisher")
def create_service() -> ResponseReturnValue:
    """Add a row, take one out, or keep a new service as a draft."""
    form, rows, is_kept = _sent()
    if not is_kept:
        return _form(form, rows, None)
    try:
        said = _load(form, rows, is_new=True)[0]
        with transaction(actor()):
            listing = term_changes.begin_service(publisher_id(), said, at=clock.now())
    except (ValidationError, AppError) as error:
        return _form(form, rows, None, errors=_beside(error)), status_of(error)
    flash(_("The draft is kept. Submit it when it is complete."), "success")
    return redirect(url_for("publisher.show_listing", slug=listing.slug), 303)


@publishing_pages.get("/publisher/<slug>/service")
@requires("publisher")
def edit_service(slug: str) -> ResponseReturnValue:
    """What a service offers, in its form; while a change waits for its answer, that version."""
    with transaction(actor()):
        listing = term_changes.find(publisher_id(), slug, term_sheets.SERVICE)
        if waiting := term_changes.waiting(term_changes.versions(listing)):
            return to_waiting(listing, waiting)
        sheet = term_changes.proposed(listing)
    rows = [_as_row(one, listing.currency) for one in sheet["milestones"]]
    return _form(sheet, rows, listing)


@publishing_pages.post("/publisher/<slug>/service")
@requires("publisher")
def change_service(slug: str) -> ResponseReturnValue:
    """Keep what was changed in a draft; hand in what was changed of a service on sale."""
    with transaction(actor()):
        listing = term_changes.find(publisher_id(), slug, term_sheets.SERVICE)
    form, rows, is_kept = _sent()
    if not is_kept:
        return _form(form, rows, listing)
    try:
        said, notes = _load(form, rows, is_new=False)
        with transaction(actor()):
            version = term_changes.keep(publisher_id(), slug, said, notes, actor().name, at=clock.now())
    except (ValidationError, AppError) as error:
        return _form(form, rows, listing, errors=_beside(error)), status_of(error)
    return kept(listing, version)


def kept(listing: Listing, version: ListingVersion | None) -> ResponseReturnValue:
    """After a form was kept: back to the listing, or to the version that is checked now."""
    if version is None:
        flash(_("The draft is kept."), "success")
        return redirect(url_for("publisher.show_listing", slug=listing.slug), 303)
    jobs.enqueue(version.listing_id, version.number)
    flash(_("The change is handed in as version %(number)s. What is on sale stays as it is until a reviewer agrees.", number=version.number), "success")
    return redirect(url_for("publisher.show_version", slug=listing.slug, number=version.number), 303)


def to_waiting(listing: Listing, version: ListingVersion) -> ResponseReturnValue:
    """To the version that waits: one change at a time."""
    flash(_("This change waits for its answer. Take it back to write another one."), "info")
    return redirect(url_for("publisher.show_version", slug=listing.slug, number=version.number))


def _sent() -> tuple[dict[str, str], list[Row], bool]:
    """The form, its rows after a button for rows was pressed, and whether it is to be kept."""
    form, rows = request.form.to_dict(), rows_of(request.form)
    do, _dash, which = form.get("do", "").partition("-")
    if do == "add" and len(rows) < service_offerings.MOST_MILESTONES:
        rows.append(dict(BLANK))
    elif do == "remove" and which.isdecimal() and 0 < int(which[:3]) <= len(rows):
        rows.pop(int(which[:3]) - 1)
    elif do not in ("add", "remove"):
        return form, [row for row in rows if not is_blank(row)], True
    return form, rows, False


def _load(form: Mapping[str, str], rows: list[Row], *, is_new: bool) -> tuple[dict[str, Any], term_changes.Notes]:
    """What is offered, and what is new about it. Raises ValidationError."""
    milestones = [{COLUMNS[column]: value for column, value in row.items()} for row in rows]
    said = ServiceTermsForm(exclude=() if is_new else ("slug",)).load({**form, "milestones": milestones})
    return said, (said.pop("notes_zh"), said.pop("notes_en"))


def _as_row(one: Mapping[str, Any], currency: str) -> Row:
    return {"zh": one["name_zh"], "en": one["name_en"], "amount": minor(one["amount_minor"], currency), "days": str(one["days"])}


def _beside(error: ValidationError | AppError) -> dict[str, str]:
    """A sentence for each field; those of milestones beside their row."""
    found = beside(error)
    milestones = error.messages_dict.get("milestones") if isinstance(error, ValidationError) else None
    if not isinstance(milestones, dict):
        return found
    del found["milestones"]
    column_of = {name: column for column, name in COLUMNS.items()}
    for n, wrong in sorted(milestones.items()):
        found |= {f"step_{column_of[name]}_{n + 1}": first_of(said) for name, said in wrong.items()}
    return found


def _form(form: Mapping[str, Any], rows: list[Row], listing: Listing | None, *, errors: Mapping[str, str] | None = None) -> str:
    with transaction(actor()):
        currency = listing.currency if listing else drafts.currency()
    return render_template(
        "publisher/service_terms.html", form=form, rows=rows or [dict(BLANK)], listing=listing, errors=errors, currency=currency, categories=CATEGORIES,
        most=service_offerings.MOST_MILESTONES, added=len(rows) if form.get("do") == "add" else None,
        is_change=listing is not None and listing.state != "draft",
    )  # fmt: skip
