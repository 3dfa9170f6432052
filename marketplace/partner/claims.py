"""Claims of buyers for money back: filed within the window, answered by the publisher in time or decided by us, never forgotten (decision 0048).

Both the publisher and we decide by way of `order_refunds`: tax, commission and share come back in proportion, and the licence is decided by name.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import defer

from billing.approval.approval_models import Approval
from billing.refund.refunds import RefundTooLarge
from core import audit, clock, outbox
from core.actor import Actor
from core.db import SYSTEM, db, transaction
from core.errors import Conflict, IdReused, Invalid, NotFound
from core.formats import money
from core.ids import derived, request_hash
from core.passage import Step
from core.settings import Settings
from marketplace.order import order_refunds
from marketplace.order.order_models import Order
from marketplace.partner import partner_payables
from marketplace.partner.partner_models import OPEN, RefundClaim
from marketplace.service.services import check_reason
from marketplace.store.listing_models import Listing
from membership import notices

TOPIC = "claim.stepped"


class TooLate(Conflict):
    """The window in which money could be claimed back is over."""

    code = "claim_too_late"


class ClaimDecided(Conflict):
    """Somebody has decided about this claim, or it waits for a second person."""

    code = "claim_decided"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a buyer asks for: `id` makes it happen once."""

    id: uuid.UUID
    amount_minor: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """A claim in a list."""

    claim: RefundClaim
    listing: Listing
    order: Order


def window_end(order: Order) -> datetime:
    """Until when money can be claimed back of an order."""
    return order.at + partner_payables.window()


def file(member_id: uuid.UUID, order_id: uuid.UUID, wanted: Wanted, *, at: datetime, filed_by: uuid.UUID | None) -> RefundClaim:
    """Ask for money back. Again it is the same claim. Raises NotFound, TooLate, Invalid, RefundTooLarge, Conflict (one is open), IdReused."""
    content = request_hash("claim", order=order_id, amount=wanted.amount_minor, reason=wanted.reason)
    if first := db.session.get(RefundClaim, (member_id, wanted.id)):
        if first.request_hash != content:
            raise IdReused(_("This id was already used for another request."), field="id")
        return first
    found = order_refunds.find(member_id, order_id)
    order = found.order
    if at >= window_end(order):
        raise TooLate(_("The time to ask for money back is over."))
    reason = check_reason(wanted.reason)
    if wanted.amount_minor <= 0:
        raise Invalid(_("Enter an amount above zero."), field="amount")
    if wanted.amount_minor > found.open_minor:
        words = _("Of this order, %(amount)s can still be given back.", amount=money(found.open_minor, order.currency))
        raise RefundTooLarge(words, field="amount", open_minor=found.open_minor)
    settings: Settings = current_app.extensions["settings"]
    claim = RefundClaim(
        member_id=member_id, id=wanted.id, request_hash=content, order_id=order_id, listing_id=order.listing_id, publisher_id=found.listing.publisher_id,
        currency=order.currency, amount_minor=wanted.amount_minor, reason=reason, state="open", filed_by=filed_by, filed_at=at,
        answer_by=at + timedelta(days=settings.claim_answer_days), decide_by=at + timedelta(days=settings.claim_decision_days),
    )  # fmt: skip
    try:
        with db.session.begin_nested():
            db.session.add(claim)
    except IntegrityError as error:
        raise Conflict(_("There is an open claim on this order already.")) from error
    outbox.publish(TOPIC, {"claim_id": str(claim.id), "action": "opened"}, at=at, member_id=member_id)
    return claim


def withdraw(member_id: uuid.UUID, claim_id: uuid.UUID, *, at: datetime) -> None:
    """The buyer takes its claim back. Again changes nothing. Raises NotFound, ClaimDecided."""
    claim = locked(member_id, claim_id)
    if claim.state == "withdrawn":
        return
    _require_open(claim)
    claim.state, claim.decided_at = "withdrawn", at
    db.session.flush()
    outbox.publish(TOPIC, {"claim_id": str(claim.id), "action": "withdrawn"}, at=at, member_id=member_id)


def object_to(member_id: uuid.UUID, claim_id: uuid.UUID, answer: str, *, at: datetime) -> None:
    """The publisher does not agree and says why: now we decide. Raises NotFound, ClaimDecided."""
    claim = locked(member_id, claim_id)
    if claim.state == "escalated" and claim.answer == answer:
        return
    if claim.state != "open":
        raise ClaimDecided(_("This claim is not yours to answer any more."))
    claim.answer, claim.answered_at = answer, at
    _escalate(claim, at)


def _escalate(claim: RefundClaim, at: datetime) -> None:
    claim.state = "escalated"
    db.session.flush()
    notices.tell(claim.member_id, "claim_escalated", _facts(claim) | {"until": claim.decide_by.isoformat()}, at=at, key=f"claim_escalated:{claim.id}")


