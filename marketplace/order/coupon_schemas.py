"""What the pages and the API of coupons take and give."""

from typing import Any

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, fields, pre_load, validate

from billing.finance.finance_schemas import CURRENCY, SENSIBLE
from billing.wallet.wallet_schemas import Money
from core.schemas import Form

PERCENT = validate.Range(0, 100, min_inclusive=False, error=_l("Enter a percentage above 0, up to 100."))
USES = validate.Range(1, 1_000_000_000, error=_l("Enter a number of uses from 1 up, or leave it empty."))
SLUG = validate.Regexp(r"^[a-z0-9-]{0,80}$", error=_l("Write it as in the store's address: small letters, digits and hyphens."))
MINOR = validate.Range(1, 10**15)
WHY = validate.Length(min=3, max=500, error=_l("Say why, in a sentence."))


class _SparseForm(Form):
    @pre_load
    def _without_empty(self, data: Any, **_kwargs: Any) -> dict[str, Any]:
        return {name: value.strip() for name, value in data.items() if value.strip()}


class CouponForm(_SparseForm):
    """The form: a percentage or an amount, dates as text in the legal entity's zone, empty for no limit."""

    id = fields.UUID(required=True)
    code = fields.String(
        required=True, validate=validate.Length(3, 30, error=_l("A code has 3 to 30 letters, digits or hyphens.")),
        error_messages={"required": _l("A code has 3 to 30 letters, digits or hyphens.")},
    )  # fmt: skip
    percent = fields.Decimal(load_default=None, places=2, validate=PERCENT, error_messages={"invalid": _l("Enter a percentage above 0, up to 100.")})
    amount = Money(load_default=None)
    starts_at = fields.String(load_default="")
    ends_at = fields.String(load_default="")
    most_uses = fields.Integer(
        load_default=None, validate=USES, error_messages={"invalid": _l("Enter a number of uses from 1 up, or leave it empty.")}
    )  # fmt: skip
    first_only = fields.Boolean(load_default=False)
    listing = fields.String(load_default=None, validate=SLUG)
    publisher = fields.String(load_default=None, validate=SLUG)


class CouponEndForm(_SparseForm):
    """Why a coupon ends."""

    reason = fields.String(required=True, validate=WHY, error_messages={"required": _l("Say why, in a sentence.")})


class CouponIn(Schema):
    """A coupon. `id` is made by the client and makes it happen once. Either `percent_bp` or `amount_minor`."""

    id = fields.UUID(required=True)
    code = fields.String(required=True, validate=validate.Length(3, 30), metadata={"description": "Letters, digits and hyphens; capitals or not"})
    currency = fields.String(load_default="CNY", validate=CURRENCY)
    percent_bp = fields.Integer(load_default=None, strict=True, validate=validate.Range(1, 10_000), metadata={"description": "In basis points: 1500 is 15%"})
    amount_minor = fields.Integer(load_default=None, strict=True, validate=MINOR, metadata={"description": "Off the whole order, at most its price"})
    starts_at = fields.AwareDateTime(format="iso", load_default=None, validate=SENSIBLE, metadata={"description": "Now without it"})
    ends_at = fields.AwareDateTime(format="iso", load_default=None, validate=SENSIBLE, metadata={"description": "First instant at which it is over"})
    most_uses = fields.Integer(load_default=None, strict=True, validate=USES, metadata={"description": "By all members together"})
    first_only = fields.Boolean(load_default=False, metadata={"description": "For a member's first purchase only"})
    listing = fields.String(load_default=None, validate=SLUG, metadata={"description": "Slug of the one listing it is for"})
    publisher = fields.String(load_default=None, validate=SLUG, metadata={"description": "Code of the one publisher whose listings it is for"})


class CouponEndIn(Schema):
    """Why a coupon ends."""

    reason = fields.String(required=True, validate=WHY)


class CouponOut(Schema):
    """A coupon and what became of it."""

    id = fields.UUID(required=True)
    code = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["scheduled", "running", "used_up", "over"]))
    currency = fields.String(required=True)
    percent_bp = fields.Integer(required=True, allow_none=True)
    amount_minor = fields.Integer(required=True, allow_none=True)
    starts_at = fields.DateTime(required=True)
    ends_at = fields.DateTime(required=True, allow_none=True)
    most_uses = fields.Integer(required=True, allow_none=True)
    uses = fields.Integer(required=True)
    first_only = fields.Boolean(required=True)
    listing_id = fields.UUID(required=True, allow_none=True)
    publisher_id = fields.UUID(required=True, allow_none=True)
    discount_minor = fields.Integer(required=True, metadata={"description": "What it has taken off so far"})
    sold_minor = fields.Integer(required=True, metadata={"description": "What was paid in the orders it lowered"})
