"""Finance's forms behind an entry or a member: correct an entry; goodwill, a manual adjustment, a write-off."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError
from sqlalchemy import select

from billing.approval import adjustments, approvals, corrections
from billing.approval.approval_models import Approval
from billing.approval.approval_pages import outcome
from billing.finance.finance_blueprint import finance
from billing.ledger import ledger_queries
from billing.ledger.ledger_models import Book, LedgerTransaction
from billing.refund import disputes
from billing.refund.refund_schemas import ADJUSTMENTS, AdjustmentForm, CorrectionForm
from billing.wallet import wallet_moves
from billing.wallet.wallet_schemas import errors_of
from core.access import requires
from core.actor import Actor, actor
from core.clock import now
from core.db import db, transaction
from core.errors import AppError, NotFound
from core.ids import new_id
from membership.models import Member


@finance.get("/entries/<uuid:book_id>/<uuid:entry_id>")
@requires("finance")
def show_entry(book_id: uuid.UUID, entry_id: uuid.UUID) -> ResponseReturnValue:
    """One entry of the ledger with its moves, what reverses it, and what may be done about it."""
    return _entry(book_id, entry_id)


def _entry(
    book_id: uuid.UUID, entry_id: uuid.UUID, *, form: Mapping[str, Any] | None = None, errors: Any = None, status: int = 200
) -> ResponseReturnValue:  # fmt: skip
    with transaction(actor()) as session:
        tx = corrections.find(book_id, entry_id)
        later = session.scalars(
            select(LedgerTransaction).where(LedgerTransaction.book_id == book_id, LedgerTransaction.reverses_id == entry_id).order_by(LedgerTransaction.seq)
        ).all()
        refusal = None
        try:
            corrections.check(tx)
        except AppError as error:
            refusal = error.detail
        return render_template(
            "finance/entry.html", tx=tx, moves=corrections.postings(tx), later=later, refusal=refusal, member=session.get(Member, book_id),
            book=session.get_one(Book, book_id), entity=ledger_queries.entity_for(tx.currency), kinds=ledger_queries.KIND_NAMES,
            account_names=ledger_queries.ACCOUNT_NAMES, reasons=approvals.REASONS, form=form or {"id": str(new_id())}, errors=errors,
        ), status  # fmt: skip


@finance.post("/entries/<uuid:book_id>/<uuid:entry_id>/correction")
@requires("finance")
def correct_entry(book_id: uuid.UUID, entry_id: uuid.UUID) -> ResponseReturnValue:
    """Reverse the entry, or propose to."""
    try:
        form = CorrectionForm().load(request.form.to_dict())
        with transaction(actor()):
            one = adjustments.correct(book_id, entry_id, form["id"], form["reason_code"], form["reason"], actor(), at=now())
    except ValidationError as error:
        return _entry(book_id, entry_id, form=request.form, errors=errors_of(error), status=422)
    except NotFound:
        raise
    except AppError as error:
        return _entry(book_id, entry_id, form=request.form, errors=error.fields or {"_form": error.detail}, status=error.status)
    return outcome(one)


@finance.get("/members/<uuid:member_id>/adjustments/new")
@requires("finance")
def new_adjustment(member_id: uuid.UUID) -> ResponseReturnValue:
    """Give goodwill, adjust the wallet, or write off what is owed."""
    kind = request.args.get("kind", "goodwill")
    return _form(member_id, {"id": str(new_id()), "kind": kind if kind in ADJUSTMENTS else "goodwill", "days": 90, "direction": "give"})


def _form(member_id: uuid.UUID, form: Mapping[str, Any], *, errors: Any = None, status: int = 200) -> ResponseReturnValue:
    at = now()
    with transaction(actor()) as session:
        member = session.get(Member, member_id)
        if member is None:
            raise NotFound(_("There is no such member."))
        return render_template(
            "finance/adjustment_new.html", member=member, form=form, errors=errors, reasons=approvals.REASONS, accounts=adjustments.ACCOUNTS,
            gives=adjustments.GIVES, takes=adjustments.TAKES, wallet=wallet_moves.wallet_of(member.id, member.currency),
            disputes=disputes.open_of(member.id), at=at,
        ), status  # fmt: skip


@finance.post("/members/<uuid:member_id>/adjustments")
@requires("finance")
def create_adjustment(member_id: uuid.UUID) -> ResponseReturnValue:
    """Book it, or leave it to a second person."""
    try:
        form = AdjustmentForm().load(request.form.to_dict())
        with transaction(actor()):
            one = make(member_id, form, form["amount"], actor())
    except ValidationError as error:
        return _form(member_id, request.form, errors=errors_of(error), status=422)
    except NotFound:
        raise
    except AppError as error:
        return _form(member_id, request.form, errors=error.fields or {"_form": error.detail}, status=error.status)
    return outcome(one, url_for("finance.show_statement", member_id=member_id))


def make(member_id: uuid.UUID, form: Mapping[str, Any], amount_minor: int, acting: Actor) -> Approval:
    """The adjustment that a form or a request asks for. Raises NotFound, Invalid, and whatever forbids it."""
    member = db.session.get(Member, member_id)
    if member is None:
        raise NotFound(_("There is no such member."))
    at, code, reason = now(), form["reason_code"], form["reason"]
    if form["kind"] == "goodwill":
        return adjustments.give_goodwill(member, form["id"], amount_minor, form["days"], code, reason, acting, at=at)
    if form["kind"] == "write_off":
        return adjustments.write_off(member, form["id"], amount_minor, code, reason, acting, at=at)
    return adjustments.adjust(member, form["id"], amount_minor, form["direction"], form["account"], code, reason, acting, at=at)
