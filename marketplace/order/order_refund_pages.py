"""Refunding an order: finance's page and its JSON. It hangs on the finance console, whose room does not know orders."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.approval import approvals
from billing.approval.approval_models import Approval
from billing.approval.approval_pages import outcome
from billing.finance.finance_blueprint import finance
from billing.refund.refund_schemas import ApprovalOut, OrderRefundForm, OrderRefundIn
from billing.wallet.wallet_schemas import errors_of
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError, Invalid, NotFound
from core.ids import new_id
from core.openapi import Blueprint
from core.schemas import fails
from marketplace.order import order_refunds
from membership.models import Member

blp = Blueprint("order_refunds_api", __name__, url_prefix="/api/v1", description="Refunds of purchases")


@finance.get("/orders/<uuid:member_id>/<uuid:order_id>/refund")
@requires("finance")
def new_order_refund(member_id: uuid.UUID, order_id: uuid.UUID) -> ResponseReturnValue:
    """What of an order can be given back, where it came from, and the form to do it."""
    return _form(member_id, order_id, {"id": str(new_id()), "by": "all"})


def _form(member_id: uuid.UUID, order_id: uuid.UUID, form: Mapping[str, Any], *, errors: Any = None, status: int = 200) -> ResponseReturnValue:
    with transaction(actor()) as session:
        found = order_refunds.find(member_id, order_id)
        return render_template(
            "finance/order_refund.html", found=found, member=session.get_one(Member, member_id), given=order_refunds.of_order(member_id, order_id),
            partner=order_refunds.sold_by_partner(found.listing), form=form, errors=errors, reasons=approvals.REASONS,
        ), status  # fmt: skip


@finance.post("/orders/<uuid:member_id>/<uuid:order_id>/refunds")
@requires("finance")
def create_order_refund(member_id: uuid.UUID, order_id: uuid.UUID) -> ResponseReturnValue:
    """Give it back, or leave it to a second person."""
    try:
        form = OrderRefundForm().load(request.form.to_dict() | _without_empty())
        with transaction(actor()):
            amount = _wanted(order_refunds.find(member_id, order_id), form)
            one = order_refunds.propose(
                member_id, order_id, form["id"], amount, form["licence"], form["reason_code"], form["reason"], actor(), at=now()
            )  # fmt: skip
    except ValidationError as error:
        return _form(member_id, order_id, request.form, errors=errors_of(error), status=422)
    except NotFound:
        raise
    except AppError as error:
        return _form(member_id, order_id, request.form, errors=error.fields or {"_form": error.detail}, status=error.status)
    return outcome(one, url_for("finance.new_order_refund", member_id=member_id, order_id=order_id))


def _without_empty() -> dict[str, Any]:
    return {name: None for name in ("amount", "percent") if not request.form.get(name, "").strip()}


def _wanted(found: order_refunds.Refundable, form: Mapping[str, Any]) -> int:
    """The amount that the form asks for: given, in percent of the price, or all that is left."""
    if form["by"] == "all":
        return found.open_minor
    if form["by"] == "percent":
        if form["percent"] is None:
            raise Invalid(_("Enter how many percent of the price."), field="percent")
        return order_refunds.portion(found.order, int(form["percent"] * 100))
    if form["amount"] is None:
        raise Invalid(_("Enter an amount above zero."), field="amount")
    return int(form["amount"])


@blp.post("/finance/members/<uuid:member_id>/orders/<uuid:order_id>/refunds")
@blp.arguments(OrderRefundIn)
@blp.response(201, ApprovalOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("finance")
def create_refund(refund_in: dict[str, Any], member_id: uuid.UUID, order_id: uuid.UUID) -> Approval:
    """Give back a part of an order to the grants that paid: booked at once up to the limit, `proposed` above it."""
    with transaction(actor()):
        return order_refunds.propose(
            member_id, order_id, refund_in["id"], refund_in["amount_minor"], refund_in["licence"], refund_in["reason_code"], refund_in["reason"],
            actor(), at=now(),
        )  # fmt: skip
