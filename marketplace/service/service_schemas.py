"""Shapes of the forms and JSON of services and partners."""

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, fields, validate

from core.schemas import Form, RecordSchema

_WHY = _l("Say why, in 5 to 1,000 characters.")
_DONE = _l("Say what was done and how to see it, in 5 to 2,000 characters.")


class ServiceForm(Form):
    """An order as the page confirms it."""

    id = fields.UUID(required=True)
    price_minor = fields.Integer(required=True, validate=validate.Range(min=1))
    version = fields.String(load_default=None, validate=validate.Length(max=20))
    brief = fields.String(load_default="", validate=validate.Length(max=2000, error=_l("At most 2,000 characters.")))


class ReasonForm(Form):
    """Why."""

    reason = fields.String(required=True, error_messages={"required": _WHY}, validate=validate.Length(5, 1000, error=_WHY))


class NoteForm(Form):
    """What a partner says about a delivery."""

    note = fields.String(required=True, error_messages={"required": _DONE}, validate=validate.Length(5, 2000, error=_DONE))


class ServiceIn(Schema):
    """An order. `id` is made by the client and makes it happen once."""

    id = fields.UUID(required=True)
    price_minor = fields.Integer(required=True, strict=True, validate=validate.Range(min=1), metadata={"description": "The price you were shown"})
    version = fields.String(
        load_default=None, validate=validate.Length(max=20), metadata={"description": "Of the terms you have read; refused where another is on sale by now."}
    )
    brief = fields.String(load_default="", validate=validate.Length(max=2000))


class ReasonIn(Schema):
    """Why."""

    reason = fields.String(required=True, validate=validate.Length(5, 1000))


class MilestoneOut(RecordSchema):
    """A part of a service."""

    position = fields.Integer(required=True)
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    amount_minor = fields.Integer(required=True, metadata={"description": "Held for it; tax included"})
    captured_minor = fields.Integer(required=True, metadata={"description": "What was paid for it"})
    state = fields.String(required=True, validate=validate.OneOf(["open", "delivered", "disputed", "accepted", "decided", "released", "lapsed"]))
    due_at = fields.DateTime(required=True)
    delivered_at = fields.DateTime(required=True, allow_none=True)
    delivery_note = fields.String(required=True, allow_none=True)
    accept_by = fields.DateTime(required=True, allow_none=True, metadata={"description": "Silence until then is acceptance"})
    charge_id = fields.UUID(required=True, allow_none=True, metadata={"description": "The entry in the ledger that paid for it"})


class ServiceOut(Schema):
    """An order of a service with its milestones."""

    id = fields.UUID(required=True, attribute="order.id")
    listing = fields.String(required=True, attribute="listing.slug")
    partner = fields.String(required=True, attribute="publisher.code")
    version = fields.String(required=True, attribute="order.version", metadata={"description": "Of the terms that were agreed"})
    price_minor = fields.Integer(required=True, attribute="order.price_minor")
    currency = fields.String(required=True, attribute="order.currency")
    state = fields.String(required=True, attribute="order.state", validate=validate.OneOf(["running", "completed", "cancelled", "lapsed"]))
    at = fields.DateTime(required=True, attribute="order.at")
    ends_at = fields.DateTime(required=True, attribute="order.ends_at", metadata={"description": "Until when the partner can deliver"})
    held_until = fields.DateTime(required=True, attribute="order.held_until", metadata={"description": "When what is still held comes back at the latest"})
    milestones = fields.List(fields.Nested(MilestoneOut), required=True)
