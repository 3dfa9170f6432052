"""Money on its way into a wallet: asked for, paid, settled once, whoever brings the news first."""

import base64
import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from billing.ledger.accounts import Account
from billing.payment import payment_methods
from billing.payment.payment_models import PaymentMethod
from billing.renewal import renewals
from billing.top_up import top_up_offers
from billing.top_up.top_up_models import AutoTopUp, BankAccount, TopUp
from billing.top_up.top_up_offers import Promise
from billing.wallet import wallets
from core import outbox
from core.db import db
from core.errors import IdReused, Invalid, NotFound
from core.formats import money
from core.ids import request_hash
from core.settings import Settings
from membership import notices
from membership.models import Member

Move = tuple[Account, Account, int]
_ONE_AT_A_TIME = text("select pg_advisory_xact_lock(hashtextextended('top_up:' || :member, 0))")


class AmountOutOfRange(Invalid):
    """Less or more than one top-up may bring."""

    code = "amount_out_of_range"


class NoBankAccount(Invalid):
    """There is nowhere to transfer to in this currency."""

    code = "no_bank_account"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a member asks for. `id` is made by the client and makes it happen once."""

    id: uuid.UUID
    amount_minor: int
    method: str  # card | bank_transfer
    currency: str | None = None  # None: the member's own
    payment_method_id: uuid.UUID | None = None  # None: the default card
    auto_number: int | None = None  # the wallet asked for it by itself, for the n-th time


def start(member_id: uuid.UUID, wanted: Wanted, *, at: datetime, created_by: uuid.UUID | None) -> tuple[TopUp, bool]:
    """Write a top-up down as pending, with the bonus now on offer promised; the second value says whether it is new.

    Only who gets True may ask Stripe for the money. Raises IdReused, AmountOutOfRange, NoBankAccount, Invalid (currency), NotFound (card).
    """
    member = db.session.get(Member, member_id)
    assert member
    content = request_hash(
        "top_up", amount=wanted.amount_minor, currency=wanted.currency or member.currency, method=wanted.method, card=wanted.payment_method_id
    )
    if first := db.session.get(TopUp, (member_id, wanted.id)):
        return _replayed(first, content), False
    card_id = _check(member, wanted)
    db.session.execute(_ONE_AT_A_TIME, {"member": str(member_id)})  # two first top-ups at once: only one is the first
    promise = top_up_offers.best(member.currency, wanted.amount_minor, at=at, member_id=member_id)
    made = db.session.execute(
        insert(TopUp)
        .values(
            member_id=member_id,
            id=wanted.id,
            request_hash=content,
            currency=member.currency,
            amount_minor=wanted.amount_minor,
            bonus_minor=promise.bonus_minor,
            bonus_days=promise.bonus_days,
            bonus_priority=promise.priority,
            offer_id=promise.offer_id,
            auto_number=wanted.auto_number,
            method=wanted.method,
            state="pending",
            payment_method_id=card_id,
            bank_reference=reference(member.number, wanted.id) if wanted.method == "bank_transfer" else None,
            created_by=created_by,
            created_at=at,
        )
        .on_conflict_do_nothing()
        .returning(TopUp.id)
    ).one_or_none()
    top_up = show(member_id, wanted.id)
    return (top_up, True) if made else (_replayed(top_up, content), False)


def _replayed(first: TopUp, content: bytes) -> TopUp:
    if first.request_hash != content:
        raise IdReused(_("This id was already used for another request."), field="id")
    return first


def _check(member: Member, wanted: Wanted) -> uuid.UUID | None:
    if (wanted.currency or member.currency) != member.currency:
        raise Invalid(_("Your wallet is in %(currency)s.", currency=member.currency), field="currency")
    _check_amount(member, wanted.amount_minor)
    if wanted.method == "card":
        return payment_methods.chosen(member.id, wanted.payment_method_id).id
    if bank_account(member.entity_id, member.currency) is None:
        raise NoBankAccount(_("Bank transfers are not possible at the moment."), field="method")
    return None


def _check_amount(member: Member, amount_minor: int) -> None:
    settings: Settings = current_app.extensions["settings"]
    least, most = settings.top_up_min_minor, settings.top_up_max_minor
    if not least <= amount_minor <= most:
        words = _("Choose an amount from %(least)s to %(most)s.", least=money(least, member.currency), most=money(most, member.currency))
        raise AmountOutOfRange(words, field="amount_minor")


def check_card(member: Member, amount_minor: int, card_id: uuid.UUID | None) -> PaymentMethod:
    """The card that a top-up of this amount would charge. Raises AmountOutOfRange, NotFound."""
    _check_amount(member, amount_minor)
    return payment_methods.chosen(member.id, card_id)


def bank_account(entity_id: uuid.UUID, currency: str) -> BankAccount | None:
    """Where to transfer to, or None."""
    return db.session.get(BankAccount, (entity_id, currency))


def reference(member_number: str, top_up_id: uuid.UUID) -> str:
    """What the member writes on its transfer: its number and five letters of the top-up, easy to read out."""
    letters = base64.b32encode(hashlib.sha256(top_up_id.bytes).digest()).decode()[:5]
    return f"{member_number}-{letters}"


def show(member_id: uuid.UUID, top_up_id: uuid.UUID) -> TopUp:
    """One top-up. Raises NotFound."""
    found = db.session.get(TopUp, (member_id, top_up_id))
    if found is None:
        raise NotFound(_("There is no such top-up."))
    return found


def locked(member_id: uuid.UUID, top_up_id: uuid.UUID) -> TopUp:
    """One top-up as it stands now, held until the transaction ends. Raises NotFound."""
    found = db.session.scalar(
        select(TopUp).where(TopUp.member_id == member_id, TopUp.id == top_up_id).with_for_update().execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound(_("There is no such top-up."))
    return found


def settle(member_id: uuid.UUID, top_up_id: uuid.UUID, *, at: datetime, fee_minor: int = 0, intent_id: str | None = None) -> bool:
    """The card's money has arrived (books, move 1); False when that was known. Webhook, sweep and replay may all call it.

    `fee_minor` is what Stripe kept. A top-up that had counted as failed is settled too: the money is there.
    """
    top_up = locked(member_id, top_up_id)
    if top_up.state == "settled":
        return False
    top_up.stripe_payment_intent = intent_id or top_up.stripe_payment_intent
    fee: tuple[Move, ...] = ((Account.PAYMENT_FEES, Account.STRIPE_CLEARING, fee_minor),) if fee_minor else ()
    arrived(top_up, top_up.amount_minor, promise_of(top_up), at=at, source=Account.STRIPE_CLEARING, moves=fee)
    return True


def promise_of(top_up: TopUp) -> Promise:
    """What a top-up was promised when it was started."""
    return Promise(top_up.bonus_minor, top_up.bonus_days, top_up.bonus_priority, top_up.offer_id)


def arrived(top_up: TopUp, paid_minor: int, promise: Promise, *, at: datetime, source: Account, moves: tuple[Move, ...] = ()) -> None:
    """Credit the wallet, say so, and pay what was waiting for money. The caller holds the top-up."""
    wallets.credit(
        wallets.Credit(
            top_up.member_id,
            top_up.id,
            request_hash("arrival", top_up=top_up.request_hash.hex(), paid=paid_minor),
            "top_up",
            top_up.currency,
            at,
            paid_minor,
            promise.bonus_minor,
            source,
            bonus_expires_at=promise.expires_at(at),
            priority=promise.priority,
            moves=moves,
            memo=top_up.bank_reference,
        )
    )
    top_up.state, top_up.settled_at, top_up.failure = "settled", at, None
    top_up.bonus_minor, top_up.bonus_days, top_up.offer_id = promise.bonus_minor, promise.bonus_days, promise.offer_id
    db.session.flush()
    details = {
        "top_up_id": str(top_up.id), "amount_minor": paid_minor, "bonus_minor": promise.bonus_minor,
        "currency": top_up.currency, "method": top_up.method,
    }  # fmt: skip
    outbox.publish("wallet.credited", details, at=at, member_id=top_up.member_id)
    notices.tell(top_up.member_id, "top_up_settled", details, at=at, key=f"top_up_settled:{top_up.id}")
    renewals.pay_unpaid(top_up.member_id, at=at)


def fail(member_id: uuid.UUID, top_up_id: uuid.UUID, reason: str, *, at: datetime, intent_id: str | None = None) -> bool:
    """Nothing was charged, and why, in words for the customer; False when its fate was known already, or another payment failed."""
    top_up = locked(member_id, top_up_id)
    is_other = intent_id is not None and top_up.stripe_payment_intent not in (None, intent_id)
    if top_up.state != "pending" or is_other:
        return False
    top_up.state, top_up.failure = "failed", reason
    top_up.stripe_payment_intent = top_up.stripe_payment_intent or intent_id
    if top_up.auto_number is not None:  # whether it is tried again, and when, is judged at once
        db.session.execute(update(AutoTopUp).where(AutoTopUp.member_id == member_id).values(next_at=at))
    details = {"top_up_id": str(top_up.id), "amount_minor": top_up.amount_minor, "currency": top_up.currency, "reason": reason}
    notices.tell(member_id, "top_up_failed", details, at=at, key=f"top_up_failed:{top_up.id}")
    return True


def note_intent(member_id: uuid.UUID, top_up_id: uuid.UUID, intent_id: str) -> None:
    """Remember Stripe's payment, unless the webhook has done so before us."""
    db.session.execute(
        update(TopUp).where(TopUp.member_id == member_id, TopUp.id == top_up_id, TopUp.stripe_payment_intent.is_(None)).values(stripe_payment_intent=intent_id)
    )


def claim_stale(minutes: int, *, at: datetime, limit: int = 50) -> list[TopUp]:
    """Card top-ups nobody has heard of for `minutes`; marked, so that no other sweep asks Stripe about them meanwhile."""
    quiet_since = at - timedelta(minutes=minutes)
    stale = db.session.scalars(
        select(TopUp)
        .where(
            TopUp.state == "pending",
            TopUp.method == "card",
            TopUp.created_at <= quiet_since,
            or_(TopUp.checked_at.is_(None), TopUp.checked_at <= quiet_since),
        )
        .order_by(func.coalesce(TopUp.checked_at, TopUp.created_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for top_up in stale:
        top_up.checked_at = at
    return list(stale)
