"""One OpenAPI document for the whole API; requests are parsed, and failures described and answered, in one way."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

import flask_smorest
from flask import Request, Response
from flask_babel import gettext as _
from marshmallow import Schema
from webargs import missing
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from core.access import public
from core.errors import Invalid
from core.schemas import PROBLEM_TYPE, Problem, unstorable

SPEC_OPTIONS: dict[str, Any] = {
    "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer jb_…`"}}},
    "security": [{"bearer": []}],
}
View = TypeVar("View", bound=Callable[..., Any])
BODY_FAILS = (400, 413, 415, 422)  # what any route that takes JSON may answer


class _Parser(FlaskParser):
    """webargs, which leaves two things to its callers: bodies that no parser survives, and text that no database stores."""

    def _raw_load_json(self, req: Request) -> Any:
        body = req.get_data(cache=True)
        if not body:
            return missing
        if not req.is_json:
            raise UnsupportedMediaType
        try:
            return super()._raw_load_json(req)
        except RecursionError as error:
            raise Invalid(_("This JSON is nested too deeply."), field="body") from error
        except ValueError as error:
            if type(error) is not ValueError:  # JSONDecodeError: webargs answers it
                raise
            raise Invalid(_("A number in this JSON is too long."), field="body") from error

    def pre_load(self, location_data: Any, *, schema: Schema, req: Request, location: str) -> Any:  # noqa: ARG002 (webargs' signature)
        wrong = unstorable(location_data, schema)
        if wrong is not None:
            raise Invalid(_("This text holds characters that cannot be stored."), field=wrong)
        return location_data


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """Routes of the API. What every one of them may answer is added to its description here."""

    ARGUMENTS_PARSER = _Parser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(_describe_failures)

    def alt_response(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """As flask-smorest's, which describes an answer but also puts a function of its own around the view for each."""
        describe = super().alt_response(*args, **kwargs)

        def mark(view: View) -> View:
            view._apidoc = describe(view)._apidoc  # type: ignore[attr-defined]
            return view

        return mark


def _describe_failures(doc: dict[str, Any], doc_info: dict[str, Any], **_context: Any) -> dict[str, Any]:  # noqa: ARG001 (flask-smorest's signature)
    """Problem details behind every failure; the failures of bodies, queries and keys, which no route needs to name."""
    responses = doc.setdefault("responses", {})
    common = [401, 503, *(BODY_FAILS if "requestBody" in doc else (422,) if any(p.get("in") == "query" for p in doc.get("parameters", ())) else ())]
    for status in common:
        responses.setdefault(status, {})
    for status, answer in responses.items():
        if int(status) >= 400:
            described = (answer.get("description") if isinstance(answer, dict) else None) or HTTPStatus(int(status)).phrase
            responses[status] = {"description": described, "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    return doc


class ProblemApi(flask_smorest.Api):  # type: ignore[misc]
    """flask-smorest with our own failures: `core.errors` answers them, so its handler and its vague `default` stay out."""

    ERROR_SCHEMA = Problem
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """None: `core.errors.init_app` has them all."""

    @public
    def _openapi_json(self) -> Response:
        document: Response = super()._openapi_json()
        return document
