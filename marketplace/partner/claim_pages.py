"""Claims for money back: the buyer's pages, the publisher's and ours."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import ValidationError, fields, validate

from billing.wallet.wallet_schemas import Money, errors_of
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import SYSTEM, transaction
from core.errors import AppError, NotFound
from core.ids import new_id
from core.schemas import Form
from marketplace.order import order_refunds
from marketplace.partner import claims
from marketplace.partner.partner_models import RefundClaim
from marketplace.service.service_schemas import ReasonForm
from marketplace.service.services import check_reason
from membership.models import Member

claim_pages = Blueprint("claims", __name__)
CLAIM_WORDS = {
    "open": (_l("Waits for the publisher"), "info"), "escalated": (_l("Waits for us"), "warn"), "approving": (_l("Waits for a second person"), "info"),
    "accepted": (_l("Accepted"), "ok"), "rejected": (_l("Not accepted"), "danger"), "withdrawn": (_l("Taken back"), ""),
}  # fmt: skip


class ClaimForm(ReasonForm):
    """What a buyer asks for."""

    id = fields.UUID(required=True)
    amount = Money(required=True)


class AnswerForm(Form):
    """What publisher or finance decides."""

    decision = fields.String(required=True, validate=validate.OneOf(["accept", "refuse"], error=_l("Decide.")), error_messages={"required": _l("Decide.")})
    amount = Money(load_default=None, allow_none=True)
    licence = fields.String(load_default="", validate=validate.OneOf(["", "revoke", "keep"]))
    reason = fields.String(load_default="", validate=validate.Length(max=1000, error=_l("At most 1,000 characters.")))


@claim_pages.app_context_processor
def words() -> dict[str, object]:
    """Words of a claim's states."""
    return {"claim_words": CLAIM_WORDS}


@claim_pages.route("/orders/<uuid:order_id>/claim", methods=["GET", "POST"])
@requires("owner", "buyer")
def new_claim(order_id: uuid.UUID) -> ResponseReturnValue:
    """Ask for money back: until when, how much, and why."""
    acting, form, errors, status = actor(), request.form.to_dict(), {}, 200
    if request.method == "POST":
        try:
            asked = ClaimForm().load(form)
            with transaction(acting):
                wanted = claims.Wanted(asked["id"], asked["amount"], asked["reason"])
                claim = claims.file(acting.member, order_id, wanted, at=now(), filed_by=acting.user_id)
        except ValidationError as error:
            with transaction(acting):
                order_refunds.find(acting.member, order_id)
            errors, status = errors_of(error), 422
        except NotFound:
            raise
        except AppError as error:
            errors, status = dict(error.fields or {"_form": error.detail}), error.status
        else:
            flash(_("Your claim is filed. The publisher answers, or we decide."), "success")
            return redirect(url_for("claims.show_claim", claim_id=claim.id))
    with transaction(acting):
        found = order_refunds.find(acting.member, order_id)
        form = {"id": str(new_id())} | form
        until = claims.window_end(found.order)
        page = render_template("claims/new.html", found=found, until=until, is_late=now() >= until, form=form, errors=errors)
    return page, status


@claim_pages.get("/claims")
@requires(*MEMBERS)
def list_claims() -> ResponseReturnValue:
    """The member's claims."""
    acting = actor()
    with transaction(acting):
        return render_template("claims/list.html", rows=claims.rows(RefundClaim.member_id == acting.member), layout="layout/customer.html")


@claim_pages.get("/claims/<uuid:claim_id>")
@requires(*MEMBERS)
def show_claim(claim_id: uuid.UUID) -> ResponseReturnValue:
    """One claim: where it stands and until when somebody answers."""
    acting = actor()
    with transaction(acting):
        return render_template("claims/show.html", row=claims.show(acting.member, claim_id))


@claim_pages.post("/claims/<uuid:claim_id>/withdrawal")
@requires("owner", "buyer")
def withdraw(claim_id: uuid.UUID) -> ResponseReturnValue:
    """Take it back."""
    acting = actor()
    with transaction(acting):
        claims.withdraw(acting.member, claim_id, at=now())
    flash(_("The claim is taken back."), "success")
    return redirect(url_for("claims.show_claim", claim_id=claim_id))


@claim_pages.get("/publisher/claims")
@requires("publisher")
def list_publisher_claims() -> ResponseReturnValue:
    """Claims on the publisher's sales."""
    acting = actor()
    with transaction(acting):
        return render_template("claims/list.html", rows=claims.rows(RefundClaim.publisher_id == acting.publisher), layout="layout/staff.html")


@claim_pages.route("/publisher/claims/<uuid:member_id>/<uuid:claim_id>", methods=["GET", "POST"])
@requires("publisher")
def answer(member_id: uuid.UUID, claim_id: uuid.UUID) -> ResponseReturnValue:
    """Agree, or say why not."""
    with transaction(actor()):  # a publisher may read claims on its sales, not write them; whose it is is asked here
        claims.show(member_id, claim_id)
    return _decision(member_id, claim_id, "claims.list_publisher_claims", SYSTEM)


@claim_pages.get("/finance/claims")
@requires("finance")
def list_all_claims() -> ResponseReturnValue:
    """All claims, those that wait for us first."""
    with transaction(actor()):
        return render_template("claims/list.html", rows=claims.rows(), layout="layout/staff.html")


@claim_pages.route("/finance/claims/<uuid:member_id>/<uuid:claim_id>", methods=["GET", "POST"])
@requires("finance")
def decide(member_id: uuid.UUID, claim_id: uuid.UUID) -> ResponseReturnValue:
    """Accept all or a part, or refuse with a reason."""
    return _decision(member_id, claim_id, "claims.list_all_claims", actor())


def _decision(member_id: uuid.UUID, claim_id: uuid.UUID, back: str, database: Any) -> ResponseReturnValue:
    form, errors, status = request.form.to_dict(), {}, 200
    if request.method == "POST":
        try:
            asked = AnswerForm().load({**form, "amount": form.get("amount") or None})
            with transaction(database):
                _do(member_id, claim_id, asked)
        except ValidationError as error:
            errors, status = errors_of(error), 422
        except NotFound:
            raise
        except AppError as error:
            errors, status = dict(error.fields or {"_form": error.detail}), error.status
        else:
            flash(_("Done. The member sees it."), "success")
            return redirect(url_for(back))
    with transaction(database) as session:
        row = claims.show(member_id, claim_id)
        found = order_refunds.find(member_id, row.claim.order_id)
        member = session.get_one(Member, member_id) if actor().kind == "staff" else None
        page = render_template("claims/decision.html", row=row, found=found, member=member, form=form, errors=errors, back=url_for(back))
    return page, status


def _do(member_id: uuid.UUID, claim_id: uuid.UUID, asked: Mapping[str, Any]) -> None:
    acting, at = actor(), now()
    if asked["decision"] == "accept":
        row = claims.show(member_id, claim_id)
        licence = asked["licence"] or ("keep" if order_refunds.find(member_id, row.claim.order_id).license is None else "")
        amount = row.claim.amount_minor if asked["amount"] is None else asked["amount"]
        claims.accept(member_id, claim_id, amount, licence, asked["reason"], acting, at=at)
    elif acting.kind == "publisher":
        claims.object_to(member_id, claim_id, check_reason(asked["reason"]), at=at)
    else:
        claims.reject(member_id, claim_id, asked["reason"], acting, at=at)
