"""Who is calling: a machine by its bearer key under /api, a person by the session cookie on pages. Nothing else counts."""

from datetime import timedelta

from flask import Flask, Request, current_app, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from core import access, clock
from core.actor import ANONYMOUS, SYSTEM, set_actor
from core.db import transaction
from core.errors import Unauthenticated
from core.settings import Settings
from membership import api_keys, sessions

TOKEN = "token"  # noqa: S105 (the name of an entry in Flask's signed, HttpOnly cookie)
NOBODY_ASKS = ("health.show_health", "health.show_readiness")


class BadApiKey(Unauthenticated):
    """No such key, or one that was revoked."""

    code = "bad_api_key"


def init_app(app: Flask) -> None:
    """Identify the actor before anything else happens, so that even an error page knows whose it is."""
    settings: Settings = app.extensions["settings"]
    app.session_interface = _PageSessions()
    app.permanent_session_lifetime = timedelta(days=settings.session_days)
    app.before_request_funcs.setdefault(None, [])[:0] = [_identify, _admit]

    @app.context_processor
    def _context() -> dict[str, object]:
        return {"current_member_name": g.get("member_name"), "unread_notices": g.get("unread_notices", 0)}


class _PageSessions(SecureCookieSessionInterface):
    """Cookies are for pages: below /api there is no session at all, neither read nor written."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if request.path.startswith("/api/"):
            return self.make_null_session(app)
        return super().open_session(app, request)


def begin(token: str) -> None:
    """Give this browser a session's token, and nothing of what it carried before: no fixation, a new CSRF token."""
    session.clear()
    session.permanent = True
    session[TOKEN] = token


def end() -> None:
    """Take everything back from this browser."""
    session.clear()


def _identify() -> None:
    set_actor(ANONYMOUS)  # whoever called before under the same context is forgotten
    endpoint = request.endpoint or ""
    if request.path.startswith("/api/"):
        _by_key()
    elif TOKEN in session and not endpoint.endswith("static") and endpoint not in NOBODY_ASKS and not request.path.startswith("/webhooks/"):
        _by_session(session[TOKEN])


def _admit() -> ResponseReturnValue | None:
    """Turn away who may not come in before a body is parsed or a token compared; `@requires` would say the same, but later."""
    if request.endpoint is None:
        return None  # 404 or 405 follow
    return access.refusal(access.allowed(current_app, request.endpoint))


def _by_key() -> None:
    header = request.headers.get("Authorization", "")
    if not header:
        return  # anonymous: public routes of the API answer, the others say 401
    scheme, _space, secret = header.partition(" ")
    if scheme.lower() == "bearer" and secret:
        key_hash = api_keys.hash_key(secret.strip())
        acting = api_keys.remembered(key_hash)
        if acting is None:
            with transaction(SYSTEM):
                acting = api_keys.identify(key_hash)
        if acting is not None:
            set_actor(acting)
            return
    raise BadApiKey(_("This API key is not valid. Send: Authorization: Bearer …"))


def _by_session(token: str) -> None:
    at = clock.real_now()  # sessions live in real time, whatever the product's clock shows
    days = current_app.extensions["settings"].session_days
    with transaction(SYSTEM):
        found = sessions.identify(token, at=at)
        if found is not None and found.is_stale and found.actor.session_id is not None:
            sessions.slide(found.actor.session_id, at=at, days=days)
    if found is None:
        end()
        return
    set_actor(found.actor)
    g.member_name = found.member_name
    g.unread_notices = found.unread
