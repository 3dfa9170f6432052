"""Ordering a service: the whole price is held; what the member accepts is captured, the rest given back (books, moves 3 and 11; decision 0047).

The order's row is locked for each step, so two people who decide at once make one decision.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import defer

from billing.wallet import holds
from core import formats
from core.db import db
from core.errors import IdReused, Invalid, NotFound
from core.ids import request_hash
from core.settings import Settings
from marketplace.order import pricing
from marketplace.publisher.publisher_models import Publisher
from marketplace.service import service_money, service_offerings, service_steps
from marketplace.service.service_models import ServiceMilestone, ServiceOrder, ServiceStep
from marketplace.store import compatibility
from marketplace.store.listing_models import Listing
from membership import notices, subscriptions


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a member orders; `id` makes it happen once, `price_minor` is the price it was shown, `version` the terms it has read."""

    id: uuid.UUID
    price_minor: int
    brief: str = ""
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """An order with everything around it."""

    order: ServiceOrder
    listing: Listing
    publisher: Publisher
    milestones: Sequence[ServiceMilestone]
    steps: Sequence[ServiceStep]

    @property
    def captured_minor(self) -> int:
        """What was paid so far."""
        return sum(one.captured_minor for one in self.milestones)

    @property
    def held_minor(self) -> int:
        """What is still held."""
        return sum(one.amount_minor for one in self.milestones if one.state in service_steps.WAITING)

    @property
    def returned_minor(self) -> int:
        """What was given back."""
        return self.order.price_minor - self.captured_minor - self.held_minor


def quote(member_id: uuid.UUID, listing: Listing, publisher: Publisher, *, at: datetime) -> tuple[int, list[service_offerings.Part]]:
    """The tax rate in force and the price over its milestones, as an order placed now freezes them. Raises Incompatible."""
    compatibility.check(member_id, _terms_of(listing, publisher))
    rate = subscriptions.seller_of(member_id).tax_rate_at(at) if listing.tax_rate_bp is None else listing.tax_rate_bp
    return rate, service_offerings.laid_out(service_offerings.steps_of(listing), publisher.commission_bp, rate, listing.bonus_limit_bp)


def _terms_of(listing: Listing, publisher: Publisher) -> pricing.Offered:
    assert listing.current_version, "a service on sale has a version"
    return pricing.terms_of(listing, publisher, listing.current_version)


def place(member_id: uuid.UUID, slug: str, wanted: Wanted, *, at: datetime, placed_by: uuid.UUID | None) -> ServiceOrder:
    """Hold the price and begin. Again it is the same order. Raises NotForSale, PriceChanged, TermsChanged, Incompatible, InsufficientFunds, WalletFrozen,
    IdReused.
    """
    read = {"version": wanted.version} if wanted.version else {}
    content = request_hash("service", slug=slug, price=wanted.price_minor, brief=wanted.brief, **read)
    if first := db.session.get(ServiceOrder, (member_id, wanted.id)):
        if first.request_hash != content:
            raise IdReused(_("This id was already used for another request."), field="id")
        return first
    listing, publisher = service_offerings.find(slug)
    pricing.confirm_price(_terms_of(listing, publisher), wanted.price_minor)
    if wanted.version not in (None, listing.current_version):
        raise pricing.TermsChanged(_("What is offered has changed meanwhile. Nothing was held; please read it again."), field="version")
    rate, parts = quote(member_id, listing, publisher, at=at)
    ends_at, held_until = ends_of(at)
    # One minor unit less a milestone: a part given back after a dispute is rounded, and the rest must still fit.
    bonus = max(0, sum(part.bonus_limit_minor for part in parts) - len(parts))
    reserved = holds.Wanted(wanted.id, listing.price_minor, str(formats.local(listing)), held_until, bonus, by_member=False)
    holds.place(member_id, reserved, at=at, created_by=placed_by)
    order = ServiceOrder(
        member_id=member_id, id=wanted.id, request_hash=content, listing_id=listing.id, publisher_id=publisher.id, version=listing.current_version,
        price_minor=listing.price_minor, currency=listing.currency, commission_bp=publisher.commission_bp, tax_rate_bp=rate,
        bonus_limit_bp=listing.bonus_limit_bp, brief=wanted.brief, state="running", placed_by=placed_by, at=at, ends_at=ends_at, held_until=held_until,
        closed_at=None,
    )  # fmt: skip
    db.session.add(order)
    db.session.flush()
    db.session.add_all(_milestone(order, position, part) for position, part in enumerate(parts, 1))
    service_steps.record(order, None, "order", None, "running", at, amount=listing.price_minor)
    db.session.flush()
    return order


def ends_of(at: datetime) -> tuple[datetime, datetime]:
    """Until when an order placed now can be delivered, and until when its money is held at the latest: a hold lives no longer than any other."""
    settings: Settings = current_app.extensions["settings"]
    days = min(settings.service_days, settings.hold_days_max - settings.service_accept_days - 1)
    return at + timedelta(days=days), at + timedelta(days=settings.hold_days_max)


