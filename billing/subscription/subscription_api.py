"""Subscriptions as JSON: start, see, preview, change, cancel, end, pause, commit."""

import uuid
from typing import Any

from sqlalchemy import select

from billing.subscription import subscription_charges, subscription_ends
from billing.subscription import subscription_previews as previews
from billing.subscription.subscription_charges import ChangeTo, Done, Start
from billing.subscription.subscription_ends import EndNow
from billing.subscription.subscription_previews import Preview
from billing.subscription.subscription_schemas import (
    ChangeIn,
    ChangeOut,
    ChangePreviewIn,
    CommitmentIn,
    EndNowIn,
    PauseIn,
    PreviewOut,
    StartIn,
    SubscriptionOut,
    WishIn,
)
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.openapi import Blueprint
from core.paging import Page, keyset
from core.schemas import PageQuery, fails, page_of
from membership import subscriptions
from membership.subscription_models import Subscription

blp = Blueprint("subscriptions_api", __name__, url_prefix="/api/v1", description="Subscriptions: editions and seats")


@blp.get("/subscriptions")
@blp.arguments(PageQuery, location="query")
@blp.response(200, page_of(SubscriptionOut))
@fails(blp, 400, 401, 403, 422)
@requires(*MEMBERS)
def list_subscriptions(query: dict[str, Any]) -> Page[Subscription]:
    """The member's subscriptions, ended ones too, the latest started first."""
    acting = actor()
    with transaction(acting) as session:
        own = select(Subscription).where(Subscription.member_id == acting.member)
        return keyset(session, own, [Subscription.started_at, Subscription.id], query["after"], query["limit"])


