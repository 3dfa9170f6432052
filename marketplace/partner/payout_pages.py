"""Payouts: finance's pages, and the partner's earnings with its statements."""

import uuid
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from billing.finance import exports
from billing.finance.finance_blueprint import finance
from billing.ledger.accounts import Account
from billing.ledger.ledger_models import Book
from billing.revenue import partner_shares
from core import formats
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import db, transaction
from core.errors import AppError, NotFound
from marketplace.partner import payouts
from marketplace.partner.partner_models import OPEN, Payout, RefundClaim
from marketplace.publisher.publisher_models import Publisher
from membership.entity_models import LegalEntity

earnings = Blueprint("earnings", __name__)
PAYOUT_WORDS = {"prepared": (_l("Prepared"), "info"), "paid": (_l("Paid out"), "ok"), "carried": (_l("Carried over"), ""), "discarded": (_l("Discarded"), "")}
LINE_WORDS = {"partner_share": _l("Sale"), "refund": _l("Refund"), "payout": _l("Paid out"), "correction": _l("Correction")}


@earnings.app_context_processor
def words() -> dict[str, object]:
    """Words of payouts."""
    return {"payout_words": PAYOUT_WORDS, "line_words": LINE_WORDS}


def _partners() -> list[dict[str, Any]]:
    found = db.session.execute(
        select(Publisher, LegalEntity.currency)
        .join(Book, Book.id == Publisher.id)
        .join(LegalEntity, LegalEntity.id == Book.entity_id)
        .where(Publisher.kind == "partner")
        .order_by(Publisher.code)
    ).all()
    return [
        {"publisher": one, "currency": currency, "owed_minor": payouts.owed(one.id, currency), "last": payouts.last(one.id, currency), "open": _open(one.id)}
        for one, currency in found
    ]


def _open(publisher_id: uuid.UUID) -> int:
    return db.session.scalar(select(func.count()).where(RefundClaim.publisher_id == publisher_id, RefundClaim.state.in_(OPEN))) or 0


@finance.get("/payouts")
@requires("finance")
def list_payouts() -> ResponseReturnValue:
    """What each partner is owed, and the statements so far."""
    with transaction(actor()):
        done = db.session.execute(
            select(Payout, Publisher).join(Publisher, Publisher.id == Payout.publisher_id).order_by(Payout.prepared_at.desc()).limit(100)
        ).all()
        return render_template("finance/payouts.html", partners=_partners(), done=done)


@finance.post("/payouts/<code>")
@requires("finance")
def prepare_payout(code: str) -> ResponseReturnValue:
    """Draw up a partner's statement."""
    try:
        with transaction(actor()) as session:
            publisher = session.scalar(select(Publisher).where(Publisher.code == code))
            if publisher is None:
                raise NotFound(_("There is no such partner."))
            made = payouts.prepare(publisher.id, actor(), at=now())
    except payouts.NothingToPay as error:
        flash(error.detail, "info")
        return redirect(url_for("finance.list_payouts"))
    return redirect(url_for("finance.show_payout", payout_id=made.id))


@finance.get("/payouts/<uuid:payout_id>")
@requires("finance")
def show_payout(payout_id: uuid.UUID) -> ResponseReturnValue:
    """One statement with its lines, and the second step."""
    return _page(payout_id)


def _page(payout_id: uuid.UUID, *, errors: Any = None, status: int = 200) -> ResponseReturnValue:
    with transaction(actor()) as session:
        one = payouts.find(payout_id)
        found = payouts.lines(one.publisher_id, one.currency, one.after_seq, one.until_seq)
        page = render_template(
            "finance/payout.html", one=one, lines=found, publisher=session.get_one(Publisher, one.publisher_id), errors=errors, form=request.form,
            owed_minor=payouts.owed(one.publisher_id, one.currency),
        )  # fmt: skip
    return page, status


@finance.post("/payouts/<uuid:payout_id>/payment")
@requires("finance")
def pay_payout(payout_id: uuid.UUID) -> ResponseReturnValue:
    """Our bank has paid it."""
    try:
        with transaction(actor()):
            one = payouts.pay(payout_id, request.form.get("bank_reference", ""), actor(), at=now())
    except NotFound:
        raise
    except AppError as error:
        return _page(payout_id, errors=error.fields or {"_form": error.detail}, status=error.status)
    flash(_("Paid: %(amount)s.", amount=formats.money(one.amount_minor, one.currency)), "success")
    return redirect(url_for("finance.show_payout", payout_id=payout_id))


