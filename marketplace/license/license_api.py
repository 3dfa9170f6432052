"""Trials and terms of licences for machines."""

import uuid
from typing import Any

from marshmallow import Schema, fields, validate

from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.openapi import Blueprint
from core.schemas import fails
from marketplace.license import installs, license_terms, trials
from marketplace.license.license_models import License
from marketplace.order import usage_charges

blp = Blueprint("license_api", __name__, url_prefix="/api/v1", description="Trials and terms of store licences")


class TrialIn(Schema):
    """A trial. `id` is made by the client (UUIDv7 advised) and makes it happen once."""

    id = fields.UUID(required=True)


class LicenseTermOut(Schema):
    """A licence and its term, if it has one."""

    id = fields.UUID(required=True)
    state = fields.String(required=True, metadata={"description": "trial, active, suspended or ended"})
    version = fields.String(required=True)
    starts_at = fields.DateTime(required=True)
    ends_at = fields.DateTime(required=True, allow_none=True)
    period = fields.String(required=True, allow_none=True, metadata={"description": "month or year, of a recurring price"})
    price_minor = fields.Integer(required=True, metadata={"description": "Of each term, as agreed at the purchase; of a seat, where there are seats"})
    seats = fields.Integer(required=True, allow_none=True, metadata={"description": "Null: for the whole organisation"})
    next_seats = fields.Integer(required=True, allow_none=True, metadata={"description": "From the next term on, where it is fewer"})
    excludes_tax = fields.Boolean(required=True, metadata={"description": "Tax comes on top of the price, at the rate in force at each renewal"})
    auto_renews = fields.Boolean(required=True)
    monthly_cap_minor = fields.Integer(required=True, allow_none=True, metadata={"description": "Of a price by use; `price_minor` is then that of a run"})


@blp.post("/listings/<slug>/trials")
@blp.arguments(TrialIn)
@blp.response(201, LicenseTermOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_trial(trial_in: dict[str, Any], slug: str) -> License:
    """Try a listing for nothing, once. The same id again returns the first outcome."""
    acting = actor()
    with transaction(acting):
        return trials.start(acting.member, slug, trial_in["id"], at=now(), placed_by=acting.user_id)


class CapIn(Schema):
    """What runs may cost in a calendar month of the seller's time zone."""

    monthly_cap_minor = fields.Integer(required=True, strict=True, validate=validate.Range(1, usage_charges.MOST_CAP_MINOR))


@blp.post("/licenses/<uuid:license_id>/cap")
@blp.arguments(CapIn)
@blp.response(200, LicenseTermOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner")
def change_cap(cap_in: dict[str, Any], license_id: uuid.UUID) -> License:
    """Approve another monthly limit of a price by use; it holds from the next run on."""
    acting = actor()
    with transaction(acting):
        return usage_charges.change_cap(acting.member, license_id, cap_in["monthly_cap_minor"], at=now())


@blp.post("/licenses/<uuid:license_id>/cancellation")
@blp.response(200, LicenseTermOut)
@fails(blp, 401, 403, 404, 409)
@requires("owner", "buyer")
def create_cancellation(license_id: uuid.UUID) -> License:
    """Let a recurring licence end with its term."""
    acting = actor()
    with transaction(acting):
        return license_terms.cancel(acting.member, license_id, at=now())


@blp.post("/licenses/<uuid:license_id>/uninstall")
@blp.response(200, LicenseTermOut)
@fails(blp, 401, 403, 404, 409)
@requires("owner", "buyer")
def create_uninstall(license_id: uuid.UUID) -> License:
    """Record that the app was taken out; the licence stays. A download installs it again."""
    acting = actor()
    with transaction(acting):
        return installs.uninstall(acting.member, license_id, at=now(), user_id=acting.user_id)


@blp.post("/licenses/<uuid:license_id>/resumption")
@blp.response(200, LicenseTermOut)
@fails(blp, 401, 403, 404, 409)
@requires("owner", "buyer")
def create_resumption(license_id: uuid.UUID) -> License:
    """Take the cancellation back before the term ends."""
    acting = actor()
    with transaction(acting):
        return license_terms.resume(acting.member, license_id)
