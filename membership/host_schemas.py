"""Shapes of host versions."""

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, fields, validate

from core.schemas import Form
from membership.hosts import RELEASE

_VERSION = {"description": "A release number such as 3.2 or 3.2.1", "example": "3.2"}


class HostVersionIn(Schema):
    """What a host runs, said by itself."""

    product_line = fields.String(required=True, validate=validate.Length(1, 40))
    version = fields.String(required=True, validate=validate.Regexp(RELEASE.pattern + r"\Z"), metadata=_VERSION)


class MemberHostIn(Schema):
    """What a member's host runs, entered by staff; null: the current release, whatever that is."""

    product_line = fields.String(required=True, validate=validate.Length(1, 40))
    version = fields.String(required=True, allow_none=True, validate=validate.Regexp(RELEASE.pattern + r"\Z"), metadata=_VERSION)


class CurrentReleaseIn(Schema):
    """The current release of a product line."""

    version = fields.String(required=True, validate=validate.Regexp(RELEASE.pattern + r"\Z"), metadata=_VERSION)


class ProductLineOut(Schema):
    """A product line, and the version that its hosts run where nothing else is known."""

    code = fields.String(required=True)
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    release = fields.String(required=True, metadata={"description": "The current release"})


class ProductLinesOut(Schema):
    """Every product line."""

    items = fields.List(fields.Nested(ProductLineOut), required=True)


class HostOut(Schema):
    """What a member runs of one product line."""

    product_line = fields.String(required=True, attribute="line.code")
    version = fields.String(required=True)
    release = fields.String(required=True, attribute="line.release", metadata={"description": "The current release"})
    source = fields.String(
        required=True, allow_none=True, validate=validate.OneOf(("reported", "entered")),
        metadata={"description": "Reported by the host itself, entered by staff, or null: taken to be the current release"},
    )  # fmt: skip
    at = fields.AwareDateTime(required=True, allow_none=True, metadata={"description": "Since when that is known"})


class HostsOut(Schema):
    """What a member runs, of every product line."""

    items = fields.List(fields.Nested(HostOut), required=True)


class HostForm(Form):
    """What a member's host runs; empty: the current release."""

    product_line = fields.String(required=True)
    version = fields.String(load_default="", validate=validate.Length(max=40, error=_l("At most 40 characters.")))


class ReleaseForm(Form):
    """The current release of a product line."""

    version = fields.String(load_default="", validate=validate.Length(max=40, error=_l("At most 40 characters.")))
