"""Money back to where it came from: the card, through Stripe, or the bank account (books, move 8).

Refundable is what is unspent of a top-up's paid money, less what was spent of the bonus that came with it. The money waits in `refund_pending`
until Stripe (or finance, for a transfer) says what became of it; unspent bonus of the same lot is taken back in proportion, and comes back with a failure.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import func, or_, select

from billing.ledger.accounts import Account as A
from billing.refund.refund_models import CardRefund
from billing.top_up import top_ups
from billing.top_up.top_up_models import TopUp
from billing.wallet import wallet_moves
from billing.wallet.wallet_models import Grant, Lot
from billing.wallet.wallet_moves import Entry, Move
from billing.wallet.wallets import WalletFrozen
from core import outbox
from core.db import db
from core.errors import Conflict, NotFound
from core.formats import money
from core.ids import derived
from core.ids import request_hash as hash_of
from membership import notices
from membership.models import Member

LEDGER_KINDS = {"card": "card_refund", "bank_transfer": "bank_refund"}


class NotRefundable(Conflict):
    """More than can go back; `refundable_minor` says how much can."""

    code = "not_refundable"


class RefundClosed(Conflict):
    """Its fate is known already."""

    code = "refund_closed"


class TransferKnown(Conflict):
    """The bank's reference was entered for another refund."""

    code = "bank_transaction_used"


