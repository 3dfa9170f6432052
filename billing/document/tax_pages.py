"""Finance's settings of a legal entity: its tax rates by date, and what documents say about it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError
from sqlalchemy import select

from billing.document import document_pages
from billing.document.document_schemas import SellerForm, TaxRateForm, TaxRateRef
from billing.finance.finance_blueprint import finance
from billing.wallet.wallet_schemas import errors_of
from core import audit
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError, NotFound
from core.money import gross_of, tax_included
from membership import taxes
from membership.entity_models import LegalEntity

SELLER = ("name", "name_en", "tax_number", "address_zh", "address_en", "phone", "email", "invoice_grouping")


@finance.get("/legal-entities")
@requires("finance")
def show_legal_entities() -> ResponseReturnValue:
    """A legal entity with its rates and its details; `entity_id` says which, where there are several."""
    return _page()


@dataclass(frozen=True, slots=True)
class Sample:
    """What a price that begins on a day becomes; minor units."""

    stated_minor: int
    tax_minor: int
    paid_minor: int
    paid_before_minor: int  # for the same number, as prices are stated and taxed until then
    excludes_tax: bool


def _sample(form: dict[str, Any], at: datetime) -> Sample:
    """The sample of a new rate, and of the way in which prices are stated with it, beside what holds just before."""
    before = taxes.in_force(taxes.schedule_of(form["entity_id"]), taxes.begins_at(form["entity_id"], form["first_day"], at) - timedelta(microseconds=1))
    excludes = before.prices_exclude_tax if form["prices"] is None else form["prices"] == "exclude"
    stated = form["sample"]
    paid = gross_of(stated, form["rate"]) if excludes else stated
    return Sample(stated, tax_included(paid, form["rate"]), paid, gross_of(stated, before.rate_bp) if before.prices_exclude_tax else stated, excludes)


def _page(errors: dict[str, Any] | None = None, status: int = 200, sample: Sample | None = None) -> ResponseReturnValue:
    at = now()
    with transaction(actor()) as session:
        entities = session.scalars(select(LegalEntity).order_by(LegalEntity.currency, LegalEntity.id)).all()
        asked = request.values.get("entity_id", "")
        entity = next((one for one in entities if str(one.id) == asked), None) or next(iter(entities), None)
        schedule = taxes.schedule_of(entity.id) if entity else ()
    page = render_template(
        "finance/legal_entities.html", entities=entities, entity=entity, schedule=schedule, in_force=taxes.in_force(schedule, at) if schedule else None,
        since_ever=taxes.BEGINNING, at=at, errors=errors, sample=sample, given=request.form.to_dict(), groupings=document_pages.grouping_names(),
    )  # fmt: skip
    return page, status


@finance.post("/legal-entities/tax-rates")
@requires("finance")
def create_tax_rate() -> ResponseReturnValue:
    """Charge another rate from a day on, or state new prices another way; `step` preview shows what becomes of a sample price and sets nothing."""
    at = now()
    try:
        form = TaxRateForm().load(request.form.to_dict())
        if form["step"] == "preview":
            with transaction(actor()):
                sample = _sample(form, at)
            return _page(sample=sample)
        with transaction(actor()):
            before = taxes.in_force(taxes.schedule_of(form["entity_id"]), at)
            added = taxes.add_rate(
                form["entity_id"], form["first_day"], form["rate"], (form["rate_name_zh"], form["rate_name_en"]), at=at,
                prices_exclude_tax=None if form["prices"] is None else form["prices"] == "exclude",
            )  # fmt: skip
            after = {"rate_bp": added.rate_bp, "prices_exclude_tax": added.prices_exclude_tax, "valid_from": added.valid_from.isoformat()}
            was = {"rate_bp": before.rate_bp, "prices_exclude_tax": before.prices_exclude_tax}
            audit.record("tax_rate.add", form["entity_id"], at=at, before=was, after=after)
    except ValidationError as error:
        return _page(dict(errors_of(error)), 422)
    except NotFound:
        raise
    except AppError as error:
        return _page(error.fields, error.status)
    flash(_("The rate is set. It begins at midnight of the company's own calendar."), "success")
    return redirect(url_for("finance.show_legal_entities", entity_id=form["entity_id"]), 303)


@finance.post("/legal-entities/tax-rates/removal")
@requires("finance")
def remove_tax_rate() -> ResponseReturnValue:
    """Take a rate back that has not begun."""
    at = now()
    try:
        form = TaxRateRef().load(request.form.to_dict())
        with transaction(actor()):
            taxes.take_back(form["entity_id"], form["valid_from"], at=at)
            audit.record("tax_rate.remove", form["entity_id"], at=at, before={"valid_from": form["valid_from"].isoformat()})
    except ValidationError as error:
        return _page(dict(errors_of(error)), 422)
    except NotFound:
        raise
    except AppError as error:
        return _page(error.fields or {"_form": error.detail}, error.status)
    flash(_("The rate is taken back."), "success")
    return redirect(url_for("finance.show_legal_entities", entity_id=form["entity_id"]), 303)


@finance.post("/legal-entities/details")
@requires("finance")
def save_seller() -> ResponseReturnValue:
    """Let documents say something else about the company from now on."""
    at = now()
    try:
        form = SellerForm().load(request.form.to_dict())
        with transaction(actor()) as session:
            entity = session.get(LegalEntity, form["entity_id"], with_for_update=True)
            if entity is None:
                raise NotFound(_("There is no such legal entity."))
            before = {name: getattr(entity, name) for name in SELLER}
            for name in SELLER:
                setattr(entity, name, form[name])
            audit.record("legal_entity.update", entity.id, at=at, before=before, after={name: form[name] for name in SELLER})
    except ValidationError as error:
        return _page(dict(errors_of(error)), 422)
    flash(_("Saved. Documents made from now on say so; earlier ones stay as they are."), "success")
    return redirect(url_for("finance.show_legal_entities", entity_id=form["entity_id"]), 303)
