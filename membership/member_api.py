"""JSON about members and what they may use."""

import uuid
from typing import Any

from core import clock
from core.access import MEMBERS, requires
from core.actor import actor
from core.db import transaction
from core.openapi import Blueprint
from core.paging import Page, keyset
from core.schemas import fails, page_of
from membership import entitlements, member_facts, members
from membership.models import Member
from membership.schemas import EntitlementsOut, FactsIn, MemberOut, MemberQuery

blp = Blueprint("member_api", __name__, url_prefix="/api/v1", description="Members, and what they may use")


@blp.get("/entitlements")
@blp.response(200, EntitlementsOut)
@fails(blp, 401, 403)
@requires(*MEMBERS)
def show_entitlements() -> dict[str, Any]:
    """What the member may use now, of each product: features and limits."""
    acting = actor()
    with transaction(acting):
        return {"items": entitlements.of_member(acting.member)}


@blp.get("/members")
@blp.arguments(MemberQuery, location="query")
@blp.response(200, page_of(MemberOut))
@fails(blp, 400, 401, 403)
@requires("operator", "csm")
def list_members(query: dict[str, Any]) -> Page[Member]:
    """Members by number."""
    wanted = members.Wanted(query["q"], query["state"], query["industry"], query["size"], product_line=query["product_line"])
    with transaction(actor()) as session:
        return keyset(session, members.matching(wanted), [Member.number], query["after"], query["limit"], descending=False)


@blp.get("/members/<uuid:member_id>")
@blp.response(200, MemberOut)
@fails(blp, 401, 403, 404)
@requires("operator", "csm")
def show_member(member_id: uuid.UUID) -> Member:
    """One member."""
    with transaction(actor()):
        return members.find(member_id)


@blp.patch("/members/<uuid:member_id>")
@blp.arguments(FactsIn)
@blp.response(200, MemberOut)
@fails(blp, 401, 403, 404, 422)
@requires("operator")
def change_member(facts: dict[str, Any], member_id: uuid.UUID) -> Member:
    """Note other facts about a member."""
    with transaction(actor()):
        return member_facts.change(member_id, facts, at=clock.now())
