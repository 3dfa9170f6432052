"""Purchases over the API on the web server's event loop: what `orders_api.create_order` does, for the requests that need nothing but memory and
one call of `place_orders` (decision 0066). Whatever is unusual or refused is left to that view, which then says why.
"""

import json
import re
import uuid

from flask import Flask

from core import access, clock
from core.server import ExpressLane
from marketplace.order import orders, orders_api
from marketplace.order.order_batches import Gatherer
from membership import api_keys, hosts

PATH = re.compile(r"/api/v1/listings/([a-z0-9-]+)/orders")
LONGEST_BODY = 1024
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MOST_PIECES = 10_000


def lane(app: Flask, gatherer: Gatherer) -> ExpressLane:
    """The purchases of one event loop, gathered into batches."""
    admitted = access.allowed(app, "orders_api.create_order")

    async def answer(path: re.Match[str], key: str, body: bytes) -> tuple[int, str] | None:
        acting = api_keys.known_good(api_keys.hash_key(key))
        if acting is None or acting.role not in admitted or acting.has_own_host or hosts.is_due():
            return None
        wanted = _wanted(body)
        if wanted is None:
            return None
        with app.app_context():
            at = clock.now_as_known()
            prepared = orders.prepare(acting.member, path[1], wanted, at=at, placed_by=acting.user_id) if at else None
        if prepared is None:
            return None
        row = await gatherer.place(prepared.request)
        if row is None or row[0] != "new":
            return None  # nothing new stands, so the view may try it again
        placed = prepared.outcome(row)
        return (201, orders_api.as_json(placed)) if placed else None

    return ExpressLane("POST", PATH, LONGEST_BODY, answer)


def _wanted(body: bytes) -> orders.Wanted | None:
    """The purchase asked for, where the body has the usual form and no more."""
    try:
        given = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    if type(given) is not dict or not given.keys() <= {"id", "price_minor", "quantity"}:
        return None
    order_id, price, quantity = given.get("id"), given.get("price_minor"), given.get("quantity", 1)
    if type(order_id) is not str or type(price) is not int or type(quantity) is not int:
        return None
    usual = _ID.fullmatch(order_id) and price >= 0 and 1 <= quantity <= _MOST_PIECES
    return orders.Wanted(uuid.UUID(order_id), price, quantity) if usual else None