@dataclass(frozen=True, slots=True)
class Refundable:
    """What of a top-up can go back, and why not more; minor units."""

    topped_up_minor: int
    unspent_minor: int  # of its paid money, not held for anything
    bonus_spent_minor: int
    bonus_unspent_minor: int
    lot_paid_minor: int = 0
    lot_bonus_minor: int = 0

    @property
    def refundable_minor(self) -> int:
        """Unspent paid money less the bonus that was spent: a bonus is for money that stays."""
        return max(0, self.unspent_minor - self.bonus_spent_minor)

    def bonus_for(self, amount_minor: int) -> int:
        """The bonus taken back with an amount: the lot's share, at most what is unspent."""
        return min(self.bonus_unspent_minor, self.lot_bonus_minor * amount_minor // self.lot_paid_minor) if self.lot_paid_minor else 0


def refundable(top_up: TopUp) -> Refundable:
    """How much of this top-up can go back now. What is unsettled cannot."""
    paid = db.session.get(Grant, (top_up.member_id, top_up.id), populate_existing=True)
    if top_up.state != "settled" or paid is None:
        return Refundable(top_up.amount_minor, 0, 0, 0)
    if paid.lot_id is None:
        return Refundable(paid.granted_minor, paid.remaining_minor - paid.held_minor, 0, 0)
    lot = db.session.get_one(Lot, (top_up.member_id, paid.lot_id), populate_existing=True)
    bonus = _bonus_grant(top_up)
    unspent = bonus.remaining_minor - bonus.held_minor if bonus else 0
    spent = lot.discount_minor - lot.expired_minor - (bonus.remaining_minor if bonus else 0)
    return Refundable(
        paid.granted_minor, paid.remaining_minor - paid.held_minor, max(0, spent), unspent, lot.face_minor - lot.discount_minor, lot.discount_minor
    )


def _bonus_grant(top_up: TopUp) -> Grant | None:
    return db.session.scalar(
        select(Grant)
        .where(Grant.member_id == top_up.member_id, Grant.lot_id == top_up.id, Grant.kind == "bonus")
        .execution_options(populate_existing=True)
    )  # fmt: skip


def check(top_up: TopUp, amount_minor: int) -> Refundable:
    """Can this much go back? Raises WalletFrozen, NotRefundable."""
    wallet = wallet_moves.wallet_of(top_up.member_id, top_up.currency)
    if wallet is not None and wallet.state == "frozen":
        raise WalletFrozen(_("This wallet is frozen while a payment is disputed."))
    found = refundable(top_up)
    if amount_minor > found.refundable_minor:
        words = _("Of this top-up, %(amount)s can go back.", amount=money(found.refundable_minor, top_up.currency))
        raise NotRefundable(words, field="amount", refundable_minor=found.refundable_minor)
    return found


def ask(top_up: TopUp, id: uuid.UUID, amount_minor: int, *, at: datetime, by: uuid.UUID | None) -> CardRefund:
    """Write down that this much is wanted back; nothing moves yet. Raises WalletFrozen, NotRefundable."""
    found = check(top_up, amount_minor)
    made = CardRefund(
        member_id=top_up.member_id, id=id, top_up_id=top_up.id, method=top_up.method, currency=top_up.currency, amount_minor=amount_minor,
        bonus_minor=found.bonus_for(amount_minor), state="requested", requested_by=by, requested_at=at,
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    return made


def show(member_id: uuid.UUID, refund_id: uuid.UUID) -> CardRefund:
    """One refund. Raises NotFound."""
    found = db.session.get(CardRefund, (member_id, refund_id))
    if found is None:
        raise NotFound(_("There is no such refund."))
    return found


def locked(member_id: uuid.UUID, refund_id: uuid.UUID) -> CardRefund:
    """One refund as it stands now, held until the transaction ends. Raises NotFound."""
    found = db.session.get(CardRefund, (member_id, refund_id), with_for_update=True, populate_existing=True)
    if found is None:
        raise NotFound(_("There is no such refund."))
    return found


def begin(refund: CardRefund, *, at: datetime) -> None:
    """Take the money out of the wallet, on its way. Raises WalletFrozen, NotRefundable, RefundClosed."""
    if refund.state != "requested":
        raise RefundClosed(_("This refund is under way or was decided before."))
    top_up = top_ups.show(refund.member_id, refund.top_up_id)
    wallet_moves.lock(refund.member_id, refund.currency, at=at)
    refund.bonus_minor = check(top_up, refund.amount_minor).bonus_for(refund.amount_minor)
    moves = [Move(A.WALLET_PAID, A.REFUND_PENDING, refund.amount_minor, top_up.id), *_bonus_moves(refund, top_up)]
    _post(refund, refund.id, LEDGER_KINDS[refund.method], moves, at)
    refund.state, refund.begun_at = "pending", at


def confirm(refund: CardRefund, *, at: datetime, bank_transaction: str | None = None) -> bool:
    """The money has left us; False when that was known. Raises RefundClosed when it had failed."""
    if refund.state == "confirmed":
        return False
    if refund.state != "pending":
        raise RefundClosed(_("This refund is not under way."))
    id = derived("card_refund_paid", refund.member_id, refund.id)
    source = A.STRIPE_CLEARING if refund.method == "card" else A.INTERBOOK
    _post(refund, id, "refund_paid", [Move(A.REFUND_PENDING, source, refund.amount_minor)], at)
    if refund.method == "bank_transfer":
        house = db.session.scalar(select(Member.entity_id).where(Member.id == refund.member_id))
        assert house
        content = hash_of("refund_paid", amount=refund.amount_minor)
        wallet_moves.post(Entry(house, id, content, "refund_paid", refund.currency, at, [Move(A.INTERBOOK, A.BANK, refund.amount_minor)], bank_transaction))
    refund.state, refund.closed_at, refund.bank_transaction = "confirmed", at, bank_transaction
    _tell(refund, "card_refund_paid", at)
    outbox.publish("card_refund.confirmed", _facts(refund), at=at, member_id=refund.member_id)
    return True


def confirm_transfer(refund: CardRefund, bank_transaction: str, *, at: datetime) -> None:
    """Finance has made the transfer. Again with the same number changes nothing. Raises RefundClosed, TransferKnown."""
    if refund.method != "bank_transfer":
        raise RefundClosed(_("Stripe says what became of a refund to a card."))
    if refund.state == "confirmed" and refund.bank_transaction == bank_transaction:
        return
    if refund.state != "pending":
        raise RefundClosed(_("This refund is not under way."))
    if db.session.scalar(select(CardRefund.id).where(CardRefund.bank_transaction == bank_transaction)) is not None:
        raise TransferKnown(_("This bank reference was already used for another refund."), field="bank_transaction")
    confirm(refund, at=at, bank_transaction=bank_transaction)


def fail_transfer(refund: CardRefund, reason: str, *, at: datetime) -> None:
    """The transfer cannot be made. Raises RefundClosed."""
    if refund.method != "bank_transfer" or refund.state not in ("pending", "failed"):
        raise RefundClosed(_("This refund is not under way."))
    fail(refund, reason, at=at)


def fail(refund: CardRefund, reason: str, *, at: datetime) -> bool:
    """The money did not arrive (Stripe may say so days after it said the opposite): back into the grants it came from. False when known."""
    if refund.state == "failed":
        return False
    if refund.state not in ("pending", "confirmed"):
        raise RefundClosed(_("This refund is not under way."))
    if refund.state == "confirmed" and refund.method == "bank_transfer":
        raise RefundClosed(_("The bank has made this transfer: enter what came back as a top-up."))
    top_up = top_ups.show(refund.member_id, refund.top_up_id)
    source = A.REFUND_PENDING if refund.state == "pending" else A.STRIPE_CLEARING
    moves = [Move(source, A.WALLET_PAID, refund.amount_minor, top_up.id), *(move.reversed for move in _bonus_moves(refund, top_up))]
    _post(refund, derived("card_refund_failed", refund.member_id, refund.id), "refund_failed", moves, at, reverses_id=refund.id)
    refund.state, refund.failure, refund.closed_at = "failed", reason, at
    _tell(refund, "card_refund_failed", at)
    return True


def refuse(refund: CardRefund, reason: str, *, at: datetime) -> None:
    """It was not approved, and why."""
    if refund.state != "requested":
        raise RefundClosed(_("This refund is under way or was decided before."))
    refund.state, refund.failure, refund.closed_at = "rejected", reason, at
    _tell(refund, "card_refund_rejected", at)


def _bonus_moves(refund: CardRefund, top_up: TopUp) -> list[Move]:
    bonus = _bonus_grant(top_up) if refund.bonus_minor else None
    return [Move(A.WALLET_BONUS, A.BONUS_DISCOUNT, refund.bonus_minor, bonus.id)] if bonus else []


def _post(refund: CardRefund, id: uuid.UUID, kind: str, moves: list[Move], at: datetime, reverses_id: uuid.UUID | None = None) -> None:
    content = hash_of(kind, refund=refund.id, amount=refund.amount_minor)
    wallet_moves.post(Entry(refund.member_id, id, content, kind, refund.currency, at, moves, reverses_id=reverses_id, takes_back=True))


def _facts(refund: CardRefund) -> dict[str, object]:
    return {"refund_id": str(refund.id), "amount_minor": refund.amount_minor, "bonus_minor": refund.bonus_minor, "currency": refund.currency,
            "method": refund.method, "reason": refund.failure}  # fmt: skip


def _tell(refund: CardRefund, kind: str, at: datetime) -> None:
    notices.tell(refund.member_id, kind, _facts(refund), at=at, key=f"{kind}:{refund.id}")


def of_top_up(member_id: uuid.UUID, top_up_id: uuid.UUID) -> list[CardRefund]:
    """Every refund of a top-up, the latest first."""
    query = select(CardRefund).where(CardRefund.member_id == member_id, CardRefund.top_up_id == top_up_id)
    return list(db.session.scalars(query.order_by(CardRefund.requested_at.desc(), CardRefund.id)))


def claim_stale(minutes: int, *, at: datetime, limit: int = 50) -> list[CardRefund]:
    """Card refunds on their way that nobody has heard of for `minutes`; marked, so that no other sweep asks about them meanwhile."""
    quiet_since = at - timedelta(minutes=minutes)
    stale = db.session.scalars(
        select(CardRefund)
        .where(CardRefund.state == "pending", CardRefund.method == "card", CardRefund.begun_at <= quiet_since)
        .where(or_(CardRefund.checked_at.is_(None), CardRefund.checked_at <= quiet_since))
        .order_by(func.coalesce(CardRefund.checked_at, CardRefund.begun_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for refund in stale:
        refund.checked_at = at
    return list(stale)
