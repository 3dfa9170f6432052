"""Finance's figures as JSON: prepaid balances as of any instant, and a member's statement."""

import uuid
from datetime import datetime
from typing import Any

from flask_babel import gettext as _

from billing.finance import prepaid, statements
from billing.finance.finance_schemas import PrepaidIn, PrepaidOut, StatementIn, StatementOut
from billing.ledger import ledger_queries
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import Invalid, NotFound
from core.openapi import Blueprint
from core.schemas import fails
from membership.models import Member

blp = Blueprint("finance_api", __name__, url_prefix="/api/v1", description="Finance: prepaid balances and statements")


class InTheFuture(Invalid):
    """The books cannot be read as of an instant that has not come."""

    code = "in_the_future"


@blp.get("/finance/prepaid-balances")
@blp.arguments(PrepaidIn, location="query")
@blp.response(200, PrepaidOut)
@fails(blp, 400, 401, 403, 404, 422)
@requires("finance", "operator")
def show_prepaid_balances(query: dict[str, Any]) -> dict[str, Any]:
    """Prepaid money of all members as of an instant, proven against the postings, with one page of the members."""
    present = now()
    at: datetime = query["at"] or present
    if at > present:
        raise InTheFuture(_("This time has not come yet."), field="at")
    with transaction(actor()):
        entity = ledger_queries.entity_for(query["currency"])
        figures = prepaid.summary(entity.currency, at, at)
        page = prepaid.members(entity.currency, at, search=query["q"], sort=query["sort"], show=query["show"], after=query["after"], limit=query["limit"])
    return {
        "as_of": at, "timezone": entity.zone.key, "currency": entity.currency, "paid_minor": figures.paid_minor, "bonus_minor": figures.bonus_minor,
        "total_minor": figures.total_minor, "difference_minor": figures.difference_minor, "ties_to_ledger": figures.ties,
        "members_with_balance": figures.members, "matching": page.count, "matching_minor": page.paid_minor + page.bonus_minor,
        "items": page.items, "next": page.next,
    }  # fmt: skip


@blp.get("/finance/members/<uuid:member_id>/statement")
@blp.arguments(StatementIn, location="query")
@blp.response(200, StatementOut)
@fails(blp, 400, 401, 403, 404, 422)
@requires("finance", "operator")
def show_statement(query: dict[str, Any], member_id: uuid.UUID) -> dict[str, Any]:
    """Opening balance, movements and closing balance of a member's wallet over a period."""
    present = now()
    with transaction(actor()) as session:
        member = session.get(Member, member_id)
        if member is None:
            raise NotFound(_("There is no such member."))
        first, after = ledger_queries.entity_for(member.currency).month_of(query["since"] or present)
        since, until = query["since"] or first, query["until"] or after
        if until <= since:
            raise Invalid(_("The period ends before it begins."), field="until")
        found = statements.statement(member_id, member.currency, since, until, at=present, after=query["after"], limit=query["limit"])
    names = StatementOut().fields
    return {"member_id": member_id} | {
        (field.attribute or name): getattr(found, field.attribute or name) for name, field in names.items() if name != "member_id"
    }
