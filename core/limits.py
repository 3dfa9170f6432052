"""Request limits, counted in the queue's server so that all processes count together."""

from collections.abc import Callable
from typing import Any

from flask import Flask, current_app, request
from flask_limiter import Limiter
from flask_limiter.util import get_qualified_name, get_remote_address

limiter = Limiter(key_func=get_remote_address)
_limited: dict[str, bool] = {}  # by endpoint


def init_app(app: Flask) -> None:
    """Enforce the limits that views carry (`@limiter.limit`); other routes are spared the search for limits, which costs as much as they do."""
    limiter.init_app(app)
    _limited.clear()
    for hooks in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs):
        hooks[None][-1] = _where_limited(hooks[None][-1])


def _where_limited(hook: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*given: Any) -> Any:
        return hook(*given) if is_limited(request.endpoint) else next(iter(given), None)

    return guarded


def is_limited(endpoint: str | None) -> bool:
    """Does this route carry a limit of its own?"""
    if endpoint is None:
        return False
    known = _limited.get(endpoint)
    if known is None:
        known = _limited[endpoint] = bool(limiter.limit_manager.decorated_limits(get_qualified_name(current_app.view_functions[endpoint])))
    return known
