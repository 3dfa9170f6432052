"""Refunds, adjustments, corrections and decisions about them as JSON."""

import uuid
from typing import Any

from sqlalchemy import select

from billing.approval import adjustment_pages, adjustments, approvals
from billing.approval.approval_models import Approval
from billing.refund import card_refund_jobs, card_refunds, own_refund_pages
from billing.refund.refund_schemas import AdjustmentIn, ApprovalOut, ApprovalsIn, CardRefundIn, CardRefundsOut, CorrectionIn, OwnRefundIn
from billing.top_up import top_ups
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.openapi import Blueprint
from core.paging import Page, keyset
from core.schemas import fails, page_of

blp = Blueprint("refund_api", __name__, url_prefix="/api/v1", description="Money that goes back, and who decides it")


@blp.get("/top-ups/<uuid:top_up_id>/refunds")
@blp.response(200, CardRefundsOut)
@fails(blp, 401, 403, 404)
@requires(*MEMBERS)
def list_own_refunds(top_up_id: uuid.UUID) -> dict[str, Any]:
    """What of a top-up can go back to where it came from, and what has."""
    return _own(top_up_id)


@blp.post("/top-ups/<uuid:top_up_id>/refunds")
@blp.arguments(OwnRefundIn)
@blp.response(201, CardRefundsOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner")
def create_own_refund(refund_in: dict[str, Any], top_up_id: uuid.UUID) -> dict[str, Any]:
    """Ask for money back: under way at once up to a limit, after the vendor's approval above it. The same id and content again is the first one."""
    own_refund_pages.request_own(actor(), top_up_id, refund_in["id"], refund_in["amount_minor"])
    return _own(top_up_id)


def _own(top_up_id: uuid.UUID) -> dict[str, Any]:
    acting = actor()
    with transaction(acting):
        found = card_refunds.refundable(top_ups.show(acting.member, top_up_id))
        items = card_refunds.of_top_up(acting.member, top_up_id)
    return {
        "refundable_minor": found.refundable_minor, "unspent_minor": found.unspent_minor, "bonus_spent_minor": found.bonus_spent_minor, "items": items,
    }  # fmt: skip


@blp.get("/finance/approvals")
@blp.arguments(ApprovalsIn, location="query")
@blp.response(200, page_of(ApprovalOut))
@fails(blp, 400, 401, 403, 422)
@requires("finance", "operator")
def list_approvals(query: dict[str, Any]) -> Page[Approval]:
    """Decisions about money, the latest first. People decide upon them at the finance console, never machines."""
    with transaction(actor()) as session:
        wanted = select(Approval).where(Approval.state == query["state"]) if query["state"] else select(Approval)
        return keyset(session, wanted, [Approval.proposed_at, Approval.id], query["after"], query["limit"], descending=True)


@blp.post("/finance/members/<uuid:member_id>/adjustments")
@blp.arguments(AdjustmentIn)
@blp.response(201, ApprovalOut)
@fails(blp, 401, 402, 403, 404, 409, 422)
@requires("finance")
def create_adjustment(adjustment_in: dict[str, Any], member_id: uuid.UUID) -> Approval:
    """Goodwill, a manual adjustment or a write-off: booked at once up to the limit, `proposed` above it."""
    with transaction(actor()):
        return adjustment_pages.make(member_id, adjustment_in, adjustment_in["amount_minor"], actor())


@blp.post("/finance/members/<uuid:member_id>/entries/<uuid:entry_id>/corrections")
@blp.arguments(CorrectionIn)
@blp.response(201, ApprovalOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("finance")
def create_correction(correction_in: dict[str, Any], member_id: uuid.UUID, entry_id: uuid.UUID) -> Approval:
    """Reverse an entry of a member's book in a new entry that names it."""
    with transaction(actor()):
        return adjustments.correct(
            member_id, entry_id, correction_in["id"], correction_in["reason_code"], correction_in["reason"], actor(), at=now()
        )  # fmt: skip


@blp.post("/finance/members/<uuid:member_id>/top-ups/<uuid:top_up_id>/refunds")
@blp.arguments(CardRefundIn)
@blp.response(201, ApprovalOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("finance")
def create_refund(refund_in: dict[str, Any], member_id: uuid.UUID, top_up_id: uuid.UUID) -> Approval:
    """Money back to where a top-up came from: under way at once up to the limit, `proposed` above it."""
    with transaction(actor()):
        one = card_refund_jobs.request(
            member_id, top_up_id, refund_in["id"], refund_in["amount_minor"], refund_in["reason_code"], refund_in["reason"], actor(), at=now()
        )  # fmt: skip
    approvals.finish(one)
    return one
