"""JSON about members, keys and oneself."""

import uuid
from typing import Any

from sqlalchemy import select

from core import audit, clock
from core.access import MEMBERS, requires
from core.actor import ROLES, Actor, actor
from core.db import transaction
from core.openapi import Blueprint
from core.paging import Page, keyset
from core.schemas import PageQuery, fails, page_of
from membership import api_keys, entitlements, member_facts, members
from membership.models import ApiKey, Member
from membership.schemas import ApiKeyIn, ApiKeyMade, ApiKeyOut, EntitlementsOut, FactsIn, MemberOut, MemberQuery, MeOut

blp = Blueprint("members_api", __name__, url_prefix="/api/v1", description="Members, API keys, and who am I")


@blp.get("/me")
@blp.response(200, MeOut)
@fails(blp, 401)
@requires(*ROLES)
def show_me() -> Actor:
    """Who this key acts as."""
    return actor()


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


@blp.get("/api-keys")
@blp.arguments(PageQuery, location="query")
@blp.response(200, page_of(ApiKeyOut))
@fails(blp, 400, 401, 403)
@requires("operator")
def list_api_keys(query: dict[str, Any]) -> Page[ApiKey]:
    """Keys, the newest first; their secrets are not kept."""
    with transaction(actor()) as session:
        return keyset(session, select(ApiKey), [ApiKey.created_at, ApiKey.id], query["after"], query["limit"])


@blp.post("/api-keys")
@blp.arguments(ApiKeyIn)
@blp.response(201, ApiKeyMade)
@fails(blp, 401, 403, 404)
@requires("operator")
def create_api_key(wanted: dict[str, Any]) -> dict[str, Any]:
    """Make a key. Its secret is in this answer and nowhere else."""
    at = clock.now()
    with transaction(actor()):
        key, secret = api_keys.create(wanted["name"], wanted["role"], wanted["member_id"], at=at, created_by=actor().user_id)
        audit.record("api_key.create", key.prefix, at=at, member_id=key.member_id, after={"name": key.name, "role": key.role})
    return {**{name: getattr(key, name) for name in ApiKeyOut().fields}, "key": secret}


@blp.post("/api-keys/<uuid:key_id>/revocation")
@blp.response(200, ApiKeyOut)
@fails(blp, 401, 403, 404)
@requires("operator")
def revoke_api_key(key_id: uuid.UUID) -> ApiKey:
    """End a key; it stops working within five seconds. Again changes nothing."""
    at = clock.now()
    with transaction(actor()):
        key = api_keys.revoke(key_id, at=at)
        audit.record("api_key.revoke", key.prefix, at=at, member_id=key.member_id)
    return key
