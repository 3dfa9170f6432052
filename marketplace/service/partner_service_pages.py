"""A partner's pages of services, and the desk where ours decide what is disputed."""

import uuid

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import ValidationError, fields, validate

from billing.wallet.wallet_schemas import Money
from core import formats
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import SYSTEM, transaction
from core.errors import AppError, Invalid, NotFound
from marketplace.service import service_decisions, service_lists, services
from marketplace.service.service_schemas import NoteForm, ReasonForm
from membership.models import Member

partner_services = Blueprint("partner_services", __name__)


class DecisionForm(ReasonForm):
    """How much of a disputed milestone is paid, and why."""

    by = fields.String(load_default="", validate=validate.OneOf(["all", "nothing", "amount"], error=_l("Choose how much is paid.")))
    amount = Money(load_default=None, allow_none=True)


def _own(member_id: uuid.UUID, service_id: uuid.UUID) -> services.Shown:
    """An order of this partner, as the partner's database role sees it. Raises NotFound."""
    with transaction(actor()):
        return services.show(member_id, service_id)


@partner_services.get("/publisher/services")
@requires("publisher")
def list_services() -> ResponseReturnValue:
    """What members ordered, and what has to be delivered next."""
    acting = actor()
    with transaction(acting):
        return render_template("publisher/services.html", rows=service_lists.of_partner(acting.publisher))


@partner_services.get("/publisher/services/<uuid:member_id>/<uuid:service_id>")
@requires("publisher")
def show_service(member_id: uuid.UUID, service_id: uuid.UUID) -> ResponseReturnValue:
    """One order: what the member wants, milestones with their dates, and every step."""
    return render_template("publisher/service.html", shown=_own(member_id, service_id))


@partner_services.route("/publisher/services/<uuid:member_id>/<uuid:service_id>/milestones/<int:position>/delivery", methods=["GET", "POST"])
@requires("publisher")
def deliver(member_id: uuid.UUID, service_id: uuid.UUID, position: int) -> ResponseReturnValue:
    """Say that a milestone is done, and how to see it."""
    shown, form, errors = _own(member_id, service_id), request.form.to_dict(), None
    one = services.milestone_of(shown, position)
    if request.method == "POST":
        try:
            asked = NoteForm().load(form)
        except ValidationError as error:
            errors = error.messages
        else:
            with transaction(SYSTEM):  # a partner may read its orders, not write them; whose it is was asked above
                services.deliver(member_id, service_id, position, asked["note"], at=now())
            flash(_("Delivered. The member has been told and accepts it, or says what is wrong."), "success")
            return redirect(url_for("partner_services.show_service", member_id=member_id, service_id=service_id))
    return render_template("publisher/delivery.html", shown=shown, one=one, form=form, errors=errors), 422 if errors else 200


@partner_services.route("/publisher/services/<uuid:member_id>/<uuid:service_id>/cancellation", methods=["GET", "POST"])
@requires("publisher")
def cancel(member_id: uuid.UUID, service_id: uuid.UUID) -> ResponseReturnValue:
    """Give an order back: what was not delivered is the member's again."""
    shown, form, errors = _own(member_id, service_id), request.form.to_dict(), None
    back = url_for("partner_services.show_service", member_id=member_id, service_id=service_id)
    if request.method == "POST":
        try:
            asked = ReasonForm().load(form)
        except ValidationError as error:
            errors = error.messages
        else:
            with transaction(SYSTEM):
                returned = services.cancel(member_id, service_id, services.check_reason(asked["reason"]), at=now())
            flash(_("Cancelled: %(amount)s went back to the member.", amount=formats.money(returned, shown.order.currency)), "success")
            return redirect(back)
    page = render_template("services/cancel.html", shown=shown, form=form, errors=errors, back=back, layout="layout/staff.html")
    return page, 422 if errors else 200


@partner_services.get("/services/disputes")
@requires("finance", "reviewer")
def list_disputes() -> ResponseReturnValue:
    """Milestones that wait for a decision."""
    with transaction(actor()) as session:
        rows = [(one, order, session.get_one(Member, order.member_id)) for one, order in service_decisions.disputed()]
        return render_template("services/disputes.html", rows=rows)


@partner_services.route("/services/disputes/<uuid:member_id>/<uuid:service_id>/<int:position>", methods=["GET", "POST"])
@requires("finance", "reviewer")
def decide(member_id: uuid.UUID, service_id: uuid.UUID, position: int) -> ResponseReturnValue:
    """One dispute: how much is paid, how much goes back, and why."""
    form, errors, status = request.form.to_dict(), None, 200
    if request.method == "POST":
        try:
            asked = DecisionForm().load({**form, "amount": form.get("amount") or None})
            with transaction(actor()):
                whole = services.milestone_of(services.show(member_id, service_id), position).amount_minor
                paid = {"all": whole, "nothing": 0}.get(asked["by"], asked["amount"])
                if paid is None:
                    raise Invalid(_("Enter an amount above zero."), field="amount")
                service_decisions.decide(member_id, service_id, position, paid, asked["reason"], at=now())
            flash(_("Decided. Member and partner see it with your reason."), "success")
            return redirect(url_for("partner_services.list_disputes"))
        except ValidationError as error:
            errors, status = error.messages, 422
        except NotFound:
            raise
        except AppError as error:
            errors, status = error.fields or {"_form": error.detail}, error.status
    with transaction(actor()) as session:
        shown = services.show(member_id, service_id)
        page = render_template(
            "services/decision.html", shown=shown, one=services.milestone_of(shown, position), member=session.get_one(Member, member_id), form=form,
            errors=errors,
        )  # fmt: skip
    return page, status
