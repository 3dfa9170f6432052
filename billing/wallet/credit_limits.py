"""How much a member may owe us beyond its money (books, move 12): agreed by finance, with a second person above the limit of approvals."""

import uuid
from datetime import datetime

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import text

from billing.approval import approvals
from billing.approval.approval_models import Approval
from billing.approval.approvals import Done, Kind, Proposal
from billing.wallet import balances
from core.actor import Actor
from core.db import db
from core.errors import Invalid
from core.formats import money
from membership import notices
from membership.models import Member


def propose(member: Member, id: uuid.UUID, limit_minor: int, code: str, reason: str, acting: Actor, *, at: datetime) -> Approval:
    """Set the limit, or leave it to a second person where it rises by much; lowering it needs nobody else. Raises Invalid, IdReused.

    A limit below what is owed only stops further credit. The same id again is the same proposal.
    """
    if limit_minor < 0:
        raise Invalid(_("Enter an amount like 1,000.00, or 0 for none."), field="limit")
    first = db.session.get(Approval, id)
    before = first.details.get("before_minor", 0) if first else balances.balance(member.id, member.currency, at=at).credit_limit_minor
    details = {"limit_minor": limit_minor, "before_minor": before}
    rise = max(limit_minor - before, 0)
    return approvals.propose(Proposal(id, "credit_limit", member.id, member.currency, rise, code, reason, details), acting, at=at)


def _do(one: Approval, at: datetime) -> Done:
    limit = one.details["limit_minor"]
    assert one.member_id
    db.session.execute(text("select set_credit_limit(:member, :currency, :limit)"), {"member": one.member_id, "currency": one.currency, "limit": limit})
    notices.tell(one.member_id, "credit_limit_changed", {"limit_minor": limit, "currency": one.currency}, at=at, key=f"credit_limit:{one.id}")
    return Done()


def _words(one: Approval) -> list[tuple[str, str]]:
    return [(_("Until now"), money(one.details["before_minor"], one.currency)), (_("From now on"), money(one.details["limit_minor"], one.currency))]


approvals.register("credit_limit", Kind(_l("Credit limit"), _do, _words))
