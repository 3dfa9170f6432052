"""What pages and API take and give where money goes back: refunds, adjustments, corrections, and decisions about them."""

from typing import Any

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, fields, validate

from billing.approval.adjustments import GIVES, TAKES
from billing.approval.approvals import REASON_LENGTH, REASONS
from billing.wallet.wallet_schemas import MOST_DIGITS, Money
from core.schemas import Form, PageQuery

STATES = ("proposed", "done", "rejected")
REFUND_STATES = ("requested", "pending", "confirmed", "failed", "rejected")
ADJUSTMENTS = ("goodwill", "adjustment", "write_off")
ACCOUNTS = tuple(dict.fromkeys(GIVES + TAKES))
AMOUNT = validate.Range(1, 10**MOST_DIGITS)
CHOOSE_REASON = _l("Choose a reason.")


def _reason_code() -> fields.String:
    return fields.String(
        required=True, validate=validate.OneOf(list(REASONS), error=CHOOSE_REASON), error_messages={"required": CHOOSE_REASON},
        metadata={"description": "Why, as a code; `other` needs words"},
    )  # fmt: skip


def _reason() -> fields.String:
    return fields.String(load_default="", validate=validate.Length(max=REASON_LENGTH), metadata={"description": "Why, in words, for whoever decides"})


class _ReasonedForm(Form):
    id = fields.UUID(required=True)
    reason_code = _reason_code()
    reason = _reason()


class RefundForm(_ReasonedForm):
    """How much of a top-up goes back to where it came from."""

    amount = Money(required=True)


class OwnRefundForm(Form):
    """What a customer asks back of its top-up."""

    id = fields.UUID(required=True)
    amount = Money(required=True)


class OrderRefundForm(_ReasonedForm):
    """How much of an order is given back, as an amount or in percent, and what becomes of its licence."""

    by = fields.String(load_default="amount", validate=validate.OneOf(["amount", "percent", "all"]))
    amount = Money(load_default=None, allow_none=True)
    percent = fields.Decimal(load_default=None, allow_none=True, places=2, validate=validate.Range(0, 100, min_inclusive=False))
    licence = fields.String(
        required=True, validate=validate.OneOf(["revoke", "keep"], error=_l("Decide what becomes of the licence.")),
        error_messages={"required": _l("Decide what becomes of the licence.")},
    )  # fmt: skip


class AdjustmentForm(_ReasonedForm):
    """Goodwill, a manual adjustment or a write-off."""

    kind = fields.String(required=True, validate=validate.OneOf(ADJUSTMENTS))
    amount = Money(required=True)
    days = fields.Integer(load_default=90, validate=validate.Range(1, 3660, error=_l("Enter a number of days.")))
    direction = fields.String(load_default="give", validate=validate.OneOf(["give", "take"]))
    account = fields.String(load_default="")


class CorrectionForm(_ReasonedForm):
    """Why an entry is reversed."""


class DecisionForm(Form):
    """What the second person says."""

    note = fields.String(load_default="", validate=validate.Length(max=REASON_LENGTH))


class BankForm(Form):
    """The bank's number of a transfer that we made."""

    bank_transaction = fields.String(required=True, validate=validate.Length(min=3, max=100, error=_l("Enter the bank's own number of the transfer.")))


class FailureForm(Form):
    """Why a transfer of ours did not arrive."""

    reason = fields.String(required=True, validate=validate.Length(min=3, max=500, error=_l("Say why, in a sentence the customer will read.")))


class _ReasonIn(Schema):
    id = fields.UUID(required=True, metadata={"description": "Made by the client; makes it happen once"})
    reason_code = _reason_code()
    reason = _reason()


class CardRefundIn(_ReasonIn):
    """Money back to where a top-up came from."""

    amount_minor = fields.Integer(required=True, strict=True, validate=AMOUNT)


class OwnRefundIn(Schema):
    """Money back to where a top-up came from, asked for by the customer."""

    id = fields.UUID(required=True, metadata={"description": "Made by the client; makes it happen once"})
    amount_minor = fields.Integer(required=True, strict=True, validate=AMOUNT)


class OrderRefundIn(_ReasonIn):
    """A part of an order, back to the grants that paid."""

    amount_minor = fields.Integer(required=True, strict=True, validate=AMOUNT)
    licence = fields.String(required=True, validate=validate.OneOf(["revoke", "keep"]), metadata={"description": "What becomes of the licence: never silent"})


class AdjustmentIn(_ReasonIn):
    """Goodwill (bonus), a manual adjustment of paid money, or a write-off of what a member owes."""

    kind = fields.String(required=True, validate=validate.OneOf(ADJUSTMENTS))
    amount_minor = fields.Integer(required=True, strict=True, validate=AMOUNT)
    days = fields.Integer(load_default=90, strict=True, validate=validate.Range(1, 3660), metadata={"description": "How long goodwill lives"})
    direction = fields.String(load_default="give", validate=validate.OneOf(["give", "take"]), metadata={"description": "Of an adjustment"})
    account = fields.String(load_default="", validate=validate.OneOf(["", *ACCOUNTS]), metadata={"description": "What an adjustment stands against"})


class CorrectionIn(_ReasonIn):
    """The reverse of an entry."""


class ApprovalOut(Schema):
    """A decision about money. `proposed`: a second person decides at the finance console; `done`: it is booked under the same id."""

    id = fields.UUID(required=True)
    kind = fields.String(required=True)
    member_id = fields.UUID(required=True, allow_none=True)
    currency = fields.String(required=True)
    amount_minor = fields.Integer(required=True)
    reason_code = fields.String(required=True)
    reason = fields.String(required=True)
    details: Any = fields.Dict(required=True, keys=fields.String())
    needs_second = fields.Boolean(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    proposed_name = fields.String(required=True)
    proposed_at = fields.DateTime(required=True)
    decided_name = fields.String(required=True, allow_none=True)
    decided_at = fields.DateTime(required=True, allow_none=True)
    note = fields.String(required=True, allow_none=True)


class ApprovalsIn(PageQuery):
    """Which decisions."""

    state = fields.String(load_default="", validate=validate.OneOf(["", *STATES]))


class CardRefundOut(Schema):
    """Money on its way back. It has left us once its state is `confirmed`."""

    id = fields.UUID(required=True)
    top_up_id = fields.UUID(required=True)
    method = fields.String(required=True, validate=validate.OneOf(["card", "bank_transfer"]))
    currency = fields.String(required=True)
    amount_minor = fields.Integer(required=True)
    bonus_minor = fields.Integer(required=True, metadata={"description": "Unspent bonus of the same top-up, taken back with it"})
    state = fields.String(required=True, validate=validate.OneOf(REFUND_STATES))
    failure = fields.String(required=True, allow_none=True)
    requested_at = fields.DateTime(required=True)
    closed_at = fields.DateTime(required=True, allow_none=True)


class CardRefundsOut(Schema):
    """What of a top-up can go back, and what has."""

    refundable_minor = fields.Integer(required=True)
    unspent_minor = fields.Integer(required=True, metadata={"description": "Of its paid money, not held for anything"})
    bonus_spent_minor = fields.Integer(required=True, metadata={"description": "Of its bonus, used already: it lowers what can go back"})
    items = fields.List(fields.Nested(CardRefundOut), required=True)
