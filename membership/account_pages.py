"""What a signed-in person sees of itself: name, language, password, where it is signed in, and its member's notices."""

import uuid
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError
from sqlalchemy import select

from core import clock
from core.access import MEMBERS, requires
from core.actor import ROLES, SYSTEM, actor
from core.db import transaction
from core.errors import AppError
from core.navigation import url_if
from membership import mailboxes, notices, sessions, users
from membership.models import User
from membership.schemas import NewPasswordForm

account = Blueprint("account", __name__, url_prefix="/account")
notice_pages = Blueprint("notices", __name__, url_prefix="/notices")


@account.get("")
@requires(*ROLES)
def show_settings() -> ResponseReturnValue:
    """Who I am, and my password."""
    return _render_settings()


@account.post("/password")
@requires(*ROLES)
def change_password() -> ResponseReturnValue:
    """Replace my password; every other browser is signed out."""
    acting = actor()
    assert acting.user_id is not None, "pages are for people"
    try:
        form = NewPasswordForm().load(request.form)
        with transaction(SYSTEM):
            users.change_password(acting.user_id, form["present"], form["password"])
            sessions.revoke_all(acting.user_id, at=clock.real_now(), but=acting.session_id)
    except ValidationError as error:
        return _render_settings(error.messages_dict), 422
    except AppError as error:
        return _render_settings(error.fields), error.status
    flash(_("Your password is changed, and every other browser is signed out."), "success")
    return redirect(url_for("account.show_settings"), 303)


@account.get("/sessions")
@requires(*ROLES)
def list_sessions() -> ResponseReturnValue:
    """Where I am signed in."""
    acting = actor()
    assert acting.user_id is not None, "pages are for people"
    with transaction(SYSTEM):
        running = sessions.list_open(acting.user_id, at=clock.real_now())
    return render_template("account/sessions.html", running=running, describe=describe)


@account.post("/sessions/<uuid:session_id>/revocation")
@requires(*ROLES)
def revoke_session(session_id: uuid.UUID) -> ResponseReturnValue:
    """Sign one of my browsers out."""
    acting = actor()
    assert acting.user_id is not None, "pages are for people"
    with transaction(SYSTEM):
        sessions.revoke(acting.user_id, session_id, at=clock.real_now())
    flash(_("That browser is signed out."), "success")
    return redirect(url_for("account.list_sessions"), 303)


@notice_pages.get("")
@requires(*MEMBERS)
def list_notices() -> ResponseReturnValue:
    """What my organisation should know, the newest first."""
    with transaction(actor()):
        newest = notices.list_newest(actor().member)
    return render_template(
        "account/notices.html", newest=newest, sentence=notices.sentence, tone=lambda notice: notices.TONES.get(notice.kind, "ok"),
        place=lambda notice: url_if(notices.PLACES.get(notice.kind, "subscriptions.show_subscriptions")),
    )  # fmt: skip


@notice_pages.post("/<uuid:notice_id>/reading")
@requires(*MEMBERS)
def read_notice(notice_id: uuid.UUID) -> ResponseReturnValue:
    """I have read this one."""
    with transaction(actor()):
        mailboxes.of_member(actor().member).mark_read(notice_id, at=clock.now())
    return redirect(url_for("notices.list_notices"), 303)


@notice_pages.post("/reading")
@requires(*MEMBERS)
def read_all() -> ResponseReturnValue:
    """I have read all of them."""
    with transaction(actor()):
        mailboxes.of_member(actor().member).mark_all_read(at=clock.now())
    return redirect(url_for("notices.list_notices"), 303)


def _render_settings(errors: Any = None) -> str:
    with transaction(SYSTEM) as session:
        email = session.scalar(select(User.email).where(User.id == actor().user_id))
    return render_template("account/settings.html", email=email, errors=errors)


_BROWSERS = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (("iPhone", "iPhone"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "macOS"), ("Linux", "Linux"))


def describe(user_agent: str) -> str:
    """A browser as people know it: `Chrome · Windows`; its own words where we do not recognise it."""
    names = [next((name for mark, name in table if mark in user_agent), "") for table in (_BROWSERS, _SYSTEMS)]
    return " · ".join(name for name in names if name) or user_agent[:60] or _("Unknown browser")
