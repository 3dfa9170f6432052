"""Lists of service orders: a member's, and a partner's with the step it has to take next."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import defer

from core.db import db
from marketplace.publisher.publisher_models import Publisher
from marketplace.service.service_models import ServiceMilestone, ServiceOrder
from marketplace.service.service_steps import WAITING
from marketplace.store.listing_models import Listing


@dataclass(frozen=True, slots=True)
class Row:
    """An order in a list."""

    order: ServiceOrder
    listing: Listing
    publisher: Publisher
    milestones: Sequence[ServiceMilestone]

    @property
    def captured_minor(self) -> int:
        """What was paid so far."""
        return sum(one.captured_minor for one in self.milestones)

    @property
    def waiting(self) -> ServiceMilestone | None:
        """The first milestone that nobody has decided about."""
        return next((one for one in self.milestones if one.state in WAITING), None)

    @property
    def done(self) -> int:
        """How many milestones are over."""
        return sum(one.state not in WAITING for one in self.milestones)


def of_member(member_id: uuid.UUID) -> list[Row]:
    """A member's orders, those that run first, then the latest."""
    return _rows(ServiceOrder.member_id == member_id)


def of_partner(publisher_id: uuid.UUID) -> list[Row]:
    """What members ordered of a partner."""
    return _rows(ServiceOrder.publisher_id == publisher_id)


def of_charge(member_id: uuid.UUID, charge_id: uuid.UUID) -> uuid.UUID:
    """The service order that a captured milestone belongs to."""
    return db.session.scalars(select(ServiceMilestone.order_id).where(ServiceMilestone.member_id == member_id, ServiceMilestone.charge_id == charge_id)).one()


def rateable(member_id: uuid.UUID, listing_id: uuid.UUID) -> uuid.UUID | None:
    """The member's latest order of a service of which it has accepted something."""
    paid = select(ServiceMilestone.order_id).where(ServiceMilestone.member_id == member_id, ServiceMilestone.captured_minor > 0)
    mine = (ServiceOrder.member_id == member_id, ServiceOrder.listing_id == listing_id, ServiceOrder.id.in_(paid))
    return db.session.scalar(select(ServiceOrder.id).where(*mine).order_by(ServiceOrder.at.desc()).limit(1))


def _rows(mine: object) -> list[Row]:
    orders = db.session.execute(
        select(ServiceOrder, Listing, Publisher)
        .join(Listing, Listing.id == ServiceOrder.listing_id)
        .join(Publisher, Publisher.id == ServiceOrder.publisher_id)
        .where(mine)  # type: ignore[arg-type]
        .order_by(ServiceOrder.state != "running", ServiceOrder.at.desc(), ServiceOrder.id)
        .limit(200)
        .options(defer(Listing.search))
    ).all()
    milestones: dict[tuple[uuid.UUID, uuid.UUID], list[ServiceMilestone]] = {(row[0].member_id, row[0].id): [] for row in orders}
    ids = [row[0].id for row in orders]
    for one in db.session.scalars(select(ServiceMilestone).where(ServiceMilestone.order_id.in_(ids)).order_by(ServiceMilestone.position)):
        if (one.member_id, one.order_id) in milestones:
            milestones[one.member_id, one.order_id].append(one)
    return [Row(order, listing, publisher, milestones[order.member_id, order.id]) for order, listing, publisher in orders]
