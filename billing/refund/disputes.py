"""A payment that the cardholder contests at the bank (books, move 9).

While it is open the wallet is frozen and what is unspent of the top-up stands in reserve. Lost: what was spent is claimed from the member, what is
left of the bonus is taken back. Won: everything is reversed. An inquiry of the bank (`warning_…`) moves no money until it becomes a dispute.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import func, select

from billing.ledger.accounts import Account as A
from billing.payment.stripe_events import Mismatch
from billing.refund.refund_models import Dispute
from billing.top_up.top_up_models import TopUp
from billing.wallet import wallet_moves
from billing.wallet.wallet_models import Grant
from billing.wallet.wallet_moves import Entry, Move
from core import outbox
from core.db import db
from core.errors import NotFound
from core.ids import derived
from core.ids import request_hash as hash_of
from membership import notices

EVENTS = (
    "charge.dispute.created", "charge.dispute.updated", "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated", "charge.dispute.closed",
)  # fmt: skip
CLOSED = {"won": "won", "lost": "lost", "warning_closed": "dropped", "prevented": "dropped"}


@dataclass(frozen=True, slots=True)
class Claim:
    """What Stripe says of a dispute; amounts in minor units."""

    stripe_id: str
    intent_id: str
    currency: str
    amount_minor: int
    fee_minor: int
    reason: str
    status: str
    respond_by: datetime | None

    @property
    def is_inquiry(self) -> bool:
        """Does the bank only ask, and no money has moved?"""
        return self.status.startswith("warning_") or self.status == "prevented"


def read(event: dict[str, Any]) -> Claim:
    """The dispute in an event of Stripe. Its fee is that of the withdrawal among its balance transactions."""
    told = event["data"]["object"]
    intent = told.get("payment_intent")
    due = (told.get("evidence_details") or {}).get("due_by")
    fee = sum(int(entry["fee"]) for entry in told.get("balance_transactions") or [] if int(entry["amount"]) < 0)
    return Claim(
        told["id"], str(intent["id"] if isinstance(intent, dict) else intent or ""), str(told["currency"]).upper(), int(told["amount"]), max(0, fee),
        str(told.get("reason") or "general"), str(told["status"]), datetime.fromtimestamp(int(due), UTC) if due else None,
    )  # fmt: skip


def heard(event: dict[str, Any], at: datetime) -> None:
    """Bring a dispute to what an event says; events may come twice and in any order. Raises Mismatch for a payment that is no top-up of ours."""
    claim = read(event)
    dispute = _known(claim, at)
    if dispute.state in ("won", "lost", "dropped"):
        return
    if dispute.state == "inquiry" and not claim.is_inquiry:
        _open(dispute, claim, at)
    outcome = CLOSED.get(claim.status)
    if outcome is None:
        dispute.respond_by = claim.respond_by or dispute.respond_by
    elif outcome == "dropped":
        dispute.state, dispute.closed_at = ("dropped", at) if dispute.state == "inquiry" else (dispute.state, dispute.closed_at)
    elif outcome == "won":
        _win(dispute, at)
    else:
        _lose(dispute, at)


def _known(claim: Claim, at: datetime) -> Dispute:
    top_up = db.session.scalar(select(TopUp).where(TopUp.stripe_payment_intent == claim.intent_id)) if claim.intent_id else None
    if top_up is None:
        raise Mismatch("its payment is no top-up of ours")
    if (claim.currency, top_up.state) != (top_up.currency, "settled") or claim.amount_minor > top_up.amount_minor:
        raise Mismatch(f"{claim.amount_minor} {claim.currency} disputed of a {top_up.state} top-up of {top_up.amount_minor} {top_up.currency}")
    wallet_moves.lock(top_up.member_id, top_up.currency, at=at)
    id = derived("dispute", claim.stripe_id)
    found = db.session.get(Dispute, (top_up.member_id, id), with_for_update=True, populate_existing=True)
    if found is None:
        found = Dispute(
            member_id=top_up.member_id, id=id, stripe_id=claim.stripe_id, top_up_id=top_up.id, currency=claim.currency, amount_minor=claim.amount_minor,
            fee_minor=0, reserved_minor=0, owed_minor=0, bonus_minor=0, reason=claim.reason, state="inquiry", respond_by=claim.respond_by, opened_at=at,
        )  # fmt: skip
        db.session.add(found)
        db.session.flush()
    return found


def _open(dispute: Dispute, claim: Claim, at: datetime) -> None:
    """Stripe has taken the money and a fee; freeze the wallet and reserve what is unspent."""
    paid = _grant(dispute, "paid")
    free = paid.remaining_minor - paid.held_minor if paid else 0
    dispute.amount_minor, dispute.fee_minor, dispute.reason = claim.amount_minor, claim.fee_minor, claim.reason
    dispute.reserved_minor = min(claim.amount_minor, free)
    moves = [
        Move(A.DISPUTE_RECEIVABLE, A.STRIPE_CLEARING, dispute.amount_minor),
        Move(A.DISPUTE_FEES, A.STRIPE_CLEARING, dispute.fee_minor),
        Move(A.WALLET_PAID, A.DISPUTE_RESERVE, dispute.reserved_minor, paid.id if paid and dispute.reserved_minor else None),
    ]
    dispute.state = "open"
    _post(dispute, dispute.id, "dispute", moves, at, state="frozen")
    _tell(dispute, "dispute_opened", at)


def _lose(dispute: Dispute, at: datetime) -> None:
    """The bank gave the money to the cardholder: the reserve pays, the member owes the rest, and what is left of the bonus goes."""
    bonus = _grant(dispute, "bonus")
    top_up = db.session.get_one(TopUp, (dispute.member_id, dispute.top_up_id))
    left = bonus.remaining_minor - bonus.held_minor if bonus else 0
    dispute.bonus_minor = left if dispute.amount_minor >= top_up.amount_minor else left * dispute.amount_minor // top_up.amount_minor
    dispute.owed_minor = dispute.amount_minor - dispute.reserved_minor
    moves = [
        Move(A.DISPUTE_RESERVE, A.DISPUTE_RECEIVABLE, dispute.reserved_minor),
        Move(A.MEMBER_RECEIVABLE, A.DISPUTE_RECEIVABLE, dispute.owed_minor),
        Move(A.WALLET_BONUS, A.BONUS_DISCOUNT, dispute.bonus_minor, bonus.id if bonus and dispute.bonus_minor else None),
    ]
    dispute.state, dispute.closed_at = "lost", at
    _post(dispute, derived("dispute_lost", dispute.id), "dispute_lost", moves, at, state=_state_after(dispute))
    _tell(dispute, "dispute_lost", at)


def _win(dispute: Dispute, at: datetime) -> None:
    """The bank gave the money back to us: everything is reversed."""
    paid = _grant(dispute, "paid")
    moves = [
        Move(A.STRIPE_CLEARING, A.DISPUTE_RECEIVABLE, dispute.amount_minor),
        Move(A.STRIPE_CLEARING, A.DISPUTE_FEES, dispute.fee_minor),
        Move(A.DISPUTE_RESERVE, A.WALLET_PAID, dispute.reserved_minor, paid.id if paid and dispute.reserved_minor else None),
    ]
    dispute.state, dispute.closed_at = "won", at
    _post(dispute, derived("dispute_won", dispute.id), "dispute_won", moves, at, state=_state_after(dispute), reverses_id=dispute.id)
    _tell(dispute, "dispute_won", at)


def _state_after(dispute: Dispute) -> str:
    """Open again, unless another payment of this wallet is disputed still."""
    db.session.flush()
    others = db.session.scalar(
        select(func.count()).where(
            Dispute.member_id == dispute.member_id, Dispute.currency == dispute.currency, Dispute.state == "open", Dispute.id != dispute.id
        )
    )
    return "frozen" if others else "open"


def _grant(dispute: Dispute, kind: str) -> Grant | None:
    """The paid grant of the disputed top-up, or the bonus that came with it."""
    which = Grant.id == dispute.top_up_id if kind == "paid" else Grant.lot_id == dispute.top_up_id
    query = select(Grant).where(Grant.member_id == dispute.member_id, which, Grant.kind == kind)
    return db.session.scalar(query.execution_options(populate_existing=True))


def _post(dispute: Dispute, id: uuid.UUID, kind: str, moves: list[Move], at: datetime, *, state: str, reverses_id: uuid.UUID | None = None) -> None:
    content = hash_of(kind, dispute=dispute.id)
    wallet_moves.post(
        Entry(
            dispute.member_id, id, content, kind, dispute.currency, at, moves, dispute.stripe_id, reverses_id, takes_back=True, wallet_state=state,
        )
    )  # fmt: skip
    outbox.publish(f"dispute.{dispute.state}", {"dispute_id": str(dispute.id)}, at=at, member_id=dispute.member_id)


def _tell(dispute: Dispute, kind: str, at: datetime) -> None:
    details = {"amount_minor": dispute.amount_minor, "owed_minor": dispute.owed_minor, "currency": dispute.currency}
    notices.tell(dispute.member_id, kind, details, at=at, key=f"{kind}:{dispute.id}")


def show(member_id: uuid.UUID, dispute_id: uuid.UUID) -> Dispute:
    """One dispute. Raises NotFound."""
    found = db.session.get(Dispute, (member_id, dispute_id))
    if found is None:
        raise NotFound(_("There is no such dispute."))
    return found


def open_of(member_id: uuid.UUID) -> Sequence[Dispute]:
    """What freezes a member's wallet now."""
    return db.session.scalars(select(Dispute).where(Dispute.member_id == member_id, Dispute.state == "open").order_by(Dispute.opened_at)).all()


def count_open() -> int:
    """How many disputes are undecided, over all members."""
    return db.session.scalar(select(func.count()).where(Dispute.state == "open")) or 0
