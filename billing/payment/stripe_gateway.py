"""Stripe, as far as we use it: customers, saved cards, payments, signed events. No rule of ours, and never inside a transaction.

What Stripe answered becomes an `Outcome`. An answer that never came is `unknown`: it is asked for again with the same
idempotency key, or found by the metadata that each payment carries.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import stripe
from flask import current_app
from flask_babel import gettext as _
from stripe import StripeClient

from core.errors import AppError
from core.settings import Settings

TIMEOUT_S = 20
RETRIES = 2  # of one call, with its own idempotency key; together they end before the sweep looks
CUSTOMERS_CLOCK = timedelta(hours=1)  # how far our clock may run ahead of Stripe's

# English here, Chinese in the catalogue; kept on the row, shown by the filter `translated`.
NOT_CHARGED = "The payment did not go through. Nothing was charged."
DECLINED = "Your bank declined this card. Nothing was charged. Use another card, or ask your bank."
REASONS = {
    "insufficient_funds": "There is not enough money behind this card. Nothing was charged.",
    "expired_card": "This card has expired. Nothing was charged. Save its successor or use another card.",
    "incorrect_cvc": "The security code of this card was not right. Nothing was charged. Save the card again.",
    "lost_card": DECLINED,
    "stolen_card": DECLINED,
    "authentication_required": "Your bank wants to hear from you before it allows this card. Nothing was charged. Use another card or a bank transfer.",
    "processing_error": "Your bank could not be reached. Nothing was charged. Try again in a few minutes.",
}
TEST_CARDS = {"visa": "4242424242424242", "fails": "4000000000000341", "refused": "4000000000000002"}


class CardDeclined(AppError):
    """The bank refuses this card."""

    status, code = 402, "card_declined"


class StripeUnreachable(AppError):
    """Stripe did not answer, or not to us."""

    status, code = 503, "payments_unavailable"


class TestModeOnly(AppError):
    """Card numbers never touch our server, except the test numbers of the embedded Stripe."""

    status, code = 403, "test_mode_only"
    __test__ = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a payment: paid, processing, declined or unknown. `reason` is a sentence for the customer."""

    state: str
    intent_id: str | None = None
    reason: str | None = None
    charge_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A card at Stripe: what people recognise it by."""

    stripe_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int


def _settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found


def is_test_server() -> bool:
    """Are we talking to the embedded Stripe of a demo or test installation?"""
    return bool(_settings().stripe_api_base) and _settings().demo


def can_take_cards() -> bool:
    """Is there a way for a browser to hand over a card without us seeing it (or only test cards)?"""
    return is_test_server() or bool(_settings().stripe_publishable_key)


def client() -> StripeClient:
    """The client of these settings, one a process."""
    settings = _settings()
    key = (settings.stripe_api_key, settings.stripe_api_base)
    known = current_app.extensions.get("stripe_client")
    if known is None or known[0] != key:
        addresses: Any = {"api": settings.stripe_api_base} if settings.stripe_api_base else {}
        made = StripeClient(
            settings.stripe_api_key, base_addresses=addresses, max_network_retries=RETRIES, http_client=stripe.RequestsClient(timeout=TIMEOUT_S)
        )
        known = current_app.extensions["stripe_client"] = (key, made)
    found: StripeClient = known[1]
    return found


def read_event(payload: bytes, signature: str | None) -> dict[str, Any]:
    """The event of a webhook whose signature is right and not old. Raises ValueError for anything else."""
    try:
        event = client().construct_event(payload, signature, _settings().stripe_webhook_secret)
        found: dict[str, Any] = event.to_dict()
        if not found["id"] or not found["type"] or not isinstance(found["data"]["object"], dict):
            raise ValueError("not an event")
    except (stripe.SignatureVerificationError, AttributeError, KeyError, TypeError) as error:  # the latter: signed, but no event
        raise ValueError(str(error)) from error
    return found


def create_customer(member_id: uuid.UUID, name: str) -> str:
    """The member as a customer at Stripe; asked twice at once, the same one. Raises StripeUnreachable."""
    try:
        made = client().v1.customers.create({"name": name, "metadata": {"member_id": str(member_id)}}, {"idempotency_key": f"{member_id}:customer:{member_id}"})
    except stripe.StripeError as error:
        raise _unreachable(error) from error
    return made.id


def begin_setup(customer: str) -> tuple[str, str]:
    """(id, client secret) of an intent to save a card, which the browser confirms with Stripe itself."""
    try:
        wanted: Any = {"customer": customer, "payment_method_types": ["card"], "usage": "off_session"}
        intent = client().v1.setup_intents.create(wanted)
    except stripe.StripeError as error:
        raise _unreachable(error) from error
    assert intent.client_secret
    return intent.id, intent.client_secret


def finished_setup(setup_id: str, customer: str) -> str:
    """The payment method of a confirmed intent of this customer. Raises CardDeclined when it is not confirmed, or not theirs."""
    try:
        intent = client().v1.setup_intents.retrieve(setup_id)
    except stripe.InvalidRequestError as error:
        raise CardDeclined(_("This card was not saved. Please enter it again.")) from error
    except stripe.StripeError as error:
        raise _unreachable(error) from error
    if intent.status != "succeeded" or _id(intent.customer) != customer or not intent.payment_method:
        raise CardDeclined(_("This card was not saved. Please enter it again."))
    return str(_id(intent.payment_method))


def make_test_card(kind: str, customer: str) -> str:
    """Hand one of Stripe's test cards to the embedded Stripe and confirm it; its id. Refused anywhere else."""
    if not is_test_server():
        raise TestModeOnly(_("Card details go from your browser to Stripe, never through us."))
    try:
        made = client().v1.payment_methods.create({"type": "card", "card": {"number": TEST_CARDS[kind], "exp_month": 12, "exp_year": 2035, "cvc": "123"}})
        setup_id, _secret = begin_setup(customer)
        client().v1.setup_intents.confirm(setup_id, {"payment_method": made.id})
    except stripe.CardError as error:
        raise CardDeclined(_(DECLINED)) from error
    except stripe.StripeError as error:
        raise _unreachable(error) from error
    return finished_setup(setup_id, customer)


