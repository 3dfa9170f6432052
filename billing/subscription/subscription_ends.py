"""How subscriptions end and wait: cancelled for the end of the term, ended now with credit, paused and resumed, committed, what is scheduled dropped."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import update

from billing.subscription import subscription_charges
from billing.subscription import subscription_credits as credits_of
from billing.subscription import subscription_previews as previews
from billing.subscription.subscription_charges import Done
from billing.subscription.subscription_models import SubscriptionCharge
from core.db import db
from core.errors import Conflict
from core.ids import new_id, request_hash
from core.settings import Settings
from membership import changes, contracts, motions, notices, pauses, proration, subscription_notices, subscriptions, terms
from membership.catalogue_models import ProductLine
from membership.subscription_models import Subscription


class NotCancellable(Conflict):
    """There is nothing left to cancel, to resume or to end."""

    code = "not_cancellable"


@dataclass(frozen=True, slots=True)
class EndNow:
    """A member ends its subscription now; `price_minor` is what was shown, zero or (given back) below."""

    id: uuid.UUID
    price_minor: int
    priced_at: datetime | None = None


def cancel(member_id: uuid.UUID, subscription_id: uuid.UUID, *, at: datetime) -> Subscription:
    """Let it end with its term (a commitment: when that is over); one that is past due ends at once, and what was owed is void.

    Of a perpetual licence, the maintenance ends. Doing it twice changes nothing. Raises NoSubscription, NotCancellable.
    """
    subscription = subscriptions.locked(member_id, subscription_id)
    _assert_runs(subscription)
    if subscription.period == "once":
        raise NotCancellable(_("This licence is yours for good; there is nothing to cancel."))
    if subscription.cancel_at_term_end:
        return subscription
    arr = motions.arr_of(subscription)
    subscription.cancel_at_term_end = True
    motions.record([motions.motion(subscription, "cancel", at, arr, arr, motion_id=new_id())])
    if subscription.state == "past_due":
        _end(subscription, arr, at)
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
        motions.record([motions.motion(subscription, "resume", at, arr, arr, motion_id=new_id())])
        db.session.flush()
    return subscription


def preview_end(subscription: Subscription, seller: subscriptions.Seller, *, at: datetime, priced_at: datetime | None = None) -> previews.Preview:
    """What ending it now gives back. Raises NotCancellable, Committed."""
    _assert_runs(subscription)
    if subscription.licensing == "perpetual":
        raise NotCancellable(_("A perpetual licence does not end, and is not given back. Its maintenance can be cancelled for the end of its year."))
    if subscription.state != "past_due":
        contracts.assert_free(subscription)
        if subscription.state != "paused" and at >= subscription.term_end:
            raise NotCancellable(_("This term is over and is being renewed right now. Please try again in a minute."))
    return previews.of_end(subscription, seller, at=at, priced_at=priced_at)


def end_now(member_id: uuid.UUID, subscription_id: uuid.UUID, wanted: EndNow, *, at: datetime) -> Done:
    """End it at once; what is unused of its term comes back to what had paid, as far as the vendor gives back. Replaying `wanted.id` returns the first outcome.

    Raises NoSubscription, NotCancellable, Committed, PriceChanged, IdReused.
    """
    subscription = subscriptions.locked(member_id, subscription_id)
    hashed = request_hash("subscription.end", subscription=subscription_id, price_minor=wanted.price_minor)
    if first := motions.replayed(member_id, wanted.id, hashed):
        return Done(wanted.id, subscription, first.amount_minor, True)
    seller = subscriptions.seller_of(member_id)
    preview = preview_end(subscription, seller, at=at, priced_at=wanted.priced_at)
    subscription_charges.confirm(preview, wanted.price_minor)
    subscription_charges.post(member_id, wanted.id, hashed, preview, at)
    arr = motions.arr_of(subscription)
    from_at = proration.next_unit(subscription.term_start, preview.priced_at, seller.timezone, subscription.proration_unit)
    if subscription.state == "paused":
        from_at = pauses.drop(subscription)
    if preview.credits and preview.gone is not None:
        credits_of.keep(
            subscription, wanted.id, preview.credits, "cancel", takes_id=True, term=subscription.term,
            service=(min(from_at, subscription.term_end - proration.SECOND), subscription.term_end), units=credits_of.covered(preview.gone, starts_now=False),
            at=at,
        )  # fmt: skip
    rows = [motions.motion(subscription, "cancel", at, arr, arr, cause=wanted.id)]
    if preview.amount_minor:
        rows.append(motions.motion(subscription, "credit", at, arr, arr, amount_minor=preview.amount_minor, motion_id=wanted.id))
    motions.record(rows)
    _end(subscription, arr, at)
    motions.remember(subscription, wanted.id, hashed, preview.amount_minor, at)
    notices.tell(
        member_id, "subscription_ended", _names(subscription) | {"at": terms.local_day(at, seller.timezone).isoformat()}, at=at, key=f"ended_now:{wanted.id}"
    )
    db.session.flush()
    return Done(wanted.id, subscription, preview.amount_minor, False)


def unschedule(member_id: uuid.UUID, subscription_id: uuid.UUID) -> Subscription:
    """Drop the edition, seats and period that were to begin with the next term. Doing it twice changes nothing. Raises NoSubscription, NotCancellable."""
    subscription = subscriptions.locked(member_id, subscription_id)
    _assert_runs(subscription)
    subscription.next_rank = subscription.next_seats = subscription.next_period = None
    db.session.flush()
    return subscription


def pause(member_id: uuid.UUID, subscription_id: uuid.UUID, resumes_on: date | None, *, at: datetime) -> Subscription:
    """Stop its clock; what is left of the term is kept. Raises NoSubscription, NotPausable, Invalid."""
    subscription = subscriptions.locked(member_id, subscription_id)
    timezone, arr = subscriptions.seller_of(member_id).timezone, motions.arr_of(subscription)
    pauses.pause(subscription, resumes_on, allowance(subscription, at=at, timezone=timezone), at=at, timezone=timezone)
    motions.record([motions.motion(subscription, "pause", at, arr, 0, motion_id=new_id())])
    assert subscription.resumes_at is not None
    day = terms.local_day(subscription.resumes_at, timezone).isoformat()
    notices.tell(member_id, "subscription_paused", _names(subscription) | {"until": day}, at=at, key=f"paused:{subscription_id}:{at.isoformat()}")
    return subscription


def unpause(member_id: uuid.UUID, subscription_id: uuid.UUID, *, at: datetime) -> Subscription:
    """Let it run on; its term ends later by what was paused. Raises NoSubscription, NotPausable."""
    subscription = subscriptions.locked(member_id, subscription_id)
    timezone = subscriptions.seller_of(member_id).timezone
    old_end = pauses.resume(subscription, at=at, timezone=timezone)
    if old_end != subscription.term_end:
        db.session.execute(
            update(SubscriptionCharge)
            .where(
                SubscriptionCharge.member_id == member_id, SubscriptionCharge.subscription_id == subscription_id,
                SubscriptionCharge.term == subscription.term, SubscriptionCharge.service_until == old_end,
            )
            .values(service_until=subscription.term_end)
        )  # fmt: skip
    motions.record([motions.motion(subscription, "unpause", at, 0, motions.arr_of(subscription), motion_id=new_id())])
    day = terms.local_day(subscription.term_end, timezone).isoformat()
    notices.tell(member_id, "subscription_unpaused", _names(subscription) | {"until": day}, at=at, key=f"unpaused:{subscription_id}:{at.isoformat()}")
    return subscription


def commit(member_id: uuid.UUID, subscription_id: uuid.UUID, years: int, *, at: datetime) -> Subscription:
    """Commit a yearly subscription for so many years from the beginning of its present term, at its prices. Raises NotChangeable, Conflict, Invalid."""
    subscription = subscriptions.locked(member_id, subscription_id)
    changes.assert_changeable(subscription, at)
    contracts.assert_committable(subscription, years)
    contracts.commit(subscription, years, subscriptions.seller_of(member_id).timezone)
    db.session.flush()
    return subscription


def allowance(subscription: Subscription, *, at: datetime, timezone: str) -> pauses.Allowance:
    """What is left of this year's pauses."""
    settings: Settings = current_app.extensions["settings"]
    return pauses.allowance(subscription, settings.pauses_per_year, settings.pause_days_per_year, at=at, timezone=timezone)


def _assert_runs(subscription: Subscription) -> None:
    if subscription.state == "ended":
        raise NotCancellable(_("This subscription has ended already."))


def _end(subscription: Subscription, arr: int, at: datetime) -> None:
    """It ends at this instant: nothing is renewed, what was owed is void, a notice about it no longer holds."""
    was_past_due = subscription.state == "past_due"
    subscription.paused_at, subscription.resumes_at, subscription.units_left = None, None, None
    subscription.state, subscription.ended_at, subscription.next_attempt_at, subscription.suspended_at = "ended", at, None, None
    motions.record([motions.motion(subscription, "lapse", at, arr, 0)])
    if was_past_due:
        db.session.execute(
            update(SubscriptionCharge)
            .where(
                SubscriptionCharge.member_id == subscription.member_id, SubscriptionCharge.subscription_id == subscription.id,
                SubscriptionCharge.state == "unpaid",
            )
            .values(state="void")
        )  # fmt: skip
        subscription_notices.withdraw_unpaid(subscription.member_id, subscription.id, at=at)


def _names(subscription: Subscription) -> dict[str, str]:
    line = db.session.get_one(ProductLine, subscription.product_line)
    return {"name_zh": line.name_zh, "name_en": line.name_en}
