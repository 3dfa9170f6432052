"""A page for people that shows the OpenAPI document: every route of the API, what it takes and what it answers."""

from typing import Any

from flask import Blueprint, current_app, render_template

from core.access import public

api_docs = Blueprint("api_docs", __name__)
METHODS = ("get", "post", "put", "patch", "delete")


@api_docs.get("/api-docs")
@public
def show_api() -> str:
    """The API, readable."""
    spec: dict[str, Any] = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
    return render_template("api_docs.html", spec=spec, groups=_groups(spec))


def _groups(spec: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Operations by tag, in the document's order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in spec.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                operation = item[method]
                entry = {"path": path, "method": method.upper(), **operation, "parameters": item.get("parameters", []) + operation.get("parameters", [])}
                groups.setdefault((operation.get("tags") or ["API"])[0], []).append(entry)
    return groups
