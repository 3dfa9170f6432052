"""Finance's queue of decisions: who proposed what and why, what it would do, approve or reject."""

import uuid
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError
from sqlalchemy import func, select
from werkzeug import Response

from billing.approval import approval_previews, approvals
from billing.approval.approval_models import Approval
from billing.finance.finance_blueprint import finance
from billing.ledger import ledger_queries
from billing.refund.refund_schemas import STATES, DecisionForm
from billing.top_up.bank_pages import age
from billing.wallet.wallet_schemas import errors_of
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import db, transaction
from core.errors import AppError, NotFound
from core.formats import money
from core.paging import Page, keyset
from membership.models import Member


def outcome(one: Approval, here: str | None = None) -> Response:
    """Behind the commit of a proposal: what follows from it, and the page that says how it stands."""
    approvals.finish(one)
    amount = money(one.amount_minor, one.currency)
    if one.state == "done":
        flash(_("%(kind)s of %(amount)s is booked.", kind=approvals.KINDS[one.kind].name, amount=amount), "success")
        return redirect(here or url_for("finance.show_approval", approval_id=one.id), 303)
    flash(_("%(kind)s of %(amount)s waits for a second person.", kind=approvals.KINDS[one.kind].name, amount=amount), "success")
    return redirect(url_for("finance.show_approval", approval_id=one.id), 303)


@finance.get("/approvals")
@requires("finance")
def list_approvals() -> ResponseReturnValue:
    """What waits, oldest first; or what was decided, latest first."""
    at, acting = now(), actor()
    state = request.args.get("state", "proposed")
    with transaction(acting) as session:
        query = select(Approval).where(Approval.state == state) if state in STATES else select(Approval)
        page: Page[Approval] = keyset(session, query, [Approval.proposed_at, Approval.id], request.args.get("after"), descending=state != "proposed")
        waiting = session.execute(
            select(Approval.currency, func.count(), func.sum(Approval.amount_minor), func.min(Approval.proposed_at))
            .where(Approval.state == "proposed")
            .group_by(Approval.currency)
        ).all()
        return render_template(
            "finance/approvals.html", at=at, state=state, page=page, waiting=waiting, kinds=approvals.KINDS, reasons=approvals.REASONS,
            members=members_of([one.member_id for one in page.items]), own=acting.user_id, age=lambda one: age(one.proposed_at, at),
        )  # fmt: skip


def members_of(ids: list[uuid.UUID | None]) -> dict[uuid.UUID, Member]:
    """These members by id, in one query."""
    wanted = {id for id in ids if id}
    return {member.id: member for member in db.session.scalars(select(Member).where(Member.id.in_(wanted)))} if wanted else {}


@finance.get("/approvals/<uuid:approval_id>")
@requires("finance")
def show_approval(approval_id: uuid.UUID) -> ResponseReturnValue:
    """One decision: what is proposed, why, by whom, and what it would do."""
    return _page(approval_id)


def _page(approval_id: uuid.UUID, *, errors: Any = None, status: int = 200) -> ResponseReturnValue:
    at, acting = now(), actor()
    with transaction(acting) as session:
        one = approvals.find(approval_id)
        preview = approval_previews.rehearsed(one, at=at) if one.state == "proposed" else None
        return render_template(
            "finance/approval.html", one=one, kind=approvals.KINDS[one.kind], reasons=approvals.REASONS, preview=preview,
            booked=approval_previews.booked(one) if one.state == "done" else [], member=session.get(Member, one.member_id) if one.member_id else None,
            account_names=ledger_queries.ACCOUNT_NAMES, is_own=acting.user_id == one.proposed_by, errors=errors, form=request.form, at=at,
            age=age(one.proposed_at, at),
        ), status  # fmt: skip


@finance.post("/approvals/<uuid:approval_id>/approval")
@requires("finance")
def approve(approval_id: uuid.UUID) -> ResponseReturnValue:
    """A second person agrees."""
    try:
        form = DecisionForm().load(request.form.to_dict())
        with transaction(actor()):
            one = approvals.approve(approval_id, actor(), at=now(), note=form["note"])
    except ValidationError as error:
        return _page(approval_id, errors=errors_of(error), status=422)
    except NotFound:
        raise
    except AppError as error:
        return _page(approval_id, errors=error.fields or {"_form": error.detail}, status=error.status)
    return outcome(one, url_for("finance.list_approvals"))


@finance.post("/approvals/<uuid:approval_id>/rejection")
@requires("finance")
def reject(approval_id: uuid.UUID) -> ResponseReturnValue:
    """A second person disagrees, and says why."""
    try:
        form = DecisionForm().load(request.form.to_dict())
        with transaction(actor()):
            one = approvals.reject(approval_id, actor(), at=now(), note=form["note"])
    except ValidationError as error:
        return _page(approval_id, errors=errors_of(error), status=422)
    except NotFound:
        raise
    except AppError as error:
        return _page(approval_id, errors=error.fields or {"_form": error.detail}, status=error.status)
    flash(
        _("%(kind)s of %(amount)s is rejected. Nothing was moved.", kind=approvals.KINDS[one.kind].name, amount=money(one.amount_minor, one.currency)),
        "success",
    )
    return redirect(url_for("finance.list_approvals"), 303)
