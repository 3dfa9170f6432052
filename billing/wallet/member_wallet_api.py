"""A member's wallet for finance, as JSON: what is in it, what is held, and its credit limit."""

import uuid
from typing import Any

from marshmallow import Schema, fields, validate

from billing.approval import approvals
from billing.finance.finance_api import blp
from billing.wallet import credit_limits, holds, wallet_api
from billing.wallet.hold_models import Hold
from billing.wallet.hold_schemas import TEXT, HoldOut, HoldQuery
from billing.wallet.member_wallet_pages import find_member
from billing.wallet.wallet_schemas import MOST_DIGITS, WalletOut
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.paging import Page, keyset
from core.schemas import fails, page_of


class CreditLimitIn(Schema):
    """How much a member may owe us. `id` is the caller's own and makes it happen once."""

    id = fields.UUID(required=True)
    limit_minor = fields.Integer(required=True, strict=True, validate=validate.Range(0, 10**MOST_DIGITS), metadata={"description": "0: none"})
    reason_code = fields.String(required=True, validate=validate.OneOf(list(approvals.REASONS)))
    reason = fields.String(load_default="", validate=validate.Length(max=approvals.REASON_LENGTH))


class CreditLimitOut(Schema):
    """What became of it: `done`, or `proposed` until a second person agrees."""

    id = fields.UUID(required=True)
    state = fields.String(required=True)
    limit_minor = fields.Integer(required=True)
    before_minor = fields.Integer(required=True)
    needs_second = fields.Boolean(required=True)


class StaffReleaseIn(Schema):
    """Why finance gives back what a hold reserves, and how much of it."""

    id = fields.UUID(required=True)
    amount_minor = fields.Integer(load_default=None, allow_none=True, strict=True, validate=validate.Range(1, 10**MOST_DIGITS))
    reason = fields.String(required=True, validate=TEXT)


@blp.get("/finance/members/<uuid:member_id>/wallet")
@blp.response(200, WalletOut)
@fails(blp, 401, 403, 404)
@requires("finance", "operator")
def show_member_wallet(member_id: uuid.UUID) -> dict[str, Any]:
    """A member's wallet now, as the member sees it."""
    at = now()
    with transaction(actor()):
        return wallet_api.overview(find_member(member_id), at)


@blp.post("/finance/members/<uuid:member_id>/credit-limit")
@blp.arguments(CreditLimitIn)
@blp.response(200, CreditLimitOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("finance")
def set_credit_limit(limit: dict[str, Any], member_id: uuid.UUID) -> dict[str, Any]:
    """Agree on a credit limit. A large rise is only proposed; a second person agrees at the page."""
    with transaction(actor()):
        member = find_member(member_id)
        one = credit_limits.propose(member, limit["id"], limit["limit_minor"], limit["reason_code"], limit["reason"], actor(), at=now())
        return {"id": one.id, "state": one.state, "needs_second": one.needs_second} | one.details


@blp.get("/finance/members/<uuid:member_id>/holds")
@blp.arguments(HoldQuery, location="query")
@blp.response(200, page_of(HoldOut))
@fails(blp, 400, 401, 403, 404, 422)
@requires("finance", "operator")
def list_member_holds(query: dict[str, Any], member_id: uuid.UUID) -> Page[Hold]:
    """A member's holds, the latest first."""
    with transaction(actor()) as session:
        find_member(member_id)
        return keyset(session, holds.search(member_id, query["state"], at=now()), [Hold.created_at, Hold.id], query["after"], query["limit"])


@blp.post("/finance/members/<uuid:member_id>/holds/<uuid:hold_id>/release")
@blp.arguments(StaffReleaseIn)
@blp.response(200, HoldOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("finance")
def release_member_hold(release: dict[str, Any], member_id: uuid.UUID, hold_id: uuid.UUID) -> Hold:
    """Give back what a hold still reserves, whoever placed it."""
    acting = actor()
    with transaction(acting):
        find_member(member_id)
        return holds.release(
            member_id, hold_id, release["id"], release["amount_minor"], at=now(), reason=release["reason"], created_by=acting.user_id, as_member=False
        )
