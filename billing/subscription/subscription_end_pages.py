"""How a member ends, pauses and commits its subscriptions, and drops what is scheduled: a page that says what happens, and one button that does it."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.subscription import subscription_charges, subscription_ends
from billing.subscription.subscription_ends import EndNow
from billing.subscription.subscription_pages import MAY_CHANGE, edition_of, line_of, subscription_pages
from billing.subscription.subscription_schemas import CommitmentForm, EndForm, PauseForm
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.formats import money
from core.ids import new_id
from membership import contracts, subscriptions
from membership.subscription_models import Subscription


@subscription_pages.get("/<uuid:subscription_id>/cancellation")
@requires(*MAY_CHANGE)
def confirm_cancellation(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """What cancelling means, for the end of the term or now, before it is done."""
    return _cancellation_page(subscription_id)


@subscription_pages.post("/<uuid:subscription_id>/cancellation")
@requires(*MAY_CHANGE)
def create_cancellation(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """Let it end with its term."""
    return _switch(subscription_id, subscription_ends.cancel, lambda _s: _("Cancelled. You can take it back until the term ends."))


@subscription_pages.post("/<uuid:subscription_id>/resumption")
@requires(*MAY_CHANGE)
def create_resumption(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """Take the cancellation back."""
    return _switch(subscription_id, subscription_ends.resume, lambda _s: _("It goes on: the subscription will be renewed."))


@subscription_pages.post("/<uuid:subscription_id>/end")
@requires(*MAY_CHANGE)
def create_end(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """End it now, with what was shown coming back; a double click ends it once."""
    acting, at = actor(), now()
    try:
        form = EndForm().load(request.form.to_dict())
        with transaction(acting):
            done = subscription_ends.end_now(acting.member, subscription_id, EndNow(**form), at=at)
    except ValidationError:
        return _cancellation_page(subscription_id)
    except subscriptions.NoSubscription:
        raise
    except AppError as error:
        return _cancellation_page(subscription_id, failure=error)
    back = money(-done.amount_minor, done.subscription.currency)
    flash(_("It has ended. %(amount)s came back into the wallet.", amount=back) if done.amount_minor else _("It has ended."), "success")
    return redirect(url_for("subscriptions.show_subscriptions"), 303)


@subscription_pages.post("/<uuid:subscription_id>/scheduled-change/removal")
@requires(*MAY_CHANGE)
def drop_scheduled_change(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """Drop what was to begin later."""
    acting = actor()
    try:
        with transaction(acting):
            subscription_ends.unschedule(acting.member, subscription_id)
        flash(_("Dropped: it goes on as it is."), "success")
    except subscription_ends.NotCancellable as error:
        flash(error.detail, "warning")
    return redirect(url_for("subscriptions.show_subscriptions"), 303)


@subscription_pages.get("/<uuid:subscription_id>/pause")
@requires(*MAY_CHANGE)
def show_pause(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """What pausing means, and until when."""
    return _pause_page(subscription_id)


@subscription_pages.post("/<uuid:subscription_id>/pause")
@requires(*MAY_CHANGE)
def create_pause(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """Pause it."""
    acting = actor()
    try:
        form = PauseForm().load({name: value for name, value in request.form.items() if value})
        with transaction(acting):
            subscription_ends.pause(acting.member, subscription_id, form["resumes_on"], at=now())
    except ValidationError as error:
        return _pause_page(subscription_id, errors=error.messages_dict)
    except subscriptions.NoSubscription:
        raise
    except AppError as error:
        if error.fields:
            return _pause_page(subscription_id, errors={name: [text] for name, text in error.fields.items()})
        flash(error.detail, "warning")
        return redirect(url_for("subscriptions.show_subscriptions"), 303)
    flash(_("Paused. What is left of the term is kept."), "success")
    return redirect(url_for("subscriptions.show_subscriptions"), 303)


@subscription_pages.post("/<uuid:subscription_id>/pause/removal")
@requires(*MAY_CHANGE)
def resume_paused(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """Let it run on."""
    return _switch(subscription_id, subscription_ends.unpause, lambda _s: _("It runs again; its term ends later by what was paused."))


@subscription_pages.get("/<uuid:subscription_id>/commitment")
@requires(*MAY_CHANGE)
def show_commitment(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """What a commitment of several years means."""
    return _commitment_page(subscription_id)


@subscription_pages.post("/<uuid:subscription_id>/commitment")
@requires(*MAY_CHANGE)
def create_commitment(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """Commit for several years."""
    acting = actor()
    try:
        form = CommitmentForm().load(request.form.to_dict())
        with transaction(acting):
            subscription_ends.commit(acting.member, subscription_id, form["years"], at=now())
    except ValidationError as error:
        return _commitment_page(subscription_id, errors=error.messages_dict)
    except subscriptions.NoSubscription:
        raise
    except AppError as error:
        flash(error.detail, "warning")
        return redirect(url_for("subscriptions.show_subscriptions"), 303)
    flash(_("Committed: the price list of this term holds for %(years)s years.", years=form["years"]), "success")
    return redirect(url_for("subscriptions.show_subscriptions"), 303)


def _switch(subscription_id: uuid.UUID, act: Callable[..., Subscription], told: Callable[[Subscription], str]) -> ResponseReturnValue:
    acting = actor()
    try:
        with transaction(acting):
            changed = act(acting.member, subscription_id, at=now())
        flash(_("The subscription has ended. Nothing is owed.") if changed.state == "ended" else told(changed), "success")
    except subscriptions.NoSubscription:
        raise
    except AppError as error:
        flash(error.detail, "warning")
    return redirect(url_for("subscriptions.show_subscriptions"), 303)


def _cancellation_page(subscription_id: uuid.UUID, *, failure: AppError | None = None) -> ResponseReturnValue:
    acting, at = actor(), now()
    with transaction(acting):
        subscription = subscriptions.show(acting.member, subscription_id)
        if subscription.state == "ended" or subscription.cancel_at_term_end or subscription.period == "once":
            return redirect(url_for("subscriptions.show_subscriptions"))
        preview = None
        if subscription.state in ("active", "paused", "trialing"):
            try:
                preview = subscription_ends.preview_end(subscription, subscriptions.seller_of(acting.member), at=at)
                preview = subscription_charges.with_wallet(preview, acting.member, at=at)
            except AppError:  # bound for longer, or bought for good: then only the end of the term is offered
                preview = None
        page = render_template(
            "account/subscription_cancellation.html", subscription=subscription, line=line_of(subscription.product_line), edition=edition_of(subscription),
            last_day=contracts.free_at(subscription) - timedelta(seconds=1), preview=preview, failure=failure, form_id=new_id(),
            is_committed=contracts.is_committed(subscription),
        )  # fmt: skip
        return page, failure.status if failure else 200


def _pause_page(subscription_id: uuid.UUID, *, errors: dict[str, Any] | None = None) -> ResponseReturnValue:
    acting, at = actor(), now()
    with transaction(acting):
        subscription = subscriptions.show(acting.member, subscription_id)
        if subscription.state != "active":
            return redirect(url_for("subscriptions.show_subscriptions"))
        left = subscription_ends.allowance(subscription, at=at, timezone=subscriptions.seller_of(acting.member).timezone)
        page = render_template(
            "account/subscription_pause.html", subscription=subscription, line=line_of(subscription.product_line), edition=edition_of(subscription), left=left,
            given=request.form.get("resumes_on", "") if errors else left.latest.isoformat(), errors=errors,
        )  # fmt: skip
        return page, 422 if errors else 200


def _commitment_page(subscription_id: uuid.UUID, *, errors: dict[str, Any] | None = None) -> ResponseReturnValue:
    acting = actor()
    with transaction(acting):
        subscription = subscriptions.show(acting.member, subscription_id)
        if subscription.state != "active" or subscription.period != "year":
            return redirect(url_for("subscriptions.show_subscriptions"))
        options = [(str(years), _("%(years)s years", years=years)) for years in contracts.COMMITMENTS]
        page = render_template(
            "account/subscription_commitment.html", subscription=subscription, line=line_of(subscription.product_line), edition=edition_of(subscription),
            options=options, given=request.form.get("years", "3"), errors=errors,
        )  # fmt: skip
        return page, 422 if errors else 200
