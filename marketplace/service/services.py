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

from billing.ledger.accounts import Account
from billing.wallet import holds
from billing.wallet.wallets import Target
from core import formats, outbox
from core.actor import actor
from core.db import db
from core.errors import Conflict, IdReused, Invalid, NotFound
from core.ids import derived, new_id, request_hash
from core.money import tax_included
from core.settings import Settings
from marketplace.order import pricing
from marketplace.order.order_models import Order
from marketplace.publisher.publisher_models import Publisher
from marketplace.service import service_offerings
from marketplace.service.service_models import ServiceMilestone, ServiceOrder, ServiceStep
from marketplace.store import compatibility
from marketplace.store.listing_models import Listing
from membership import notices, subscriptions

TOPIC = "service.stepped"
WAITING = ("open", "delivered", "disputed")  # nobody has decided what becomes of the money


class WrongState(Conflict):
    """The milestone is not where this step begins; somebody else may have been quicker."""

    code = "wrong_state"


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
        return sum(one.amount_minor for one in self.milestones if one.state in WAITING)

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
    record(order, None, "order", None, "running", at, amount=listing.price_minor)
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
    order, one = locked(member_id, order_id, position)
    if one.state == "delivered" and one.delivery_note == note:
        return
    require(one, "open")
    if at >= order.ends_at:
        raise WrongState(_("The time to deliver is over."))
    settings: Settings = current_app.extensions["settings"]
    one.delivered_at, one.delivery_note, one.accept_by = at, note, at + timedelta(days=settings.service_accept_days)
    move(order, one, "deliver", "delivered", at, reason=note)
    tell(order, one, "service_delivered", at, until=one.accept_by)


def accept(member_id: uuid.UUID, order_id: uuid.UUID, position: int, *, at: datetime, is_silent: bool = False) -> None:
    """The member is content: the milestone's price is captured. Again changes nothing. Raises NotFound, WrongState, and what a capture raises."""
    order, one = locked(member_id, order_id, position)
    if one.state == "accepted":
        return
    require(one, "delivered")
    capture(order, one, one.amount_minor, at)
    move(order, one, "accept_silently" if is_silent else "accept", "accepted", at, amount=one.amount_minor)
    if is_silent:
        tell(order, one, "service_accepted", at)
    close_if_done(order, at)


def dispute(member_id: uuid.UUID, order_id: uuid.UUID, position: int, reason: str, *, at: datetime) -> None:
    """The member is not content: nothing is taken or given back until somebody of ours has decided. Raises NotFound, WrongState."""
    order, one = locked(member_id, order_id, position)
    if one.state == "disputed":
        return
    require(one, "delivered")
    one.dispute_reason = reason
    move(order, one, "dispute", "disputed", at, reason=reason)


def cancel(member_id: uuid.UUID, order_id: uuid.UUID, reason: str, *, at: datetime) -> int:
    """Member or partner ends it: what was not delivered is given back at once, what was delivered is still decided. Returns what was given back."""
    order, milestones = locked_all(member_id, order_id)
    if order.state == "cancelled":
        return 0
    still = [one for one in milestones if one.state == "open"]
    if not still:
        raise WrongState(_("Everything has been delivered: accept it, or say what is wrong with it."))
    for one in still:
        give_back(order, one, one.amount_minor, at, reason)
        move(order, one, "release", "released", at, amount=one.amount_minor, reason=reason)
    returned = sum(one.amount_minor for one in still)
    notices.tell(order.member_id, "service_cancelled", facts(order) | {"amount_minor": returned}, at=at, key=f"service_cancelled:{order.id}")
    close_if_done(order, at)
    return returned


def capture(order: ServiceOrder, one: ServiceMilestone, amount_minor: int, at: datetime) -> None:
    """Take a milestone's price, or a part of it, out of the hold: a purchase of its own, with the commission that was agreed."""
    if amount_minor == one.amount_minor:
        net = amount_minor - one.tax_minor - one.commission_minor
        tax, targets = one.tax_minor, [
            Target(Account.COMMISSION_REVENUE, one.commission_minor, one.bonus_limit_minor), Target(Account.TAX_PAYABLE, one.tax_minor),
            Target(Account.PARTNER_PENDING, net),
        ]  # fmt: skip
    else:
        tax = tax_included(amount_minor, order.tax_rate_bp)
        targets = list(pricing.targets_of(amount_minor, tax, order.commission_bp, order.bonus_limit_bp))
    charge_id = derived("milestone", order.member_id, order.id, one.position)
    content = request_hash("milestone", order=order.id, position=one.position, amount=amount_minor)
    taken = holds.capture(
        order.member_id, order.id, charge_id, content, [target for target in targets if target.amount_minor], at=at, memo=one.name_zh,
        created_by=actor().user_id,
    )  # fmt: skip
    db.session.add(
        Order(
            member_id=order.member_id, id=charge_id, request_hash=content, listing_id=order.listing_id, version=order.version, quantity=1,
            price_minor=amount_minor, total_minor=amount_minor, tax_minor=tax, currency=order.currency, paid_minor=taken.paid_minor,
            bonus_minor=taken.bonus_minor, credit_minor=0, balance_after_minor=taken.balance_after_minor, state="completed", refunded_minor=0,
            offer_id=None, csm_id=None, placed_by=order.placed_by, at=at, kind="milestone", license_id=None,
        )
    )  # fmt: skip
    one.charge_id, one.captured_minor = charge_id, amount_minor


