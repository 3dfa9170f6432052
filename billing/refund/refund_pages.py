"""Money back to where it came from: finance's list and form, the bank transfers that finance makes; disputed payments."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError
from sqlalchemy import select

from billing.approval import approvals
from billing.approval.approval_pages import members_of, outcome
from billing.finance.finance_blueprint import finance
from billing.refund import card_refund_jobs, card_refunds, disputes
from billing.refund.refund_models import CardRefund, Dispute
from billing.refund.refund_schemas import REFUND_STATES, BankForm, FailureForm, RefundForm
from billing.top_up import top_ups
from billing.top_up.bank_pages import age
from billing.wallet.wallet_schemas import errors_of
from core import audit
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError, NotFound
from core.formats import money
from core.ids import new_id
from core.paging import Page, keyset
from membership.models import Member

DISPUTE_STATES = ("inquiry", "open", "won", "lost", "dropped")


@finance.get("/refunds")
@requires("finance")
def list_refunds() -> ResponseReturnValue:
    """Refunds to cards and bank accounts; those on their way first."""
    at = now()
    return _list(at)


def _list(at: Any, *, errors: Any = None, form: Mapping[str, Any] | None = None, status: int = 200) -> ResponseReturnValue:
    state, method = request.args.get("state", "pending"), request.args.get("method", "")
    with transaction(actor()) as session:
        query = select(CardRefund)
        if state in REFUND_STATES:
            query = query.where(CardRefund.state == state)
        if method in card_refunds.LEDGER_KINDS:
            query = query.where(CardRefund.method == method)
        page: Page[CardRefund] = keyset(
            session, query, [CardRefund.requested_at, CardRefund.id], request.args.get("after"), descending=state not in ("pending", "requested")
        )
        return render_template(
            "finance/refunds.html", at=at, args={"state": state, "method": method}, page=page, members=members_of([one.member_id for one in page.items]),
            states=REFUND_STATES, age=lambda one: age(one.begun_at or one.requested_at, at), errors=errors, form=form or {},
        ), status  # fmt: skip


@finance.post("/refunds/<uuid:member_id>/<uuid:refund_id>/confirmation")
@requires("finance")
def confirm_refund(member_id: uuid.UUID, refund_id: uuid.UUID) -> ResponseReturnValue:
    """Our bank has made the transfer."""
    at = now()
    try:
        form = BankForm().load(request.form.to_dict())
        with transaction(actor()):
            refund = card_refunds.locked(member_id, refund_id)
            card_refunds.confirm_transfer(refund, form["bank_transaction"].strip(), at=at)
            after = {"state": refund.state, "amount_minor": refund.amount_minor, "bank_transaction": refund.bank_transaction}
            audit.record("refund.confirm", refund_id, at=at, member_id=member_id, before={"state": "pending"}, after=after)
    except ValidationError as error:
        return _list(at, errors=errors_of(error), form=request.form, status=422)
    except NotFound:
        raise
    except AppError as error:
        return _list(at, errors=error.fields or {"_form": error.detail}, form=request.form, status=error.status)
    flash(_("The refund of %(amount)s is confirmed.", amount=money(refund.amount_minor, refund.currency)), "success")
    return redirect(url_for("finance.list_refunds"), 303)


@finance.post("/refunds/<uuid:member_id>/<uuid:refund_id>/failure")
@requires("finance")
def fail_refund(member_id: uuid.UUID, refund_id: uuid.UUID) -> ResponseReturnValue:
    """The transfer cannot be made: the money goes back into the wallet."""
    at = now()
    try:
        form = FailureForm().load(request.form.to_dict())
        with transaction(actor()):
            refund = card_refunds.locked(member_id, refund_id)
            card_refunds.fail_transfer(refund, form["reason"].strip(), at=at)
            audit.record("refund.fail", refund_id, at=at, member_id=member_id, before={"state": "pending"}, after={"state": "failed"}, reason=refund.failure)
    except ValidationError as error:
        return _list(at, errors=errors_of(error), form=request.form, status=422)
    except NotFound:
        raise
    except AppError as error:
        return _list(at, errors=error.fields or {"_form": error.detail}, form=request.form, status=error.status)
    flash(_("The refund of %(amount)s did not go through; the money is back in the wallet.", amount=money(refund.amount_minor, refund.currency)), "success")
    return redirect(url_for("finance.list_refunds"), 303)


@finance.get("/top-ups/<uuid:member_id>/<uuid:top_up_id>/refund")
@requires("finance")
def new_refund(member_id: uuid.UUID, top_up_id: uuid.UUID) -> ResponseReturnValue:
    """How much of a top-up can go back, and the form to send it."""
    return _form(member_id, top_up_id, {"id": str(new_id())})


def _form(member_id: uuid.UUID, top_up_id: uuid.UUID, form: Mapping[str, Any], *, errors: Any = None, status: int = 200) -> ResponseReturnValue:
    with transaction(actor()) as session:
        top_up = top_ups.show(member_id, top_up_id)
        return render_template(
            "finance/refund_new.html", top_up=top_up, member=session.get_one(Member, member_id), found=card_refunds.refundable(top_up), form=form,
            errors=errors, reasons=approvals.REASONS, refunds=card_refunds.of_top_up(member_id, top_up_id),
        ), status  # fmt: skip


@finance.post("/top-ups/<uuid:member_id>/<uuid:top_up_id>/refunds")
@requires("finance")
def create_refund(member_id: uuid.UUID, top_up_id: uuid.UUID) -> ResponseReturnValue:
    """Send it back, or leave it to a second person."""
    try:
        form = RefundForm().load(request.form.to_dict())
        with transaction(actor()):
            one = card_refund_jobs.request(member_id, top_up_id, form["id"], form["amount"], form["reason_code"], form["reason"], actor(), at=now())
    except ValidationError as error:
        return _form(member_id, top_up_id, request.form, errors=errors_of(error), status=422)
    except NotFound:
        raise
    except AppError as error:
        return _form(member_id, top_up_id, request.form, errors=error.fields or {"_form": error.detail}, status=error.status)
    return outcome(one, url_for("finance.list_refunds", state=""))


@finance.get("/disputes")
@requires("finance")
def list_disputes() -> ResponseReturnValue:
    """Payments that cardholders contest at the bank: what was claimed, what stands in reserve, what is owed."""
    at, state = now(), request.args.get("state", "")
    with transaction(actor()) as session:
        query = select(Dispute).where(Dispute.state == state) if state in DISPUTE_STATES else select(Dispute)
        page: Page[Dispute] = keyset(session, query, [Dispute.opened_at, Dispute.id], request.args.get("after"), descending=True)
        return render_template(
            "finance/disputes.html", at=at, state=state, page=page, members=members_of([one.member_id for one in page.items]),
            waiting=disputes.count_open(),
        )  # fmt: skip
