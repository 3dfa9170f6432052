"""Finance's page of subscription prices: what is in force, what is scheduled, and scheduling a change after seeing what it does."""

import re
from datetime import datetime
from typing import Any

from flask import current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import ValidationError, fields, validate

from billing.finance.finance_blueprint import finance
from billing.ledger import ledger_queries
from billing.subscription import price_changes
from billing.subscription.price_changes import Change
from billing.wallet.wallet_schemas import Money, errors_of
from core import typed
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.schemas import Form
from membership import catalogue, taxes

PERIODS = ("month", "quarter", "year", "once", "maintenance")
PERIOD_NAMES = {
    "month": _l("Monthly"), "quarter": _l("Quarterly"), "year": _l("Yearly"), "once": _l("Licence, once"), "maintenance": _l("Maintenance, a year"),
}  # fmt: skip


BELOW_MOST = validate.Range(max=10**14, max_inclusive=False, error=_l("Enter an amount like 1,000.00."))  # minor units; times many seats still a bigint


def _day(text: str) -> None:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", typed.date(text)):
        raise ValidationError(_("Write the day as 2026-06-30."))


class PriceForm(Form):
    """A price from a day on; amounts in major units, as people write them."""

    edition = fields.String(required=True, validate=validate.Regexp(r"^[^/]{1,40}/[0-9]{1,2}$", error=_l("Choose an edition.")))
    period = fields.String(required=True, validate=validate.OneOf(PERIODS))
    currency = fields.String(load_default="")
    base = Money(required=True, allow_zero=True, validate=BELOW_MOST)
    seat = Money(required=True, allow_zero=True, validate=BELOW_MOST)
    valid_from = fields.String(required=True, validate=_day)


class WithdrawalForm(Form):
    """Which scheduled price is taken back."""

    edition = fields.String(required=True, validate=validate.Regexp(r"^[^/]{1,40}/[0-9]{1,2}$", error=_l("Choose an edition.")))
    period = fields.String(required=True, validate=validate.OneOf(PERIODS))
    currency = fields.String(required=True)
    valid_from = fields.AwareDateTime(required=True)


def _change(form: dict[str, Any]) -> Change:
    entity = ledger_queries.entity_for(form["currency"] or None)
    line, rank = form["edition"].rsplit("/", 1)
    day = ledger_queries.parse_instant(form["valid_from"], entity, end=False, field="valid_from")
    return Change(line, int(rank), entity.currency, form["period"], day, form["base"], form["seat"], taxes.prices_exclude_tax(entity.currency, day))


@finance.get("/prices")
@requires("finance")
def list_prices() -> ResponseReturnValue:
    """Prices in force, and those to come."""
    return _list()


def _list(errors: dict[str, Any] | None = None, status: int = 200) -> ResponseReturnValue:
    at = now()
    with transaction(actor()):
        in_force, scheduled = price_changes.listed(at)
        return render_template(
            "finance/prices.html", at=at, in_force=in_force, scheduled=scheduled, periods=PERIOD_NAMES, editions=catalogue.all_editions(), errors=errors,
            lines={line.code: line for line in catalogue.product_lines()}, days=current_app.extensions["settings"].price_change_notice_days,
        ), status  # fmt: skip


@finance.get("/prices/new")
@requires("finance")
def new_price() -> ResponseReturnValue:
    """Choose an edition, a day and a price; with them all, see what it would do."""
    if "valid_from" not in request.args:
        return _form(request.args.to_dict())
    try:
        form = PriceForm().load(request.args.to_dict())
        with transaction(actor()):
            change = _change(form)
            price_changes.check(change, at=now())
            effect = price_changes.effect(change)
    except ValidationError as error:
        return _form(request.args.to_dict(), errors=errors_of(error), status=422)
    except AppError as error:
        return _form(request.args.to_dict(), errors=error.fields or {"edition": error.detail}, status=error.status)
    return _form(request.args.to_dict(), change=change, effect=effect)


@finance.post("/prices")
@requires("finance")
def create_price() -> ResponseReturnValue:
    """Schedule it."""
    try:
        form = PriceForm().load(request.form.to_dict())
        with transaction(actor()):
            price_changes.schedule(_change(form), at=now())
    except ValidationError as error:
        return _form(request.form.to_dict(), errors=errors_of(error), status=422)
    except AppError as error:
        return _form(request.form.to_dict(), errors=error.fields or {"edition": error.detail}, status=error.status)
    flash(_("The price is scheduled. Members are told before their renewal."), "success")
    return redirect(url_for("finance.list_prices"), 303)


@finance.post("/prices/withdrawal")
@requires("finance")
def withdraw_price() -> ResponseReturnValue:
    """Take a scheduled price back, while nobody knows of it."""
    try:
        form = WithdrawalForm().load(request.form.to_dict())
        line, rank = form["edition"].rsplit("/", 1)
        valid_from: datetime = form["valid_from"]
        with transaction(actor()):
            price_changes.withdraw(line, int(rank), form["currency"], form["period"], valid_from, at=now())
    except ValidationError as error:
        return _list(dict(errors_of(error)), 422)
    except AppError as error:
        return _list({"valid_from": error.detail}, error.status)
    flash(_("The price is taken back."), "success")
    return redirect(url_for("finance.list_prices"), 303)


def _form(form: dict[str, Any], *, change: Change | None = None, effect: Any = None, errors: Any = None, status: int = 200) -> ResponseReturnValue:
    with transaction(actor()):
        names = {line.code: line for line in catalogue.product_lines()}
        entities = ledger_queries.entities()
        page = render_template(
            "finance/price_new.html", form=form, change=change, effect=effect, errors=errors, periods=PERIOD_NAMES, entities=entities, lines=names,
            editions=catalogue.all_editions(), days=current_app.extensions["settings"].price_change_notice_days, at=now(),
            entity=next((one for one in entities if change and one.currency == change.currency), entities[0] if entities else None),
        )  # fmt: skip
    return page, status
