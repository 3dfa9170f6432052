"""GET /api/v1/members/{member}/activity: what a member's people do."""

from typing import Any

from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.openapi import Blueprint
from core.schemas import fails
from operations import worklist
from operations.offers_api import member_id_of
from operations.operations_schemas import ActivityOut

blp = Blueprint("activity_api", __name__, url_prefix="/api/v1", description="Activity of members")


@blp.get("/members/<member>/activity")
@blp.response(200, ActivityOut)
@fails(blp, 401, 403, 404)
@requires("csm", "operator")
def show_activity(member: str) -> dict[str, Any]:
    """Activity of a member (its id or number) in 28 days; zeros before its first event."""
    with transaction(actor()):
        member_id = member_id_of(member)
        found = worklist.snapshot(member_id, at=now())
    use = found.figures if found else None
    if use is None:
        nothing = dict.fromkeys(("people", "active_7", "active_28", "active_days_28", "per_day", "minutes_28", "features_28", "automated_28"), 0)
        return {**nothing, "member_id": member_id, "day": now().date(), "activation": None, "stickiness": None, "depth": None, "trend": None, "weeks": [0] * 8}
    counted = ("day", "active_7", "active_28", "active_days_28", "features_28", "automated_28", "weeks")
    ratios = ("people", "activation", "per_day", "stickiness", "depth", "trend")
    return {
        **{name: getattr(use.row, name) for name in counted}, **{name: getattr(use, name) for name in ratios},
        "member_id": member_id, "minutes_28": use.minutes,
    }  # fmt: skip
