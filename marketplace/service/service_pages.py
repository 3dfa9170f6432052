"""A member's pages of services: partners, ordering, and the way of each milestone."""

import uuid
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import ValidationError

from billing.wallet import balances, wallets
from core import formats
from core.access import MEMBERS, STAFF, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError, NotFound
from core.ids import new_id
from core.navigation import url_if
from marketplace.partner import partners
from marketplace.service import service_lists, service_offerings, services
from marketplace.service.service_schemas import ReasonForm, ServiceForm
from marketplace.store import reviews
from marketplace.store.store_schemas import ReviewForm
from membership.models import Member

service_pages = Blueprint("services", __name__)
MILESTONE_WORDS = {
    "open": (_l("To be delivered"), ""), "delivered": (_l("Delivered"), "info"), "disputed": (_l("Disputed"), "danger"),
    "accepted": (_l("Accepted and paid"), "ok"),
    "decided": (_l("Decided"), "ok"), "released": (_l("Cancelled"), ""), "lapsed": (_l("Ended by its date"), "warn"),
}  # fmt: skip
ORDER_WORDS = {
    "running": (_l("Under way"), "info"), "completed": (_l("Completed"), "ok"), "cancelled": (_l("Cancelled"), ""), "lapsed": (_l("Ended by its date"), "warn"),
}  # fmt: skip
STEP_WORDS = {
    "order": _l("ordered, the price is held"), "deliver": _l("delivered"), "accept": _l("accepted and paid"), 
    "accept_silently": _l("accepted by silence and paid"),
    "dispute": _l("disputed"), "decide": _l("decided"), "release": _l("cancelled, money given back"), "lapse": _l("ended by its date, money given back"),
    "complete": _l("completed"), "cancel": _l("closed after a cancellation"),
}  # fmt: skip


@service_pages.app_context_processor
def words() -> dict[str, object]:
    """Words of states and steps, for all pages that show services."""
    return {"milestone_words": MILESTONE_WORDS, "service_words": ORDER_WORDS, "step_words": STEP_WORDS}


@service_pages.get("/partners")
@requires(*MEMBERS, *STAFF)
def list_partners() -> ResponseReturnValue:
    """Who can help, and how it went so far."""
    with transaction(actor()):
        return render_template("partners/list.html", partners=partners.directory())


@service_pages.get("/partners/<code>")
@requires(*MEMBERS, *STAFF)
def show_partner(code: str) -> ResponseReturnValue:
    """One partner: what it offers, what buyers say, and its record."""
    with transaction(actor()):
        partner = partners.find(code)
        return render_template("partners/show.html", partner=partner, said=reviews.of_publisher(partner.publisher.id))


@service_pages.get("/services")
@requires(*MEMBERS)
def list_services() -> ResponseReturnValue:
    """What the member has ordered."""
    acting = actor()
    with transaction(acting):
        return render_template("services/list.html", rows=service_lists.of_member(acting.member))


@service_pages.route("/store/<slug>/order", methods=["GET", "POST"])
@requires("owner", "buyer")
def order(slug: str) -> ResponseReturnValue:
    """What is held, how long, and what for; sending it orders."""
    if request.method == "GET":
        return _confirmation(slug, {"id": str(new_id()), "brief": ""})
    acting = actor()
    try:
        form = ServiceForm().load(request.form.to_dict())
        with transaction(acting):
            placed = services.place(acting.member, slug, services.Wanted(**form), at=now(), placed_by=acting.user_id)
    except ValidationError as error:
        return _confirmation(slug, request.form.to_dict(), errors=error.messages, status=422)
    except NotFound:
        raise
    except AppError as error:
        return _confirmation(slug, request.form.to_dict(), failure=error, status=error.status)
    flash(_("Ordered. The price is held until you accept each milestone; nothing has been taken."), "success")
    return redirect(url_for("services.show_service", service_id=placed.id))


def _confirmation(slug: str, form: dict[str, Any], *, errors: Any = None, failure: AppError | None = None, status: int = 200) -> ResponseReturnValue:
    acting, at = actor(), now()
    with transaction(acting):
        listing, publisher = service_offerings.find(slug)
        rate, parts = services.quote(acting.member, listing, publisher, at=at)
        balance = balances.balance(acting.member, listing.currency, at=at)
        missing = (
            int(failure.extra["missing_minor"]) if isinstance(failure, wallets.InsufficientFunds) else max(0, listing.price_minor - balance.available_minor)
        )
        page = render_template(
            "services/order.html", listing=listing, publisher=publisher, parts=parts, tax_minor=sum(part.tax_minor for part in parts), rate=rate,
            balance=balance, missing_minor=missing, ends=services.ends_of(at), form=form, errors=errors, failure=failure,
            top_up_url=url_if("wallet.new_top_up", amount_minor=missing, return_to=url_for("services.order", slug=slug)) if missing else None,
        )  # fmt: skip
    return page, status


