"""A member's wallet as finance sees it: money apart, what is held, what it may owe, what tops it up."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError, fields, validate

from billing.approval import approvals
from billing.finance.finance_blueprint import finance
from billing.ledger import ledger_queries
from billing.top_up import auto_top_ups
from billing.wallet import balances, credit_limits, holds, wallet_overview
from billing.wallet.wallet_schemas import Money, errors_of
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import db, transaction
from core.errors import AppError, NotFound
from core.formats import money
from core.ids import new_id
from core.schemas import Form
from membership.models import Member


class CreditLimitForm(Form):
    """Finance's agreement with a member. `limit` empty or 0: none."""

    id = fields.UUID(required=True)
    limit = Money(load_default=0)
    reason_code = fields.String(load_default="")
    reason = fields.String(load_default="", validate=validate.Length(max=approvals.REASON_LENGTH))


class HoldReleaseForm(Form):
    """Why finance gives back what a hold reserves."""

    id = fields.UUID(required=True)
    reason = fields.String(required=True, validate=validate.Length(min=3, max=200))


def find_member(member_id: uuid.UUID) -> Member:
    """The member. Raises NotFound."""
    found = db.session.get(Member, member_id)
    if found is None:
        raise NotFound(_("There is no such member."))
    return found


@finance.get("/members/<uuid:member_id>/wallet")
@requires("finance")
def show_member_wallet(member_id: uuid.UUID) -> ResponseReturnValue:
    """One member's wallet now."""
    return _page(member_id)


def _page(member_id: uuid.UUID, *, form: Mapping[str, Any] | None = None, errors: Mapping[str, Any] | None = None, status: int = 200) -> ResponseReturnValue:
    at = now()
    with transaction(actor()):
        member = find_member(member_id)
        standing = wallet_overview.standing(member.id)
        page = render_template(
            "finance/member_wallet.html", member=member, at=at, balance=balances.balance(member.id, member.currency, at=at), currency=member.currency,
            grants=wallet_overview.grants(member.id, member.currency, at=at), order_words=wallet_overview.order_in_words(), holds=holds.recent(member.id),
            standing=standing, used=auto_top_ups.standing(standing.auto, at=at) if standing.auto else None, reasons=approvals.REASONS,
            entity=ledger_queries.entity_for(member.currency), form=form or {}, errors=errors, new_id=str((form or {}).get("id") or new_id()),
        )  # fmt: skip
    return page, status


@finance.post("/members/<uuid:member_id>/credit-limit")
@requires("finance")
def set_credit_limit(member_id: uuid.UUID) -> ResponseReturnValue:
    """Agree on a credit limit; much of a rise waits for a second person."""
    try:
        given = {name: value for name, value in request.form.items() if name != "limit" or value.strip() not in ("", "0", "0.00")}
        form = CreditLimitForm().load(given)
        with transaction(actor()):
            member = find_member(member_id)
            one = credit_limits.propose(member, form["id"], form["limit"], form["reason_code"], form["reason"].strip(), actor(), at=now())
    except ValidationError as error:
        return _page(member_id, form=request.form, errors=errors_of(error), status=422)
    except NotFound:
        raise
    except AppError as error:
        return _page(member_id, form=request.form, errors=error.fields or {"_form": error.detail}, status=error.status)
    limit = money(one.details["limit_minor"], one.currency)
    waits = one.state == "proposed"
    flash(_("A second person has to agree to a limit of %(limit)s.", limit=limit) if waits else _("The credit limit is now %(limit)s.", limit=limit), "success")
    return redirect(url_for("finance.show_member_wallet", member_id=member_id), 303)


@finance.post("/members/<uuid:member_id>/holds/<uuid:hold_id>/release")
@requires("finance")
def release_member_hold(member_id: uuid.UUID, hold_id: uuid.UUID) -> ResponseReturnValue:
    """Give back what a hold still reserves, whoever placed it."""
    acting = actor()
    try:
        form = HoldReleaseForm().load({"id": request.form.get("id"), "reason": request.form.get(f"reason-{hold_id}", "")})
        with transaction(acting):
            find_member(member_id)
            holds.release(member_id, hold_id, form["id"], None, at=now(), reason=form["reason"].strip(), created_by=acting.user_id, as_member=False)
    except ValidationError:
        return _page(member_id, form=request.form, errors={f"reason-{hold_id}": [_("Say why, in a sentence the customer will read.")]}, status=422)
    except NotFound:
        raise
    except AppError as error:
        return _page(member_id, errors={"_form": error.detail}, status=error.status)
    flash(_("The money is available to the member again."), "success")
    return redirect(url_for("finance.show_member_wallet", member_id=member_id), 303)