def _milestone(order: ServiceOrder, position: int, part: service_offerings.Part) -> ServiceMilestone:
    return ServiceMilestone(
        member_id=order.member_id, order_id=order.id, position=position, publisher_id=order.publisher_id, name_zh=part.step.name_zh,
        name_en=part.step.name_en, amount_minor=part.amount_minor, tax_minor=part.tax_minor, commission_minor=part.commission_minor,
        bonus_limit_minor=part.bonus_limit_minor, state="open", due_at=min(order.at + timedelta(days=part.step.days), order.ends_at), delivered_at=None,
        delivery_note=None, accept_by=None, dispute_reason=None, captured_minor=0, charge_id=None, closed_at=None,
    )  # fmt: skip


def deliver(member_id: uuid.UUID, order_id: uuid.UUID, position: int, note: str, *, at: datetime) -> None:
    """The partner says that a milestone is done, and how to see it. Raises NotFound, WrongState."""
    order, one = service_steps.locked(member_id, order_id, position)
    if one.state == "delivered" and one.delivery_note == note:
        return
    service_steps.require(one, "open")
    if at >= order.ends_at:
        raise service_steps.WrongState(_("The time to deliver is over."))
    settings: Settings = current_app.extensions["settings"]
    one.delivered_at, one.delivery_note, one.accept_by = at, note, at + timedelta(days=settings.service_accept_days)
    service_steps.move(order, one, "deliver", "delivered", at, reason=note)
    service_steps.tell(order, one, "service_delivered", at, until=one.accept_by)


def accept(member_id: uuid.UUID, order_id: uuid.UUID, position: int, *, at: datetime, is_silent: bool = False) -> None:
    """The member is content: the milestone's price is captured. Again changes nothing. Raises NotFound, WrongState, and what a capture raises."""
    order, one = service_steps.locked(member_id, order_id, position)
    if one.state == "accepted":
        return
    service_steps.require(one, "delivered")
    service_money.capture(order, one, one.amount_minor, at)
    service_steps.move(order, one, "accept_silently" if is_silent else "accept", "accepted", at, amount=one.amount_minor)
    if is_silent:
        service_steps.tell(order, one, "service_accepted", at)
    service_steps.close_if_done(order, at)


def dispute(member_id: uuid.UUID, order_id: uuid.UUID, position: int, reason: str, *, at: datetime) -> None:
    """The member is not content: nothing is taken or given back until somebody of ours has decided. Raises NotFound, WrongState."""
    order, one = service_steps.locked(member_id, order_id, position)
    if one.state == "disputed":
        return
    service_steps.require(one, "delivered")
    one.dispute_reason = reason
    service_steps.move(order, one, "dispute", "disputed", at, reason=reason)


def cancel(member_id: uuid.UUID, order_id: uuid.UUID, reason: str, *, at: datetime) -> int:
    """Member or partner ends it: what was not delivered is given back at once, what was delivered is still decided. Returns what was given back."""
    order, milestones = service_steps.locked_all(member_id, order_id)
    if order.state == "cancelled":
        return 0
    still = [one for one in milestones if one.state == "open"]
    if not still:
        raise service_steps.WrongState(_("Everything has been delivered: accept it, or say what is wrong with it."))
    for one in still:
        service_money.give_back(order, one, one.amount_minor, at, reason)
        service_steps.move(order, one, "release", "released", at, amount=one.amount_minor, reason=reason)
    returned = sum(one.amount_minor for one in still)
    notices.tell(order.member_id, "service_cancelled", service_steps.facts(order) | {"amount_minor": returned}, at=at, key=f"service_cancelled:{order.id}")
    service_steps.close_if_done(order, at)
    return returned


def show(member_id: uuid.UUID, order_id: uuid.UUID) -> Shown:
    """One order. Raises NotFound."""
    order = db.session.get(ServiceOrder, (member_id, order_id))
    if order is None:
        raise NotFound(_("There is no such service order."))
    steps = db.session.scalars(
        select(ServiceStep).where(ServiceStep.member_id == member_id, ServiceStep.order_id == order_id).order_by(ServiceStep.at, ServiceStep.id)
    ).all()
    listing = db.session.get_one(Listing, order.listing_id, options=[defer(Listing.search)])
    return Shown(order, listing, db.session.get_one(Publisher, order.publisher_id), service_steps.milestones_of(order), steps)


def milestone_of(shown: Shown, position: int) -> ServiceMilestone:
    """One milestone of an order. Raises NotFound."""
    found = next((one for one in shown.milestones if one.position == position), None)
    if found is None:
        raise NotFound(_("This service has no such milestone."))
    return found


def check_reason(reason: str) -> str:
    """A reason that says something. Raises Invalid."""
    if not 5 <= len(reason.strip()) <= 1_000:
        raise Invalid(_("Say why, in 5 to 1,000 characters."), field="reason")
    return reason.strip()