@service_pages.get("/services/<uuid:service_id>")
@requires(*MEMBERS)
def show_service(service_id: uuid.UUID) -> ResponseReturnValue:
    """One order: what is held, paid and given back, each milestone, and every step."""
    return _order_page(service_id)


def _order_page(service_id: uuid.UUID, *, errors: Any = None, form: dict[str, str] | None = None, status: int = 200) -> ResponseReturnValue:
    acting = actor()
    with transaction(acting):
        shown, mine = services.show(acting.member, service_id), reviews.of_order(acting.member, service_id)
        values: dict[str, Any] = form or {"stars": mine.stars if mine else "", "text": mine.text if mine else ""}
        return render_template("services/show.html", shown=shown, mine=mine, form=values, errors=errors), status


@service_pages.post("/services/<uuid:service_id>/review")
@requires(*MEMBERS)
def rate(service_id: uuid.UUID) -> ResponseReturnValue:
    """Write or change what the member thinks of this order, shown under the organisation's name."""
    acting = actor()
    try:
        form = ReviewForm().load(request.form.to_dict())
    except ValidationError as error:
        return _order_page(service_id, errors=error.messages, form=request.form.to_dict(), status=422)
    with transaction(acting) as session:
        shown = services.show(acting.member, service_id)
        reviews.write_of_order(shown, form["stars"], form["text"], session.get_one(Member, acting.member).name, at=now())
    flash(_("Thank you. Your rating is on the service’s page."), "success")
    return redirect(url_for("services.show_service", service_id=service_id, _anchor="review"))


@service_pages.post("/services/<uuid:service_id>/milestones/<int:position>/acceptance")
@requires("owner", "buyer")
def accept(service_id: uuid.UUID, position: int) -> ResponseReturnValue:
    """Pay for what was delivered."""
    acting = actor()
    with transaction(acting):
        services.accept(acting.member, service_id, position, at=now())
        shown = services.show(acting.member, service_id)
    paid = next(one for one in shown.milestones if one.position == position)
    flash(_("Accepted: %(amount)s was paid from the money held.", amount=formats.money(paid.captured_minor, shown.order.currency)), "success")
    return redirect(url_for("services.show_service", service_id=service_id))


@service_pages.route("/services/<uuid:service_id>/milestones/<int:position>/dispute", methods=["GET", "POST"])
@requires("owner", "buyer")
def dispute(service_id: uuid.UUID, position: int) -> ResponseReturnValue:
    """Say what is wrong."""
    acting, form, errors = actor(), request.form.to_dict(), None
    if request.method == "POST":
        try:
            asked = ReasonForm().load(form)
        except ValidationError as error:
            errors = error.messages
        else:
            with transaction(acting):
                services.dispute(acting.member, service_id, position, services.check_reason(asked["reason"]), at=now())
            flash(_("Your objection is with us. Until we have decided, the money stays held."), "success")
            return redirect(url_for("services.show_service", service_id=service_id))
    with transaction(acting):
        shown = services.show(acting.member, service_id)
        page = render_template("services/dispute.html", shown=shown, one=services.milestone_of(shown, position), form=form, errors=errors)
    return page, 422 if errors else 200


@service_pages.route("/services/<uuid:service_id>/cancellation", methods=["GET", "POST"])
@requires("owner", "buyer")
def cancel(service_id: uuid.UUID) -> ResponseReturnValue:
    """End it: what was not delivered is given back."""
    acting, form, errors = actor(), request.form.to_dict(), None
    if request.method == "POST":
        try:
            asked = ReasonForm().load(form)
        except ValidationError as error:
            errors = error.messages
        else:
            with transaction(acting):
                returned = services.cancel(acting.member, service_id, services.check_reason(asked["reason"]), at=now())
                currency = services.show(acting.member, service_id).order.currency
            flash(_("Cancelled: %(amount)s is available again.", amount=formats.money(returned, currency)), "success")
            return redirect(url_for("services.show_service", service_id=service_id))
    with transaction(acting):
        shown = services.show(acting.member, service_id)
        back = url_for("services.show_service", service_id=service_id)
        page = render_template("services/cancel.html", shown=shown, form=form, errors=errors, back=back, layout="layout/customer.html")
    return page, 422 if errors else 200
