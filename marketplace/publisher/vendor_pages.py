"""The name that we ourselves offer listings under. A new installation has none before somebody of finance gives it."""

from collections.abc import Mapping

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import ValidationError, fields, validate
from sqlalchemy import select

from billing.finance.finance_blueprint import finance
from core import audit, clock
from core.access import requires
from core.actor import actor
from core.db import db, transaction
from core.schemas import Form
from marketplace.publisher import publishers
from marketplace.publisher.draft_pages import beside
from membership.entity_models import LegalEntity


class VendorForm(Form):
    """The two names."""

    name_zh = fields.String(required=True, validate=validate.Length(2, 60, error=_l("2 to 60 characters.")))
    name_en = fields.String(required=True, validate=validate.Length(2, 120, error=_l("2 to 120 characters.")))


@finance.route("/publisher", methods=["GET", "POST"])
@requires("finance")
def name_vendor() -> ResponseReturnValue:
    """Ask for the name, and keep it; once there is one, on to what it is for."""
    with transaction(actor()):
        is_named = publishers.find_vendor() is not None
    if request.method == "GET":
        return _to_bundles() if is_named else ask_for_a_name()
    try:
        said = VendorForm().load({name: value.strip() for name, value in request.form.items()})
    except ValidationError as error:
        return ask_for_a_name(request.form, beside(error)), 422
    with transaction(actor()):
        if publishers.name_vendor(**said):
            audit.record("publisher.named", publishers.VENDOR, at=clock.now(), after=said)
            flash(_("The store shows this name with what we offer."), "success")
    return _to_bundles()


def ask_for_a_name(given: Mapping[str, str] | None = None, errors: Mapping[str, str] | None = None) -> str:
    """The page that says that we have no name in the store yet; it proposes the company's."""
    with transaction(actor()):
        company = db.session.scalars(select(LegalEntity).order_by(LegalEntity.id).limit(1)).one_or_none()
        proposed = {"name_zh": company.name, "name_en": company.name_en or ""} if company else {}
    return render_template("finance/vendor.html", form=given or proposed, errors=errors)


def _to_bundles() -> ResponseReturnValue:
    return redirect(url_for("finance.new_vendor_bundle"), 303)
