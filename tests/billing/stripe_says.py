"""Signed events in the form that Stripe documents, for what the test server does not know: refunds that change their mind, and disputes."""

import json
import time
from typing import Any

from flask import Flask

from billing.refund.refund_models import CardRefund
from core.ids import new_id
from tests.billing.conftest import signed

CREATED = 1_781_496_000


def event(type_: str, told: dict[str, Any]) -> dict[str, Any]:
    """An event around an object."""
    return {
        "id": f"evt_{new_id().hex}", "object": "event", "api_version": "2025-09-30.clover", "type": type_, "created": CREATED, "livemode": False,
        "pending_webhooks": 1, "request": {"id": None, "idempotency_key": None}, "data": {"object": told},
    }  # fmt: skip


def refund_event(refund: CardRefund, status: str, type_: str = "refund.updated", **more: Any) -> dict[str, Any]:
    """What Stripe says of a refund."""
    told = {
        "id": refund.stripe_refund or "re_1", "object": "refund", "amount": refund.amount_minor, "balance_transaction": "txn_1", "charge": "ch_1",
        "created": CREATED, "currency": refund.currency.lower(), "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "payment_intent": "pi_1", "reason": "requested_by_customer", "receipt_number": None, "source_transfer_reversal": None, "status": status,
        "transfer_reversal": None, "metadata": {"member_id": str(refund.member_id), "refund_id": str(refund.id)},
    }  # fmt: skip
    return event(type_, told | more)


def dispute_event(
    type_: str, intent: str, amount: int, status: str, *, id: str = "du_1", fee: int = 15_00, moved: int | None = None, currency: str = "cny"
) -> dict[str, Any]:
    """What Stripe says of a dispute; `moved`: how many balance transactions there are (withdrawn, reinstated), by default what the status implies."""
    if moved is None:
        moved = 0 if status.startswith("warning") or status == "prevented" else 2 if status == "won" else 1
    entries = [
        {
            "id": f"txn_{id}_{sign}", "object": "balance_transaction", "amount": sign * amount, "available_on": CREATED, "created": CREATED,
            "currency": currency, "description": "Chargeback withdrawal" if sign < 0 else "Chargeback reversal", "exchange_rate": None, "fee": -sign * fee,
            "fee_details": [{"amount": -sign * fee, "application": None, "currency": currency, "description": "Dispute fee", "type": "stripe_fee"}],
            "net": sign * (amount + fee), "reporting_category": "dispute" if sign < 0 else "dispute_reversal", "source": id, "status": "available",
            "type": "adjustment",
        }
        for sign in (-1, 1)[:moved]
    ]  # fmt: skip
    return event(type_, {
        "id": id, "object": "dispute", "amount": amount, "balance_transactions": entries, "charge": "ch_1", "created": CREATED, "currency": currency,
        "enhanced_eligibility_types": [], "evidence": {"customer_name": None, "uncategorized_text": None},
        "evidence_details": {"due_by": CREATED + 9 * 86_400, "enhanced_eligibility": {}, "has_evidence": False, "past_due": False, "submission_count": 0},
        "is_charge_refundable": False, "livemode": False, "metadata": {}, "payment_intent": intent, "reason": "fraudulent", "status": status,
        "payment_method_details": {"card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10"}, "type": "card"},
    })  # fmt: skip


def deliver(app: Flask, payload: dict[str, Any]) -> int:
    """Send an event to our webhook, signed; returns the answer's status."""
    body = json.dumps(payload).encode()
    header = signed(body, app.extensions["settings"].stripe_webhook_secret, int(time.time()))
    return app.test_client().post("/webhooks/stripe", data=body, headers={"Stripe-Signature": header}).status_code
