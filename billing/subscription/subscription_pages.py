"""The member's subscriptions: see them, compare editions, see the price, confirm, cancel, resume."""

import uuid
from datetime import timedelta
from typing import Any

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.subscription import subscription_charges, subscription_overview, subscription_words
from billing.subscription import subscription_previews as previews
from billing.subscription.subscription_charges import ChangeTo, Done, Start
from billing.subscription.subscription_previews import Preview
from billing.subscription.subscription_schemas import ChangeForm, ChangePreviewForm, StartForm, WishForm
from billing.wallet import balances
from core import typed
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError, NotFound
from core.formats import date, local, money
from core.ids import new_id
from core.navigation import url_if
from membership import catalogue, changes, motions, subscriptions
from membership.catalogue_models import Edition, ProductLine
from membership.subscription_models import Subscription

subscription_pages = Blueprint("subscriptions", __name__, url_prefix="/subscriptions")
MAY_CHANGE = ("owner", "buyer")
DEFAULT_SEATS = 5


@subscription_pages.context_processor
def _words() -> dict[str, Any]:
    return {"words": subscription_words, "word": subscription_words.word, "may_change": actor().role in MAY_CHANGE}


@subscription_pages.get("")
@requires(*MEMBERS)
def show_subscriptions() -> ResponseReturnValue:
    """What runs, what it costs next, whether the wallet covers it, and what has happened. `line` leads to that product's editions."""
    if line := request.args.get("line"):
        return redirect(url_for("subscriptions.show_editions", line=line, rank=request.args.get("rank")))
    acting, at = actor(), now()
    grace = timedelta(days=current_app.extensions["settings"].past_due_grace_days)
    with transaction(acting):
        shown = subscription_overview.of_member(acting.member, grace, at=at)
        return render_template(
            "account/subscriptions.html", shown=shown, at=at, history=motions.list_newest(acting.member), editions=catalogue.all_editions(),
            names={one.subscription.id: one.line for one in [*shown.running, *shown.ended]},
            top_up_url=_top_up_url(shown.missing_minor, url_for("subscriptions.show_subscriptions")) if shown.missing_minor else None,
        )  # fmt: skip


@subscription_pages.get("/editions")
@requires(*MEMBERS)
def show_editions() -> ResponseReturnValue:
    """The editions of a product side by side: to start one, or to change the one that runs."""
    acting = actor()
    with transaction(acting):
        line = line_of(request.args.get("line"))
        running = subscriptions.running_of(acting.member, line.code)
        if running is not None:
            return redirect(url_for("subscriptions.show_change", subscription_id=running.id, rank=request.args.get("rank")))
        return _comparison(line, None)


