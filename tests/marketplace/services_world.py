"""A partner with a service of three milestones, for the tests of this room."""

import uuid
from dataclasses import replace
from datetime import datetime

from core.db import SYSTEM, transaction
from core.ids import new_id
from core.money import split
from marketplace.publisher import publishers
from marketplace.service import service_offerings, services
from marketplace.service.service_offerings import Offering, Step
from membership.models import Member
from tests.factories import ENTITY, make_entity
from tests.marketplace.store_world import acting_for

SLUG = "crm-rollout"
PRICE = 1_060_00  # 60 of it tax, 300 commission
STEPS = (Step("调研", "Survey", 318_00, 10), Step("配置", "Setup", 530_00, 20), Step("培训", "Training", 212_00, 30))


def offer_service(at: datetime, *, slug: str = SLUG, price: int = PRICE, steps: tuple[Step, ...] = STEPS, bonus_limit_bp: int = 10_000) -> uuid.UUID:
    """Put it on sale at a price, laid over the steps in the proportion of their amounts; returns the partner's id."""
    make_entity()
    amounts = split(price, [step.amount_minor for step in steps])
    laid = tuple(replace(step, amount_minor=amount) for step, amount in zip(steps, amounts, strict=True))
    with transaction(SYSTEM):
        partner = publishers.ensure("harbor-automation", "港湾自动化", "Harbor Automation", "partner", 3_000, entity_id=ENTITY, currency="CNY", at=at)
        offering = Offering(slug, "onboarding", "客户云上线", "CRM rollout", "三步上线", "Live in three steps", "", "", "CNY", laid, bonus_limit_bp)
        service_offerings.publish(offering, partner, at=at)
        return partner.id


def order_service(member: Member, at: datetime, *, slug: str = SLUG, price: int = PRICE, id: uuid.UUID | None = None) -> uuid.UUID:
    """Order it as the member; returns the order's id."""
    with transaction(acting_for(member)):
        return services.place(member.id, slug, services.Wanted(id or new_id(), price, "please"), at=at, placed_by=None).id


def deliver(member: Member, order_id: uuid.UUID, position: int, at: datetime) -> None:
    with transaction(SYSTEM):
        services.deliver(member.id, order_id, position, "see the report", at=at)


def accept(member: Member, order_id: uuid.UUID, position: int, at: datetime) -> None:
    with transaction(acting_for(member)):
        services.accept(member.id, order_id, position, at=at)


def dispute(member: Member, order_id: uuid.UUID, position: int, at: datetime) -> None:
    with transaction(acting_for(member)):
        services.dispute(member.id, order_id, position, "half of it is missing", at=at)
