"""Seats of a licence for machines: see, give, take back, add, lower."""

import uuid
from typing import Any

from marshmallow import Schema, fields, validate

from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.openapi import Blueprint
from core.schemas import RecordSchema, fails
from marketplace.license import licenses
from marketplace.license.license_models import License
from marketplace.order.order_models import Order
from marketplace.seat import seat_orders, seats
from marketplace.seat.seats import Seats

blp = Blueprint("license_seats_api", __name__, url_prefix="/api/v1", description="Seats of store licences")
_COUNT = validate.Range(1, seat_orders.MOST_SEATS)


class HolderOut(RecordSchema):
    """Who holds a seat."""

    id = fields.UUID(required=True, metadata={"description": "Of a person of the team, or of an API key"})
    kind = fields.String(required=True, validate=validate.OneOf(["user", "api_key"]))
    name = fields.String(required=True)
    email = fields.String(required=True, metadata={"description": "Of a key: how it begins"})
    role = fields.String(required=True)
    assigned_at = fields.DateTime(required=True)


class SeatsOut(RecordSchema):
    """The seats of a licence."""

    seats = fields.Integer(required=True)
    next_seats = fields.Integer(required=True, allow_none=True, metadata={"description": "From the next term on, where it is fewer"})
    taken = fields.Integer(required=True)
    free = fields.Integer(required=True)
    holders = fields.List(fields.Nested(HolderOut), required=True, metadata={"description": "The first who got one first"})


class SeatPreviewIn(Schema):
    """So many seats more."""

    seats = fields.Integer(required=True, strict=True, validate=_COUNT, metadata={"description": "How many to add"})


class SeatPreviewOut(Schema):
    """What more seats cost today."""

    seats_after = fields.Integer(required=True)
    unit_minor = fields.Integer(required=True, metadata={"description": "A seat for a whole term, or for good, tax included"})
    price_minor = fields.Integer(required=True, metadata={"description": "The charge: send it back as `price_minor`"})
    tax_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    days_left = fields.Integer(required=True, allow_none=True, metadata={"description": "Of the running term, today included"})
    days_total = fields.Integer(required=True, allow_none=True)
    next_term_minor = fields.Integer(required=True, allow_none=True, metadata={"description": "What each term costs afterwards; null where none follows"})
    missing_minor = fields.Integer(required=True, metadata={"description": "What the wallet lacks"})


class SeatOrderIn(SeatPreviewIn):
    """More seats. `id` is made by the client (UUIDv7 advised) and makes it happen once."""

    id = fields.UUID(required=True)
    price_minor = fields.Integer(required=True, strict=True, validate=validate.Range(min=0), metadata={"description": "The charge you were shown"})


class SeatOrderOut(RecordSchema):
    """Seats that were added; the order has a document and a refund of its own."""

    id = fields.UUID(required=True)
    license_id = fields.UUID(required=True)
    quantity = fields.Integer(required=True, metadata={"description": "Seats added"})
    price_minor = fields.Integer(required=True, metadata={"description": "A seat for a whole term, or for good"})
    total_minor = fields.Integer(required=True)
    tax_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    paid_minor = fields.Integer(required=True, metadata={"description": "Drawn from paid money"})
    bonus_minor = fields.Integer(required=True, metadata={"description": "Drawn from bonus"})
    credit_minor = fields.Integer(required=True, metadata={"description": "Owed under your credit limit"})
    balance_after_minor = fields.Integer(required=True)
    at = fields.DateTime(required=True)


class SeatReductionIn(Schema):
    """How many seats the licence has from the next term on; as many as now takes a reduction back."""

    seats = fields.Integer(required=True, strict=True, validate=_COUNT)


@blp.get("/licenses/<uuid:license_id>/seats")
@blp.response(200, SeatsOut)
@fails(blp, 401, 403, 404, 409)
@requires("owner", "buyer")
def list_seats(license_id: uuid.UUID) -> Seats:
    """How many seats there are and who holds one; 409 `not_per_seat` for a licence of the whole organisation."""
    acting = actor()
    with transaction(acting):
        return seats.show(licenses.owned(acting.member, license_id).license)


@blp.put("/licenses/<uuid:license_id>/seats/<uuid:holder_id>")
@blp.response(200, SeatsOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def assign_seat(license_id: uuid.UUID, holder_id: uuid.UUID) -> Seats:
    """Give a person of the team, or a machine by its API key's id, a seat. Again changes nothing; 409 `no_seat_free` when all are taken."""
    acting = actor()
    with transaction(acting):
        return seats.show(seats.assign(acting.member, license_id, holder_id, at=now(), by=acting.user_id))


@blp.delete("/licenses/<uuid:license_id>/seats/<uuid:holder_id>")
@blp.response(200, SeatsOut)
@fails(blp, 401, 403, 404, 409)
@requires("owner", "buyer")
def release_seat(license_id: uuid.UUID, holder_id: uuid.UUID) -> Seats:
    """Take a seat back; it is free at once. Again changes nothing."""
    acting = actor()
    with transaction(acting):
        return seats.show(seats.release(acting.member, license_id, holder_id, at=now(), by=acting.user_id))


@blp.post("/licenses/<uuid:license_id>/seat-previews")
@blp.arguments(SeatPreviewIn)
@blp.response(200, SeatPreviewOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def preview_seats(preview_in: dict[str, Any], license_id: uuid.UUID) -> dict[str, Any]:
    """What so many seats more cost today. Nothing is kept; by the day, so it holds until midnight of the seller's time zone."""
    acting, at = actor(), now()
    with transaction(acting):
        found = seat_orders.preview(acting.member, license_id, preview_in["seats"], at=at)
        return {
            "seats_after": found.seats_after, "unit_minor": found.quote.unit_minor, "price_minor": found.quote.total_minor, "tax_minor": found.quote.tax_minor,
            "currency": found.quote.listing.currency, "days_left": found.gone.left if found.gone else None,
            "days_total": found.gone.total if found.gone else None, "next_term_minor": found.next_term_minor,
            "missing_minor": seat_orders.wallet_preview(found, at=at).missing_minor,
        }  # fmt: skip


@blp.post("/licenses/<uuid:license_id>/seat-orders")
@blp.arguments(SeatOrderIn)
@blp.response(201, SeatOrderOut)
@fails(blp, 401, 402, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_seat_order(order_in: dict[str, Any], license_id: uuid.UUID) -> Order:
    """Buy more seats from the wallet; the same id and content again returns the first order.

    402 tells `missing_minor`, 409 `price_changed` tells `price_minor`; neither charged anything.
    """
    acting = actor()
    with transaction(acting):
        return seat_orders.add(acting.member, license_id, seat_orders.Wanted(**order_in), at=now(), placed_by=acting.user_id)


@blp.post("/licenses/<uuid:license_id>/seat-reduction")
@blp.arguments(SeatReductionIn)
@blp.response(200, SeatsOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_seat_reduction(reduction_in: dict[str, Any], license_id: uuid.UUID) -> Seats:
    """Have fewer seats from the next term on. Who got one last loses it then, where nobody gave one back before."""
    acting = actor()
    with transaction(acting):
        return seats.show(_lowered(acting.member, license_id, reduction_in["seats"]))


def _lowered(member_id: uuid.UUID, license_id: uuid.UUID, wanted: int) -> License:
    return seat_orders.lower(member_id, license_id, wanted, at=now())
