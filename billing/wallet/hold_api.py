"""Holds as JSON: set money aside, take it in parts, give it back."""

import uuid
from typing import Any

from billing.wallet import holds
from billing.wallet.hold_models import Hold
from billing.wallet.hold_schemas import CaptureIn, CaptureOut, HoldDetailOut, HoldIn, HoldOut, HoldQuery, ReleaseIn
from billing.wallet.wallet_api import blp
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.paging import Page, keyset
from core.schemas import fails, page_of


@blp.get("/wallet/holds")
@blp.arguments(HoldQuery, location="query")
@blp.response(200, page_of(HoldOut))
@fails(blp, 400, 401, 403, 422)
@requires(*MEMBERS)
def list_holds(query: dict[str, Any]) -> Page[Hold]:
    """The member's holds, the latest first. One that has ended is `expired`, whether or not anybody has written that down yet."""
    acting = actor()
    with transaction(acting) as session:
        wanted = holds.search(acting.member, query["state"], at=now())
        return keyset(session, wanted, [Hold.created_at, Hold.id], query["after"], query["limit"])


@blp.post("/wallet/holds")
@blp.arguments(HoldIn)
@blp.response(201, HoldOut)
@fails(blp, 401, 402, 403, 409, 422)
@requires("owner", "buyer")
def create_hold(hold_in: dict[str, Any]) -> Hold:
    """Set money aside for one purpose. Available money falls by it; the balance does not. The same id again is the same hold."""
    acting = actor()
    with transaction(acting):
        return holds.place(acting.member, holds.Wanted(**hold_in), at=now(), created_by=acting.user_id)


@blp.get("/wallet/holds/<uuid:hold_id>")
@blp.response(200, HoldDetailOut)
@fails(blp, 401, 403, 404)
@requires(*MEMBERS)
def show_hold(hold_id: uuid.UUID) -> dict[str, Any]:
    """One hold as it stands, and what happened to it."""
    acting = actor()
    with transaction(acting):
        return _out(holds.show(acting.member, hold_id)) | {"changes": holds.changes_of(acting.member, hold_id)}


@blp.post("/wallet/holds/<uuid:hold_id>/captures")
@blp.arguments(CaptureIn)
@blp.response(201, CaptureOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_capture(capture_in: dict[str, Any], hold_id: uuid.UUID) -> dict[str, Any]:
    """Take a part of a hold as the price of a service, tax included. Above what is left: `hold_exceeded`, and nothing is taken."""
    acting, id, amount = actor(), capture_in["id"], capture_in["amount_minor"]
    with transaction(acting):
        result = holds.capture_service(acting.member, hold_id, id, amount, at=now(), memo=capture_in["memo"], created_by=acting.user_id)
        paid, bonus = holds.paid_by(acting.member, id)
        return {
            "id": id, "hold_id": hold_id, "amount_minor": amount, "paid_minor": paid, "bonus_minor": bonus,
            "balance_after_minor": result.balance_after_minor, "hold": _out(holds.show(acting.member, hold_id)),
        }  # fmt: skip


@blp.post("/wallet/holds/<uuid:hold_id>/release")
@blp.arguments(ReleaseIn)
@blp.response(200, HoldOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_release(release_in: dict[str, Any], hold_id: uuid.UUID) -> dict[str, Any]:
    """Give back a part of a hold, or all that is left. What was set aside for an order of ours is given back with the order."""
    acting = actor()
    with transaction(acting):
        found = holds.release(
            acting.member, hold_id, release_in["id"], release_in["amount_minor"], at=now(), reason=None, created_by=acting.user_id, as_member=True
        )
        return _out(found)


def _out(hold: Hold) -> dict[str, Any]:
    return {name: getattr(hold, name) for name in HoldOut().fields}