@finance.post("/payouts/<uuid:payout_id>/discard")
@requires("finance")
def discard_payout(payout_id: uuid.UUID) -> ResponseReturnValue:
    """Take a prepared one back."""
    with transaction(actor()):
        payouts.discard(payout_id, at=now())
    flash(_("Discarded. Its entries fall into the next statement."), "success")
    return redirect(url_for("finance.list_payouts"))


@finance.get("/payouts/<uuid:payout_id>.<any(csv, xlsx):form>")
@requires("finance")
def export_payout(payout_id: uuid.UUID, form: str) -> Response:
    """The statement as a file."""
    with transaction(actor()):
        return _file(payouts.find(payout_id), form)


@earnings.get("/publisher/earnings")
@requires("publisher")
def show_earnings() -> ResponseReturnValue:
    """What a partner has earned: due, paid, and each statement. Runs as the partner: the database shows it its own book only."""
    acting = actor()
    with transaction(acting) as session:
        me = session.get_one(Publisher, acting.publisher) if session.get(Publisher, acting.publisher) else None
        statements = payouts.of_partner(acting.publisher)
        currency = statements[0].currency if statements else "CNY"
        after = statements[0].until_seq if statements else 0
        since = payouts.lines(acting.publisher, currency, after)
        return render_template(
            "publisher/earnings.html", me=me, statements=statements, currency=currency, since=since, owed_minor=payouts.owed(acting.publisher, currency),
            due_minor=partner_shares.balance(acting.publisher, Account.PARTNER_DUE, currency), claims=_open(acting.publisher),
        )  # fmt: skip


@earnings.get("/publisher/earnings/<uuid:payout_id>")
@requires("publisher")
def show_statement(payout_id: uuid.UUID) -> ResponseReturnValue:
    """One statement with its lines."""
    with transaction(actor()):
        one = payouts.find(payout_id)
        found = payouts.lines(one.publisher_id, one.currency, one.after_seq, one.until_seq)
        return render_template("publisher/payout.html", one=one, lines=found)


@earnings.get("/publisher/earnings/<uuid:payout_id>.<any(csv, xlsx):form>")
@requires("publisher")
def export_statement(payout_id: uuid.UUID, form: str) -> Response:
    """The statement as a file."""
    with transaction(actor()):
        return _file(payouts.find(payout_id), form)


def _file(one: Payout, form: str) -> Response:
    found = payouts.lines(one.publisher_id, one.currency, one.after_seq, one.until_seq)
    sheet = exports.Sheet(
        title=str(_("Partner statement")),
        head=[
            (str(_("Until")), formats.datetime(one.until), "text"), (str(_("Carried from before")), one.opening_minor, "money"),
            (str(_("Closing")), one.closing_minor, "money"), (str(_("Paid out")), one.amount_minor, "money"),
            (str(_("Bank reference")), one.bank_reference or "", "text"),
        ],
        columns=[
            exports.Column(str(_("Time"))), exports.Column(str(_("Entry"))), exports.Column(str(_("Listing"))), exports.Column(str(_("Order"))),
            exports.Column(str(_("Order total")), "money"), exports.Column(str(_("Refunded")), "money"), exports.Column(str(_("Tax")), "money"),
            exports.Column(str(_("Our commission")), "money"), exports.Column(str(_("Net")), "money"),
        ],
        rows=[
            (formats.datetime(line.at), str(LINE_WORDS.get(line.kind, line.kind)),
             formats.local(line) if line.name_zh else "",
             str(line.order_id or line.refunded_order_id or ""),
             line.total_minor, line.refunded_minor, line.tax_minor, line.commission_minor, line.amount_minor)
            for line in found
        ],
        currency=one.currency,
        total=(str(_("Total")), "", "", "", None, None, None, None, sum(line.amount_minor for line in found)),
    )  # fmt: skip
    return exports.download(sheet, form, f"statement-{one.until:%Y-%m-%d}")
