"""Reporting a review, and the reviewer's decision on it."""

import uuid

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import ValidationError, fields, validate

from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.schemas import Form
from marketplace.store import listings, review_reports

review_reports_pages = Blueprint("review_reports", __name__)
REASONS = {
    "abuse": _l("It insults or threatens"),
    "advertising": _l("It is advertising"),
    "private_data": _l("It shows private data"),
    "off_topic": _l("It is about something else"),
    "untrue": _l("It says what is not true"),
}


class ReportForm(Form):
    """Why a reader reports a review."""

    reason = fields.String(required=True, validate=validate.OneOf(REASONS, error=_l("Choose a reason.")), error_messages={"required": _l("Choose a reason.")})
    note = fields.String(load_default="", validate=validate.Length(max=500, error=_l("At most 500 characters.")))


class DecisionForm(Form):
    """What the reviewer decides, and why."""

    decision = fields.String(required=True, validate=validate.OneOf(("hide", "keep")))
    reason = fields.String(
        required=True,
        error_messages={"required": _l("Say why, in 5 to 500 characters.")},
        validate=validate.Length(5, 500, error=_l("Say why, in 5 to 500 characters.")),
    )


@review_reports_pages.app_template_filter("report_reason")
def report_reason(code: str) -> str:
    """A reason in words."""
    return str(REASONS.get(code, code))


@review_reports_pages.route("/store/<slug>/reviews/<uuid:review_id>/report", methods=["GET", "POST"])
@requires(*MEMBERS)
def report(slug: str, review_id: uuid.UUID) -> ResponseReturnValue:
    """Say what is wrong with a review; a reviewer decides."""
    acting, form, errors = actor(), request.form.to_dict(), None
    if request.method == "POST":
        try:
            asked = ReportForm().load(form)
        except ValidationError as error:
            errors = error.messages
        else:
            with transaction(acting):
                listing = listings.find_on_show(slug).listing
                is_new = review_reports.report(acting.member, listing.id, review_id, asked["reason"], asked["note"], at=now())
            flash(_("Thank you. A reviewer will read it.") if is_new else _("Your report is waiting for a reviewer already."), "success" if is_new else "info")
            return redirect(url_for("store.show_listing", slug=slug, _anchor="reviews"))
    with transaction(acting):
        shown = listings.find_on_show(slug)
        review = review_reports.reportable(acting.member, shown.listing.id, review_id)
        page = render_template("storefront/report.html", listing=shown.listing, review=review, reasons=REASONS, form=form, errors=errors)
    return page, 422 if errors else 200


@review_reports_pages.get("/review/reports")
@requires("reviewer", "operator")
def list_reports() -> ResponseReturnValue:
    """Reported reviews that wait for a decision."""
    with transaction(actor()):
        return render_template("review/reports.html", waiting=review_reports.waiting())


@review_reports_pages.route("/review/reports/<slug>/<uuid:review_id>", methods=["GET", "POST"])
@requires("reviewer", "operator")
def decide(slug: str, review_id: uuid.UUID) -> ResponseReturnValue:
    """One reported review: hide it or let it stand."""
    form, errors = request.form.to_dict(), None
    if request.method == "POST":
        try:
            asked = DecisionForm().load(form)
        except ValidationError as error:
            errors = error.messages
        else:
            hide = asked["decision"] == "hide"
            with transaction(actor()):
                review_reports.decide(slug, review_id, hide=hide, reason=asked["reason"], at=now())
            flash(_("The review is hidden, and its author has been told why.") if hide else _("The review stays."), "success")
            return redirect(url_for("review_reports.list_reports"))
    with transaction(actor()):
        page = render_template("review/report.html", one=review_reports.find_waiting(slug, review_id), form=form, errors=errors)
    return page, 422 if errors else 200