def keep_card(stripe_id: str, customer: str) -> Card:
    """The card, attached to its customer. Raises CardDeclined for somebody else's."""
    try:
        method = client().v1.payment_methods.retrieve(stripe_id)
        if method.customer is None:
            method = client().v1.payment_methods.attach(stripe_id, {"customer": customer})
    except (stripe.CardError, stripe.InvalidRequestError) as error:
        raise CardDeclined(_(DECLINED)) from error
    except stripe.StripeError as error:
        raise _unreachable(error) from error
    if _id(method.customer) != customer or method.card is None:
        raise CardDeclined(_("This card was not saved. Please enter it again."))
    card = method.card
    return Card(method.id, card.brand, card.last4 or "", card.exp_month, card.exp_year)


def forget_card(stripe_id: str) -> None:
    """Detach a card from its customer; one that is gone already is fine. Raises StripeUnreachable."""
    try:
        client().v1.payment_methods.detach(stripe_id)
    except stripe.InvalidRequestError:
        return
    except stripe.StripeError as error:
        raise _unreachable(error) from error


def pay(member_id: uuid.UUID, top_up_id: uuid.UUID, *, customer: str, card: str, amount_minor: int, currency: str) -> Outcome:
    """Charge a saved card once: the idempotency key is the top-up's. Never raises for what Stripe says or does not say."""
    wanted: Any = {
        "amount": amount_minor, "currency": currency.lower(), "customer": customer, "payment_method": card, "payment_method_types": ["card"],
        "capture_method": "automatic", "confirm": True, "off_session": True,
        "metadata": {"member_id": str(member_id), "top_up_id": str(top_up_id)},
    }  # fmt: skip
    try:
        intent = client().v1.payment_intents.create(wanted, {"idempotency_key": f"{member_id}:topup:{top_up_id}"})
    except stripe.CardError as error:
        refused = error.error.payment_intent if error.error else None
        decline = (error.error.decline_code if error.error else None) or error.code
        return Outcome("declined", refused.id if refused else None, REASONS.get(decline or "", DECLINED))
    except stripe.InvalidRequestError:
        current_app.logger.exception("Stripe refused a payment")
        return Outcome("declined", None, NOT_CHARGED)
    except stripe.StripeError as error:
        current_app.logger.warning("no answer from Stripe to a payment: %r", error)
        return Outcome("unknown")
    return _outcome(intent)


