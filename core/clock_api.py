"""JSON about the product's clock."""

from typing import Any

from flask import current_app
from marshmallow import Schema, fields, validate
from redis import RedisError

from core import clock_jobs, clock_moves
from core.access import requires
from core.actor import actor
from core.clock_moves import Standing
from core.db import transaction
from core.openapi import Blueprint
from core.schemas import fails

blp = Blueprint("clock_api", __name__, url_prefix="/api/v1", description="The product's clock, which a demo may move")


class ClockIn(Schema):
    """Where to: an instant or a number of days, not both."""

    to = fields.AwareDateTime(load_default=None, metadata={"description": "An instant in the product's future."})
    days = fields.Integer(load_default=None, strict=True, validate=validate.Range(1, 36_600), metadata={"description": "So many days on."})


class ClockOut(Schema):
    """The clock as it stands."""

    now = fields.AwareDateTime(required=True, metadata={"description": "Product time: what terms, expiry and the books go by."})
    real_now = fields.AwareDateTime(required=True)
    ahead_seconds = fields.Integer(required=True)
    is_movable = fields.Boolean(required=True)
    is_moving = fields.Boolean(required=True)
    moving_from = fields.AwareDateTime(required=True, allow_none=True)
    moving_to = fields.AwareDateTime(required=True, allow_none=True)
    percent = fields.Integer(required=True, metadata={"description": "How much of the way is done; 100 when it is not moving."})


@blp.get("/clock")
@blp.response(200, ClockOut)
@fails(blp, 401, 403)
@requires("operator")
def show_clock() -> Standing:
    """Product time and real time, and how far a move has come."""
    with transaction(actor()):
        return clock_moves.show()


@blp.post("/clock")
@blp.arguments(ClockIn)
@blp.response(202, ClockOut)
@fails(blp, 401, 403, 409)
@requires("operator")
def move_clock(wanted: dict[str, Any]) -> Standing:
    """Move the clock forward. A worker lives through the time in between; ask `GET /clock` how far it is. The same `to` again changes nothing."""
    with transaction(actor()):
        standing = clock_moves.start(clock_moves.target(wanted["to"], wanted["days"]), actor().name)
    leave_to_worker()
    return standing


def leave_to_worker() -> None:
    """Put the move in line; should the queue be away, the scheduler does it when it is back."""
    try:
        clock_jobs.leave_to_worker()
    except RedisError:
        current_app.logger.warning("the queue is away; the move of the clock waits for the scheduler")
