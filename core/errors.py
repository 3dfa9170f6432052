"""Expected failures, told to machines as RFC 9457 problem details and to people in their own language."""

from collections.abc import Mapping
from typing import Any

import psycopg
import sqlalchemy.exc
from flask import Flask, Response, current_app, json, render_template, request
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException

from core.sentences import say


class AppError(Exception):
    """An expected failure. Subclasses stand next to the function that raises them.

    `fields` maps a field's name to the sentence to show beside it.
    """

    status = 400
    code = "bad_request"

    def __init__(self, detail: str, *, field: str | None = None, fields: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = dict(fields or ({field: detail} if field else {}))
        self.extra = extra


class NotFound(AppError):
    """What was asked for does not exist, or not for this caller."""

    status, code = 404, "not_found"


class Forbidden(AppError):
    """The caller is known, and may not do this."""

    status, code = 403, "forbidden"


class Unauthenticated(AppError):
    """Nobody has said who is calling."""

    status, code = 401, "unauthenticated"


class Invalid(AppError):
    """Input that was understood but cannot be accepted."""

    status, code = 422, "invalid"


class Conflict(AppError):
    """It cannot be done as things stand."""

    status, code = 409, "conflict"


class IdReused(Conflict):
    """The client's id was used before for something else."""

    code = "id_reused"


TITLES = {400: "Bad request", 401: "Sign in first", 402: "Not enough money", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
          409: "Conflict", 413: "Too large", 414: "Too large", 415: "Unsupported media type", 422: "Please check your input",
          429: "Too many requests", 500: "Something went wrong", 503: "Not available right now"}  # fmt: skip


def is_api_request() -> bool:
    """Does a machine ask? It gets problem details, a person a page."""
    return request.path.startswith(("/api/", "/webhooks/")) or request.path == "/api"


def problem(status: int, code: str, detail: str, fields: Mapping[str, str] | None = None, **extra: Any) -> Response:
    """An RFC 9457 answer; `errors` lists each field with its own sentence."""
    body: dict[str, Any] = {"type": f"urn:problem:{code}", "title": say(TITLES.get(status, "Error")), "status": status, "code": code, "detail": detail}
    if fields:
        body["errors"] = [{"field": name, "detail": text} for name, text in fields.items()]
    body.update(extra)
    response = Response(json.dumps(body), status=status, content_type="application/problem+json")
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _page(status: int, detail: str) -> tuple[str, int]:
    return render_template([f"errors/{status}.html", "errors/error.html"], status=status, title=TITLES.get(status, "Error"), detail=detail), status


def _flatten(messages: Any, path: str = "") -> dict[str, str]:
    """Marshmallow's nested messages as `{"json.price_minor": "…"}` without the location prefix."""
    if isinstance(messages, Mapping):
        flat: dict[str, str] = {}
        for key, value in messages.items():
            inside = key in ("json", "query", "form", "headers", "_schema") and not path
            flat.update(_flatten(value, path if inside else f"{path}.{key}" if path else str(key)))
        return flat
    if isinstance(messages, list):
        return {path or "body": " ".join(say(m) for m in messages)}
    return {path or "body": say(messages)}


def init_app(app: Flask) -> None:
    """Give every failure its form: problem details below /api, a page elsewhere."""

    @app.before_request
    def refuse_what_cannot_be_stored() -> None:
        """A NUL in an address or a form: no browser sends one, and no database keeps it. (`core.openapi` looks at the API's input.)"""
        if "\x00" in request.path:
            raise NotFound(_("There is nothing at this address."))
        if is_api_request():
            return
        if b"%00" in request.query_string:
            raise AppError(_("This address holds characters that cannot be stored."))
        if request.method == "POST" and any("\x00" in value for values in request.form.listvalues() for value in values):
            raise AppError(_("This text holds characters that cannot be stored."))

    @app.errorhandler(AppError)
    def expected(error: AppError) -> Any:
        if is_api_request():
            return problem(error.status, error.code, error.detail, error.fields, **error.extra)
        return _page(error.status, error.detail)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Any:
        status = error.code or 500
        if status < 400:
            return error
        data = getattr(error, "data", None) or {}
        fields = _flatten(data["messages"]) if "messages" in data else None
        detail = _("Some fields are not right.") if fields else str(error.description or "")
        if is_api_request():
            code = "invalid" if status == 422 else error.name.lower().replace(" ", "_")
            response: Any = problem(status, code, say(detail), fields)
        else:
            response = current_app.make_response(_page(status, detail))
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    @app.errorhandler(psycopg.OperationalError)
    @app.errorhandler(sqlalchemy.exc.OperationalError)
    @app.errorhandler(sqlalchemy.exc.TimeoutError)
    def not_now(error: Exception) -> Any:
        """The database restarts, or is too busy: whoever asks again will be served, and money writes carry ids that make that safe."""
        current_app.logger.error("the database did not answer: %s", str(error).splitlines()[0])
        words = _("This is not available at the moment. Try again in a few seconds; what carries an id is done once.")
        response: Any = problem(503, "unavailable", words) if is_api_request() else current_app.make_response(_page(503, words))
        response.headers["Retry-After"] = "2"
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Any:
        current_app.logger.exception("unexpected failure")
        if current_app.config.get("PROPAGATE_EXCEPTIONS"):
            raise error
        if is_api_request():
            return problem(500, "internal_error", _("This is our mistake; it was recorded. Nothing was charged."))
        return _page(500, _("This is our mistake; it was recorded. Nothing was charged."))
