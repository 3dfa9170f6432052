"""What the API of holds takes and gives."""

from marshmallow import Schema, fields, validate

from billing.finance.finance_schemas import SENSIBLE
from billing.top_up.auto_top_up_schemas import MINOR
from core.schemas import PageQuery

STATES = ("open", "captured", "released", "expired")
TEXT = validate.Length(min=1, max=200)


class HoldIn(Schema):
    """Money to set aside. `id` is made by the client (UUIDv7 advised) and makes it happen once."""

    id = fields.UUID(required=True)
    amount_minor = fields.Integer(required=True, strict=True, validate=MINOR)
    reason = fields.String(required=True, validate=TEXT, metadata={"description": "What for; people read it"})
    expires_at = fields.AwareDateTime(format="iso", load_default=None, validate=SENSIBLE, metadata={"description": "Given back at this instant at the latest"})


class CaptureIn(Schema):
    """A part of a hold to be taken. Its id is that of the purchase."""

    id = fields.UUID(required=True)
    amount_minor = fields.Integer(required=True, strict=True, validate=MINOR, metadata={"description": "Tax included"})
    memo = fields.String(load_default=None, validate=TEXT, metadata={"description": "Stands on the statement; the hold's reason without it"})


class ReleaseIn(Schema):
    """A part of a hold to be given back, or all that is left."""

    id = fields.UUID(required=True)
    amount_minor = fields.Integer(load_default=None, allow_none=True, strict=True, validate=MINOR, metadata={"description": "All that is left without it"})


class HoldQuery(PageQuery):
    """Which holds."""

    state = fields.String(load_default=None, validate=validate.OneOf(STATES))


class HoldOut(Schema):
    """A hold as it stands; `amount = captured + released + left`."""

    id = fields.UUID(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    currency = fields.String(required=True)
    amount_minor = fields.Integer(required=True)
    captured_minor = fields.Integer(required=True)
    released_minor = fields.Integer(required=True)
    left_minor = fields.Integer(required=True)
    bonus_limit_minor = fields.Integer(required=True, metadata={"description": "How much of it bonus might pay"})
    reason = fields.String(required=True, allow_none=True)
    expires_at = fields.DateTime(required=True, allow_none=True)
    created_at = fields.DateTime(required=True)
    closed_at = fields.DateTime(required=True, allow_none=True)


class HoldChangeOut(Schema):
    """What happened to a hold."""

    id = fields.UUID(required=True, metadata={"description": "For a capture, that of the purchase"})
    kind = fields.String(required=True, validate=validate.OneOf(["capture", "release", "expiry"]))
    amount_minor = fields.Integer(required=True)
    at = fields.DateTime(required=True)
    reason = fields.String(required=True, allow_none=True)


class HoldDetailOut(HoldOut):
    """A hold and its history."""

    changes = fields.List(fields.Nested(HoldChangeOut), required=True)


class CaptureOut(Schema):
    """A captured part: a purchase."""

    id = fields.UUID(required=True)
    hold_id = fields.UUID(required=True)
    amount_minor = fields.Integer(required=True)
    paid_minor = fields.Integer(required=True)
    bonus_minor = fields.Integer(required=True)
    balance_after_minor = fields.Integer(required=True, metadata={"description": "Paid and bonus, what is held included"})
    hold = fields.Nested(HoldOut, required=True)
