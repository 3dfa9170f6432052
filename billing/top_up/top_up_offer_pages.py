"""Finance makes, schedules and ends top-up offers; their use is beside them."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError
from sqlalchemy import select

from billing.finance.finance_blueprint import finance
from billing.ledger import ledger_queries
from billing.ledger.ledger_queries import Entity
from billing.top_up import top_up_offers
from billing.top_up.top_up_models import TopUpOffer
from billing.top_up.top_up_offer_schemas import TopUpOfferEndForm, TopUpOfferForm, steps_of
from billing.top_up.top_up_offers import TIERS_MOST, Wanted
from billing.wallet.wallet_schemas import errors_of
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.ids import new_id
from core.paging import Page, keyset


@finance.get("/top-up-offers")
@requires("finance")
def list_top_up_offers() -> ResponseReturnValue:
    """All offers, the latest first, with their state and use."""
    at = now()
    with transaction(actor()) as session:
        page: Page[TopUpOffer] = keyset(session, select(TopUpOffer), [TopUpOffer.starts_at, TopUpOffer.id], request.args.get("after"))
        ids = [offer.id for offer in page.items]
        return render_template(
            "finance/top_up_offers.html", page=page, tiers=top_up_offers.tiers_of(ids), use=top_up_offers.use_of(ids), at=at,
            state=lambda offer: top_up_offers.state(offer, at=at), entity=ledger_queries.entity_for(None),
        )  # fmt: skip


@finance.get("/top-up-offers/new")
@requires("finance")
def new_top_up_offer() -> ResponseReturnValue:
    """The form of a new offer."""
    return _form({"id": str(new_id()), "bonus_days": "90", "priority": "0"})


def _form(form: Mapping[str, Any], *, errors: Mapping[str, Any] | None = None, status: int = 200) -> ResponseReturnValue:
    with transaction(actor()):
        entity = ledger_queries.entity_for(form.get("currency") or None)
    return render_template("finance/top_up_offers_new.html", form=form, errors=errors, entity=entity, steps=range(1, TIERS_MOST + 1)), status


@finance.post("/top-up-offers")
@requires("finance")
def create_top_up_offer() -> ResponseReturnValue:
    """Write an offer down; sent twice it is one."""
    form, at = request.form.to_dict(), now()
    try:
        with transaction(actor()):
            offer = top_up_offers.create(_wanted(form, ledger_queries.entity_for(form.get("currency") or None)), at=at)
    except ValidationError as error:
        return _form(form, errors=errors_of(error), status=422)
    except AppError as error:
        fields = {"from_1" if name == "tiers" else name: words for name, words in error.fields.items()}
        return _form(form, errors=fields or {"_form": error.detail}, status=error.status)
    flash(
        _("The offer “%(name)s” is scheduled.", name=offer.name_zh) if offer.starts_at > at else _("The offer “%(name)s” is running.", name=offer.name_zh),
        "success",
    )
    return redirect(url_for("finance.list_top_up_offers"), 303)


def _wanted(form: dict[str, str], entity: Entity) -> Wanted:
    """What the form asks for. Raises ValidationError with everything that is wrong, Invalid (instants)."""
    wrong: dict[str, Any] = {}
    read: dict[str, Any] = {}
    steps: tuple[tuple[int, int], ...] = ()
    try:
        read = TopUpOfferForm().load(form)
    except ValidationError as error:
        wrong |= errors_of(error)
    try:
        steps = steps_of(form)
    except ValidationError as error:
        wrong |= errors_of(error)
    if wrong:
        raise ValidationError(wrong)
    starts = ledger_queries.parse_instant(read["starts_at"], entity, end=False, field="starts_at") if read["starts_at"].strip() else None
    ends = ledger_queries.parse_instant(read["ends_at"], entity, end=True, field="ends_at") + ledger_queries.TICK if read["ends_at"].strip() else None
    return Wanted(
        read["id"],
        read["name_zh"].strip(),
        read["name_en"].strip(),
        entity.currency,
        steps,
        read["bonus_days"],
        starts,
        ends,
        read["first_only"],
        read["priority"],
    )


@finance.get("/top-up-offers/<uuid:offer_id>")
@requires("finance")
def show_top_up_offer(offer_id: uuid.UUID) -> ResponseReturnValue:
    """One offer: its steps and what became of it."""
    return _show(offer_id)


def _show(offer_id: uuid.UUID, *, errors: Mapping[str, Any] | None = None, status: int = 200) -> ResponseReturnValue:
    at = now()
    with transaction(actor()):
        offer = top_up_offers.show(offer_id)
        page = render_template(
            "finance/top_up_offer.html", offer=offer, tiers=top_up_offers.tiers_of([offer_id])[offer_id], use=top_up_offers.use_of([offer_id])[offer_id],
            state=top_up_offers.state(offer, at=at), errors=errors, form=request.form, entity=ledger_queries.entity_for(offer.currency),
        )  # fmt: skip
    return page, status


@finance.post("/top-up-offers/<uuid:offer_id>/end")
@requires("finance")
def end_top_up_offer(offer_id: uuid.UUID) -> ResponseReturnValue:
    """Promise it no more."""
    try:
        reason = TopUpOfferEndForm().load(request.form.to_dict())["reason"].strip()
        with transaction(actor()):
            offer = top_up_offers.end(offer_id, reason, at=now())
    except ValidationError as error:
        return _show(offer_id, errors=errors_of(error), status=422)
    except top_up_offers.OfferOver as error:
        return _show(offer_id, errors={"_form": error.detail}, status=error.status)
    flash(_("The offer “%(name)s” has ended. What was promised stays promised.", name=offer.name_zh), "success")
    return redirect(url_for("finance.show_top_up_offer", offer_id=offer_id), 303)
