"""Seats on the app's page: who holds one, give and take back, more of them and fewer."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from marshmallow import ValidationError, fields

from billing.wallet import balances
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.formats import money
from core.ids import new_id
from core.navigation import url_if
from core.schemas import Form
from marketplace.license import app_pages, licenses
from marketplace.seat import seat_orders, seats

seat_pages = Blueprint("seats", __name__)
_NUMBER = {"required": _l("Enter a number of seats."), "invalid": _l("Enter a number of seats.")}


class HolderForm(Form):
    """Who gets a seat: a person of the team, or a machine's key."""

    holder = fields.UUID(required=True, error_messages={"required": _l("Choose who gets the seat."), "invalid_uuid": _l("Choose who gets the seat.")})


class FewerForm(Form):
    """How many seats the licence has from the next term on."""

    fewer = fields.Integer(required=True, error_messages=_NUMBER)


class CountForm(Form):
    """How many seats are to be added, in the address of the confirmation."""

    seats = fields.Integer(load_default=1, error_messages=_NUMBER)


class MoreForm(Form):
    """How many seats are added; in the confirmation with the id that makes it happen once, and the charge that was shown."""

    seats = fields.Integer(required=True, error_messages=_NUMBER)
    id = fields.UUID(required=True)
    price_minor = fields.Integer(required=True)


@seat_pages.post("/apps/<uuid:license_id>/seats")
@requires("owner", "buyer")
def assign(license_id: uuid.UUID) -> ResponseReturnValue:
    """Give somebody a seat."""
    acting = actor()
    try:
        form = HolderForm().load(request.form.to_dict())
        with transaction(acting):
            seats.assign(acting.member, license_id, form["holder"], at=now(), by=acting.user_id)
    except ValidationError as error:
        return app_pages.page(license_id, errors=error.messages, form=request.form.to_dict(), status=422)
    except AppError as error:
        return _refused(license_id, error, "holder")
    flash(_("The seat is given."), "success")
    return _back(license_id)


@seat_pages.post("/apps/<uuid:license_id>/seats/<uuid:holder_id>/release")
@requires("owner", "buyer")
def release(license_id: uuid.UUID, holder_id: uuid.UUID) -> ResponseReturnValue:
    """Take a seat back."""
    acting = actor()
    with transaction(acting):
        seats.release(acting.member, license_id, holder_id, at=now(), by=acting.user_id)
    flash(_("The seat is free again."), "success")
    return _back(license_id)


@seat_pages.post("/apps/<uuid:license_id>/seats/fewer")
@requires("owner", "buyer")
def lower(license_id: uuid.UUID) -> ResponseReturnValue:
    """Fewer seats from the next term on."""
    acting = actor()
    try:
        wanted = FewerForm().load(request.form.to_dict())["fewer"]
        with transaction(acting):
            license = seat_orders.lower(acting.member, license_id, wanted, at=now())
    except ValidationError as error:
        return app_pages.page(license_id, errors=error.messages_dict, form=request.form.to_dict(), status=422)
    except AppError as error:
        return _refused(license_id, error, "fewer")
    if license.next_seats is None:
        flash(_("The licence keeps its seats."), "success")
    else:
        flash(ngettext("From the next term on it has %(num)s seat.", "From the next term on it has %(num)s seats.", license.next_seats), "success")
    return _back(license_id)


@seat_pages.route("/apps/<uuid:license_id>/seats/more", methods=["GET", "POST"])
@requires("owner", "buyer")
def more(license_id: uuid.UUID) -> ResponseReturnValue:
    """One confirmation with the charge and the wallet before and after; sending it buys the seats."""
    if request.method == "GET":
        try:
            return _confirmation(license_id, CountForm().load(request.args.to_dict())["seats"])
        except ValidationError as error:
            return _confirmation(license_id, 1, errors=error.messages_dict, status=422)
    acting = actor()
    try:
        form = MoreForm().load(request.form.to_dict())
    except ValidationError as error:
        return _confirmation(license_id, 1, errors=error.messages_dict, status=422)
    try:
        with transaction(acting):
            order = seat_orders.add(acting.member, license_id, seat_orders.Wanted(**form), at=now(), placed_by=acting.user_id)
    except AppError as error:
        if error.status == 404:
            raise
        return _confirmation(license_id, form["seats"], failure=error, form_id=None if error.code == "id_reused" else form["id"], status=error.status)
    paid = money(order.total_minor, order.currency)
    flash(ngettext("%(num)s seat is added. %(paid)s was charged.", "%(num)s seats are added. %(paid)s was charged.", order.quantity, paid=paid), "success")
    return _back(license_id)


def _confirmation(
    license_id: uuid.UUID, count: int, *, errors: Mapping[str, Any] | None = None, failure: AppError | None = None, form_id: uuid.UUID | None = None,
    status: int = 200,
) -> ResponseReturnValue:  # fmt: skip
    acting, at = actor(), now()
    with transaction(acting):
        owned = licenses.owned(acting.member, license_id)
        try:
            found = seat_orders.preview(acting.member, license_id, count, at=at)
        except AppError as error:
            if error.status == 404:
                raise
            found, errors, status = None, errors or error.fields or None, error.status
            failure = failure or (None if errors else error)
        wallet = seat_orders.wallet_preview(found, at=at) if found else None
        balance = balances.balance(acting.member, owned.order.currency, at=at)
        page = render_template(
            "storefront/seats_more.html", owned=owned, listing=owned.listing, license=owned.license, found=found, preview=wallet, balance=balance, count=count,
            errors=errors, failure=failure, form_id=form_id or new_id(),
            top_up_url=_top_up_url(license_id, count, wallet.missing_minor) if wallet and wallet.missing_minor else None,
        )  # fmt: skip
    return page, status


def _top_up_url(license_id: uuid.UUID, count: int, missing_minor: int) -> str | None:
    """The top-up of what is missing, with the way back here."""
    back = url_for("seats.more", license_id=license_id, seats=count)
    return url_if("wallet.new_top_up", amount_minor=missing_minor, return_to=back) or url_if("wallet.show_wallet")


def _refused(license_id: uuid.UUID, error: AppError, field: str) -> ResponseReturnValue:
    """The app's page with what is wrong beside the field."""
    if error.status == 404:
        raise error
    return app_pages.page(license_id, errors={field: error.detail}, form=request.form.to_dict(), status=error.status)


def _back(license_id: uuid.UUID) -> ResponseReturnValue:
    return redirect(url_for("apps.show_app", license_id=license_id, _anchor="seats"), 303)
