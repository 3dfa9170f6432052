"""Automatic top-up: say what will happen, then switch it on; and the warning of a low balance."""

from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.payment import payment_methods
from billing.top_up import auto_top_up_words, auto_top_ups
from billing.top_up.auto_top_up_schemas import AutoTopUpForm, WarningForm
from billing.top_up.auto_top_ups import Terms
from billing.wallet import balance_warnings, balances
from billing.wallet.wallet_pages import MAY_PAY, wallet, wallet_page
from billing.wallet.wallet_schemas import errors_of
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.formats import minor
from membership.models import Member

SUGGESTED = {"threshold": 200_00, "amount": 1_000_00, "cap": 3_000_00}
FIELDS = {"threshold_minor": "threshold", "amount_minor": "amount", "cap_minor": "cap", "payment_method_id": "card"}


@wallet.get("/wallet/auto-top-up")
@requires(*MEMBERS)
def show_auto_top_up() -> ResponseReturnValue:
    """How it stands; with terms in the address, what would happen by them, and the button that switches it on."""
    asked = {name: request.args[name] for name in ("threshold", "amount", "cap", "card") if name in request.args}
    return _page(asked)


def _page(asked: Mapping[str, str], *, errors: Mapping[str, Any] | None = None, status: int = 200) -> ResponseReturnValue:
    acting, at = actor(), now()
    with transaction(acting) as session:
        member = session.get_one(Member, acting.member)
        one = auto_top_ups.show(member.id)
        cards = payment_methods.list_cards(member.id)
        given, preview = auto_top_ups.limits(), None
        if asked and not errors:
            try:
                terms = _terms(asked)
                preview = auto_top_up_words.sentences(terms, auto_top_ups.check(member, terms), given, member.currency)
            except ValidationError as error:
                errors, status = errors_of(error), 422
            except AppError as error:
                errors, status = _fields(error), 422
        page = render_template(
            "account/auto_top_up.html", one=one, cards=cards, form=dict(asked) or _standing_form(one, cards), preview=preview, errors=errors, at=at,
            currency=member.currency, given=given, may_set=acting.role == "owner", history=auto_top_ups.history(member.id),
            standing=auto_top_ups.standing(one, at=at) if one else None, card=auto_top_ups.card_of(one) if one else None,
            words=auto_top_up_words.sentences(auto_top_ups.terms_of(one), auto_top_ups.card_of(one), given, one.currency) if one else None,
            why=auto_top_up_words.why_stopped(one.stop_reason, given) if one and one.state == "stopped" else None, name_of=auto_top_up_words.name_of,
            available=balances.balance(member.id, member.currency, at=at).available_minor,
        )  # fmt: skip
    return page, status


def _terms(form: Mapping[str, str]) -> Terms:
    read = AutoTopUpForm().load(dict(form))
    return Terms(read["threshold"], read["amount"], read["cap"], read["card"])


def _fields(error: AppError) -> dict[str, str]:
    return {FIELDS.get(name, name): words for name, words in error.fields.items()} or {"_form": error.detail}


def _standing_form(one: Any, cards: Any) -> dict[str, str]:
    """What the form shows before anybody has typed: the terms in force, or a suggestion."""
    amounts = {"threshold": one.threshold_minor, "amount": one.amount_minor, "cap": one.cap_minor} if one else SUGGESTED
    kept = {str(card.id) for card in cards}
    card = str(one.payment_method_id) if one and str(one.payment_method_id) in kept else str(cards[0].id) if cards else ""
    return {name: minor(amount, "CNY").replace(",", "") for name, amount in amounts.items()} | {"card": card}


@wallet.post("/wallet/auto-top-up")
@requires("owner")
def switch_auto_top_up_on() -> ResponseReturnValue:
    """Charge the card by these terms from now on."""
    acting = actor()
    try:
        terms = _terms(request.form)
        with transaction(acting):
            auto_top_ups.switch_on(acting.member, terms, at=now(), set_by=acting.user_id)
    except ValidationError as error:
        return _page(request.form, errors=errors_of(error), status=422)
    except AppError as error:
        return _page(request.form, errors=_fields(error), status=error.status)
    flash(_("Automatic top-up is on."), "success")
    return redirect(url_for("wallet.show_auto_top_up"), 303)


@wallet.post("/wallet/auto-top-up/resumption")
@requires("owner")
def resume_auto_top_up() -> ResponseReturnValue:
    """Switch it on again after a stop, by the same terms."""
    acting = actor()
    try:
        with transaction(acting):
            auto_top_ups.resume(acting.member, at=now(), set_by=acting.user_id)
    except AppError as error:
        return _page({}, errors=_fields(error), status=error.status)
    flash(_("Automatic top-up is on again."), "success")
    return redirect(url_for("wallet.show_auto_top_up"), 303)


@wallet.post("/wallet/auto-top-up/end")
@requires("owner")
def switch_auto_top_up_off() -> ResponseReturnValue:
    """Charge nothing by ourselves any more."""
    acting = actor()
    with transaction(acting):
        auto_top_ups.switch_off(acting.member, at=now(), set_by=acting.user_id)
    flash(_("Automatic top-up is off. Nothing is charged unless you ask for it."), "success")
    return redirect(url_for("wallet.show_auto_top_up"), 303)


@wallet.post("/wallet/balance-warning")
@requires(*MAY_PAY)
def set_balance_warning() -> ResponseReturnValue:
    """Below which amount to be told; empty: not at all."""
    acting = actor()
    try:
        given = {"threshold": request.form["threshold"]} if request.form.get("threshold", "").strip() else {}
        threshold = WarningForm().load(given)["threshold"]
    except ValidationError as error:
        return wallet_page(errors_of(error), request.form["threshold"], 422)
    with transaction(acting):
        balance_warnings.set_threshold(acting.member, threshold, at=now())
    flash(_("You will be told.") if threshold else _("You will not be told any more."), "success")
    return redirect(url_for("wallet.show_wallet") + "#balance-warning", 303)
