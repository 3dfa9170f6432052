"""Contracts that staff enters for a member: SaaS or private, rental or perpetual, committed or not; charged to the member's wallet, and audited."""

import uuid
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.subscription import subscription_charges, subscription_words
from billing.subscription import subscription_previews as previews
from billing.subscription.subscription_charges import Done, Start
from billing.subscription.subscription_previews import Preview
from billing.subscription.subscription_schemas import ALL_PERIODS, ContractForm, ContractIn, ContractWishForm, ContractWishIn, PreviewOut, SubscriptionOut
from core import audit
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.formats import money
from core.ids import new_id
from core.navigation import url_if
from core.openapi import Blueprint as ApiBlueprint
from core.schemas import fails
from membership import catalogue, contracts, members, subscriptions
from membership.subscription_models import Subscription

contract_pages = Blueprint("contracts", __name__, url_prefix="/contracts")
blp = ApiBlueprint("contracts_api", __name__, url_prefix="/api/v1", description="Contracts that staff enters for members")
STAFF = ("csm", "operator")
WISH = ("product_line", "rank", "period", "seats", "is_trial", "converts", "commitment_years", "deployment")


def enter(member_id: uuid.UUID, given: dict[str, Any]) -> Done:
    """Within the caller's transaction: start the contract for the member, and write down who entered it and why."""
    acting, at = actor(), now()
    wanted = Start(**{name: given[name] for name in (*WISH, "id", "price_minor")})
    done = subscription_charges.start(member_id, wanted, at=at, csm_id=acting.user_id if acting.role == "csm" else None)
    if not done.is_replay:
        one = done.subscription
        after = {"product_line": one.product_line, "rank": one.rank, "seats": one.seats, "period": one.period, "deployment": one.deployment,
                 "licensing": one.licensing, "commitment_years": one.commitment_years, "amount_minor": done.amount_minor}  # fmt: skip
        audit.record("subscription.start", one.id, at=at, member_id=member_id, after=after, reason=given["reason"])
    return done


def preview_of(member_id: uuid.UUID, wish: dict[str, Any]) -> Preview:
    """Within a transaction: what the contract would charge the member today."""
    at = now()
    preview = previews.of_start(member_id, subscriptions.seller_of(member_id), subscriptions.Wish(**{name: wish[name] for name in WISH}), at=at)
    return subscription_charges.with_wallet(preview, member_id, at=at)


@blp.post("/members/<uuid:member_id>/subscription-previews")
@blp.arguments(ContractWishIn)
@blp.response(200, PreviewOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires(*STAFF)
def preview_contract(wish_in: dict[str, Any], member_id: uuid.UUID) -> Preview:
    """What a contract would charge the member today. Nothing is kept."""
    with transaction(actor()):
        return preview_of(member_id, wish_in)


@blp.post("/members/<uuid:member_id>/subscriptions")
@blp.arguments(ContractIn)
@blp.response(201, SubscriptionOut)
@fails(blp, 401, 402, 403, 404, 409, 422)
@requires(*STAFF)
def create_contract(contract_in: dict[str, Any], member_id: uuid.UUID) -> Subscription:
    """Enter a contract for a member, with its form and a reason; the same id again is the same contract."""
    with transaction(actor()):
        return enter(member_id, contract_in).subscription


@contract_pages.get("/<uuid:member_id>/new")
@requires(*STAFF)
def new_contract(member_id: uuid.UUID) -> ResponseReturnValue:
    """The form, and below it what the contract as filled in would charge."""
    if "product_line" not in request.args:
        return _page(member_id, {})
    try:
        wish = ContractWishForm().load({name: value for name, value in request.args.items() if value})
    except ValidationError as error:
        return _page(member_id, request.args.to_dict(), errors=error.messages_dict)
    return _page(member_id, request.args.to_dict(), wish=wish)


@contract_pages.post("/<uuid:member_id>")
@requires(*STAFF)
def create_contract_page(member_id: uuid.UUID) -> ResponseReturnValue:
    """Enter what was confirmed; a double click enters it once."""
    given = {name: value for name, value in request.form.items() if value}
    try:
        form = ContractForm().load(given)
    except ValidationError as error:
        wish = _wish_of(given)
        return _page(member_id, given, wish=wish, errors=error.messages_dict)
    try:
        with transaction(actor()):
            done = enter(member_id, form)
    except AppError as error:
        return _page(member_id, given, wish=form, failure=error)
    flash(_("Entered. %(amount)s was taken from the member's wallet.", amount=money(done.amount_minor, done.subscription.currency)), "success")
    return redirect(url_if("csm.show_member", member_id=member_id) or url_for("contracts.new_contract", member_id=member_id), 303)


def _wish_of(given: dict[str, Any]) -> dict[str, Any] | None:
    try:
        wish: dict[str, Any] = ContractWishForm().load(given)
    except ValidationError:
        return None
    return wish


def _page(
    member_id: uuid.UUID, given: dict[str, Any], *, wish: dict[str, Any] | None = None, errors: dict[str, Any] | None = None, failure: AppError | None = None
) -> ResponseReturnValue:
    preview, status = None, failure.status if failure else 422 if errors else 200
    with transaction(actor()):
        member = members.find(member_id)
        if wish is not None:
            try:
                preview = preview_of(member_id, wish)
            except subscriptions.NoSubscription:
                raise
            except AppError as error:
                errors, status = {**(errors or {}), **{name: [text] for name, text in error.fields.items()}}, error.status
                failure = failure or error
        page = render_template(
            "csm/contract.html", member=member, given=given, preview=preview, errors=errors, failure=failure, products=catalogue.product_lines(),
            editions=catalogue.all_editions(), periods=ALL_PERIODS, years=range(2, contracts.LONGEST_COMMITMENT + 1), deployments=contracts.DEPLOYMENTS,
            terms=subscription_words, form_id=given.get("id") if failure and failure.code != "id_reused" and given.get("id") else new_id(),
        )  # fmt: skip
    return page, status
