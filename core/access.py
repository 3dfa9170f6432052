"""Which roles may call a route. Every route says so itself; `verify_all` refuses to start an app where one does not."""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Flask, redirect, request, url_for
from flask_babel import gettext as _
from werkzeug import Response

from core.actor import MEMBER_ROLES, ROLES, STAFF_ROLES, actor
from core.errors import Forbidden, Unauthenticated, is_api_request

View = TypeVar("View", bound=Callable[..., Any])

OPEN_ENDPOINTS = {"api-docs.openapi_json"}  # routes of libraries, which cannot be marked
ANYONE = frozenset({"anonymous", *ROLES})
MEMBERS = MEMBER_ROLES
STAFF = STAFF_ROLES


def requires(*roles: str) -> Callable[[View], View]:
    """Admit these roles only: others get 403, the anonymous 401 (API) or the sign-in page."""
    unknown = set(roles) - set(ROLES)
    assert not unknown, f"unknown roles {unknown}"
    assert roles, "a route for nobody"

    def mark(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            return refusal(roles) or view(*args, **kwargs)

        checked.access = frozenset(roles)  # type: ignore[attr-defined]
        return cast(View, checked)

    return mark


def refusal(roles: Collection[str]) -> Response | None:
    """None for an actor whom these roles admit, the way to the sign-in page for a visitor of a page. Raises Forbidden, Unauthenticated."""
    acting = actor()
    if acting.role in roles:
        return None
    if acting.is_signed_in:
        raise Forbidden(_("Your role does not allow this."))
    if is_api_request():
        raise Unauthenticated(_("Send a valid API key: Authorization: Bearer …"))
    return redirect(url_for("sign_in.show_sign_in", next=request.full_path.rstrip("?") if request.method == "GET" else None))


def public(view: View) -> View:
    """Admit everybody; said aloud, so that an open route is never an oversight."""
    view.access = ANYONE  # type: ignore[attr-defined]
    return view


def allowed(app: Flask, endpoint: str) -> frozenset[str]:
    """The roles a route admits. Raises AssertionError for a route that does not say."""
    if endpoint.endswith("static") or endpoint in OPEN_ENDPOINTS:
        return ANYONE
    roles = getattr(app.view_functions[endpoint], "access", None)
    assert roles is not None, f"route {endpoint} does not say who may call it"
    return cast(frozenset[str], roles)


def verify_all(app: Flask) -> None:
    """Stop the start of an app with a route nobody thought about."""
    for rule in app.url_map.iter_rules():
        allowed(app, rule.endpoint)