@subscription_pages.get("/<uuid:subscription_id>/editions")
@requires(*MEMBERS)
def show_change(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """The editions side by side, seen from the one the member has."""
    acting = actor()
    with transaction(acting):
        subscription = subscriptions.show(acting.member, subscription_id)
        return _comparison(line_of(subscription.product_line), subscription)


@subscription_pages.get("/new")
@requires(*MAY_CHANGE)
def preview_start() -> ResponseReturnValue:
    """What starting costs today; confirming starts."""
    try:
        wish = WishForm().load(request.args.to_dict())
    except ValidationError as error:
        return _again(request.args.get("line") or request.args.get("product_line"), None, error.messages_dict)
    return _start_page(wish)


@subscription_pages.post("")
@requires(*MAY_CHANGE)
def create_subscription() -> ResponseReturnValue:
    """Start what was confirmed; a double click starts once."""
    try:
        form = StartForm().load(request.form.to_dict())
    except ValidationError as error:
        return _again(request.form.get("product_line"), None, error.messages_dict)
    acting = actor()
    try:
        with transaction(acting):
            done = subscription_charges.start(acting.member, Start(**form), at=now())
            _say(done, trial=form["is_trial"])
    except AppError as error:
        wish = {name: form[name] for name in ("product_line", "rank", "period", "seats", "is_trial", "converts", "commitment_years")}
        return _start_page(wish, failure=error, form_id=form["id"])
    return redirect(url_for("subscriptions.show_subscriptions"), 303)


@subscription_pages.get("/<uuid:subscription_id>/preview")
@requires(*MAY_CHANGE)
def preview_change(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """What a change costs today; confirming changes."""
    try:
        wanted = ChangePreviewForm().load({name: value for name, value in request.args.items() if value})
    except ValidationError as error:
        return _again(None, subscription_id, error.messages_dict)
    return _change_page(subscription_id, wanted)


@subscription_pages.post("/<uuid:subscription_id>/changes")
@requires(*MAY_CHANGE)
def create_change(subscription_id: uuid.UUID) -> ResponseReturnValue:
    """Change what was confirmed; a double click changes once."""
    try:
        form = ChangeForm().load({name: value for name, value in request.form.items() if value})
    except ValidationError as error:
        return _again(None, subscription_id, error.messages_dict)
    acting = actor()
    try:
        with transaction(acting):
            _say(subscription_charges.change(acting.member, subscription_id, ChangeTo(**form), at=now()))
    except AppError as error:
        return _change_page(subscription_id, form, failure=error, form_id=form["id"])
    return redirect(url_for("subscriptions.show_subscriptions"), 303)


def _say(done: Done, *, trial: bool = False) -> None:
    """One sentence about what has just happened, for the next page."""
    name = f"{local(line_of(done.subscription.product_line))} · {local(edition_of(done.subscription))}"
    if trial:
        flash(_("Your trial of %(name)s has begun. Nothing was charged.", name=name), "success")
    elif done.amount_minor < 0:
        flash(
            _("%(name)s was changed. %(amount)s came back into the wallet.", amount=money(-done.amount_minor, done.subscription.currency), name=name), "success"
        )
    elif done.amount_minor:
        flash(_("%(amount)s was taken from the wallet for %(name)s.", amount=money(done.amount_minor, done.subscription.currency), name=name), "success")
    elif done.subscription.next_rank or done.subscription.next_seats or done.subscription.next_period:
        flash(
            _("%(name)s changes on %(day)s. Nothing was charged, and you can drop the change until then.", name=name, day=date(done.subscription.term_end)),
            "success",
        )
    else:
        flash(_("%(name)s was changed. Nothing was charged.", name=name), "success")


def line_of(code: str | None) -> ProductLine:
    """A product line by its code; the first one where none is named. Raises NotFound."""
    lines = catalogue.product_lines()
    found = next((line for line in lines if line.code == code), None) if code else next(iter(lines), None)
    if found is None:
        raise NotFound(_("There is no such product."))
    return found


def edition_of(subscription: Subscription) -> Edition:
    """The edition a subscription has."""
    return catalogue.edition(subscription.product_line, subscription.rank)


def _again(line: str | None, subscription_id: uuid.UUID | None, errors: dict[str, Any]) -> ResponseReturnValue:
    """The comparison once more, with what is wrong: beside the field where there is one. Nothing was charged."""
    beside = {"seats": errors["seats"]} if "seats" in errors else {}
    errors = beside | {"_form": [text for name, texts in errors.items() if name != "seats" for text in texts]}
    acting = actor()
    with transaction(acting):
        subscription = subscriptions.show(acting.member, subscription_id) if subscription_id else None
        return _comparison(line_of(subscription.product_line if subscription else line), subscription, errors=errors), 422


def _comparison(line: ProductLine, subscription: Subscription | None, *, errors: dict[str, Any] | None = None) -> str:
    """Within a transaction: the page that compares editions for a period and a number of seats."""
    acting, at = actor(), now()
    given = request.values.get("seats", "")
    number = typed.number(given)
    is_number = number.isascii() and number.isdigit() and len(number) < 7 and 0 < int(number) <= 100_000
    if given and not is_number and errors is None:  # the prices below are then for other seats than were asked for
        errors = {"seats": [_("Enter a number of seats from 1 to 100,000.")]}
    seats = int(number) if is_number else (subscription.next_seats or subscription.seats) if subscription else DEFAULT_SEATS
    asked = request.values.get("period", "")
    period = asked if asked in catalogue.PERIODS else subscription.period if subscription else "month"
    wanted = request.values.get("rank", "")
    present = subscription.rank if subscription else 1
    return render_template(
        "account/subscription_editions.html", line=line, lines=catalogue.product_lines(), subscription=subscription, seats=seats, period=period,
        periods=catalogue.PERIODS, given=given or seats, errors=errors, currency=subscriptions.seller_of(acting.member).currency,
        offers=subscription_overview.compare(line.code, subscriptions.seller_of(acting.member), period, seats, at=at),
        wanted_rank=int(wanted) if wanted in {"1", "2", "3", "4"} else min(4, present + 1),
        taken=subscriptions.seats_taken(acting.member).get(subscription.id, 0) if subscription else 0,
    )  # fmt: skip


def _start_page(wish: dict[str, Any], *, failure: AppError | None = None, form_id: uuid.UUID | None = None) -> ResponseReturnValue:
    """The page to confirm a start on."""
    acting, at = actor(), now()
    try:
        with transaction(acting):
            line = line_of(wish["product_line"])
            preview = previews.of_start(acting.member, subscriptions.seller_of(acting.member), subscriptions.Wish(**wish), at=at)
            can_try = not wish["is_trial"] and not subscriptions.had_before(acting.member, line.code)
            back = url_for("subscriptions.preview_start", **_said(wish))
            return _preview_page(preview, line, wish=wish, subscription=None, back=back, failure=failure, form_id=form_id, can_try=can_try)
    except (subscriptions.AlreadySubscribed, subscriptions.TrialUsed) as error:
        flash(error.detail, "warning")
        return redirect(url_for("subscriptions.show_subscriptions"), 303)
    except catalogue.NoPrice as error:
        return _again(wish["product_line"], None, {"_form": [error.detail]})


def _said(wish: dict[str, Any]) -> dict[str, Any]:
    """What of a wish must stand in an address or form; the rest is as it is by itself."""
    said = {name: value for name, value in wish.items() if value not in (None, False, "auto") and name != "converts"}
    return said if wish.get("converts", True) else said | {"converts": "0"}


def _change_page(
    subscription_id: uuid.UUID, wanted: dict[str, Any], *, failure: AppError | None = None, form_id: uuid.UUID | None = None
) -> ResponseReturnValue:
    """The page to confirm a change on."""
    acting, at = actor(), now()
    wish = {name: wanted[name] for name in ("rank", "seats", "period", "effective")}
    try:
        with transaction(acting):
            subscription = subscriptions.show(acting.member, subscription_id)
            preview = previews.of_change(subscription, subscriptions.seller_of(acting.member), at=at, **wish)
            back = url_for("subscriptions.preview_change", subscription_id=subscription_id, **wish)
            line = line_of(subscription.product_line)
            return _preview_page(preview, line, wish=wish, subscription=subscription, back=back, failure=failure, form_id=form_id)
    except changes.NotChangeable as error:
        flash(error.detail, "warning")
        return redirect(url_for("subscriptions.show_subscriptions"), 303)
    except subscriptions.NoSubscription:
        raise
    except AppError as error:
        return _again(None, subscription_id, {name: [text] for name, text in error.fields.items()} or {"_form": [error.detail]})


def _preview_page(
    preview: Preview, line: ProductLine, *, wish: dict[str, Any], subscription: Subscription | None, back: str, failure: AppError | None,
    form_id: uuid.UUID | None, can_try: bool = False,
) -> ResponseReturnValue:  # fmt: skip
    """Within a transaction: today's lines, the wallet before and after, the next term, one button."""
    acting, at = actor(), now()
    preview = subscription_charges.with_wallet(preview, acting.member, at=at)
    reuse = form_id if failure is not None and failure.code != "id_reused" else None
    page = render_template(
        "account/subscription_preview.html", preview=preview, line=line, subscription=subscription, wish=wish, said=_said(wish), failure=failure,
        can_try=can_try, editions=catalogue.all_editions(), balance=balances.balance(acting.member, preview.currency, at=at), form_id=reuse or new_id(),
        period=preview.period, trial_days=current_app.extensions["settings"].trial_days, at=at,
        top_up_url=_top_up_url(preview.missing_minor, back) if preview.missing_minor else None,
    )  # fmt: skip
    return page, failure.status if failure else 200


def _top_up_url(missing_minor: int, back: str) -> str | None:
    """The top-up of what is missing, with the way back."""
    return url_if("wallet.new_top_up", amount_minor=missing_minor, return_to=back)
