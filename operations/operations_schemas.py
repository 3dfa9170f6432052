"""Shapes of the JSON of member operations."""

from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from marketplace.seat import seat_orders
from operations import events

MONTH = r"^(19|20)[0-9]{2}-(0[1-9]|1[0-2])$(?!\n)"  # `$` alone lets a line end through


class EventIn(Schema):
    """One thing a user or an automation did. `id` makes a repeat harmless; events may come late and in any order."""

    class Meta:
        unknown = EXCLUDE

    id = fields.String(required=True, validate=validate.Length(1, events.LENGTHS["id"]), metadata={"description": "The sender's, unique within the member"})
    user = fields.String(required=True, validate=validate.Length(1, events.LENGTHS["user"]), metadata={"description": "The user's name in the product"})
    at = fields.AwareDateTime(required=True, metadata={"description": "With an offset from UTC; at most an hour ahead"})
    feature = fields.String(required=True, validate=validate.Length(1, events.LENGTHS["feature"]), metadata={"example": "contact"})
    action = fields.String(required=True, validate=validate.Length(1, events.LENGTHS["action"]), metadata={"example": "copy_field"})
    object = fields.String(allow_none=True, validate=validate.Length(1, events.LENGTHS["object"]))
    duration_ms = fields.Integer(load_default=0, validate=validate.Range(0, events.DAY_MS))
    automated = fields.Boolean(load_default=False, metadata={"description": "Done by a script, not by a person"})
    member = fields.String(metadata={"description": "Number or id of the member; operators must give it, others may leave it out"})


class _Batch(fields.List[Any]):
    """A list whose rows are told good from bad one by one (operations.events), not all at once."""

    checks_rows = True

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:  # noqa: ARG002
        if not isinstance(value, list):
            raise ValidationError("Give a list of events.")
        return value


class EventsIn(Schema):
    """A batch of behaviour events."""

    events = _Batch(fields.Nested(EventIn), required=True)


class RejectedOut(Schema):
    """A row that was not stored."""

    index = fields.Integer(required=True, metadata={"description": "Place in the batch, from 0"})
    field = fields.String(required=True)
    detail = fields.String(required=True)


class ReceiptOut(Schema):
    """What became of a batch."""

    accepted = fields.Integer(required=True)
    duplicates = fields.Integer(required=True, metadata={"description": "Stored before, or twice in this batch"})
    rejected = fields.List(fields.Nested(RejectedOut), required=True)


class OfferIn(Schema):
    """A recommendation. `id` is made by the client (UUIDv7 advised) and makes it happen once."""

    id = fields.UUID(required=True)
    listing = fields.String(required=True, metadata={"description": "The listing's slug"})
    reason = fields.String(required=True, validate=validate.Length(1, 500), metadata={"description": "Why this for this member; the customer reads it"})
    seats = fields.Integer(
        strict=True,
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, seat_orders.MOST_SEATS),
        metadata={"description": "Of a listing that is licensed by the seat: how many, one by default"},
    )


class OfferOut(Schema):
    """An offer."""

    id = fields.UUID(required=True)
    member_id = fields.UUID(required=True)
    listing = fields.String(required=True)
    reason = fields.String(required=True)
    recommended_by = fields.String(required=True)
    seats = fields.Integer(required=True, allow_none=True, metadata={"description": "How many; null where the listing is not licensed by the seat"})
    price_minor = fields.Integer(required=True, metadata={"description": "What accepting costs, of all seats; of a closed offer, the price it was sent with"})
    currency = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(("sent", "accepted", "declined", "withdrawn", "expired")))
    sent_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True)
    decided_at = fields.AwareDateTime(required=True, allow_none=True)
    order_id = fields.UUID(required=True, allow_none=True)


class AcceptanceIn(Schema):
    """Buying what is offered. It happens once, however often it is sent."""

    price_minor = fields.Integer(
        strict=True,
        load_default=None,
        allow_none=True,
        validate=validate.Range(min=0),
        metadata={"description": "The price you were shown, of all seats; by default the offer's"},
    )


class AcceptanceOut(Schema):
    """A purchase from an offer."""

    offer_id = fields.UUID(required=True)
    order_id = fields.UUID(required=True)
    total_minor = fields.Integer(required=True)
    paid_minor = fields.Integer(required=True)
    bonus_minor = fields.Integer(required=True)
    balance_after_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    at = fields.AwareDateTime(required=True)


class RefusalIn(Schema):
    """Declining an offer."""

    reason = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))


class RevenueQuery(Schema):
    """The months to report, inclusive; the last twelve by default."""

    since = fields.String(load_default=None, data_key="from", validate=validate.Regexp(MONTH), metadata={"example": "2026-01"})
    until = fields.String(load_default=None, data_key="to", validate=validate.Regexp(MONTH), metadata={"example": "2026-06"})


class RevenueMonthOut(Schema):
    """Billed in one month, tax included, by kind."""

    month = fields.String(required=True, metadata={"example": "2026-06"})
    new_minor = fields.Integer(required=True)
    renewal_minor = fields.Integer(required=True)
    seats_minor = fields.Integer(required=True)
    edition_minor = fields.Integer(required=True)
    store_minor = fields.Integer(required=True)
    total_minor = fields.Integer(required=True)


class RevenueOut(Schema):
    """Billed revenue by month and kind."""

    currency = fields.String(required=True)
    months = fields.List(fields.Nested(RevenueMonthOut), required=True)


class ActivityOut(Schema):
    """What a member's people did in 28 days; automations are counted apart."""

    member_id = fields.UUID(required=True)
    day = fields.Date(required=True, metadata={"description": "The last day of the windows"})
    people = fields.Integer(required=True, metadata={"description": "Registered users or paid seats, whichever is more"})
    active_7 = fields.Integer(required=True)
    active_28 = fields.Integer(required=True)
    activation = fields.Float(required=True, allow_none=True)
    active_days_28 = fields.Integer(required=True)
    per_day = fields.Float(required=True, metadata={"description": "Mean people active a day"})
    stickiness = fields.Float(required=True, allow_none=True, metadata={"description": "per_day / active_28"})
    minutes_28 = fields.Integer(required=True)
    features_28 = fields.Integer(required=True)
    depth = fields.Float(required=True, allow_none=True, metadata={"description": "Events per person and active day"})
    automated_28 = fields.Integer(required=True)
    trend = fields.Float(required=True, allow_none=True, metadata={"description": "Change of user-days against the 28 days before, a ratio"})
    weeks = fields.List(fields.Integer(), required=True, metadata={"description": "User-days of eight weeks, oldest first"})
