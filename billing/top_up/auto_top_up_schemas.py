"""What the pages and the API of automatic top-ups take and give."""

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, fields, validate

from billing.wallet.wallet_schemas import MOST_DIGITS, Money
from core.schemas import Form

MINOR = validate.Range(1, 10**MOST_DIGITS)


class AutoTopUpForm(Form):
    """The page's form; `card` is the id of a saved card."""

    threshold = Money(required=True)
    amount = Money(required=True)
    cap = Money(required=True)
    card = fields.UUID(required=True, error_messages={"required": _l("Choose a saved card."), "invalid_uuid": _l("Choose a saved card.")})


class WarningForm(Form):
    """Below which amount to be told; empty: not at all."""

    threshold = Money(load_default=None)


class AutoTopUpIn(Schema):
    """What is agreed to: below the threshold, the card is charged the amount, at most the cap in a calendar month."""

    threshold_minor = fields.Integer(required=True, strict=True, validate=MINOR)
    amount_minor = fields.Integer(required=True, strict=True, validate=MINOR, metadata={"description": "One charge; at least the threshold"})
    cap_minor = fields.Integer(required=True, strict=True, validate=MINOR, metadata={"description": "The most in a calendar month of the legal entity's zone"})
    payment_method_id = fields.UUID(load_default=None, metadata={"description": "A saved card; the default one without it"})


class AutoTopUpOut(Schema):
    """The standing order as it is. Amounts are null where there never was one."""

    state = fields.String(required=True, validate=validate.OneOf(["off", "on", "stopped"]))
    currency = fields.String(required=True)
    threshold_minor = fields.Integer(required=True, allow_none=True)
    amount_minor = fields.Integer(required=True, allow_none=True)
    cap_minor = fields.Integer(required=True, allow_none=True)
    payment_method_id = fields.UUID(required=True, allow_none=True)
    used_this_month_minor = fields.Integer(required=True, metadata={"description": "Counts against the cap: settled, and those whose outcome is not known"})
    failures_in_a_row = fields.Integer(required=True)
    max_failures = fields.Integer(required=True, metadata={"description": "After so many it stops"})
    interval_minutes = fields.Integer(required=True, metadata={"description": "The least time between two charges"})
    stop_reason = fields.String(required=True, allow_none=True, validate=validate.OneOf(["declined", "no_card", "refused"]))
    stopped_at = fields.DateTime(required=True, allow_none=True)
    in_words = fields.List(fields.String(), required=True, metadata={"description": "What happens, in the language of Accept-Language"})


class BalanceWarningIn(Schema):
    """Below which available money to be told; null: not at all."""

    threshold_minor = fields.Integer(required=True, strict=True, allow_none=True, validate=MINOR)


class BalanceWarningOut(BalanceWarningIn):
    """The same, as it stands."""

    threshold_minor = fields.Integer(required=True, allow_none=True)
