"""Offers as JSON: staff send them, customers decide."""

import uuid
from datetime import datetime
from typing import Any

from flask import current_app
from sqlalchemy import select

from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import db, transaction
from core.openapi import Blueprint
from core.paging import Page, keyset
from core.schemas import PageQuery, fails, page_of
from marketplace.store.listing_models import Listing
from membership import members
from operations import offers
from operations.models import Offer
from operations.operations_schemas import AcceptanceIn, AcceptanceOut, OfferIn, OfferOut, RefusalIn

blp = Blueprint("offers_api", __name__, url_prefix="/api/v1", description="Recommendations of a CSM, and what customers make of them")


@blp.post("/members/<member>/offers")
@blp.arguments(OfferIn)
@blp.response(201, OfferOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("csm", "operator")
def create_offer(offer_in: dict[str, Any], member: str) -> dict[str, Any]:
    """Recommend a listing to a member (its id or number). The same id and content again returns the first offer."""
    acting, at, days = actor(), now(), current_app.extensions["settings"].offer_days
    with transaction(acting):
        wanted = offers.Wanted(offer_in["id"], offer_in["listing"], offer_in["reason"], offer_in["seats"])
        sent = offers.send(member_id_of(member), wanted, acting, days=days, at=at)
        return _out([sent], at)[0]


@blp.get("/offers")
@blp.arguments(PageQuery, location="query")
@blp.response(200, page_of(OfferOut))
@fails(blp, 400, 401, 403, 422)
@requires("owner", "buyer", "viewer")
def list_offers(query: dict[str, Any]) -> dict[str, Any]:
    """The acting member's offers, the latest first."""
    with transaction(actor()) as session:
        page: Page[Offer] = keyset(session, select(Offer).where(Offer.member_id == actor().member), [Offer.sent_at, Offer.id], query["after"], query["limit"])
        return {"items": _out(page.items, now()), "next": page.next}


@blp.post("/offers/<uuid:offer_id>/acceptance")
@blp.arguments(AcceptanceIn, required=False)
@blp.response(201, AcceptanceOut)
@fails(blp, 401, 402, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_acceptance(acceptance: dict[str, Any], offer_id: uuid.UUID) -> dict[str, Any]:
    """Buy what is offered from the wallet. A second acceptance returns the first purchase and charges nothing."""
    with transaction(actor()):
        _offer, order = offers.accept(actor().member, offer_id, acceptance["price_minor"], actor(), at=now())
        names = ("total_minor", "paid_minor", "bonus_minor", "balance_after_minor", "currency", "at")
        return {"offer_id": offer_id, "order_id": order.id, **{name: getattr(order, name) for name in names}}


@blp.post("/offers/<uuid:offer_id>/refusal")
@blp.arguments(RefusalIn, required=False)
@blp.response(201, OfferOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_refusal(refusal: dict[str, Any], offer_id: uuid.UUID) -> dict[str, Any]:
    """Decline an offer."""
    with transaction(actor()):
        return _out([offers.decline(actor().member, offer_id, refusal["reason"], at=now())], now())[0]


def member_id_of(name: str) -> uuid.UUID:
    """A member by its id or its number. Raises NotFound."""
    try:
        return members.find(uuid.UUID(name)).id
    except ValueError:
        return members.find_by_number(name).id


def _out(rows: list[Offer], at: datetime) -> list[dict[str, Any]]:
    """Offers with the slug and present price of their listings: one query for all."""
    known = {listing.id: listing for listing in db.session.scalars(select(Listing).where(Listing.id.in_({o.listing_id for o in rows})))}
    plain = ("id", "member_id", "reason", "seats", "state", "sent_at", "expires_at", "decided_at", "order_id")
    return [
        {
            **{name: getattr(offer, name) for name in plain}, "listing": known[offer.listing_id].slug, "recommended_by": offer.csm_name,
            "price_minor": offers.price_now(offer, known[offer.listing_id], at) if offer.state == "sent" else offer.price_minor,
            "currency": known[offer.listing_id].currency,
        }
        for offer in rows
    ]  # fmt: skip
