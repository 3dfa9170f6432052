"""Subscriptions and their money: start, change, cancel, resume. Each is one transaction of the caller; a charge is move 10 of the books."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select, update

from billing import subscription_previews as previews
from billing import wallets
from billing.accounts import Account
from billing.models import SubscriptionCharge
from billing.subscription_previews import Preview
from core.db import db
from core.errors import Conflict
from core.ids import derived, request_hash
from membership import catalogue, motions, notices, subscription_notices, subscriptions, terms
from membership.models import Member, ProductLine, Subscription


class PriceChanged(Conflict):
    """Today's charge is not the one that was shown; `price_minor` is the right one. Nothing was charged."""

    code = "price_changed"


class NotCancellable(Conflict):
    """There is nothing left to cancel or to resume."""

    code = "not_cancellable"


@dataclass(frozen=True, kw_only=True)
class Start(subscriptions.Wish):
    """What a member asks for; `id` is its own idempotency key and the subscription's id, `price_minor` today's charge as it was shown."""

    id: uuid.UUID
    price_minor: int


@dataclass(frozen=True, slots=True)
class ChangeTo:
    """The edition and seats a member wants; None keeps what is. `id` and `price_minor` as for a start."""

    id: uuid.UUID
    price_minor: int
    rank: int | None = None
    seats: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A start or change that stands. `is_replay`: it stood before this request."""

    id: uuid.UUID
    subscription: Subscription
    amount_minor: int
    is_replay: bool


def targets(amount_minor: int, tax_minor: int) -> tuple[wallets.Target, ...]:
    """Where a subscription's money goes (books, move 10): bonus may pay all but the tax."""
    net = amount_minor - tax_minor
    parts = (wallets.Target(Account.DEFERRED_REVENUE, net, net), wallets.Target(Account.TAX_PAYABLE, tax_minor))
    return tuple(part for part in parts if part.amount_minor)


def start(member_id: uuid.UUID, wanted: Start, *, at: datetime, csm_id: uuid.UUID | None = None) -> Done:
    """Start a subscription from the wallet, or as a trial without a charge; replaying `wanted.id` returns the first outcome.

    Raises AlreadySubscribed, TrialUsed, NoPrice, PriceChanged, InsufficientFunds, WalletFrozen, IdReused.
    """
    db.session.execute(select(Member.id).where(Member.id == member_id).with_for_update(key_share=True))  # one start of a member at a time
    hashed = request_hash(
        "subscription.start", line=wanted.product_line, rank=wanted.rank, period=wanted.period, seats=wanted.seats,
        price_minor=wanted.price_minor, is_trial=wanted.is_trial,
    )  # fmt: skip
    if first := motions.replayed(member_id, wanted.id, hashed):
        return Done(wanted.id, subscriptions.show(member_id, first.subscription_id), first.amount_minor, True)
    seller = subscriptions.seller_of(member_id)
    preview = previews.of_start(member_id, seller, wanted, at=at)
    _confirm(preview, wanted.price_minor)
    assert preview.opening is not None
    _charge(member_id, wanted.id, hashed, preview, at)
    subscription = subscriptions.begin(member_id, wanted.id, seller, preview.opening)
    if not wanted.is_trial:
        _keep_charge(subscription, wanted.id, "new", preview, at)
        arr = motions.arr_of(subscription)
        motions.record([motions.motion(subscription, "new", at, 0, arr, amount_minor=preview.amount_minor, motion_id=wanted.id, csm_id=csm_id)])
    motions.remember(subscription, wanted.id, hashed, preview.amount_minor, at)
    return Done(wanted.id, subscription, preview.amount_minor, False)


def change(member_id: uuid.UUID, subscription_id: uuid.UUID, wanted: ChangeTo, *, at: datetime, csm_id: uuid.UUID | None = None) -> Done:
    """Change edition or seats: more now, from the wallet; less with the next term. Replaying `wanted.id` returns the first outcome.

    Raises NoSubscription, NotChangeable, SeatsInUse, Invalid, NoPrice, PriceChanged, InsufficientFunds, WalletFrozen, IdReused.
    """
    subscription = subscriptions.locked(member_id, subscription_id)
    hashed = request_hash("subscription.change", subscription=subscription_id, rank=wanted.rank, seats=wanted.seats, price_minor=wanted.price_minor)
    if first := motions.replayed(member_id, wanted.id, hashed):
        return Done(wanted.id, subscription, first.amount_minor, True)
    preview = previews.of_change(subscription, subscriptions.seller_of(member_id), wanted.rank, wanted.seats, at=at)
    _confirm(preview, wanted.price_minor)
    _charge(member_id, wanted.id, hashed, preview, at)
    _apply(subscription, wanted.id, preview, at, csm_id)
    motions.remember(subscription, wanted.id, hashed, preview.amount_minor, at)
    return Done(wanted.id, subscription, preview.amount_minor, False)


def cancel(member_id: uuid.UUID, subscription_id: uuid.UUID, *, at: datetime) -> Subscription:
    """Let it end with its term; one that is past due ends at once, and what was owed is void. Doing it twice changes nothing.

    Raises NoSubscription, NotCancellable.
    """
    subscription = subscriptions.locked(member_id, subscription_id)
    if subscription.state == "ended":
        raise NotCancellable(_("This subscription has ended already."))
    if subscription.cancel_at_term_end:
        return subscription
    arr = motions.arr_of(subscription)
    subscription.cancel_at_term_end = True
    rows = [motions.motion(subscription, "cancel", at, arr, arr)]
    if subscription.state == "past_due":
        subscription.state, subscription.ended_at, subscription.next_attempt_at, subscription.suspended_at = "ended", at, None, None
        rows.append(motions.motion(subscription, "lapse", at, arr, 0))
        _void(subscription)
        subscription_notices.withdraw_unpaid(member_id, subscription_id, at=at)
    motions.record(rows)
    db.session.flush()
    return subscription


