"""Refunds at Stripe: asked for once, looked up, and found again by the metadata that each carries. No rule of ours, and never inside a transaction."""

import uuid
from dataclasses import dataclass
from typing import Any

import stripe
from flask import current_app
from flask_babel import gettext as _

from billing.payment.stripe_gateway import StripeUnreachable, client

# English here, Chinese in the catalogue; kept on the row, shown by the filter `translated`.
NOT_ACCEPTED = "Stripe did not accept this refund. The money is back in the wallet."
REASONS = {
    "lost_or_stolen_card": "The card was reported lost or stolen. The money is back in the wallet.",
    "expired_or_canceled_card": "The card has expired or was cancelled. The money is back in the wallet.",
    "declined": "The bank declined this refund. The money is back in the wallet.",
    "insufficient_funds": NOT_ACCEPTED,
    "charge_for_pending_refund_disputed": "The payment is disputed at the bank. The money is back in the wallet.",
}
FAILED = "The refund did not reach the card. The money is back in the wallet."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a refund: paid, pending, failed or unknown. `reason` is a sentence for the customer."""

    state: str
    refund_id: str | None = None
    reason: str | None = None


def create(member_id: uuid.UUID, refund_id: uuid.UUID, *, intent: str, amount_minor: int) -> Outcome:
    """Refund a part of a payment once: the idempotency key is the refund's. Never raises for what Stripe says or does not say."""
    wanted: Any = {"payment_intent": intent, "amount": amount_minor, "metadata": {"member_id": str(member_id), "refund_id": str(refund_id)}}
    try:
        return outcome(client().v1.refunds.create(wanted, {"idempotency_key": f"{member_id}:refund:{refund_id}"}).to_dict())
    except (stripe.InvalidRequestError, stripe.CardError):
        current_app.logger.exception("Stripe refused a refund")
        return Outcome("failed", reason=NOT_ACCEPTED)
    except stripe.StripeError as error:
        current_app.logger.warning("no answer from Stripe to a refund: %r", error)
        return Outcome("unknown")


def look_up(stripe_id: str) -> Outcome:
    """How a refund stands. Raises StripeUnreachable."""
    try:
        return outcome(client().v1.refunds.retrieve(stripe_id).to_dict())
    except stripe.StripeError as error:
        raise _unreachable(error) from error


def find(member_id: uuid.UUID, refund_id: uuid.UUID, intent: str) -> Outcome | None:
    """The refund that carries this id in its metadata, or None. Raises StripeUnreachable."""
    wanted = {"member_id": str(member_id), "refund_id": str(refund_id)}
    try:
        for one in client().v1.refunds.list({"payment_intent": intent, "limit": 100}).auto_paging_iter():
            if wanted.items() <= (one.metadata.to_dict() if one.metadata else {}).items():
                return outcome(one.to_dict())
    except stripe.StripeError as error:
        raise _unreachable(error) from error
    return None


def outcome(refund: dict[str, Any]) -> Outcome:
    """What a refund object says. `requires_action` waits like `pending`; `canceled` is a failure."""
    state = {"succeeded": "paid", "failed": "failed", "canceled": "failed"}.get(refund["status"], "pending")
    reason = REASONS.get(refund.get("failure_reason") or "", FAILED) if state == "failed" else None
    return Outcome(state, refund["id"], reason)


def _unreachable(error: stripe.StripeError) -> StripeUnreachable:
    current_app.logger.warning("Stripe: %r", error)
    return StripeUnreachable(_("Refunds to cards are not available right now."))
