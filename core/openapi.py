"""One OpenAPI document for the whole API; failures are described and answered as problem details."""

from typing import Any

from flask import Response
from flask_smorest import Api

from core.access import public
from core.schemas import Problem

SPEC_OPTIONS: dict[str, Any] = {
    "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer jb_…`"}}},
    "security": [{"bearer": []}],
}


class ProblemApi(Api):  # type: ignore[misc]
    """flask-smorest with our own failures: `core.errors` answers them, so its handler stays out."""

    ERROR_SCHEMA = Problem

    def _register_error_handlers(self) -> None:
        """None: `core.errors.init_app` has them all."""

    @public
    def _openapi_json(self) -> Response:
        document: Response = super()._openapi_json()
        return document
