"""Services for machines: order, accept, dispute, cancel."""

import uuid
from typing import Any

from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.openapi import Blueprint
from core.schemas import Problem, fails
from marketplace.service import services
from marketplace.service.service_schemas import ReasonIn, ServiceIn, ServiceOut

blp = Blueprint("service_api", __name__, url_prefix="/api/v1", description="Services of partners")


@blp.post("/listings/<slug>/service-orders")
@blp.arguments(ServiceIn)
@blp.response(201, ServiceOut)
@blp.alt_response(402, schema=Problem, description="Not enough money; `missing_minor` says how much")
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_service(service_in: dict[str, Any], slug: str) -> services.Shown:
    """Order a service: the whole price is held, nothing is taken yet. The same id and content again returns the first order."""
    acting = actor()
    with transaction(acting):
        order = services.place(acting.member, slug, services.Wanted(**service_in), at=now(), placed_by=acting.user_id)
        return services.show(acting.member, order.id)


@blp.get("/services/<uuid:service_id>")
@blp.response(200, ServiceOut)
@fails(blp, 401, 403, 404)
@requires(*MEMBERS)
def show_service(service_id: uuid.UUID) -> services.Shown:
    """One order with its milestones."""
    acting = actor()
    with transaction(acting):
        return services.show(acting.member, service_id)


@blp.post("/services/<uuid:service_id>/milestones/<int:position>/acceptance")
@blp.response(200, ServiceOut)
@fails(blp, 401, 403, 404, 409)
@requires("owner", "buyer")
def create_acceptance(service_id: uuid.UUID, position: int) -> services.Shown:
    """Accept what was delivered: its price is taken from the money held. Again changes nothing."""
    acting = actor()
    with transaction(acting):
        services.accept(acting.member, service_id, position, at=now())
        return services.show(acting.member, service_id)


@blp.post("/services/<uuid:service_id>/milestones/<int:position>/dispute")
@blp.arguments(ReasonIn)
@blp.response(200, ServiceOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_dispute(reason_in: dict[str, Any], service_id: uuid.UUID, position: int) -> services.Shown:
    """Say what is wrong with what was delivered; somebody of ours decides how much of it is paid."""
    acting = actor()
    with transaction(acting):
        services.dispute(acting.member, service_id, position, services.check_reason(reason_in["reason"]), at=now())
        return services.show(acting.member, service_id)


@blp.post("/services/<uuid:service_id>/cancellation")
@blp.arguments(ReasonIn)
@blp.response(200, ServiceOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_cancellation(reason_in: dict[str, Any], service_id: uuid.UUID) -> services.Shown:
    """End an order: what was not delivered is given back at once."""
    acting = actor()
    with transaction(acting):
        services.cancel(acting.member, service_id, services.check_reason(reason_in["reason"]), at=now())
        return services.show(acting.member, service_id)
