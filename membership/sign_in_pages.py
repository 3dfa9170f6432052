"""Signing in and out."""

from urllib.parse import urlsplit

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import ValidationError, fields, validate

from core import clock, typed
from core.access import public
from core.actor import SYSTEM, actor
from core.db import transaction
from core.errors import AppError
from core.limits import limiter
from core.schemas import Form
from core.settings import Settings
from membership import authentication, sessions
from membership.home_pages import home_of

sign_in = Blueprint("sign_in", __name__)
SPRAY_FACTOR = 5  # one address may try that many accounts' worth of passwords a minute


class SignInForm(Form):
    """What the sign-in page sends."""

    email = fields.String(required=True, validate=validate.Length(min=3, max=200, error=_l("Enter your e-mail address.")))
    password = fields.String(required=True, validate=validate.Length(min=1, max=1000, error=_l("Enter your password.")))
    next = fields.String(load_default="")


def _per_account() -> str:
    return f"{_settings().sign_in_per_minute}/minute"


def _per_address() -> str:
    return f"{_settings().sign_in_per_minute * SPRAY_FACTOR}/minute"


def _account() -> str:
    return f"{request.remote_addr} {typed.email(request.form.get('email', ''))}"


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def local_path(wanted: str) -> str | None:
    """`wanted` if it is a path of this site, else None: a link in a mail must not send people elsewhere after sign-in."""
    parts = urlsplit(wanted)
    is_local = wanted.startswith("/") and not wanted.startswith("//") and not parts.scheme and not parts.netloc
    return wanted if is_local and "\\" not in wanted and wanted.isprintable() else None


@sign_in.get("/sign-in")
@public
def show_sign_in() -> ResponseReturnValue:
    """The sign-in page; who is signed in already goes on."""
    wanted = local_path(request.args.get("next", ""))
    if actor().is_signed_in:
        return redirect(wanted or home_of(actor().role))
    return render_template("account/sign_in.html", form={"next": wanted or ""})


@sign_in.post("/sign-in")
@limiter.limit(_per_account, key_func=_account)
@limiter.limit(_per_address)
@public
def create_session() -> ResponseReturnValue:
    """Check the password and open a session."""
    try:
        form = SignInForm().load(request.form)
        with transaction(SYSTEM):
            token, user = sessions.sign_in(form["email"], form["password"], request.user_agent.string, at=clock.real_now(), days=_settings().session_days)
    except ValidationError as error:
        return render_template("account/sign_in.html", form=request.form, errors=error.messages), 422
    except AppError as error:
        return render_template("account/sign_in.html", form=request.form, errors=error.fields), error.status
    authentication.begin(token)
    return redirect(local_path(form["next"]) or home_of(user.role), 303)


@sign_in.post("/sign-out")
@public
def sign_out() -> ResponseReturnValue:
    """End this session, on the server too."""
    acting = actor()
    if acting.user_id and acting.session_id:
        with transaction(SYSTEM):
            sessions.revoke(acting.user_id, acting.session_id, at=clock.real_now())
    authentication.end()
    flash(_("You are signed out."), "success")
    return redirect(url_for("sign_in.show_sign_in"), 303)
