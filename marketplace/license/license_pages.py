"""Trials and terms of licences: begin a trial, let a licence end with its term, take that back."""

import uuid

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError, fields

from billing.wallet.wallet_schemas import Money
from core import formats
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import Invalid
from core.schemas import Form
from marketplace.license import app_pages, license_terms, trials
from marketplace.order import usage_charges

licenses_pages = Blueprint("licenses", __name__)


class TrialForm(Form):
    """A trial's id, made with the page: a double click is one trial."""

    id = fields.UUID(required=True)


@licenses_pages.post("/store/<slug>/trial")
@requires("owner", "buyer")
def start_trial(slug: str) -> ResponseReturnValue:
    """Begin a trial; nothing is charged."""
    acting = actor()
    try:
        form = TrialForm().load(request.form.to_dict())
    except ValidationError as error:
        raise Invalid(_("This form is out of date. Open the listing again."), field="id") from error
    with transaction(acting):
        license = trials.start(acting.member, slug, form["id"], at=now(), placed_by=acting.user_id)
    flash(_("Your trial runs until %(day)s. Nothing was charged.", day=formats.date(license.ends_at)), "success")
    return redirect(url_for("apps.show_app", license_id=license.id))


@licenses_pages.post("/apps/<uuid:license_id>/cancellation")
@requires("owner", "buyer")
def cancel(license_id: uuid.UUID) -> ResponseReturnValue:
    """Let it end with its term."""
    acting = actor()
    with transaction(acting):
        license = license_terms.cancel(acting.member, license_id, at=now())
    flash(_("It ends on %(day)s and is not charged again.", day=formats.date(license.ends_at)), "success")
    return redirect(url_for("apps.show_app", license_id=license_id, _anchor="term"))


class CapForm(Form):
    """What runs may cost in a calendar month."""

    monthly_cap_minor = Money(required=True)


@licenses_pages.post("/apps/<uuid:license_id>/cap")
@requires("owner")
def change_cap(license_id: uuid.UUID) -> ResponseReturnValue:
    """Approve another monthly limit of a price by use."""
    acting = actor()
    try:
        form = CapForm().load(request.form.to_dict())
        with transaction(acting):
            usage_charges.change_cap(acting.member, license_id, form["monthly_cap_minor"], at=now())
    except ValidationError as error:
        return app_pages.page(license_id, errors=error.messages, form=request.form.to_dict(), status=422)
    except Invalid as error:
        return app_pages.page(license_id, errors=error.fields, form=request.form.to_dict(), status=422)
    flash(_("The monthly limit is changed. It holds from the next run on."), "success")
    return redirect(url_for("apps.show_app", license_id=license_id, _anchor="cap"))


@licenses_pages.post("/apps/<uuid:license_id>/resumption")
@requires("owner", "buyer")
def resume(license_id: uuid.UUID) -> ResponseReturnValue:
    """Renew it after all."""
    acting = actor()
    with transaction(acting):
        license = license_terms.resume(acting.member, license_id)
    flash(_("It renews from the wallet on %(day)s.", day=formats.date(license.ends_at)), "success")
    return redirect(url_for("apps.show_app", license_id=license_id, _anchor="term"))