def resume(member_id: uuid.UUID, subscription_id: uuid.UUID, *, at: datetime) -> Subscription:
    """Take a cancellation back before the term ends. Doing it twice changes nothing. Raises NoSubscription, NotCancellable."""
    subscription = subscriptions.locked(member_id, subscription_id)
    if subscription.state == "ended":
        raise NotCancellable(_("This subscription has ended already. Start a new one."))
    if subscription.cancel_at_term_end:
        arr = motions.arr_of(subscription)
        subscription.cancel_at_term_end = False
        motions.record([motions.motion(subscription, "resume", at, arr, arr)])
        db.session.flush()
    return subscription


def contract_value(member_id: uuid.UUID) -> dict[uuid.UUID, int]:
    """Total contract value (TCV) of each subscription: everything charged for its terms so far, paid or owed, tax included."""
    rows = db.session.execute(
        select(SubscriptionCharge.subscription_id, SubscriptionCharge.amount_minor).where(
            SubscriptionCharge.member_id == member_id, SubscriptionCharge.state != "void"
        )
    )
    total: dict[uuid.UUID, int] = {}
    for subscription_id, amount in rows:
        total[subscription_id] = total.get(subscription_id, 0) + amount
    return total


def owed(member_id: uuid.UUID) -> dict[uuid.UUID, SubscriptionCharge]:
    """The unpaid charge of each subscription that is past due."""
    found = db.session.scalars(select(SubscriptionCharge).where(SubscriptionCharge.member_id == member_id, SubscriptionCharge.state == "unpaid"))
    return {charge.subscription_id: charge for charge in found}


def _confirm(preview: Preview, price_minor: int) -> None:
    if preview.amount_minor != price_minor:
        raise PriceChanged(_("The price has changed since you saw it. Nothing was charged."), price_minor=preview.amount_minor)


def _charge(member_id: uuid.UUID, charge_id: uuid.UUID, hashed: bytes, preview: Preview, at: datetime) -> None:
    """Take today's charge from the wallet. An id that another kind of request used before is refused by the ledger."""
    if preview.amount_minor:
        request = wallets.ChargeRequest(member_id, charge_id, hashed, "subscription", preview.currency, at, targets(preview.amount_minor, preview.tax_minor))
        result = wallets.charge(request)
        assert result.status == "new", result.status


def _keep_charge(subscription: Subscription, charge_id: uuid.UUID, motion: str, preview: Preview, at: datetime) -> None:
    db.session.add(
        SubscriptionCharge(
            member_id=subscription.member_id,
            id=charge_id,
            subscription_id=subscription.id,
            motion=motion,
            term=subscription.term,
            currency=subscription.currency,
            amount_minor=preview.amount_minor,
            tax_minor=preview.tax_minor,
            service_from=preview.service_from,
            service_until=preview.service_until,
            state="paid",
            due_at=at,
            paid_at=at,
        )
    )
    db.session.flush()


def _apply(subscription: Subscription, charge_id: uuid.UUID, preview: Preview, at: datetime, csm_id: uuid.UUID | None) -> None:
    """Make a confirmed change hold: its rows, its motions (edition and seats apart), what the member is told."""
    change, period = preview.change, subscription.period
    assert change is not None
    was_rank, was_seats, counts = subscription.rank, subscription.seats, subscription.state != "trialing"
    arr, between, after = (
        terms.annualised(price, period) if counts else 0 for price in (subscription.term_price_minor, change.between_price_minor, change.term_price_minor)
    )
    subscriptions.apply(subscription, change)
    rows = []
    if change.rank != was_rank:
        name = "upgrade" if change.rank > was_rank else "downgrade"
        rows.append(motions.motion(subscription, name, at, arr, between, amount_minor=change.edition_minor, motion_id=charge_id, csm_id=csm_id))
    if change.seats != was_seats:
        motion_id = derived("motion", charge_id, "seats") if rows else charge_id
        rows.append(motions.motion(subscription, "seats", at, between, after, amount_minor=change.seats_minor, motion_id=motion_id, csm_id=csm_id))
    motions.record(rows)
    if preview.amount_minor:
        _keep_charge(subscription, charge_id, rows[0]["motion"], preview, at)
    db.session.flush()
    _tell(subscription, charge_id, was_rank, was_seats, at)


def _tell(subscription: Subscription, change_id: uuid.UUID, was_rank: int, was_seats: int, at: datetime) -> None:
    line = db.session.get_one(ProductLine, subscription.product_line)
    names = {"name_zh": line.name_zh, "name_en": line.name_en}
    if subscription.rank != was_rank:
        edition = catalogue.edition(line.code, subscription.rank)
        details = {**names, "edition_zh": edition.name_zh, "edition_en": edition.name_en}
        notices.tell(subscription.member_id, "edition_changed", details, at=at, key=f"edition_changed:{change_id}")
    if subscription.seats != was_seats:
        notices.tell(subscription.member_id, "seats_changed", {**names, "seats": subscription.seats}, at=at, key=f"seats_changed:{change_id}")


def _void(subscription: Subscription) -> None:
    db.session.execute(
        update(SubscriptionCharge)
        .where(
            SubscriptionCharge.member_id == subscription.member_id, SubscriptionCharge.subscription_id == subscription.id, SubscriptionCharge.state == "unpaid"
        )
        .values(state="void")
    )