def accept(member_id: uuid.UUID, claim_id: uuid.UUID, amount_minor: int, licence: str, reason: str, acting: Actor, *, at: datetime) -> RefundClaim:
    """Give back all that was asked for, or a part. Publishers accept while they may answer; ours at any time.

    Above the limit a second person decides, as with every refund: the claim then waits (`approving`). Raises NotFound, ClaimDecided, Invalid, RefundTooLarge.
    """
    claim = locked(member_id, claim_id)
    _require_open(claim)
    if acting.kind == "publisher" and claim.state != "open":
        raise ClaimDecided(_("This claim is not yours to answer any more."))
    if not 0 < amount_minor <= claim.amount_minor:
        raise Invalid(
            _("Enter an amount above zero, at most what was asked for: %(amount)s.", amount=money(claim.amount_minor, claim.currency)), field="amount"
        )
    if licence not in order_refunds.LICENCE:
        raise Invalid(_("Decide what becomes of the licence."), field="licence")
    claim.refund_id = derived("claim", claim.member_id, claim.id, at.isoformat())
    _decided(claim, "approving", reason, acting, at)
    claim.decision_minor, claim.licence = amount_minor, licence
    db.session.flush()
    words = reason.strip() if len(reason.strip()) >= 5 else claim.reason
    order_refunds.propose(member_id, claim.order_id, claim.refund_id, amount_minor, licence, "customer_request", words, acting, at=at)
    return claim


def reject(member_id: uuid.UUID, claim_id: uuid.UUID, reason: str, acting: Actor, *, at: datetime) -> None:
    """We refuse it and say why. Raises NotFound, ClaimDecided, Invalid."""
    claim = locked(member_id, claim_id)
    if claim.state == "rejected" and claim.decided_by == acting.user_id:
        return
    _require_open(claim)
    reason = check_reason(reason)
    _decided(claim, "rejected", reason, acting, at)
    db.session.flush()
    audit.record("claim.reject", claim.id, at=at, member_id=member_id, before={"state": "open"}, after={"state": "rejected"}, reason=reason)
    notices.tell(member_id, "claim_rejected", _facts(claim) | {"reason": reason}, at=at, key=f"claim_rejected:{claim.id}")
    outbox.publish(TOPIC, {"claim_id": str(claim.id), "action": "rejected"}, at=at, member_id=member_id)


def _decided(claim: RefundClaim, state: str, reason: str, acting: Actor, at: datetime) -> None:
    claim.state, claim.decision_reason, claim.decided_at = state, reason.strip() or None, at
    claim.decided_by, claim.decided_name = acting.user_id, acting.name


def settle(one: Approval, is_done: bool) -> None:
    """The refund that a claim waits for was booked, or a second person rejected it: then the claim is open again."""
    claim = db.session.scalar(select(RefundClaim).where(RefundClaim.member_id == one.member_id, RefundClaim.refund_id == one.id))
    if claim is None or claim.state != "approving":
        return
    if is_done:
        claim.state = "accepted"
        assert claim.decided_at is not None
        outbox.publish(TOPIC, {"claim_id": str(claim.id), "action": "accepted"}, at=claim.decided_at, member_id=claim.member_id)
    else:
        claim.state, claim.decided_at, claim.decided_by, claim.decided_name, claim.refund_id, claim.decision_minor, claim.licence = "escalated", *[None] * 6
    db.session.flush()


def escalate_due(at: datetime) -> int:
    """Claims that their publisher has not answered in time come to us; returns how many."""
    with transaction(SYSTEM) as session:
        due = session.scalars(
            select(RefundClaim).where(RefundClaim.state == "open", RefundClaim.answer_by <= at).order_by(RefundClaim.id).with_for_update(skip_locked=True)
        ).all()
        for claim in due:
            _escalate(claim, at)
            outbox.publish(TOPIC, {"claim_id": str(claim.id), "action": "overdue"}, at=at, member_id=claim.member_id)
        return len(due)


def escalate_due_now() -> int:
    """The repeated job."""
    return escalate_due(clock.now())


def locked(member_id: uuid.UUID, claim_id: uuid.UUID) -> RefundClaim:
    """A claim, locked. Raises NotFound."""
    found = db.session.get(RefundClaim, (member_id, claim_id), with_for_update=True, populate_existing=True)
    if found is None:
        raise NotFound(_("There is no such claim."))
    return found


def show(member_id: uuid.UUID, claim_id: uuid.UUID) -> Row:
    """One claim. Raises NotFound."""
    found = rows(RefundClaim.member_id == member_id, RefundClaim.id == claim_id)
    if not found:
        raise NotFound(_("There is no such claim."))
    return found[0]


def rows(*conditions: object) -> Sequence[Row]:
    """Claims, those that wait first, then the latest."""
    found = db.session.execute(
        select(RefundClaim, Listing, Order)
        .join(Listing, Listing.id == RefundClaim.listing_id)
        .join(Order, (Order.member_id == RefundClaim.member_id) & (Order.id == RefundClaim.order_id))
        .where(*conditions)  # type: ignore[arg-type]
        .order_by(RefundClaim.state.not_in(OPEN), RefundClaim.filed_at.desc(), RefundClaim.id)
        .limit(200)
        .options(defer(Listing.search))
    )
    return [Row(*row) for row in found]


def _require_open(claim: RefundClaim) -> None:
    if claim.state not in ("open", "escalated"):
        raise ClaimDecided(_("Somebody has decided about this before."))


def _facts(claim: RefundClaim) -> dict[str, object]:
    listing = db.session.get_one(Listing, claim.listing_id)
    return {"name_zh": listing.name_zh, "name_en": listing.name_en, "amount_minor": claim.amount_minor, "currency": claim.currency, "claim_id": str(claim.id)}


if settle not in order_refunds.settled:
    order_refunds.settled.append(settle)
CLAIMS = Step("claims", "select min(answer_by) from refund_claim where state = 'open'", escalate_due)
