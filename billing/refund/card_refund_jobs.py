"""Where refunds to a card meet Stripe: ask for them, act on events, and sweep up what was lost between the two.

Each step commits before and after the network; dying in between leaves something that a sweep finishes.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from billing.approval import approvals
from billing.approval.approval_models import Approval
from billing.approval.approvals import Done, Kind, Proposal
from billing.payment import stripe_refunds
from billing.payment.stripe_events import Mismatch
from billing.payment.stripe_refunds import Outcome
from billing.refund import card_refunds
from billing.refund.refund_models import CardRefund
from billing.top_up import top_ups
from billing.top_up.top_up_models import TopUp
from core.actor import Actor
from core.clock import now
from core.db import SYSTEM, db, transaction
from core.errors import Invalid, NotFound
from core.settings import Settings

FORGET_AFTER = timedelta(hours=23)  # Stripe forgets an idempotency key after a day: from then on asking again could refund twice
SWEEP_EVERY_S = 30
EVENTS = ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")


def request(
    member_id: uuid.UUID, top_up_id: uuid.UUID, id: uuid.UUID, amount_minor: int, code: str, reason: str, acting: Actor, *, at: datetime
) -> Approval:  # fmt: skip
    """Ask for money back: under way at once up to the limit, after a second person's approval above it.

    Raises NotFound, NotRefundable, WalletFrozen, Invalid, IdReused.
    """
    top_up = top_ups.show(member_id, top_up_id)
    if amount_minor <= 0:
        raise Invalid(_("Enter an amount above zero."), field="amount")
    wanted = Proposal(id, "card_refund", member_id, top_up.currency, amount_minor, code, reason, {"top_up_id": str(top_up_id), "method": top_up.method})
    by = acting.user_id if acting.kind == "member" else None
    return approvals.propose(wanted, acting, at=at, prepare=lambda: _ask(top_up, id, amount_minor, at, by))


def _ask(top_up: TopUp, id: uuid.UUID, amount_minor: int, at: datetime, by: uuid.UUID | None) -> None:
    card_refunds.ask(top_up, id, amount_minor, at=at, by=by)


def _do(one: Approval, at: datetime) -> Done:
    assert one.member_id
    card_refunds.begin(card_refunds.locked(one.member_id, one.id), at=at)
    return Done([(one.member_id, one.id)])


def _reject(one: Approval, note: str, at: datetime) -> None:
    assert one.member_id
    card_refunds.refuse(card_refunds.locked(one.member_id, one.id), note, at=at)


def _after(one: Approval) -> None:
    if one.member_id and one.details["method"] == "card":
        send(one.member_id, one.id)


def _describe(one: Approval) -> list[tuple[str, str]]:
    way = _("Card, through Stripe") if one.details["method"] == "card" else _("Bank transfer, made by us")
    return [(_("Back to"), way), (_("Top-up"), one.details["top_up_id"])]


approvals.register("card_refund", Kind(_l("Money back to the customer"), _do, _describe, _reject, _after))


def send(member_id: uuid.UUID, refund_id: uuid.UUID) -> None:
    """Ask Stripe for a refund whose money has left the wallet, and note the answer."""
    with transaction(SYSTEM):
        refund = card_refunds.show(member_id, refund_id)
        intent = top_ups.show(member_id, refund.top_up_id).stripe_payment_intent
    if refund.state != "pending" or refund.stripe_refund:
        return
    if intent is None:
        _settle(member_id, refund_id, Outcome("failed", reason=stripe_refunds.NOT_ACCEPTED))
        return
    _settle(member_id, refund_id, stripe_refunds.create(member_id, refund_id, intent=intent, amount_minor=refund.amount_minor))


def _settle(member_id: uuid.UUID, refund_id: uuid.UUID, outcome: Outcome) -> None:
    with transaction(SYSTEM):
        settle(card_refunds.locked(member_id, refund_id), outcome, at=now())


def settle(refund: CardRefund, outcome: Outcome, *, at: datetime) -> None:
    """Bring a refund to what Stripe says. Stripe may call one failed that it has called succeeded, never the other way round."""
    if outcome.refund_id and refund.stripe_refund not in (None, outcome.refund_id):
        raise Mismatch(f"a second refund at Stripe of one that {refund.stripe_refund} pays")
    refund.stripe_refund = outcome.refund_id or refund.stripe_refund
    if outcome.state == "paid" and refund.state == "pending":
        card_refunds.confirm(refund, at=at)
    elif outcome.state == "failed" and refund.state in ("pending", "confirmed"):
        card_refunds.fail(refund, outcome.reason or stripe_refunds.FAILED, at=at)


def heard(event: dict[str, Any], at: datetime) -> None:
    """A signed event about a refund. Raises Mismatch for one that none of ours explains."""
    told = event["data"]["object"]
    refund = _named(told)
    if refund is None:
        return
    if (told["amount"], told["currency"].upper()) != (refund.amount_minor, refund.currency):
        raise Mismatch(f"refunded {told['amount']} {told['currency']}, but {refund.amount_minor} {refund.currency} were asked for")
    settle(refund, stripe_refunds.outcome(told), at=at)


def _named(told: dict[str, Any]) -> CardRefund | None:
    """The refund that an object of Stripe is about; None for one that was made elsewhere and says so by naming none."""
    meta = told.get("metadata") or {}
    if "refund_id" not in meta:
        known = db.session.scalar(select(CardRefund).where(CardRefund.stripe_refund == told["id"]).with_for_update())
        if known is None and told.get("payment_intent") and _is_ours(str(told["payment_intent"])):
            raise Mismatch("a refund of a top-up that was not made here: take the money out of the wallet by an adjustment")
        return known
    try:
        return card_refunds.locked(uuid.UUID(meta["member_id"]), uuid.UUID(meta["refund_id"]))
    except (KeyError, ValueError, NotFound) as error:
        raise Mismatch("its metadata name no refund of ours") from error


def _is_ours(intent: str) -> bool:
    return db.session.scalar(select(TopUp.id).where(TopUp.stripe_payment_intent == intent)) is not None


def check_pending() -> int:
    """Ask Stripe about refunds it has not told us about; returns how many were asked about."""
    settings: Settings = current_app.extensions["settings"]
    with transaction(SYSTEM) as session:
        stale = card_refunds.claim_stale(settings.card_refund_check_minutes, at=now())
        session.flush()
        session.expunge_all()  # read while the session does other work
    for refund in stale:
        try:
            check_one(refund, at=now())
        except Exception:  # one that fails must not keep the others waiting
            current_app.logger.exception("refund %s waits for the next sweep", refund.id)
    return len(stale)


def check_one(refund: CardRefund, *, at: datetime) -> None:
    """Bring one refund to what Stripe says; if Stripe never heard of it, ask again with the same key, or give up in time."""
    with transaction(SYSTEM):
        intent = top_ups.show(refund.member_id, refund.top_up_id).stripe_payment_intent
    if refund.stripe_refund:
        found: Outcome | None = stripe_refunds.look_up(refund.stripe_refund)
    else:
        found = stripe_refunds.find(refund.member_id, refund.id, intent) if intent else None
    if found is not None:
        _settle(refund.member_id, refund.id, found)
    elif refund.begun_at is not None and at - refund.begun_at < FORGET_AFTER:
        send(refund.member_id, refund.id)
    else:
        _settle(refund.member_id, refund.id, Outcome("failed", reason=stripe_refunds.FAILED))