@blp.post("/subscription-previews")
@blp.arguments(WishIn)
@blp.response(200, PreviewOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires(*MEMBERS)
def preview_start(wish_in: dict[str, Any]) -> Preview:
    """What starting a subscription would charge today. Nothing is kept."""
    acting, at = actor(), now()
    with transaction(acting):
        preview = previews.of_start(acting.member, subscriptions.seller_of(acting.member), subscriptions.Wish(**wish_in), at=at)
        return subscription_charges.with_wallet(preview, acting.member, at=at)


@blp.post("/subscriptions")
@blp.arguments(StartIn)
@blp.response(201, SubscriptionOut)
@fails(blp, 401, 402, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_subscription(start_in: dict[str, Any]) -> Subscription:
    """Start from the wallet; the same id again is the same subscription.

    402 tells `missing_minor`, 409 `price_changed` tells `price_minor`; neither charged anything.
    """
    acting = actor()
    with transaction(acting):
        return subscription_charges.start(acting.member, Start(**start_in), at=now()).subscription


@blp.get("/subscriptions/<uuid:subscription_id>")
@blp.response(200, SubscriptionOut)
@fails(blp, 401, 403, 404)
@requires(*MEMBERS)
def show_subscription(subscription_id: uuid.UUID) -> Subscription:
    """One subscription as it stands."""
    acting = actor()
    with transaction(acting):
        return subscriptions.show(acting.member, subscription_id)


@blp.post("/subscriptions/<uuid:subscription_id>/previews")
@blp.arguments(ChangePreviewIn)
@blp.response(200, PreviewOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires(*MEMBERS)
def preview_change(preview_in: dict[str, Any], subscription_id: uuid.UUID) -> Preview:
    """What a change would charge or give back today. Nothing is kept."""
    acting, at = actor(), now()
    with transaction(acting):
        subscription = subscriptions.show(acting.member, subscription_id)
        preview = previews.of_change(subscription, subscriptions.seller_of(acting.member), at=at, **preview_in)
        return subscription_charges.with_wallet(preview, acting.member, at=at)


@blp.post("/subscriptions/<uuid:subscription_id>/changes")
@blp.arguments(ChangeIn)
@blp.response(201, ChangeOut)
@fails(blp, 401, 402, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_change(change_in: dict[str, Any], subscription_id: uuid.UUID) -> Done:
    """Change edition, seats or period. More is charged now for its share of the term; less waits for the next term, or (`effective: now`) comes back.

    The same id again: the same change. What comes back goes to what had paid: bonus as bonus, paid money as paid money.
    """
    acting = actor()
    with transaction(acting):
        return subscription_charges.change(acting.member, subscription_id, ChangeTo(**change_in), at=now())


@blp.delete("/subscriptions/<uuid:subscription_id>/scheduled-change")
@blp.response(200, SubscriptionOut)
@fails(blp, 401, 403, 404, 409)
@requires("owner", "buyer")
def delete_scheduled_change(subscription_id: uuid.UUID) -> Subscription:
    """Drop the edition, seats and period that were to begin later. Again changes nothing."""
    acting = actor()
    with transaction(acting):
        return subscription_ends.unschedule(acting.member, subscription_id)


@blp.post("/subscriptions/<uuid:subscription_id>/cancellation")
@blp.response(200, SubscriptionOut)
@fails(blp, 401, 403, 404, 409)
@requires("owner", "buyer")
def create_cancellation(subscription_id: uuid.UUID) -> Subscription:
    """Let it end with its term (a commitment: when that is over); one that is past due ends at once and owes nothing."""
    acting = actor()
    with transaction(acting):
        return subscription_ends.cancel(acting.member, subscription_id, at=now())


@blp.delete("/subscriptions/<uuid:subscription_id>/cancellation")
@blp.response(200, SubscriptionOut)
@fails(blp, 401, 403, 404, 409)
@requires("owner", "buyer")
def delete_cancellation(subscription_id: uuid.UUID) -> Subscription:
    """Take the cancellation back, before the term ends."""
    acting = actor()
    with transaction(acting):
        return subscription_ends.resume(acting.member, subscription_id, at=now())


@blp.post("/subscriptions/<uuid:subscription_id>/end-previews")
@blp.response(200, PreviewOut)
@fails(blp, 401, 403, 404, 409)
@requires(*MEMBERS)
def preview_end(subscription_id: uuid.UUID) -> Preview:
    """What ending it now would give back. Nothing is kept."""
    acting, at = actor(), now()
    with transaction(acting):
        subscription = subscriptions.show(acting.member, subscription_id)
        preview = subscription_ends.preview_end(subscription, subscriptions.seller_of(acting.member), at=at)
        return subscription_charges.with_wallet(preview, acting.member, at=at)


@blp.post("/subscriptions/<uuid:subscription_id>/end")
@blp.arguments(EndNowIn)
@blp.response(201, ChangeOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_end(end_in: dict[str, Any], subscription_id: uuid.UUID) -> Done:
    """End it now; what is unused of the term comes back to what had paid. The same id again: the same end."""
    acting = actor()
    with transaction(acting):
        return subscription_ends.end_now(acting.member, subscription_id, EndNow(**end_in), at=now())


@blp.post("/subscriptions/<uuid:subscription_id>/pause")
@blp.arguments(PauseIn)
@blp.response(200, SubscriptionOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_pause(pause_in: dict[str, Any], subscription_id: uuid.UUID) -> Subscription:
    """Pause it: nothing can be used, nothing is charged, and what is left of the term is kept until it resumes."""
    acting = actor()
    with transaction(acting):
        return subscription_ends.pause(acting.member, subscription_id, pause_in["resumes_on"], at=now())


@blp.delete("/subscriptions/<uuid:subscription_id>/pause")
@blp.response(200, SubscriptionOut)
@fails(blp, 401, 403, 404, 409)
@requires("owner", "buyer")
def delete_pause(subscription_id: uuid.UUID) -> Subscription:
    """Resume it; its term ends later by what was paused."""
    acting = actor()
    with transaction(acting):
        return subscription_ends.unpause(acting.member, subscription_id, at=now())


@blp.post("/subscriptions/<uuid:subscription_id>/commitment")
@blp.arguments(CommitmentIn)
@blp.response(200, SubscriptionOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_commitment(commitment_in: dict[str, Any], subscription_id: uuid.UUID) -> Subscription:
    """Commit a yearly subscription for several years, counted from its present term, at that term's prices."""
    acting = actor()
    with transaction(acting):
        return subscription_ends.commit(acting.member, subscription_id, commitment_in["years"], at=now())
