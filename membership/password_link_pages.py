"""A forgotten password on pages: an owner or the operator makes a link and hands it over, and whoever opens it sets a new password."""

import uuid

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError

from core import clock
from core.access import public, requires
from core.actor import SYSTEM, actor
from core.db import transaction
from core.errors import Conflict, Invalid
from core.limits import limiter
from core.settings import Settings
from membership import authentication, password_links, people_pages, sessions, team_pages, users
from membership.home_pages import home_of
from membership.models import User
from membership.operator_pages import operator
from membership.schemas import PasswordForm
from membership.team_pages import team

new_password = Blueprint("new_password", __name__, url_prefix="/new-password")
MADE_LIMIT, USED_LIMIT = "20/minute", "20/minute"


def _who() -> str:
    return str(actor().user_id)


@team.post("/users/<uuid:user_id>/password-link")
@limiter.limit(MADE_LIMIT, key_func=_who)
@requires("owner")
def create_password_link(user_id: uuid.UUID) -> ResponseReturnValue:
    """An owner makes a link for somebody of its own member; it is shown at once, and only now."""
    try:
        with transaction(actor()):
            user = users.find(actor().member, user_id)
            token = password_links.make(user, at=clock.now())
    except Conflict as error:
        return team_pages.render_user(user_id, {"_form": error.detail}), error.status
    return _show_link("account/password_link.html", user, token), 201


@operator.post("/people/<uuid:user_id>/password-link")
@limiter.limit(MADE_LIMIT, key_func=_who)
@requires("operator")
def create_password_link_for_anybody(user_id: uuid.UUID) -> ResponseReturnValue:
    """The operator makes a link for anybody else."""
    try:
        with transaction(actor()):
            user = users.find_anybody(user_id)
            token = password_links.make(user, at=clock.now())
    except Conflict as error:
        return people_pages.render_person(user_id, {"_form": error.detail}), error.status
    return _show_link("operator/password_link.html", user, token), 201


@new_password.get("/<token>")
@public
def show_form(token: str) -> ResponseReturnValue:
    """Where the person sets its new password."""
    with transaction(SYSTEM):
        user = password_links.find(token)
    return render_template("account/new_password.html", user=user)


@new_password.post("/<token>")
@limiter.limit(USED_LIMIT)
@public
def set_password(token: str) -> ResponseReturnValue:
    """Set it, end every session of the person, and sign in here."""
    settings: Settings = current_app.extensions["settings"]
    real_at = clock.real_now()
    try:
        form = PasswordForm().load(request.form)
        with transaction(SYSTEM):
            user = password_links.use(token, form["password"], at=clock.now(), real_at=real_at)
            secret = sessions.open_session(user.id, request.user_agent.string, at=real_at, days=settings.session_days)
    except (ValidationError, Invalid) as error:
        with transaction(SYSTEM):
            user = password_links.find(token)
        errors = error.messages_dict if isinstance(error, ValidationError) else error.fields
        return render_template("account/new_password.html", user=user, errors=errors), 422
    authentication.begin(secret)
    return redirect(home_of(user.role), 303)


def _show_link(template: str, user: User, token: str) -> str:
    link = url_for("new_password.show_form", token=token, _external=True)
    return render_template(template, user=user, link=link, hours=password_links.HOURS)
