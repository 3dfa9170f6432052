"""POST /api/v1/listings/{slug}/orders: the store's hot path."""

import json
from typing import Any

from flask import Response, current_app
from marshmallow import Schema, fields, validate

from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.openapi import Blueprint
from core.schemas import Problem, RecordSchema
from marketplace.order import orders
from membership import hosts

blp = Blueprint("orders_api", __name__, url_prefix="/api/v1", description="Buying from the store")


class OrderIn(Schema):
    """A purchase. `id` is made by the client (UUIDv7 advised) and makes it happen once."""

    id = fields.UUID(required=True)
    price_minor = fields.Integer(required=True, strict=True, validate=validate.Range(min=0), metadata={"description": "The price of one piece you were shown"})
    quantity = fields.Integer(load_default=1, strict=True, validate=validate.Range(min=1, max=10_000))
    coupon = fields.String(load_default=None, validate=validate.Length(1, 40), metadata={"description": "A code that lowers the price"})
    monthly_cap_minor = fields.Integer(
        load_default=None,
        strict=True,
        validate=validate.Range(1, 10**12),
        metadata={"description": "Of a price by use: what runs may cost in a calendar month"},
    )


class OrderOut(RecordSchema):
    """A purchase that stands; the licence carries the same id."""

    id = fields.UUID(required=True)
    license_id = fields.UUID(required=True)
    listing = fields.String(required=True, attribute="slug")
    version = fields.String(required=True)
    quantity = fields.Integer(required=True)
    price_minor = fields.Integer(required=True)
    total_minor = fields.Integer(required=True)
    discount_minor = fields.Integer(required=True, metadata={"description": "What the coupon took off; the total is without it"})
    tax_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    paid_minor = fields.Integer(required=True, metadata={"description": "Drawn from paid money"})
    bonus_minor = fields.Integer(required=True, metadata={"description": "Drawn from bonus"})
    credit_minor = fields.Integer(required=True, metadata={"description": "Owed under your credit limit; your next top-up settles it"})
    balance_after_minor = fields.Integer(required=True)
    at = fields.DateTime(required=True)


@blp.post("/listings/<slug>/orders")
@blp.arguments(OrderIn())  # made once: as a class it would be made anew for each request
@blp.response(201, OrderOut)
@blp.alt_response(402, schema=Problem, description="Not enough money; `missing_minor` says how much")
@blp.alt_response(403, schema=Problem, description="The role or the edition does not allow it")
@blp.alt_response(404, schema=Problem, description="No such listing")
@blp.alt_response(409, schema=Problem, description="price_changed, already_owned, coupon_refused, id_reused or wallet_frozen; nothing was charged")
@requires("owner", "buyer")
def create_order(order_in: dict[str, Any], slug: str) -> Response:
    """Buy a listing from the wallet. The same id and content again returns the first order."""
    acting, wanted, at = actor(), orders.Wanted(**order_in), now()
    if hosts.takes_turn():
        with transaction(acting):
            hosts.refresh(early=True)
    placed = None if acting.has_own_host else orders.place_alone(acting.member, slug, wanted, at=at, placed_by=acting.user_id)
    if placed is None:
        with transaction(acting):
            placed = orders.place(acting.member, slug, wanted, at=at, placed_by=acting.user_id)
    return _answer(placed)


def _answer(placed: orders.Placed) -> Response:
    return current_app.response_class(as_json(placed), 201, mimetype="application/json")


def as_json(placed: orders.Placed) -> str:
    """What `OrderOut` makes of it, in a fifth of the time; a test holds both to each other."""
    body = {name: getattr(placed, name) for name in _AS_IT_IS}
    order_id = str(placed.id)
    body |= {"id": order_id, "license_id": order_id, "listing": placed.slug, "at": placed.at.isoformat()}
    return _encode(body) + "\n"


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # as Flask's, which would have to be asked for it
_AS_IT_IS = tuple(name for name in OrderOut._declared_fields if name not in ("id", "license_id", "listing", "at"))
