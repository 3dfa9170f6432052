"""What somebody of ours decides about a disputed milestone, and what time decides where nobody does."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import or_, select

from core import audit, clock
from core.db import SYSTEM, db, transaction
from core.errors import Invalid
from core.formats import money
from core.passage import Step
from marketplace.service import service_money, service_steps, services
from marketplace.service.service_models import ServiceMilestone, ServiceOrder
from membership import notices


def decide(member_id: uuid.UUID, order_id: uuid.UUID, position: int, paid_minor: int, reason: str, *, at: datetime) -> None:
    """Of a disputed milestone, so much goes to the partner and the rest back to the member. Again changes nothing.

    Raises NotFound, WrongState, Invalid, and what a capture raises.
    """
    reason = services.check_reason(reason)
    order, one = service_steps.locked(member_id, order_id, position)
    if not 0 <= paid_minor <= one.amount_minor:
        raise Invalid(_("Enter an amount from zero to %(amount)s.", amount=money(one.amount_minor, order.currency)), field="amount")
    if one.state == "decided" and one.captured_minor == paid_minor:
        return
    service_steps.require(one, "disputed")
    if paid_minor:
        service_money.capture(order, one, paid_minor, at)
    if paid_minor < one.amount_minor:
        service_money.give_back(order, one, one.amount_minor - paid_minor, at, reason)
    service_steps.move(order, one, "decide", "decided", at, amount=paid_minor, reason=reason)
    audit.record(
        "service.decide", f"{order_id} {position}", at=at, member_id=member_id, before={"state": "disputed"},
        after={"paid_minor": paid_minor, "returned_minor": one.amount_minor - paid_minor, "currency": order.currency}, reason=reason,
    )  # fmt: skip
    details = service_steps.facts(order) | {
        "milestone_zh": one.name_zh, "milestone_en": one.name_en, "amount_minor": paid_minor, "returned_minor": one.amount_minor - paid_minor, "reason": reason,
    }  # fmt: skip
    notices.tell(member_id, "service_decided", details, at=at, key=f"service_decided:{order_id}:{position}")
    service_steps.close_if_done(order, at)


def disputed() -> Sequence[tuple[ServiceMilestone, ServiceOrder]]:
    """What waits for a decision, that whose money is given back first at the top."""
    query = (
        select(ServiceMilestone, ServiceOrder)
        .join(ServiceOrder, (ServiceOrder.member_id == ServiceMilestone.member_id) & (ServiceOrder.id == ServiceMilestone.order_id))
        .where(ServiceMilestone.state == "disputed")
        .order_by(ServiceOrder.held_until, ServiceMilestone.order_id)
    )
    return [(row[0], row[1]) for row in db.session.execute(query)]


def run_due(at: datetime) -> int:
    """What silence decides: a delivery is accepted, what was never delivered is given back, and so is a dispute that outlives the hold. Returns how many."""
    with transaction(SYSTEM) as session:
        due = session.execute(
            select(ServiceMilestone.member_id, ServiceMilestone.order_id)
            .join(ServiceOrder, (ServiceOrder.member_id == ServiceMilestone.member_id) & (ServiceOrder.id == ServiceMilestone.order_id))
            .where(
                ServiceOrder.state == "running",
                or_(
                    (ServiceMilestone.state == "delivered") & (ServiceMilestone.accept_by <= at),
                    (ServiceMilestone.state == "open") & (ServiceOrder.ends_at <= at),
                    (ServiceMilestone.state.in_(service_steps.WAITING)) & (ServiceOrder.held_until <= at),
                ),
            )
            .distinct()
            .order_by(ServiceMilestone.member_id, ServiceMilestone.order_id)
        ).all()
    return sum(_run_one(member_id, order_id, at) for member_id, order_id in due)


def _run_one(member_id: uuid.UUID, order_id: uuid.UUID, at: datetime) -> int:
    done = 0
    with transaction(SYSTEM):
        order, milestones = service_steps.locked_all(member_id, order_id)
        for one in milestones:
            is_over = order.held_until <= at  # the hold has ended, and the money with it
            if one.state == "delivered" and one.accept_by and one.accept_by <= at and not is_over:
                services.accept(member_id, order_id, one.position, at=at, is_silent=True)
            elif (one.state == "open" and order.ends_at <= at) or (one.state in service_steps.WAITING and is_over):
                if not is_over:
                    service_money.give_back(order, one, one.amount_minor, at, None)
                service_steps.move(order, one, "lapse", "lapsed", at, amount=one.amount_minor)
                service_steps.tell(order, one, "service_lapsed", at)
            else:
                continue
            done += 1
        service_steps.close_if_done(order, at)
    return done


def run_due_now() -> int:
    """The repeated job."""
    return run_due(clock.now())


SERVICES = Step(
    "services",
    "select least((select min(accept_by) from service_milestone where state = 'delivered'), (select min(o.ends_at) from service_order o"
    " where o.state = 'running' and exists (select from service_milestone m where m.member_id = o.member_id and m.order_id = o.id and m.state = 'open')),"
    " (select min(held_until) from service_order where state = 'running'))",
    run_due,
)
