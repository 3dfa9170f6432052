"""Shapes that all rooms share: a page's form, the problem, and a page of a list."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from flask_smorest import Blueprint
from marshmallow import EXCLUDE, INCLUDE, Schema, fields, pre_load, validate

from core import typed
from core.paging import LIMIT_DEFAULT, LIMIT_MAX
from core.texts import is_storable

PROBLEM_TYPE = "application/problem+json"


def unstorable(value: Any, schema: Schema | None = None) -> str | None:
    """The path of the first text in parsed input that cannot be stored, or None.

    Left out are fields that look at their rows themselves: their class says `checks_rows = True`.
    """
    if isinstance(value, str):
        return None if is_storable(value) else ""
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        if schema is not None and getattr(schema.fields.get(str(key)), "checks_rows", False):
            continue
        below = "" if not is_storable(str(key)) else unstorable(inner)
        if below is not None:
            name = str(key).encode("ascii", "backslashreplace").decode()
            return f"{name}.{below}" if below else name
    return None


class Form(Schema):
    """A page's form: it may carry more (the token, a button's name) than the schema reads."""

    class Meta:
        unknown = EXCLUDE

    @pre_load
    def _read_as_typed(self, data: Any, **_kwargs: Any) -> Any:
        """Numbers may carry thousands separators, full-width digits and a percent sign."""
        written = {one.data_key or name: one for name, one in self.fields.items() if isinstance(one, fields.Integer | fields.Decimal)}
        known = [(key, one) for key, one in written.items() if isinstance(data.get(key), str)]
        read = data.copy() if known else data
        for key, one in known:
            read[key] = typed.number(data[key]).removesuffix("%") if isinstance(one, fields.Decimal) else typed.number(data[key])
        return read


class RecordSchema(Schema):
    """What describes objects of one class: each attribute is read as such, without the question whether it is a key, an index or a path."""

    def get_attribute(self, obj: object, attr: str, default: Any) -> Any:
        """The attribute of that name."""
        return getattr(obj, attr, default)


class ProblemField(Schema):
    """One field that is not right."""

    field = fields.String(required=True, metadata={"description": "Path of the field, like `lines.0.price_minor`."})
    detail = fields.String(required=True)


class Problem(Schema):
    """RFC 9457 problem details: what every failure below /api looks like."""

    type = fields.String(required=True, metadata={"example": "urn:problem:not_found"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    code = fields.String(required=True, metadata={"description": "Stable; the one to program against.", "example": "not_found"})
    detail = fields.String(required=True, metadata={"description": "For people, in the language of Accept-Language."})
    errors = fields.List(fields.Nested(ProblemField), metadata={"description": "Each field with its own sentence."})
    missing_minor = fields.Integer(metadata={"description": "402: what the wallet lacks."})
    price_minor = fields.Integer(metadata={"description": "`price_changed`: the price now."})

    class Meta:
        unknown = INCLUDE


class PageQuery(Schema):
    """Where a page of a list begins and how long it is."""

    after = fields.String(load_default=None, metadata={"description": "`next` of the page before."})
    limit = fields.Integer(load_default=LIMIT_DEFAULT, validate=validate.Range(1, LIMIT_MAX))


@cache
def page_of(schema: type[Schema]) -> type[Schema]:
    """The schema of a page of these items: `items`, and `next`, the cursor of the page after it (null at the end)."""
    return Schema.from_dict(
        {"items": fields.List(fields.Nested(schema), required=True), "next": fields.String(required=True, allow_none=True)},
        name=f"{schema.__name__}Page",
    )


def fails(blueprint: Blueprint, *statuses: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Document problem answers of a route: `@fails(blp, 401, 403, 404)`, between the responses and `@requires`."""

    def mark(view: Callable[..., Any]) -> Callable[..., Any]:
        for status in statuses:
            view = blueprint.alt_response(status, schema=Problem, content_type=PROBLEM_TYPE)(view)
        return view

    return mark