def give_back(order: ServiceOrder, one: ServiceMilestone, amount_minor: int, at: datetime, reason: str | None) -> None:
    """Let go of a milestone's money, or of a part of it."""
    release_id = derived("milestone-release", order.member_id, order.id, one.position)
    holds.release(
        order.member_id, order.id, release_id, amount_minor, at=at, reason=reason, created_by=actor().user_id, as_member=False, for_order=True
    )  # fmt: skip


def close_if_done(order: ServiceOrder, at: datetime) -> None:
    """Once every milestone is decided, the order is over: completed, or cancelled or lapsed where a part of it was."""
    db.session.flush()
    states = set(db.session.scalars(select(ServiceMilestone.state).where(ServiceMilestone.member_id == order.member_id, ServiceMilestone.order_id == order.id)))
    if states & set(WAITING):
        return
    after = "cancelled" if "released" in states else "lapsed" if "lapsed" in states else "completed"
    record(order, None, {"completed": "complete", "cancelled": "cancel", "lapsed": "lapse"}[after], "running", after, at)
    order.state, order.closed_at = after, at
    db.session.flush()


def locked(member_id: uuid.UUID, order_id: uuid.UUID, position: int) -> tuple[ServiceOrder, ServiceMilestone]:
    """An order and one of its milestones, locked. Raises NotFound."""
    order, milestones = locked_all(member_id, order_id)
    found = next((one for one in milestones if one.position == position), None)
    if found is None:
        raise NotFound(_("This service has no such milestone."))
    return order, found


def locked_all(member_id: uuid.UUID, order_id: uuid.UUID) -> tuple[ServiceOrder, Sequence[ServiceMilestone]]:
    """An order and its milestones, locked. Raises NotFound."""
    order = db.session.get(ServiceOrder, (member_id, order_id), with_for_update=True, populate_existing=True)
    if order is None:
        raise NotFound(_("There is no such service order."))
    return order, _milestones(order)


def _milestones(order: ServiceOrder) -> Sequence[ServiceMilestone]:
    query = select(ServiceMilestone).where(ServiceMilestone.member_id == order.member_id, ServiceMilestone.order_id == order.id)
    return db.session.scalars(query.order_by(ServiceMilestone.position).execution_options(populate_existing=True)).all()


def require(one: ServiceMilestone, state: str) -> None:
    """Is the milestone where a step begins? Raises WrongState."""
    if one.state != state:
        raise WrongState(_("This milestone has moved on meanwhile. Look at the order again."))


def move(order: ServiceOrder, one: ServiceMilestone, action: str, to: str, at: datetime, *, amount: int | None = None, reason: str | None = None) -> None:
    """Let a milestone take a step, and write it down."""
    record(order, one.position, action, one.state, to, at, amount=amount, reason=reason)
    one.state = to
    if to not in WAITING:
        one.closed_at = at
    db.session.flush()


def record(
    order: ServiceOrder,
    position: int | None,
    action: str,
    before: str | None,
    after: str,
    at: datetime,
    *,
    amount: int | None = None,
    reason: str | None = None,
) -> None:
    """Write a step down."""
    acting = actor()
    db.session.add(
        ServiceStep(
            id=new_id(), member_id=order.member_id, order_id=order.id, position=position, publisher_id=order.publisher_id, action=action, from_state=before,
            to_state=after, amount_minor=amount, at=at, actor_role=acting.role, actor_id=acting.user_id or acting.api_key_id, actor_name=acting.name,
            reason=reason,
        )
    )  # fmt: skip
    if action != "deliver" and (position or action == "order") and acting.kind != "publisher":  # an order ends with its last milestone
        told = {"order_id": str(order.id), "position": position, "action": action, "amount_minor": amount, "reason": reason}
        outbox.publish(TOPIC, told, at=at, member_id=order.member_id)


def facts(order: ServiceOrder) -> dict[str, object]:
    """What a notice about an order says of it."""
    listing = db.session.get_one(Listing, order.listing_id)
    return {"name_zh": listing.name_zh, "name_en": listing.name_en, "currency": order.currency, "order_id": str(order.id)}


def tell(order: ServiceOrder, one: ServiceMilestone, kind: str, at: datetime, *, until: datetime | None = None) -> None:
    """Leave the member a notice about a milestone."""
    details = facts(order) | {"milestone_zh": one.name_zh, "milestone_en": one.name_en, "amount_minor": one.captured_minor or one.amount_minor}
    notices.tell(order.member_id, kind, details | ({"until": until.isoformat()} if until else {}), at=at, key=f"{kind}:{order.id}:{one.position}")


def show(member_id: uuid.UUID, order_id: uuid.UUID) -> Shown:
    """One order. Raises NotFound."""
    order = db.session.get(ServiceOrder, (member_id, order_id))
    if order is None:
        raise NotFound(_("There is no such service order."))
    steps = db.session.scalars(
        select(ServiceStep).where(ServiceStep.member_id == member_id, ServiceStep.order_id == order_id).order_by(ServiceStep.at, ServiceStep.id)
    ).all()
    listing = db.session.get_one(Listing, order.listing_id, options=[defer(Listing.search)])
    return Shown(order, listing, db.session.get_one(Publisher, order.publisher_id), _milestones(order), steps)


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
