"""A member's team: who is in it, what they may do, who holds a seat; and the way in by invitation."""

import uuid
from typing import Any

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from core import clock
from core.access import MEMBERS, public, requires
from core.actor import SYSTEM, actor
from core.db import transaction
from core.errors import AppError, Conflict, Invalid
from core.limits import limiter
from core.settings import Settings
from membership import authentication, catalogue, members, sessions, users
from membership.home_pages import home_of
from membership.schemas import InvitationForm, PasswordForm, RoleForm, SeatForm

team = Blueprint("team", __name__, url_prefix="/team")
invitations = Blueprint("invitations", __name__, url_prefix="/invitations")


@team.get("")
@requires(*MEMBERS)
def list_users() -> ResponseReturnValue:
    """The team and the seats."""
    return _render_team({"role": "buyer"})


@team.post("/invitations")
@requires("owner")
def create_invitation() -> ResponseReturnValue:
    """Invite somebody; the link is shown next."""
    try:
        form = InvitationForm().load(request.form)
        with transaction(actor()):
            user = users.invite(actor().member, form["email"], form["name"], form["role"], at=clock.now())
    except ValidationError as error:
        return _render_team(request.form, error.messages_dict), 422
    except AppError as error:
        return _render_team(request.form, error.fields), error.status
    return redirect(url_for("team.show_invitation", user_id=user.id), 303)


@team.get("/users/<uuid:user_id>/invitation")
@requires("owner")
def show_invitation(user_id: uuid.UUID) -> ResponseReturnValue:
    """The one-time link to hand to the invited person."""
    with transaction(actor()):
        user = users.find(actor().member, user_id)
    if user.password_hash is not None or user.disabled_at is not None:
        return redirect(url_for("team.list_users"))
    link = url_for("invitations.show_acceptance", token=users.invitation_token(user), _external=True)
    return render_template("account/invitation_link.html", user=user, link=link, days=users.INVITATION_DAYS)


@team.get("/users/<uuid:user_id>")
@requires("owner")
def show_user(user_id: uuid.UUID) -> ResponseReturnValue:
    """One person: role, seat, access."""
    return render_user(user_id)


@team.post("/users/<uuid:user_id>/role")
@requires("owner")
def change_role(user_id: uuid.UUID) -> ResponseReturnValue:
    """Give a user another role."""
    try:
        form = RoleForm().load(request.form)
        with transaction(actor()):
            user = users.change_role(actor().member, user_id, form["role"], at=clock.now())
    except ValidationError as error:
        return render_user(user_id, error.messages_dict), 422
    except Conflict as error:
        return render_user(user_id, error.fields), error.status
    flash(_("%(name)s has another role now.", name=user.name), "success")
    return redirect(url_for("team.list_users"), 303)


@team.post("/users/<uuid:user_id>/seat")
@requires("owner")
def assign_seat(user_id: uuid.UUID) -> ResponseReturnValue:
    """Give a user a seat, or take it back."""
    try:
        wanted = SeatForm().load({name: value or None for name, value in request.form.items()})["seat"]
        with transaction(actor()):
            user = users.assign_seat(actor().member, user_id, wanted) if wanted else users.release_seat(actor().member, user_id)
    except ValidationError as error:
        return render_user(user_id, error.messages_dict), 422
    except (Conflict, Invalid) as error:
        return render_user(user_id, error.fields), error.status
    flash(_("%(name)s has a seat now.", name=user.name) if wanted else _("%(name)s has no seat any more.", name=user.name), "success")
    return redirect(url_for("team.list_users"), 303)


@team.post("/users/<uuid:user_id>/disabling")
@requires("owner")
def disable(user_id: uuid.UUID) -> ResponseReturnValue:
    """Shut a user out."""
    try:
        with transaction(actor()):
            user = users.disable(actor().member, user_id, at=clock.now())
    except Conflict as error:
        return render_user(user_id, {"role": error.detail}), error.status
    flash(_("%(name)s is shut out and holds no seat any more.", name=user.name), "success")
    return redirect(url_for("team.list_users"), 303)


@team.post("/users/<uuid:user_id>/enabling")
@requires("owner")
def enable(user_id: uuid.UUID) -> ResponseReturnValue:
    """Let a user in again."""
    with transaction(actor()):
        user = users.enable(actor().member, user_id, at=clock.now())
    flash(_("%(name)s may sign in again.", name=user.name), "success")
    return redirect(url_for("team.list_users"), 303)


@invitations.get("/<token>")
@public
def show_acceptance(token: str) -> ResponseReturnValue:
    """Where an invited person chooses a password."""
    with transaction(SYSTEM):
        user, member = users.find_invited(token)
    return render_template("account/invitation.html", user=user, member=member, token=token)


@invitations.post("/<token>")
@limiter.limit("20/minute")
@public
def accept(token: str) -> ResponseReturnValue:
    """Set the password and sign in."""
    settings: Settings = current_app.extensions["settings"]
    try:
        form = PasswordForm().load(request.form)
        with transaction(SYSTEM):
            user = users.accept(token, form["password"])
            secret = sessions.open_session(user.id, request.user_agent.string, at=clock.real_now(), days=settings.session_days)
    except (ValidationError, Invalid) as error:
        with transaction(SYSTEM):
            user, member = users.find_invited(token)
        errors = error.messages_dict if isinstance(error, ValidationError) else error.fields
        return render_template("account/invitation.html", user=user, member=member, token=token, errors=errors), 422
    authentication.begin(secret)
    return redirect(home_of(user.role), 303)


def _render_team(form: Any, errors: Any = None) -> str:
    with transaction(actor()):
        people = users.team(actor().member)
        seats = _seats()
    return render_template("account/team.html", people=people, form=form, errors=errors, state_of=users.state, **seats)


def render_user(user_id: uuid.UUID, errors: Any = None) -> str:
    """The page of one person of the acting member. Raises NotFound."""
    with transaction(actor()):
        user = users.find(actor().member, user_id)
        seats = _seats()
    return render_template("account/team_user.html", user=user, errors=errors, state=users.state(user), **seats)


def _seats() -> dict[str, Any]:
    """The running subscriptions with how many of their seats are taken, and the product lines' names."""
    running = members.running_of([actor().member])[actor().member]
    return {"running": running, "taken": users.seats_taken(actor().member), "lines": {line.code: line for line in catalogue.product_lines()}}
