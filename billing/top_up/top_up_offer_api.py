"""Top-up offers as JSON: finance makes and ends them, a member sees what a top-up earns it."""

import uuid
from typing import Any

from sqlalchemy import select

from billing.finance.finance_api import blp as finance_blp
from billing.top_up import top_up_offers
from billing.top_up.top_up_models import TopUpOffer
from billing.top_up.top_up_offer_schemas import MemberOffersOut, TopUpOfferEndIn, TopUpOfferIn, TopUpOfferOut
from billing.wallet.wallet_api import blp
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.paging import Page, keyset
from core.schemas import PageQuery, fails, page_of
from membership.models import Member


def _out(offers: list[TopUpOffer]) -> list[dict[str, Any]]:
    ids, at = [offer.id for offer in offers], now()
    tiers, use = top_up_offers.tiers_of(ids), top_up_offers.use_of(ids)
    own = ("id", "name_zh", "name_en", "currency", "bonus_days", "priority", "first_only", "starts_at", "ends_at")
    return [
        {name: getattr(offer, name) for name in own}
        | {"state": top_up_offers.state(offer, at=at), "tiers": tiers[offer.id], "settled": use[offer.id].settled,
           "topped_up_minor": use[offer.id].amount_minor, "bonus_given_minor": use[offer.id].bonus_minor}
        for offer in offers
    ]  # fmt: skip


@blp.get("/wallet/top-up-offers")
@blp.response(200, MemberOffersOut)
@fails(blp, 401, 403)
@requires(*MEMBERS)
def list_own_top_up_offers() -> dict[str, Any]:
    """What a top-up earns this member now."""
    acting = actor()
    with transaction(acting) as session:
        currency = session.get_one(Member, acting.member).currency
        return {"currency": currency, "tiers": top_up_offers.in_force(currency, at=now(), member_id=acting.member)}


@finance_blp.get("/finance/top-up-offers")
@finance_blp.arguments(PageQuery, location="query")
@finance_blp.response(200, page_of(TopUpOfferOut))
@fails(finance_blp, 400, 401, 403, 422)
@requires("finance", "operator")
def list_top_up_offers(query: dict[str, Any]) -> dict[str, Any]:
    """All offers, the latest first, with what became of them."""
    with transaction(actor()) as session:
        page: Page[TopUpOffer] = keyset(session, select(TopUpOffer), [TopUpOffer.starts_at, TopUpOffer.id], query["after"], query["limit"])
        return {"items": _out(page.items), "next": page.next}


@finance_blp.post("/finance/top-up-offers")
@finance_blp.arguments(TopUpOfferIn)
@finance_blp.response(201, TopUpOfferOut)
@fails(finance_blp, 401, 403, 409, 422)
@requires("finance")
def create_top_up_offer(offer_in: dict[str, Any]) -> dict[str, Any]:
    """Make or schedule an offer; the same id again is the same offer."""
    tiers = tuple((tier["from_minor"], tier["bonus_minor"]) for tier in offer_in["tiers"])
    with transaction(actor()):
        return _out([top_up_offers.create(top_up_offers.Wanted(**(offer_in | {"tiers": tiers})), at=now())])[0]


@finance_blp.post("/finance/top-up-offers/<uuid:offer_id>/end")
@finance_blp.arguments(TopUpOfferEndIn)
@finance_blp.response(200, TopUpOfferOut)
@fails(finance_blp, 401, 403, 404, 409, 422)
@requires("finance")
def end_top_up_offer(end_in: dict[str, Any], offer_id: uuid.UUID) -> dict[str, Any]:
    """Promise it no more; what was promised stays promised."""
    with transaction(actor()):
        return _out([top_up_offers.end(offer_id, end_in["reason"], at=now())])[0]
