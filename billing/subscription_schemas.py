"""What subscription pages and the subscription API take and give. Amounts are minor units, tax included."""

from typing import Any

from flask_babel import lazy_gettext as _l
from marshmallow import EXCLUDE, Schema, fields, validate

from membership import motions
from membership.catalogue import PERIODS

SEATS_MOST = 100_000
STATES = ("trialing", "active", "past_due", "ended")


def _rank(**more: Any) -> fields.Integer:
    return fields.Integer(validate=validate.Range(1, 4, error=_l("Choose an edition.")), metadata={"description": "Edition: 1 entry … 4 flagship"}, **more)


def _seats(**more: Any) -> fields.Integer:
    wrong = _l("Enter a whole number of seats, from 1 on.")
    return fields.Integer(validate=validate.Range(1, SEATS_MOST, error=wrong), error_messages={"invalid": wrong, "required": wrong}, **more)


def _price() -> fields.Integer:
    return fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(min=0),
        metadata={"description": "Today's charge as the preview showed it; another price is refused"},
    )


class WishIn(Schema):
    """A subscription somebody thinks of starting."""

    product_line = fields.String(required=True, validate=validate.Length(1, 50))
    rank = _rank(required=True)
    period = fields.String(required=True, validate=validate.OneOf(PERIODS, error=_l("Choose a period.")))
    seats = _seats(required=True)
    is_trial = fields.Boolean(load_default=False, metadata={"description": "Try first; charged when the trial is over, unless cancelled"})


class StartIn(WishIn):
    """A start. `id` is made by the client (UUIDv7 advised), makes it happen once and names the subscription."""

    id = fields.UUID(required=True)
    price_minor = _price()


class ChangePreviewIn(Schema):
    """The edition and the seats that are wanted; what is left out stays as it is (and as it is planned)."""

    rank = _rank(load_default=None, allow_none=True)
    seats = _seats(load_default=None, allow_none=True)


class ChangeIn(ChangePreviewIn):
    """A change. More takes effect now, less with the next term; what is there already undoes a plan."""

    id = fields.UUID(required=True)
    price_minor = _price()


class WishForm(WishIn):
    """The address of a preview page."""

    class Meta:
        unknown = EXCLUDE


class StartForm(StartIn):
    """What the confirmation of a start sends."""

    class Meta:
        unknown = EXCLUDE

    price_minor = fields.Integer(required=True, validate=validate.Range(min=0))


class ChangePreviewForm(ChangePreviewIn):
    """The address of a change's preview page."""

    class Meta:
        unknown = EXCLUDE


class ChangeForm(ChangeIn):
    """What the confirmation of a change sends."""

    class Meta:
        unknown = EXCLUDE

    price_minor = fields.Integer(required=True, validate=validate.Range(min=0))


class SubscriptionOut(Schema):
    """A subscription as it stands."""

    id = fields.UUID(required=True)
    product_line = fields.String(required=True)
    rank = fields.Integer(required=True)
    seats = fields.Integer(required=True)
    period = fields.String(required=True, validate=validate.OneOf(PERIODS))
    currency = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    term = fields.Integer(required=True, metadata={"description": "1 for the first, counted up by each renewal"})
    started_at = fields.DateTime(required=True)
    term_start = fields.DateTime(required=True)
    term_end = fields.DateTime(required=True, metadata={"description": "Exclusive; the next term begins here"})
    term_price_minor = fields.Integer(required=True, metadata={"description": "A full term at the present edition and seats"})
    arr_minor = fields.Function(motions.arr_of, metadata={"type": "integer", "description": "Annual recurring revenue"})
    cancel_at_term_end = fields.Boolean(required=True)
    next_rank = fields.Integer(required=True, allow_none=True, metadata={"description": "The edition from the next term on, where it is lower"})
    next_seats = fields.Integer(required=True, allow_none=True, metadata={"description": "The seats from the next term on, where they are fewer"})
    ended_at = fields.DateTime(required=True, allow_none=True)


class LineOut(Schema):
    """One line of today's charge."""

    kind = fields.String(required=True, validate=validate.OneOf(["base", "seats", "edition", "more_seats"]))
    amount_minor = fields.Integer(required=True)
    quantity = fields.Integer(required=True)
    unit_minor = fields.Integer(required=True, metadata={"description": "Price of one for a full term; 0 where it is a share of a term"})


class PreviewOut(Schema):
    """What would be charged today, and what follows. It is the same all day, in the seller's time zone."""

    currency = fields.String(required=True)
    lines = fields.List(fields.Nested(LineOut), required=True)
    amount_minor = fields.Integer(required=True, metadata={"description": "Send it as `price_minor`"})
    tax_minor = fields.Integer(required=True, metadata={"description": "Inside the amount"})
    bonus_minor = fields.Integer(required=True, attribute="draw.bonus_minor", metadata={"description": "Drawn from bonus"})
    paid_minor = fields.Integer(required=True, attribute="draw.paid_minor", metadata={"description": "Drawn from paid money"})
    missing_minor = fields.Integer(required=True, metadata={"description": "What the wallet lacks"})
    available_minor = fields.Integer(required=True)
    balance_after_minor = fields.Integer(required=True)
    service_from = fields.DateTime(required=True)
    service_until = fields.DateTime(required=True, metadata={"description": "Exclusive; the next term begins here"})
    rank = fields.Integer(required=True)
    seats = fields.Integer(required=True)
    next_rank = fields.Integer(required=True)
    next_seats = fields.Integer(required=True)
    next_price_minor = fields.Integer(required=True, metadata={"description": "The next term's price, as far as it is known today"})


class ChangeOut(Schema):
    """A change that stands."""

    id = fields.UUID(required=True)
    amount_minor = fields.Integer(required=True, metadata={"description": "What it charged"})
    subscription = fields.Nested(SubscriptionOut, required=True)
