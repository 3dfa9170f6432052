"""What wallet pages and the wallet API take and give."""

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, ValidationError, fields, validate

from core import typed
from core.schemas import Form
from core.settings import CONSUMPTION_ORDERS

MOST_DIGITS = 15


class Money(fields.Field[int]):
    """An amount as people write it (`1,000.50`), in a currency with two decimals; minor units inside."""

    default_error_messages = {  # noqa: RUF012 (marshmallow's way)
        "invalid": _l("Enter an amount like 1,000.00."),
        "required": _l("Enter an amount like 1,000.00."),
    }

    def __init__(self, *, allow_zero: bool = False, **kwargs: Any) -> None:
        """`allow_zero`: nothing is an amount, too, as of a price."""
        super().__init__(**kwargs)
        self.allow_zero = allow_zero

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:  # noqa: ARG002 (marshmallow's signature)
        amount = typed.amount(str(value))
        if amount is None or (not amount and not self.allow_zero) or amount.adjusted() + 2 > MOST_DIGITS:
            raise self.make_error("invalid")
        if (minor := amount.scaleb(2)) != minor.to_integral_value():
            raise self.make_error("invalid")
        return int(minor)


class TopUpForm(Form):
    """The top-up page's form. `source` is `bank_transfer`, or the id of a saved card."""

    id = fields.UUID(required=True)
    amount = Money(required=True)
    source = fields.String(required=True, error_messages={"required": _l("Choose how you want to pay.")})
    return_to = fields.String(load_default="")


class SetupForm(Form):
    """What Stripe's card form leaves behind: the confirmed intent."""

    setup_intent = fields.String(required=True, validate=validate.Regexp(r"^seti_\w+$"))


class ConfirmationForm(Form):
    """Finance's confirmation of a transfer."""

    received = Money(required=True)
    bank_transaction = fields.String(required=True, validate=validate.Length(min=3, max=100, error=_l("Enter the bank's own number of the transfer.")))


class CancellationForm(Form):
    """Finance's reason why a transfer will not come."""

    reason = fields.String(required=True, validate=validate.Length(min=3, max=500, error=_l("Say why, in a sentence the customer will read.")))


class GrantOut(Schema):
    """Money that came in at once: how much of it is left, until when, and where it came from."""

    id = fields.UUID(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(["paid", "bonus"]))
    granted_minor = fields.Integer(required=True)
    remaining_minor = fields.Integer(required=True, metadata={"description": "What is held included"})
    held_minor = fields.Integer(required=True)
    priority = fields.Integer(required=True, metadata={"description": "The lower is spent first, within its kind"})
    granted_at = fields.DateTime(required=True)
    expires_at = fields.DateTime(required=True, allow_none=True, metadata={"description": "Held money does not expire until it is given back"})
    source = fields.String(required=True, allow_none=True, metadata={"description": "Kind of the entry: top_up, goodwill, opening_balance, …"})
    source_id = fields.UUID(required=True, allow_none=True)
    where_from = fields.String(required=True, metadata={"description": "In the language of Accept-Language"})


class WalletOut(Schema):
    """A wallet at an instant; all amounts in minor units."""

    currency = fields.String(required=True)
    paid_minor = fields.Integer(required=True)
    bonus_minor = fields.Integer(required=True)
    held_minor = fields.Integer(required=True, metadata={"description": "Reserved; not available"})
    available_minor = fields.Integer(required=True, metadata={"description": "paid + bonus − held"})
    credit_limit_minor = fields.Integer(required=True, metadata={"description": "What you may owe us beyond your money; not part of available"})
    owed_minor = fields.Integer(required=True, metadata={"description": "What you owe us; the next top-up pays it first"})
    state = fields.String(required=True, validate=validate.OneOf(["open", "frozen"]))
    as_of = fields.DateTime(required=True)
    next_expiry_at = fields.DateTime(required=True, allow_none=True)
    next_expiry_minor = fields.Integer(required=True)
    consumption_order = fields.String(required=True, validate=validate.OneOf(CONSUMPTION_ORDERS))
    order_in_words = fields.String(required=True)
    grants = fields.List(fields.Nested(GrantOut), required=True, metadata={"description": "In the order of use, the first fifty"})
    grants_count = fields.Integer(required=True)
    balance_warning_minor = fields.Integer(required=True, allow_none=True)
    auto_top_up = fields.String(required=True, validate=validate.OneOf(["off", "on", "stopped"]))


class EntryOut(Schema):
    """One change of the wallet."""

    id = fields.UUID(required=True, metadata={"description": "The document: a top-up, an order, a charge"})
    seq = fields.Integer(required=True)
    kind = fields.String(required=True)
    at = fields.DateTime(required=True, attribute="effective_at")
    amount_minor = fields.Integer(required=True, metadata={"description": "+ in, − out"})
    currency = fields.String(required=True)
    paid_after_minor = fields.Integer(required=True)
    bonus_after_minor = fields.Integer(required=True)


class TopUpIn(Schema):
    """A top-up. `id` is made by the client (UUIDv7 advised) and makes it happen once."""

    id = fields.UUID(required=True)
    amount_minor = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))
    currency = fields.String(validate=validate.Regexp("^[A-Z]{3}$"), metadata={"description": "The wallet's own by default"})
    method = fields.String(required=True, validate=validate.OneOf(["card", "bank_transfer"]))
    payment_method_id = fields.UUID(metadata={"description": "A saved card; the default one without it"})


class TopUpOut(Schema):
    """A top-up as it stands. It counts once its state is `settled`."""

    id = fields.UUID(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["pending", "settled", "failed", "cancelled"]))
    method = fields.String(required=True)
    currency = fields.String(required=True)
    amount_minor = fields.Integer(required=True)
    bonus_minor = fields.Integer(required=True, metadata={"description": "Promised while pending, granted once settled"})
    received_minor = fields.Integer(required=True, allow_none=True, metadata={"description": "What arrived by bank transfer"})
    failure = fields.String(required=True, allow_none=True)
    payment_method_id = fields.UUID(required=True, allow_none=True)
    bank_reference = fields.String(required=True, allow_none=True, metadata={"description": "To be written on the transfer"})
    created_at = fields.DateTime(required=True)
    settled_at = fields.DateTime(required=True, allow_none=True)


class ConfirmationIn(Schema):
    """A bank transfer that has arrived."""

    received_minor = fields.Integer(required=True, strict=True, validate=validate.Range(1, 10**MOST_DIGITS))
    bank_transaction = fields.String(required=True, validate=validate.Length(min=3, max=100), metadata={"description": "The bank's own number of the transfer"})
    member_id = fields.UUID(load_default=None, metadata={"description": "Needed only where two members made the same id"})


def errors_of(error: ValidationError) -> dict[str, Any]:
    """Marshmallow's messages as a plain dictionary for the page."""
    return error.messages if isinstance(error.messages, dict) else {"_form": error.messages}
