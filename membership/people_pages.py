"""The operator's pages of people: everybody who may sign in, and the way in for who cannot."""

import uuid
from typing import Any

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from core.access import requires
from core.actor import ROLES, actor
from core.db import transaction
from core.paging import Page, keyset
from membership import members, users
from membership.models import Member, User
from membership.operator_pages import operator


@operator.get("/people")
@requires("operator")
def list_people() -> ResponseReturnValue:
    """Everybody by e-mail address, with search."""
    word, role = request.args.get("q", ""), request.args.get("role", "")
    with transaction(actor()) as session:
        page: Page[User] = keyset(session, users.search(word, role), [User.email], request.args.get("after"), descending=False)
        numbers = members.numbers({user.member_id for user in page.items if user.member_id})
    return render_template("operator/people.html", page=page, numbers=numbers, roles=ROLES, state_of=users.state, is_filtered=bool(word.strip() or role))


@operator.get("/people/<uuid:user_id>")
@requires("operator")
def show_person(user_id: uuid.UUID) -> ResponseReturnValue:
    """One person: whose it is, whether it can sign in, and how it gets in."""
    return render_person(user_id)


@operator.get("/people/<uuid:user_id>/invitation")
@requires("operator")
def show_invitation(user_id: uuid.UUID) -> ResponseReturnValue:
    """The one-time link to hand to an invited person."""
    with transaction(actor()) as session:
        user = users.find_anybody(user_id)
        member = session.get(Member, user.member_id) if user.member_id else None
    if users.state(user) != "invited":
        return redirect(url_for("operator.show_person", user_id=user.id))
    link = url_for("invitations.show_acceptance", token=users.invitation_token(user), _external=True)
    return render_template("operator/invitation_link.html", user=user, member=member, link=link, days=users.INVITATION_DAYS)


def render_person(user_id: uuid.UUID, errors: Any = None) -> str:
    """The page of one person. Raises NotFound."""
    with transaction(actor()) as session:
        user = users.find_anybody(user_id)
        member = session.get(Member, user.member_id) if user.member_id else None
    return render_template("operator/person.html", user=user, member=member, state=users.state(user), errors=errors)
