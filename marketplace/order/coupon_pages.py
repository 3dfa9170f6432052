"""Finance makes and ends coupons, on pages and as JSON. They hang on the finance console, whose room does not know the store."""

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
from billing.wallet.wallet_schemas import errors_of
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.formats import local
from core.ids import new_id
from core.openapi import Blueprint
from core.paging import Page, keyset
from core.schemas import PageQuery, fails, page_of
from marketplace.order import coupons
from marketplace.order.coupon_models import Coupon
from marketplace.order.coupon_schemas import CouponEndForm, CouponEndIn, CouponForm, CouponIn, CouponOut
from marketplace.publisher.publisher_models import Publisher

blp = Blueprint("coupons_api", __name__, url_prefix="/api/v1", description="Coupons of the store")


@finance.get("/coupons")
@requires("finance")
def list_coupons() -> ResponseReturnValue:
    """All coupons, the latest first, with their state and use."""
    at = now()
    with transaction(actor()) as session:
        page: Page[Coupon] = keyset(session, coupons.all_of(), [Coupon.created_at, Coupon.id], request.args.get("after"))
        return render_template(
            "finance/coupons.html", page=page, use=coupons.use_of([one.id for one in page.items]), scopes=coupons.scope_names(page.items),
            state=lambda coupon: coupons.state(coupon, at=at), entity=ledger_queries.entity_for(None), at=at,
        )  # fmt: skip


@finance.get("/coupons/new")
@requires("finance")
def new_coupon() -> ResponseReturnValue:
    """The form of a new coupon."""
    return _form({"id": str(new_id())})


def _form(form: Mapping[str, Any], *, errors: Mapping[str, Any] | None = None, status: int = 200) -> ResponseReturnValue:
    with transaction(actor()) as session:
        entity = ledger_queries.entity_for(form.get("currency") or None)
        publishers = session.scalars(select(Publisher).order_by(Publisher.code)).all()
        return render_template(
            "finance/coupons_new.html", form=form, errors=errors, entity=entity, publishers=[(one.code, local(one)) for one in publishers]
        ), status


@finance.post("/coupons")
@requires("finance")
def create_coupon() -> ResponseReturnValue:
    """Write a coupon down; sent twice it is one."""
    form, at = request.form.to_dict(), now()
    try:
        with transaction(actor()):
            coupon = coupons.create(_wanted(CouponForm().load(form), ledger_queries.entity_for(form.get("currency") or None)), at=at)
    except ValidationError as error:
        return _form(form, errors=errors_of(error), status=422)
    except AppError as error:
        return _form(form, errors=error.fields or {"_form": error.detail}, status=error.status)
    flash(_("The coupon %(code)s is there.", code=coupon.code), "success")
    return redirect(url_for("finance.show_coupon", coupon_id=coupon.id), 303)


def _wanted(read: Mapping[str, Any], entity: Entity) -> coupons.Wanted:
    """What the form asks for. Raises Invalid (instants)."""
    starts = ledger_queries.parse_instant(read["starts_at"], entity, end=False, field="starts_at") if read["starts_at"] else None
    ends = ledger_queries.parse_instant(read["ends_at"], entity, end=True, field="ends_at") + ledger_queries.TICK if read["ends_at"] else None
    percent = None if read["percent"] is None else int(read["percent"] * 100)
    return coupons.Wanted(
        read["id"], read["code"], entity.currency, percent, read["amount"], starts, ends, read["most_uses"], read["first_only"], read["listing"],
        read["publisher"],
    )  # fmt: skip


@finance.get("/coupons/<uuid:coupon_id>")
@requires("finance")
def show_coupon(coupon_id: uuid.UUID) -> ResponseReturnValue:
    """One coupon: what it takes off, for what, and what became of it."""
    return _show(coupon_id)


def _show(coupon_id: uuid.UUID, *, errors: Mapping[str, Any] | None = None, status: int = 200) -> ResponseReturnValue:
    at = now()
    with transaction(actor()):
        coupon = coupons.show(coupon_id)
        page = render_template(
            "finance/coupon.html", coupon=coupon, use=coupons.use_of([coupon_id])[coupon_id], scope=coupons.scope_names([coupon]).get(coupon_id),
            state=coupons.state(coupon, at=at), errors=errors, form=request.form, entity=ledger_queries.entity_for(coupon.currency),
        )  # fmt: skip
    return page, status


@finance.post("/coupons/<uuid:coupon_id>/end")
@requires("finance")
def end_coupon(coupon_id: uuid.UUID) -> ResponseReturnValue:
    """It lowers nothing any more."""
    try:
        reason = CouponEndForm().load(request.form.to_dict())["reason"]
        with transaction(actor()):
            coupon = coupons.end(coupon_id, reason, at=now())
    except ValidationError as error:
        return _show(coupon_id, errors=errors_of(error), status=422)
    except coupons.CouponOver as error:
        return _show(coupon_id, errors={"_form": error.detail}, status=error.status)
    flash(_("The coupon %(code)s has ended. Orders keep what they got.", code=coupon.code), "success")
    return redirect(url_for("finance.show_coupon", coupon_id=coupon_id), 303)


_SAME = (
    "id", "code", "currency", "percent_bp", "amount_minor", "starts_at", "ends_at", "most_uses", "uses", "first_only", "listing_id", "publisher_id"
)  # fmt: skip


def _out(found: list[Coupon]) -> list[dict[str, Any]]:
    use, at = coupons.use_of([one.id for one in found]), now()
    return [
        {name: getattr(one, name) for name in _SAME}
        | {"state": coupons.state(one, at=at), "discount_minor": use[one.id].discount_minor, "sold_minor": use[one.id].sold_minor}
        for one in found
    ]


@blp.get("/finance/coupons")
@blp.arguments(PageQuery, location="query")
@blp.response(200, page_of(CouponOut))
@fails(blp, 400, 401, 403, 422)
@requires("finance", "operator")
def list_coupons_api(query: dict[str, Any]) -> dict[str, Any]:
    """All coupons, the latest first, with what became of them."""
    with transaction(actor()) as session:
        page: Page[Coupon] = keyset(session, coupons.all_of(), [Coupon.created_at, Coupon.id], query["after"], query["limit"])
        return {"items": _out(page.items), "next": page.next}


@blp.post("/finance/coupons")
@blp.arguments(CouponIn)
@blp.response(201, CouponOut)
@fails(blp, 401, 403, 409, 422)
@requires("finance")
def create_coupon_api(coupon_in: dict[str, Any]) -> dict[str, Any]:
    """Make a coupon; the same id again is the same coupon."""
    with transaction(actor()):
        return _out([coupons.create(coupons.Wanted(**coupon_in), at=now())])[0]


@blp.post("/finance/coupons/<uuid:coupon_id>/end")
@blp.arguments(CouponEndIn)
@blp.response(200, CouponOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("finance")
def end_coupon_api(end_in: dict[str, Any], coupon_id: uuid.UUID) -> dict[str, Any]:
    """End a coupon; orders keep what they got."""
    with transaction(actor()):
        return _out([coupons.end(coupon_id, end_in["reason"], at=now())])[0]
