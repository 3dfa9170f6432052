"""Trials: a licence without a charge that ends by itself, once for each member and listing."""

import uuid
from datetime import datetime

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select

from core.db import db
from core.errors import Conflict, IdReused
from core.ids import request_hash
from core.settings import Settings
from marketplace.license import license_terms
from marketplace.license.license_models import License
from marketplace.order import pricing
from marketplace.order.order_models import Order
from marketplace.order.pricing import Offered
from marketplace.seat import seats
from marketplace.store import compatibility
from marketplace.store.listing_models import Listing
from membership import subscriptions, terms


class NoTrial(Conflict):
    """The publisher offers no trial of this listing."""

    code = "no_trial"


class TrialUsed(Conflict):
    """The member has tried or bought this before."""

    code = "trial_used"


def start(member_id: uuid.UUID, slug: str, trial_id: uuid.UUID, *, at: datetime, placed_by: uuid.UUID | None = None) -> License:
    """Begin a trial, within the caller's transaction of that member; replaying `trial_id` returns the first outcome.

    Raises NotForSale, NoTrial, Incompatible, TrialUsed, IdReused.
    """
    content = request_hash("trial", slug=slug)
    first = db.session.get(Order, (member_id, trial_id))
    if first is not None:
        if first.request_hash != content:
            raise IdReused(_("This id was already used for another request."), field="id")
        return license_terms.locked(member_id, trial_id)
    bought = pricing.offered(slug)
    if not bought.trial_days:
        raise NoTrial(_("There is no trial of this listing."))
    compatibility.check(member_id, bought)
    if not may_try(member_id, bought):
        raise TrialUsed(_("Your organisation has tried or bought this before."))
    settings: Settings = current_app.extensions["settings"]
    pieces = settings.license_trial_seats if bought.licensed_per == "seat" else 1
    seller = subscriptions.seller_of(member_id)
    nothing = dict.fromkeys(("price_minor", "total_minor", "tax_minor", "paid_minor", "bonus_minor", "credit_minor", "balance_after_minor"), 0)
    ends_at = terms.trial_end(at, bought.trial_days, seller.timezone)
    db.session.add(
        Order(
            member_id=member_id, id=trial_id, request_hash=content, listing_id=bought.id, version=bought.version, quantity=pieces, currency=bought.currency,
            state="completed", kind="trial", placed_by=placed_by, at=at, **nothing,
        )
    )  # fmt: skip
    db.session.flush()
    license = License(
        member_id=member_id, id=trial_id, listing_id=bought.id, version=bought.version, quantity=pieces, state="trial", is_exclusive=True, starts_at=at,
        ends_at=ends_at, next_attempt_at=ends_at,
    )  # fmt: skip
    db.session.add(license)
    db.session.flush()
    if bought.licensed_per == "seat":
        seats.begin(license, pieces, at=at, by=placed_by)
    return license


def may_try(member_id: uuid.UUID, listing: Offered | Listing) -> bool:
    """Has the member neither tried nor bought it?"""
    before = select(Order.id).where(Order.member_id == member_id, Order.listing_id == listing.id).limit(1)
    return listing.trial_days > 0 and db.session.scalar(before) is None


def give_way(member_id: uuid.UUID, listing_id: uuid.UUID, *, at: datetime) -> None:
    """End a running trial, because the listing is being bought; a purchase that fails takes this back with it."""
    running = select(License).where(License.member_id == member_id, License.listing_id == listing_id, License.state == "trial").with_for_update(key_share=True)
    for license in db.session.scalars(running):
        license_terms.end(license, at)
    db.session.flush()
