"""Where Stripe tells us what happened: signed, stored as it came, acted on at once or by the sweep."""

from flask import Blueprint, current_app, jsonify, request
from flask.typing import ResponseReturnValue

from billing.payment import stripe_events, stripe_gateway
from billing.top_up import top_up_jobs
from core.access import public
from core.clock import now
from core.db import SYSTEM, transaction
from core.errors import AppError, problem

webhooks = Blueprint("webhooks", __name__, url_prefix="/webhooks")


@webhooks.post("/stripe")
@public
def receive_stripe() -> ResponseReturnValue:
    """Take one event. 400: not signed by Stripe, or too old. 200: it is stored, whether new or not."""
    try:
        event = stripe_gateway.read_event(request.get_data(), request.headers.get("Stripe-Signature"))
    except ValueError:
        return problem(400, "bad_signature", "The signature is missing, wrong or too old.")
    with transaction(SYSTEM):
        is_new = stripe_events.keep(event, at=now())
    try:
        top_up_jobs.process_event(event["id"])
    except AppError:  # the sweep comes back to it; Stripe need not send it again
        current_app.logger.exception("event %s waits for the sweep", event["id"])
    return jsonify(received=True, duplicate=not is_new)
