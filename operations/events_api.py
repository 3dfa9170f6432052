"""POST /api/v1/events: behaviour in."""

from typing import Any

from flask import current_app
from flask_babel import gettext as _

from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.openapi import Blueprint
from core.schemas import fails
from operations import events
from operations.operations_schemas import EventsIn, ReceiptOut

blp = Blueprint("events_api", __name__, url_prefix="/api/v1", description="Behaviour events")


class BatchTooLarge(AppError):
    """More events than a batch may carry; nothing was stored."""

    status, code = 413, "batch_too_large"


@blp.post("/events")
@blp.arguments(EventsIn)
@blp.response(200, ReceiptOut)
@fails(blp, 400, 401, 403, 413, 422)
@requires("owner", "buyer", "operator")
def create_events(batch: dict[str, Any]) -> events.Receipt:
    """Store a batch of events: good rows are stored, bad ones reported by index, repeats counted as duplicates."""
    most = current_app.extensions["settings"].event_batch_max
    if len(batch["events"]) > most:
        raise BatchTooLarge(_("A batch has at most %(most)s events.", most=most), field="events", most=most)
    acting = actor()
    with transaction(acting):
        return events.ingest(batch["events"], acting.member_id, at=now())
