"""Topping up: choose an amount and a way to pay, then watch it arrive."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import current_app, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.payment import payment_methods
from billing.payment.payment_models import PaymentMethod
from billing.top_up import top_up_jobs, top_up_offers, top_ups
from billing.top_up.top_up_models import TopUp
from billing.wallet import wallet_overview
from billing.wallet.wallet_pages import MAY_PAY, wallet
from billing.wallet.wallet_schemas import TopUpForm, errors_of
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.formats import minor
from core.ids import new_id
from core.settings import Settings
from membership.models import Member
from membership.sign_in_pages import local_path

CHIPS = (100_00, 500_00, 1_000_00, 5_000_00, 10_000_00)
CHIPS_MOST = 6


@wallet.get("/wallet/top-ups/new")
@requires(*MAY_PAY)
def new_top_up() -> ResponseReturnValue:
    """The form; `amount_minor` and `return_to` come from a purchase that lacked money."""
    wished = request.args.get("amount_minor", type=int)
    form = {
        "id": str(new_id()),
        "amount": minor(wished, "CNY").replace(",", "") if wished and wished > 0 else "",
        "source": request.args.get("source", ""),
        "return_to": local_path(request.args.get("return_to") or request.args.get("next") or "") or "",
    }
    return _form(form)


def _form(form: Mapping[str, Any], *, errors: Mapping[str, Any] | None = None, status: int = 200) -> ResponseReturnValue:
    acting, at = actor(), now()
    settings: Settings = current_app.extensions["settings"]
    with transaction(acting) as session:
        member = session.get_one(Member, acting.member)
        tiers = top_up_offers.in_force(member.currency, at=at, member_id=member.id)
        cards = payment_methods.list_cards(member.id)
        bank = top_ups.bank_account(member.entity_id, member.currency)
        chosen = _typed(form.get("amount"))
        page = render_template(
            "account/top_up_new.html",
            form=form,
            errors=errors,
            currency=member.currency,
            tiers=tiers,
            chips=_chips(settings, [tier.from_minor for tier in tiers], chosen),
            promise_of=lambda amount: top_up_offers.best_of(tiers, amount),
            chosen=chosen,
            at=at,
            cards=cards,
            bank=bank,
            source=form.get("source") or (str(cards[0].id) if cards else "bank_transfer" if bank else ""),
            least=settings.top_up_min_minor,
            order_words=wallet_overview.order_in_words(),
        )
    return page, status


def _typed(text: object) -> int | None:
    try:
        return TopUpForm().fields["amount"].deserialize(text) if text else None
    except ValidationError:
        return None


def _chips(settings: Settings, tiers: list[int], chosen: int | None) -> list[int]:
    """A few round amounts and those that earn a bonus."""
    wanted = dict.fromkeys([*tiers, *([chosen] if chosen else []), *CHIPS])
    fitting = [amount for amount in wanted if settings.top_up_min_minor <= amount <= settings.top_up_max_minor]
    return sorted(fitting[:CHIPS_MOST])


@wallet.post("/wallet/top-ups")
@requires(*MAY_PAY)
def create_top_up() -> ResponseReturnValue:
    """Write it down, ask Stripe, and show how it goes. The same form sent twice is one top-up."""
    acting = actor()
    try:
        form = TopUpForm().load(request.form.to_dict())
        method, card_id = _source(form["source"])
        wanted = top_ups.Wanted(form["id"], form["amount"], method, payment_method_id=card_id)
        with transaction(acting):
            top_up, is_new = top_ups.start(acting.member, wanted, at=now(), created_by=acting.user_id)
    except ValidationError as error:
        return _form(request.form, errors=errors_of(error), status=422)
    except AppError as error:
        names = {"amount_minor": "amount", "payment_method_id": "source", "method": "source"}
        fields = {names.get(name, name): words for name, words in error.fields.items()}
        return _form(request.form, errors=fields or {"_form": error.detail}, status=error.status)
    if is_new and method == "card":
        top_up_jobs.pay(acting.member, top_up.id)
    return redirect(url_for("wallet.show_top_up", top_up_id=top_up.id, return_to=local_path(form["return_to"]) or None), 303)


def _source(source: str) -> tuple[str, uuid.UUID | None]:
    if source == "bank_transfer":
        return source, None
    try:
        return "card", uuid.UUID(source)
    except ValueError as error:
        raise ValidationError({"source": [_("Choose how you want to pay.")]}) from error


@wallet.get("/wallet/top-ups/<uuid:top_up_id>")
@requires(*MEMBERS)
def show_top_up(top_up_id: uuid.UUID) -> ResponseReturnValue:
    """How one top-up stands; a receipt once it is settled."""
    acting, at = actor(), now()
    with transaction(acting) as session:
        member = session.get_one(Member, acting.member)
        top_up = top_ups.show(member.id, top_up_id)
        card = session.get(PaymentMethod, (member.id, top_up.payment_method_id)) if top_up.payment_method_id else None
        return render_template(
            "account/top_up.html",
            top_up=top_up,
            promise=top_ups.promise_of(top_up),
            card=card,
            member=member,
            at=at,
            bank=top_ups.bank_account(member.entity_id, top_up.currency) if top_up.method == "bank_transfer" else None,
            return_to=local_path(request.args.get("return_to", "")),
            may_pay=acting.role in MAY_PAY,
        )


@wallet.get("/wallet/top-ups/<uuid:top_up_id>/status")
@requires(*MEMBERS)
def show_top_up_status(top_up_id: uuid.UUID) -> ResponseReturnValue:
    """For the page that waits: JSON of text, percent, done, href."""
    acting = actor()
    with transaction(acting):
        top_up = top_ups.show(acting.member, top_up_id)
    here = url_for("wallet.show_top_up", top_up_id=top_up_id, return_to=local_path(request.args.get("return_to", "")) or None)
    done = top_up.state != "pending"
    return jsonify(text=progress_words(top_up), percent=100 if done else 60 if top_up.stripe_payment_intent else 30, done=done, href=here)


def progress_words(top_up: TopUp) -> str:
    """Where a top-up stands, in a sentence."""
    words = {
        "settled": _("The money is in your wallet."),
        "failed": _("The payment did not go through."),
        "cancelled": _("This top-up was cancelled."),
    }
    return str(words.get(top_up.state) or _("Your bank is being asked. This takes a few seconds."))
