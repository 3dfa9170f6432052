"""Saved cards. Card details go from the browser to Stripe; only the embedded Stripe of a demo takes test cards from us."""

import uuid

from flask import current_app, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.payment import payment_methods, stripe_gateway
from billing.payment.payment_models import PaymentMethod
from billing.top_up import top_up_jobs
from billing.wallet.wallet_pages import MAY_PAY, wallet
from billing.wallet.wallet_schemas import SetupForm, errors_of
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError, Invalid
from membership.sign_in_pages import local_path

STRIPE_JS = "https://js.stripe.com"
CSP = {
    "script-src": f"{STRIPE_JS} https://*.js.stripe.com",
    "frame-src": f"{STRIPE_JS} https://*.js.stripe.com https://hooks.stripe.com",
    "connect-src": "https://api.stripe.com",
}


@wallet.get("/wallet/cards")
@requires(*MEMBERS)
def list_cards() -> ResponseReturnValue:
    """The member's cards."""
    acting = actor()
    with transaction(acting):
        cards = payment_methods.list_cards(acting.member)
    return render_template("account/cards.html", cards=cards, may_pay=acting.role in MAY_PAY, can_add=stripe_gateway.can_take_cards())


@wallet.get("/wallet/cards/new")
@requires(*MAY_PAY)
def new_card() -> ResponseReturnValue:
    """Stripe's own card form, on this page only; a choice of test cards where Stripe is the embedded one."""
    return _new_card()


def _new_card(errors: dict[str, object] | None = None, status: int = 200) -> ResponseReturnValue:
    settings, secret = current_app.extensions["settings"], None
    is_test = stripe_gateway.is_test_server()
    if not is_test and stripe_gateway.can_take_cards():
        try:
            _id, secret = stripe_gateway.begin_setup(top_up_jobs.customer_for(actor().member))
            g.csp_extra = CSP
        except AppError as error:
            errors, status = errors or {"_form": error.detail}, error.status
    key = settings.stripe_publishable_key
    page = render_template(
        "account/cards_new.html", is_test=is_test, client_secret=secret, publishable_key=key, stripe_js=f"{STRIPE_JS}/v3/",
        return_to=_return_to(), kind=request.form.get("kind", "visa"), errors=errors,
    )  # fmt: skip
    return page, status


def _return_to() -> str:
    return local_path(request.values.get("return_to", "")) or ""


@wallet.post("/wallet/cards")
@requires(*MAY_PAY)
def create_card() -> ResponseReturnValue:
    """Keep the card of a confirmed setup, or a test card of the embedded Stripe."""
    acting = actor()
    try:
        customer = top_up_jobs.customer_for(acting.member)
        if kind := request.form.get("kind"):
            if kind not in stripe_gateway.TEST_CARDS:
                raise Invalid(_("Choose one of the test cards."), field="kind")
            stripe_id = stripe_gateway.make_test_card(kind, customer)
        else:
            stripe_id = stripe_gateway.finished_setup(SetupForm().load(request.form.to_dict())["setup_intent"], customer)
        card = stripe_gateway.keep_card(stripe_id, customer)
        with transaction(acting):
            kept = payment_methods.save(acting.member, card, at=now())
    except ValidationError as error:
        return _new_card(errors_of(error), 422)
    except AppError as error:
        return _new_card(dict(error.fields) or {"kind" if "kind" in request.form else "_form": error.detail}, error.status)
    flash(_("The card ending in %(last4)s is saved.", last4=kept.last4), "success")
    return redirect(_return_to() or url_for("wallet.list_cards"), 303)


@wallet.post("/wallet/cards/<uuid:card_id>/default")
@requires(*MAY_PAY)
def make_default_card(card_id: uuid.UUID) -> ResponseReturnValue:
    """Use this card where none is named."""
    acting = actor()
    with transaction(acting):
        card = payment_methods.make_default(acting.member, card_id)
    flash(_("The card ending in %(last4)s is now used first.", last4=card.last4), "success")
    return redirect(url_for("wallet.list_cards"), 303)


@wallet.route("/wallet/cards/<uuid:card_id>/removal", methods=["GET", "POST"])
@requires(*MAY_PAY)
def remove_card(card_id: uuid.UUID) -> ResponseReturnValue:
    """Ask, then forget the card here and at Stripe."""
    acting = actor()
    if request.method == "GET":
        with transaction(acting):
            return render_template("account/cards_remove.html", card=payment_methods.chosen(acting.member, card_id))
    with transaction(acting):
        card: PaymentMethod = payment_methods.remove(acting.member, card_id, at=now())
    try:
        stripe_gateway.forget_card(card.stripe_id)
    except AppError:  # here it is gone and will not be charged again; Stripe keeps it a little longer
        current_app.logger.exception("a removed card is still attached at Stripe")
    flash(_("The card ending in %(last4)s is removed.", last4=card.last4), "success")
    return redirect(url_for("wallet.list_cards"), 303)
