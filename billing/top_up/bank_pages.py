"""Finance's page of top-ups: bank transfers to confirm, card payments to look at, events that match nothing."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from marshmallow import ValidationError

from billing.finance.finance_blueprint import finance
from billing.top_up import bank_transfers, top_ups
from billing.top_up.top_up_models import TopUp
from billing.wallet.wallet_schemas import CancellationForm, ConfirmationForm, errors_of
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.formats import minor, money
from core.paging import Page, keyset
from membership.models import Member

METHODS, STATES = ("bank_transfer", "card"), ("pending", "settled", "failed", "cancelled")
DAY_S = 86_400


@finance.get("/top-ups")
@requires("finance")
def list_top_ups() -> ResponseReturnValue:
    """Transfers that wait, oldest first; or whatever the filters ask for, latest first."""
    at = now()
    args = {
        "state": request.args.get("state", "pending"),
        "method": request.args.get("method", "bank_transfer"),
        "q": request.args.get("q", "").strip(),
    }
    with transaction(actor()) as session:
        query = bank_transfers.search(args["method"] if args["method"] in METHODS else "", args["state"] if args["state"] in STATES else "", args["q"])
        page: Page[TopUp] = keyset(session, query, [TopUp.created_at, TopUp.id], request.args.get("after"), descending=args["state"] != "pending")
        return render_template(
            "finance/top_ups.html", at=at, args=args, page=page, members=bank_transfers.members_of(page.items), waiting=bank_transfers.pending(),
            events=bank_transfers.troubled_events(), age=lambda top_up: age(top_up.created_at, at), methods=METHODS, states=STATES,
        )  # fmt: skip


def age(since: datetime, at: datetime) -> str:
    """How long something has waited, in whole days or hours."""
    seconds = max(0, int((at - since).total_seconds()))
    if seconds >= DAY_S:
        return str(ngettext("%(num)d day", "%(num)d days", seconds // DAY_S))
    return str(ngettext("%(num)d hour", "%(num)d hours", seconds // 3600))


@finance.get("/top-ups/<uuid:member_id>/<uuid:top_up_id>")
@requires("finance")
def show_top_up(member_id: uuid.UUID, top_up_id: uuid.UUID) -> ResponseReturnValue:
    """One top-up; a transfer that waits can be confirmed or cancelled here."""
    return _page(member_id, top_up_id)


def _page(
    member_id: uuid.UUID, top_up_id: uuid.UUID, *, form: Mapping[str, Any] | None = None, errors: Mapping[str, Any] | None = None, status: int = 200
) -> ResponseReturnValue:
    at = now()
    with transaction(actor()) as session:
        top_up = top_ups.show(member_id, top_up_id)
        page = render_template(
            "finance/top_ups_one.html", top_up=top_up, member=session.get_one(Member, member_id), at=at, age=age(top_up.created_at, at), errors=errors,
            form=form or {"received": minor(top_up.amount_minor, top_up.currency)}, promise=bank_transfers.promise_for(top_up, top_up.amount_minor),
        )  # fmt: skip
    return page, status


@finance.post("/top-ups/<uuid:member_id>/<uuid:top_up_id>/confirmation")
@requires("finance")
def confirm_top_up(member_id: uuid.UUID, top_up_id: uuid.UUID) -> ResponseReturnValue:
    """The transfer has arrived: credit the wallet."""
    try:
        form = ConfirmationForm().load(request.form.to_dict())
        with transaction(actor()):
            top_up = bank_transfers.confirm(member_id, top_up_id, form["received"], form["bank_transaction"].strip(), at=now())
    except ValidationError as error:
        return _page(member_id, top_up_id, form=request.form, errors=errors_of(error), status=422)
    except AppError as error:
        return _page(member_id, top_up_id, form=request.form, errors=error.fields or {"_form": error.detail}, status=error.status)
    words = _("%(amount)s was credited for %(reference)s.", amount=money(top_up.received_minor, top_up.currency), reference=top_up.bank_reference)
    if top_up.received_minor != top_up.amount_minor:
        words += " " + _("Announced were %(amount)s; the bonus follows what arrived.", amount=money(top_up.amount_minor, top_up.currency))
    flash(words, "success")
    return redirect(url_for("finance.list_top_ups"), 303)


@finance.post("/top-ups/<uuid:member_id>/<uuid:top_up_id>/cancellation")
@requires("finance")
def cancel_top_up(member_id: uuid.UUID, top_up_id: uuid.UUID) -> ResponseReturnValue:
    """The transfer will not come: say why."""
    try:
        form = CancellationForm().load(request.form.to_dict())
        with transaction(actor()):
            top_up = bank_transfers.cancel(member_id, top_up_id, form["reason"].strip(), at=now())
    except ValidationError as error:
        return _page(member_id, top_up_id, form=request.form, errors=errors_of(error), status=422)
    except AppError as error:
        return _page(member_id, top_up_id, form=request.form, errors=error.fields or {"_form": error.detail}, status=error.status)
    flash(_("%(reference)s is cancelled; the member was told why.", reference=top_up.bank_reference), "success")
    return redirect(url_for("finance.list_top_ups"), 303)
