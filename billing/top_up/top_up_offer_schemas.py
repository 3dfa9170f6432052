"""What the pages and the API of top-up offers take and give."""

from typing import Any

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from billing.finance.finance_schemas import CURRENCY, SENSIBLE
from billing.top_up.auto_top_up_schemas import MINOR
from billing.top_up.top_up_offers import TIERS_MOST
from billing.wallet.wallet_schemas import Money
from core.schemas import Form

NAME = validate.Length(min=2, max=60, error=_l("Enter a name of 2 to 60 characters."))
DAYS = validate.Range(1, 3_650, error=_l("Enter a number of days from 1 to 3,650."))
PRIORITY = validate.Range(-100, 100, error=_l("Enter a whole number from −100 to 100."))


class TopUpOfferForm(Form):
    """The form: names, up to five steps (`from_1`, `bonus_1`, …), dates as text in the legal entity's zone."""

    id = fields.UUID(required=True)
    name_zh = fields.String(required=True, validate=NAME, error_messages={"required": _l("Enter a name of 2 to 60 characters.")})
    name_en = fields.String(required=True, validate=NAME, error_messages={"required": _l("Enter a name of 2 to 60 characters.")})
    bonus_days = fields.Integer(required=True, validate=DAYS, error_messages={"invalid": _l("Enter a number of days from 1 to 3,650.")})
    priority = fields.Integer(load_default=0, validate=PRIORITY, error_messages={"invalid": _l("Enter a whole number from −100 to 100.")})
    starts_at = fields.String(load_default="")
    ends_at = fields.String(load_default="")
    first_only = fields.Boolean(load_default=False)


def steps_of(form: dict[str, str]) -> tuple[tuple[int, int], ...]:
    """The steps that were filled in. Raises ValidationError naming the field."""
    amount, wrong, steps = Money(), {}, []
    for n in range(1, TIERS_MOST + 1):
        typed = [form.get(name, "").strip() for name in (f"from_{n}", f"bonus_{n}")]
        if not any(typed):
            continue
        read = []
        for name, value in zip((f"from_{n}", f"bonus_{n}"), typed, strict=True):
            try:
                read.append(amount.deserialize(value or None))
            except ValidationError as error:
                wrong[name] = [_l("Enter an amount like 1,000.00.")] if not value else error.messages
        if len(read) == 2:
            steps.append((read[0], read[1]))
    if wrong:
        raise ValidationError(wrong)
    return tuple(steps)


class TierIn(Schema):
    """From which amount on the offer gives how much."""

    from_minor = fields.Integer(required=True, strict=True, validate=MINOR)
    bonus_minor = fields.Integer(required=True, strict=True, validate=MINOR)


class TopUpOfferIn(Schema):
    """A campaign. `id` is made by the client and makes it happen once."""

    id = fields.UUID(required=True)
    name_zh = fields.String(required=True, validate=NAME)
    name_en = fields.String(required=True, validate=NAME)
    currency = fields.String(load_default="CNY", validate=CURRENCY)
    tiers = fields.List(fields.Nested(TierIn), required=True, validate=validate.Length(1, TIERS_MOST))
    bonus_days = fields.Integer(required=True, strict=True, validate=DAYS, metadata={"description": "How long the bonus lives from the day it arrives"})
    priority = fields.Integer(
        load_default=0, strict=True, validate=PRIORITY, metadata={"description": "Of the bonus among other bonus: the lower is spent first"}
    )
    first_only = fields.Boolean(load_default=False, metadata={"description": "For a member's first top-up only"})
    starts_at = fields.AwareDateTime(format="iso", load_default=None, validate=SENSIBLE, metadata={"description": "Now without it"})
    ends_at = fields.AwareDateTime(format="iso", load_default=None, validate=SENSIBLE, metadata={"description": "First instant at which it is over"})

    @validates_schema
    def ends_after_it_begins(self, data: dict[str, Any], **_kwargs: Any) -> None:
        """Said here as well, so that a client without a start gets the words at the field."""
        if data.get("starts_at") and data.get("ends_at") and data["ends_at"] <= data["starts_at"]:
            raise ValidationError(_l("The offer must end after it begins, and not in the past."), "ends_at")


class TopUpOfferEndIn(Schema):
    """Why an offer ends."""

    reason = fields.String(required=True, validate=validate.Length(min=3, max=500, error=_l("Say why, in a sentence.")))


class TopUpOfferEndForm(TopUpOfferEndIn, Form):
    """The same, from the page."""


class TopUpOfferOut(Schema):
    """A campaign and what became of it."""

    id = fields.UUID(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["scheduled", "running", "over"]))
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    currency = fields.String(required=True)
    tiers = fields.List(fields.Nested(TierIn), required=True)
    bonus_days = fields.Integer(required=True)
    priority = fields.Integer(required=True)
    first_only = fields.Boolean(required=True)
    starts_at = fields.DateTime(required=True)
    ends_at = fields.DateTime(required=True, allow_none=True)
    settled = fields.Integer(required=True, metadata={"description": "Top-ups that arrived with it"})
    topped_up_minor = fields.Integer(required=True)
    bonus_given_minor = fields.Integer(required=True)


class MemberTierOut(TierIn):
    """What a top-up earns the member now, from an amount on; the largest bonus that an amount reaches applies once."""

    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    bonus_days = fields.Integer(required=True)
    first_only = fields.Boolean(required=True)
    ends_at = fields.DateTime(required=True, allow_none=True)


class MemberOffersOut(Schema):
    """What is on offer to this member."""

    currency = fields.String(required=True)
    tiers = fields.List(fields.Nested(MemberTierOut), required=True)
