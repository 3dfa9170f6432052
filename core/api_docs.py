"""A page for people that shows the OpenAPI document: every route of the API, what it takes and what it answers."""

from typing import Any

from flask import Blueprint, current_app, render_template, request

from core.access import public

api_docs = Blueprint("api_docs", __name__)
METHODS = ("get", "post", "put", "patch", "delete")


@api_docs.get("/api-docs")
@public
def show_api() -> str:
    """The API, readable: one part at a time, with the shapes that this part uses."""
    spec: dict[str, Any] = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
    groups = _groups(spec)
    part = request.args.get("part", "")
    part = part if part in groups else next(iter(groups), "")
    schemas: dict[str, Any] = spec.get("components", {}).get("schemas", {})
    used = _used(groups.get(part, []), schemas)
    titles = {tag["name"]: tag["description"] for tag in spec.get("tags", [])}  # of the blueprints, which are translated by their words
    return render_template("api_docs.html", groups=groups, titles=titles, part=part, schemas={name: of for name, of in schemas.items() if name in used})


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


def _used(node: object, schemas: dict[str, Any]) -> set[str]:
    """The names of the shapes that `node` refers to, directly or through another shape."""
    used: set[str] = set()
    waiting: list[object] = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            name = str(one.get("$ref", "")).rpartition("/")[2]
            if name in schemas and name not in used:
                used.add(name)
                waiting.append(schemas[name])
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return used
