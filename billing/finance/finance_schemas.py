"""What the finance console and its API are asked, and what the API answers."""

from datetime import UTC, datetime

from flask_babel import lazy_gettext as _l
from marshmallow import EXCLUDE, Schema, fields, validate

from billing.finance.prepaid import SHOWS, SORTS
from core.schemas import PageQuery

CURRENCY = validate.Regexp(r"^[A-Z]{3}$", error=_l("Write the currency as three letters, like CNY."))

SENSIBLE = validate.Range(datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))  # further out, time zones have no place to go


class _Query(Schema):
    class Meta:
        unknown = EXCLUDE


class PrepaidQuery(_Query):
    """Filters of the prepaid balances; instants are text, read in the entity's time zone."""

    at = fields.String(load_default="")
    since = fields.String(load_default="")
    currency = fields.String(load_default="")
    q = fields.String(load_default="", validate=validate.Length(max=100))
    sort = fields.String(load_default=SORTS[0], validate=validate.OneOf(SORTS))
    show = fields.String(load_default=SHOWS[0], validate=validate.OneOf(SHOWS))
    after = fields.String(load_default=None)


class DeferredQuery(_Query):
    """As of when, and since when the roll-forward runs; instants are text, read in the entity's time zone."""

    at = fields.String(load_default="")
    since = fields.String(load_default="")
    currency = fields.String(load_default="")


class StatementQuery(_Query):
    """A period: first and last day, both within it."""

    member = fields.String(load_default="", validate=validate.Length(max=100))
    since = fields.String(load_default="", data_key="from")
    until = fields.String(load_default="")
    after = fields.String(load_default=None)


class LedgerQuery(_Query):
    """Filters of the journal and of the account balances."""

    member = fields.String(load_default="", validate=validate.Length(max=100))
    kind = fields.String(load_default="", validate=validate.Length(max=40))
    since = fields.String(load_default="", data_key="from")
    until = fields.String(load_default="")
    at = fields.String(load_default="")
    currency = fields.String(load_default="")
    after = fields.String(load_default=None)


class PrepaidIn(PageQuery):
    """As of which instant, and which page of the members."""

    at = fields.AwareDateTime(
        format="iso", load_default=None, validate=SENSIBLE, metadata={"description": "Instant with offset; entries effective by then count. Default: now."}
    )
    currency = fields.String(load_default=None, validate=CURRENCY)
    q = fields.String(load_default="", validate=validate.Length(max=100), metadata={"description": "Part of the member's name or number."})
    sort = fields.String(load_default=SORTS[0], validate=validate.OneOf(SORTS))
    show = fields.String(load_default=SHOWS[0], validate=validate.OneOf(SHOWS), metadata={"description": "`balance`: members with money only."})


class MemberBalanceOut(Schema):
    """One member's prepaid money."""

    member_id = fields.UUID(required=True, attribute="id")
    number = fields.String(required=True)
    name = fields.String(required=True)
    name_en = fields.String(required=True, allow_none=True)
    paid_minor = fields.Integer(required=True)
    bonus_minor = fields.Integer(required=True)
    total_minor = fields.Integer(required=True)
    last_entry_at = fields.DateTime(required=True, allow_none=True, attribute="last_at")


class PrepaidOut(Schema):
    """Prepaid money of all members, the proof, and one page of the members."""

    as_of = fields.DateTime(required=True)
    timezone = fields.String(required=True, metadata={"description": "The legal entity's, whose months count."})
    currency = fields.String(required=True)
    paid_minor = fields.Integer(required=True, metadata={"description": "Backed by cash."})
    bonus_minor = fields.Integer(required=True)
    total_minor = fields.Integer(required=True)
    difference_minor = fields.Integer(
        required=True, metadata={"description": "Recorded balances less the sum of all postings by the instant; 0 when they tie."}
    )
    ties_to_ledger = fields.Boolean(required=True, metadata={"description": "True when every single wallet equals its postings."})
    members_with_balance = fields.Integer(required=True)
    matching = fields.Integer(required=True, metadata={"description": "Members that the filter lets through, over all pages."})
    matching_minor = fields.Integer(required=True, metadata={"description": "Their prepaid money."})
    items = fields.List(fields.Nested(MemberBalanceOut), required=True)
    next = fields.String(required=True, allow_none=True)


class StatementIn(PageQuery):
    """A period; the default is the present month of the legal entity's time zone."""

    since = fields.AwareDateTime(
        format="iso", load_default=None, validate=SENSIBLE, data_key="from", metadata={"description": "First instant of the period, with offset."}
    )
    until = fields.AwareDateTime(format="iso", load_default=None, validate=SENSIBLE, metadata={"description": "First instant after the period, with offset."})


class MovementOut(Schema):
    """One change of the wallet."""

    id = fields.UUID(required=True)
    at = fields.DateTime(required=True)
    kind = fields.String(required=True)
    amount_minor = fields.Integer(required=True, metadata={"description": "In is positive, out negative."})
    paid_after_minor = fields.Integer(required=True)
    bonus_after_minor = fields.Integer(required=True)
    balance_after_minor = fields.Integer(required=True)
    memo = fields.String(required=True, allow_none=True)
    name_zh = fields.String(required=True, allow_none=True, metadata={"description": "What was bought."})
    name_en = fields.String(required=True, allow_none=True)


class ExpiringOut(Schema):
    """Money of the closing balance that ends."""

    kind = fields.String(required=True, validate=validate.OneOf(("paid", "bonus")))
    expires_at = fields.DateTime(required=True)
    amount_minor = fields.Integer(required=True)


class StatementOut(Schema):
    """A member's statement; `closing = opening + came_in + went_out + difference`, and the difference is 0."""

    member_id = fields.UUID(required=True)
    currency = fields.String(required=True)
    since = fields.DateTime(required=True, data_key="from")
    until = fields.DateTime(required=True)
    is_provisional = fields.Boolean(required=True, metadata={"description": "The period is not over."})
    opening_paid_minor = fields.Integer(required=True)
    opening_bonus_minor = fields.Integer(required=True)
    opening_minor = fields.Integer(required=True)
    came_in_minor = fields.Integer(required=True)
    went_out_minor = fields.Integer(required=True)
    closing_paid_minor = fields.Integer(required=True)
    closing_bonus_minor = fields.Integer(required=True)
    closing_minor = fields.Integer(required=True)
    difference_minor = fields.Integer(required=True)
    count = fields.Integer(required=True, metadata={"description": "Movements of the whole period."})
    expiring = fields.List(fields.Nested(ExpiringOut), required=True)
    items = fields.List(fields.Nested(MovementOut), required=True, attribute="movements")
    next = fields.String(required=True, allow_none=True)
