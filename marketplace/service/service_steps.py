"""Each step of a service order and of its milestones: locked, allowed from one state only, written down, and told to the other side."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select

from core import outbox
from core.actor import actor
from core.db import db
from core.errors import Conflict, NotFound
from core.ids import new_id
from marketplace.service.service_models import ServiceMilestone, ServiceOrder, ServiceStep
from marketplace.store.listing_models import Listing
from membership import notices

TOPIC = "service.stepped"
WAITING = ("open", "delivered", "disputed")  # nobody has decided what becomes of the money


class WrongState(Conflict):
    """The milestone is not where this step begins; somebody else may have been quicker."""

    code = "wrong_state"


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
    return order, milestones_of(order)


def milestones_of(order: ServiceOrder) -> Sequence[ServiceMilestone]:
    """The milestones of an order, in their order."""
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
