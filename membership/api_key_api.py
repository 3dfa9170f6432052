"""JSON about API keys and whom they act as."""

import uuid
from typing import Any

from sqlalchemy import select

from core import audit, clock
from core.access import requires
from core.actor import ROLES, Actor, actor
from core.db import transaction
from core.openapi import Blueprint
from core.paging import Page, keyset
from core.schemas import PageQuery, fails, page_of
from membership import api_keys
from membership.models import ApiKey
from membership.schemas import ApiKeyIn, ApiKeyMade, ApiKeyOut, MeOut

blp = Blueprint("api_key_api", __name__, url_prefix="/api/v1", description="API keys, and who am I")


@blp.get("/me")
@blp.response(200, MeOut)
@fails(blp, 401)
@requires(*ROLES)
def show_me() -> Actor:
    """Who this key acts as."""
    return actor()


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
