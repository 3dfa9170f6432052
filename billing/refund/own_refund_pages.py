"""The member's own request for money back from a top-up."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.approval import approvals
from billing.approval.approval_models import Approval
from billing.refund import card_refund_jobs, card_refunds
from billing.refund.refund_schemas import OwnRefundForm
from billing.top_up import top_ups
from billing.wallet.wallet_pages import wallet
from billing.wallet.wallet_schemas import errors_of
from core.access import requires
from core.actor import Actor, actor
from core.clock import now
from core.db import SYSTEM, transaction
from core.errors import AppError, NotFound
from core.formats import money
from core.ids import new_id
from membership.models import Member


def request_own(acting: Actor, top_up_id: uuid.UUID, id: uuid.UUID, amount_minor: int) -> Approval:
    """The member wants money back: at once up to the limit, after finance's approval above it. Raises what `card_refund_jobs.request` raises.

    It runs as the system, since approvals are closed to members; the member is the acting one, whatever is asked for.
    """
    with transaction(SYSTEM):
        one = card_refund_jobs.request(acting.member, top_up_id, id, amount_minor, "customer_request", "", acting, at=now())
    approvals.finish(one)
    return one


@wallet.get("/wallet/top-ups/<uuid:top_up_id>/refund")
@requires("owner")
def new_refund(top_up_id: uuid.UUID) -> ResponseReturnValue:
    """How much of a top-up can go back, why not more, and the form to ask for it."""
    return _form(top_up_id, {"id": str(new_id())})


def _form(top_up_id: uuid.UUID, form: Mapping[str, Any], *, errors: Any = None, status: int = 200) -> ResponseReturnValue:
    acting = actor()
    with transaction(acting) as session:
        top_up = top_ups.show(acting.member, top_up_id)
        return render_template(
            "account/refund_new.html", top_up=top_up, member=session.get_one(Member, acting.member), found=card_refunds.refundable(top_up), form=form,
            errors=errors, refunds=card_refunds.of_top_up(acting.member, top_up_id),
        ), status  # fmt: skip


@wallet.post("/wallet/top-ups/<uuid:top_up_id>/refunds")
@requires("owner")
def create_refund(top_up_id: uuid.UUID) -> ResponseReturnValue:
    """Ask for it. The same form sent twice is one refund."""
    acting = actor()
    with transaction(acting):
        top_up = top_ups.show(acting.member, top_up_id)
    try:
        form = OwnRefundForm().load(request.form.to_dict())
        one = request_own(acting, top_up_id, form["id"], form["amount"])
    except ValidationError as error:
        return _form(top_up_id, request.form, errors=errors_of(error), status=422)
    except NotFound:
        raise
    except AppError as error:
        return _form(top_up_id, request.form, errors=error.fields or {"_form": error.detail}, status=error.status)
    amount = money(one.amount_minor, top_up.currency)
    words = (
        _("Your refund of %(amount)s is on its way.", amount=amount)
        if one.state == "done"
        else _("We look at your refund of %(amount)s and tell you.", amount=amount)
    )
    flash(words, "success")
    return redirect(url_for("wallet.new_refund", top_up_id=top_up_id), 303)