def find(member_id: uuid.UUID, top_up_id: uuid.UUID, customer: str | None, since: datetime) -> Outcome | None:
    """The payment that carries this top-up in its metadata, or None. Raises StripeUnreachable."""
    if customer is None:
        return None
    params: Any = {"limit": 100}
    if not is_test_server():  # the embedded one lists everything, unfiltered
        params |= {"customer": customer, "created": {"gte": int((since - CUSTOMERS_CLOCK).timestamp())}}
    wanted, found = {"member_id": str(member_id), "top_up_id": str(top_up_id)}, None
    try:
        for intent in client().v1.payment_intents.list(params).auto_paging_iter():
            if wanted.items() <= (intent.metadata.to_dict() if intent.metadata else {}).items():
                found = intent if found is None or intent.status == "succeeded" else found
    except stripe.StripeError as error:
        raise _unreachable(error) from error
    return _outcome(found) if found is not None else None


def look_up(intent_id: str) -> Outcome:
    """How a payment stands. Raises StripeUnreachable."""
    try:
        return _outcome(client().v1.payment_intents.retrieve(intent_id))
    except stripe.StripeError as error:
        raise _unreachable(error) from error


def fee_of(charge_id: str, currency: str) -> int:
    """What Stripe kept of a charge, in minor units; 0 while it does not say, or says it in another currency. Raises StripeUnreachable."""
    try:
        charge = client().v1.charges.retrieve(charge_id, {"expand": ["balance_transaction"]})
    except stripe.StripeError as error:
        raise _unreachable(error) from error
    entry: Any = charge.balance_transaction
    return int(entry.fee) if entry is not None and entry.currency.upper() == currency else 0


def reason_of(intent: dict[str, Any]) -> str:
    """Why a payment failed, in words for the customer."""
    error = intent.get("last_payment_error") or {}
    return REASONS.get(str(error.get("decline_code") or error.get("code") or ""), DECLINED)


def _outcome(intent: Any) -> Outcome:
    state = {"succeeded": "paid", "processing": "processing"}.get(intent.status, "declined")
    reason = None
    if state == "declined":
        reason = REASONS["authentication_required"] if intent.status == "requires_action" else NOT_CHARGED
        if intent.last_payment_error:
            reason = reason_of({"last_payment_error": intent.last_payment_error.to_dict()})
        if intent.status == "requires_action":
            _give_up(intent.id)
    return Outcome(state, intent.id, reason, _id(intent.latest_charge), intent.amount, intent.currency.upper())


def _give_up(intent_id: str) -> None:
    """Close a payment that waits for a confirmation nobody will give, so that it cannot succeed later."""
    try:
        client().v1.payment_intents.cancel(intent_id)
    except stripe.StripeError as error:
        current_app.logger.warning("a payment could not be cancelled at Stripe: %r", error)


def _id(thing: Any) -> str | None:
    return thing if thing is None or isinstance(thing, str) else str(thing.id)


def _unreachable(error: stripe.StripeError) -> StripeUnreachable:
    current_app.logger.warning("Stripe: %r", error)
    return StripeUnreachable(_("Card payments are not available right now. Nothing was charged."))
