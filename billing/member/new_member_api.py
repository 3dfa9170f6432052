"""Taking on a customer as JSON; it stands among the members' routes, whose room does not know wallets."""

from typing import Any

from flask import url_for

from billing.member import new_members
from billing.member.new_member_schemas import NewMemberIn, NewMemberOut
from core.access import requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.schemas import fails
from membership import member_facts, users
from membership.member_api import blp
from membership.models import User
from membership.schemas import MemberOut


@blp.post("/members")
@blp.arguments(NewMemberIn)
@blp.response(201, NewMemberOut)
@fails(blp, 401, 403, 409, 422)
@requires("operator")
def create_member(member_in: dict[str, Any]) -> dict[str, Any]:
    """Take on a customer: the member with its wallet, and its owner's invitation. The same id and content again is the same member."""
    facts = {name: member_in.pop(name) for name in member_facts.FACTS if name in member_in}
    owner = member_in.pop("owner")
    with transaction(actor()):
        member, user = new_members.create(new_members.Wanted(facts=facts, owner_name=owner["name"], owner_email=owner["email"], **member_in), at=now())
        return {name: getattr(member, name) for name in MemberOut().fields} | {"owner": _owner(user)}


def _owner(user: User) -> dict[str, Any]:
    is_open = users.state(user) == "invited"
    link = url_for("invitations.show_acceptance", token=users.invitation_token(user), _external=True) if is_open else None
    return {"id": user.id, "name": user.name, "email": user.email, "invitation_url": link}
