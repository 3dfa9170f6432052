"""What subscription pages and the subscription API take and give. Amounts are minor units, tax included."""

from datetime import UTC, datetime
from typing import Any

from flask_babel import lazy_gettext as _l
from marshmallow import Schema, fields, validate

from core.schemas import Form
from membership import contracts, motions
from membership.catalogue import PERIODS
from membership.changes import EFFECTIVE
from membership.subscription_models import Subscription

SEATS_MOST = 100_000
STATES = ("trialing", "active", "past_due", "paused", "ended")
ALL_PERIODS = (*PERIODS, *contracts.PERPETUAL)
LINES = (
    "base", "seats", "edition", "more_seats", "fewer_seats", "unused", "new_term", "licence", "licence_seats", "maintenance", "arrears", "not_returned",
    "added_tax",
)  # fmt: skip
MOST_MINOR = 2**53


def _rank(**more: Any) -> fields.Integer:
    return fields.Integer(validate=validate.Range(1, 4, error=_l("Choose an edition.")), metadata={"description": "Edition: 1 entry … 4 flagship"}, **more)


def _seats(**more: Any) -> fields.Integer:
    wrong = _l("Enter a whole number of seats, from 1 on.")
    return fields.Integer(validate=validate.Range(1, SEATS_MOST, error=wrong), error_messages={"invalid": wrong, "required": wrong}, **more)


def _period(choices: tuple[str, ...] = PERIODS, **more: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(choices, error=_l("Choose a period.")), **more)


def _price(least: int = 0, strict: bool = True) -> fields.Integer:
    return fields.Integer(
        required=True,
        strict=strict,
        validate=validate.Range(min=least, max=MOST_MINOR),
        metadata={"description": "Today's charge as the preview showed it (below zero: what is given back); another price is refused"},
    )


def _priced_at() -> fields.AwareDateTime:
    return fields.AwareDateTime(
        load_default=None,
        allow_none=True,
        default_timezone=UTC,
        metadata={"description": "As the preview gave it; decides where terms are divided by seconds, and is ignored where by days"},
    )


class WishIn(Schema):
    """A subscription somebody thinks of starting."""

    product_line = fields.String(required=True, validate=validate.Length(1, 50))
    rank = _rank(required=True)
    period = _period(required=True)
    seats = _seats(required=True)
    is_trial = fields.Boolean(load_default=False, metadata={"description": "Try first; charged when the trial is over, unless cancelled"})
    converts = fields.Boolean(load_default=True, metadata={"description": "A trial becomes paid at its end; false: it ends"})
    commitment_years = fields.Integer(
        load_default=None,
        allow_none=True,
        validate=validate.Range(2, contracts.LONGEST_COMMITMENT),
        metadata={"description": "A contract of so many yearly instalments at today's prices; needs the yearly period"},
    )


class StartIn(WishIn):
    """A start. `id` is made by the client (UUIDv7 advised), makes it happen once and names the subscription."""

    id = fields.UUID(required=True)
    price_minor = _price()


class ContractWishIn(WishIn):
    """A contract that staff enters for a member: as a member's own, and with its form."""

    period = _period(ALL_PERIODS, required=True, metadata={"description": "maintenance or once: a perpetual licence, with yearly maintenance or without"})
    deployment = fields.String(load_default="saas", validate=validate.OneOf(contracts.DEPLOYMENTS, error=_l("Choose where it runs.")))


class ContractIn(ContractWishIn):
    """A start by staff, and why."""

    id = fields.UUID(required=True)
    price_minor = _price()
    reason = fields.String(required=True, validate=validate.Length(1, 500, error=_l("Say why, for example the number of the contract.")))


class ChangePreviewIn(Schema):
    """The edition, seats and period that are wanted; what is left out stays as it is (and as it is planned)."""

    rank = _rank(load_default=None, allow_none=True)
    seats = _seats(load_default=None, allow_none=True)
    period = _period(ALL_PERIODS, load_default=None, allow_none=True)
    effective = fields.String(
        load_default="auto",
        validate=validate.OneOf(EFFECTIVE, error=_l("Choose when.")),
        metadata={"description": "auto: more now, less and another period with the next term; now; term_end"},
    )


class ChangeIn(ChangePreviewIn):
    """A change. What is there already undoes a plan."""

    id = fields.UUID(required=True)
    price_minor = _price(-MOST_MINOR)
    priced_at = _priced_at()


class EndNowIn(Schema):
    """An end at once."""

    id = fields.UUID(required=True)
    price_minor = _price(-MOST_MINOR)
    priced_at = _priced_at()


class PauseIn(Schema):
    """A pause."""

    resumes_on = fields.Date(
        load_default=None,
        allow_none=True,
        error_messages={"invalid": _l("Enter a day like 2026-09-30.")},
        metadata={"description": "The day it resumes by itself; left out: the latest that is allowed"},
    )


class CommitmentIn(Schema):
    """A commitment for several years, counted from the beginning of the present term."""

    years = fields.Integer(required=True, validate=validate.Range(2, contracts.LONGEST_COMMITMENT))


class WishForm(WishIn, Form):
    """The address of a preview page."""


class StartForm(StartIn, Form):
    """What the confirmation of a start sends."""

    price_minor = _price(strict=False)


class ContractWishForm(ContractWishIn, Form):
    """The address of staff's preview page."""


class ContractForm(ContractIn, Form):
    """What staff's confirmation sends."""

    price_minor = _price(strict=False)


class ChangePreviewForm(ChangePreviewIn, Form):
    """The address of a change's preview page."""


class ChangeForm(ChangeIn, Form):
    """What the confirmation of a change sends."""

    price_minor = _price(-MOST_MINOR, strict=False)


class EndForm(EndNowIn, Form):
    """What the confirmation of an end sends."""

    price_minor = _price(-MOST_MINOR, strict=False)


class PauseForm(PauseIn, Form):
    """What the pause page sends."""


class CommitmentForm(CommitmentIn, Form):
    """What the commitment page sends."""


class ScheduledOut(Schema):
    """What waits, and for when; null stays as it is."""

    at = fields.DateTime(required=True)
    rank = fields.Integer(required=True, allow_none=True)
    seats = fields.Integer(required=True, allow_none=True)
    period = fields.String(required=True, allow_none=True, validate=validate.OneOf(ALL_PERIODS))


class SubscriptionOut(Schema):
    """A subscription as it stands."""

    id = fields.UUID(required=True)
    product_line = fields.String(required=True)
    rank = fields.Integer(required=True)
    seats = fields.Integer(required=True)
    period = fields.String(required=True, validate=validate.OneOf(ALL_PERIODS))
    currency = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    term = fields.Integer(required=True, metadata={"description": "1 for the first, counted up by each renewal"})
    started_at = fields.DateTime(required=True)
    term_start = fields.DateTime(required=True)
    term_end = fields.DateTime(required=True, metadata={"description": "Exclusive; the next term begins here. The year 9999: nothing is renewed"})
    term_price_minor = fields.Integer(required=True, metadata={"description": "A full term at the present edition and seats"})
    arr_minor = fields.Function(motions.arr_of, metadata={"type": "integer", "description": "Annual recurring revenue"})
    cancel_at_term_end = fields.Boolean(required=True, metadata={"description": "It is not renewed; a trial ends, a commitment is not continued"})
    scheduled = fields.Method("_scheduled", metadata={"type": ["object", "null"], "description": "What begins later"})
    next_rank = fields.Integer(required=True, allow_none=True, metadata={"description": "The edition from the next term on, where it changes"})
    next_seats = fields.Integer(required=True, allow_none=True, metadata={"description": "The seats from the next term on, where they change"})
    next_period = fields.String(required=True, allow_none=True, metadata={"description": "The period from the next term on, where it changes"})
    ended_at = fields.DateTime(required=True, allow_none=True)
    deployment = fields.String(required=True, validate=validate.OneOf(contracts.DEPLOYMENTS))
    licensing = fields.String(required=True, validate=validate.OneOf(("rental", "perpetual")))
    commitment_years = fields.Integer(required=True, allow_none=True)
    committed_until = fields.DateTime(required=True, allow_none=True)
    instalments_left = fields.Function(
        contracts.instalments_left, metadata={"type": "integer", "description": "Yearly instalments of the commitment still to come"}
    )
    proration_unit = fields.String(required=True, validate=validate.OneOf(("day", "second")))
    paused_at = fields.DateTime(required=True, allow_none=True)
    resumes_at = fields.DateTime(required=True, allow_none=True, metadata={"description": "When a pause is over by itself"})
    units_left = fields.Integer(required=True, allow_none=True, metadata={"description": "While paused: days (or seconds) of the term that are kept"})

    def _scheduled(self, subscription: Subscription) -> Any:
        return ScheduledOut().dump(found) if (found := scheduled_of(subscription)) else None


def scheduled_of(subscription: Subscription) -> dict[str, Any] | None:
    """What is scheduled for a subscription, and for when."""
    one = subscription
    if one.state == "ended" or not (one.next_rank or one.next_seats or one.next_period):
        return None
    at: datetime = contracts.free_at(one)
    return {"at": at, "rank": one.next_rank, "seats": one.next_seats, "period": one.next_period}


class LineOut(Schema):
    """One line of what is charged (+) or given back (−) today."""

    kind = fields.String(required=True, validate=validate.OneOf(LINES))
    amount_minor = fields.Integer(required=True)
    quantity = fields.Integer(required=True)
    unit_minor = fields.Integer(required=True, metadata={"description": "Price of one for a full term; 0 where it is a share of a term"})


class PreviewOut(Schema):
    """What would be charged or given back today, and what follows. By days, it is the same until midnight in the seller's time zone."""

    currency = fields.String(required=True)
    lines = fields.List(fields.Nested(LineOut), required=True)
    amount_minor = fields.Integer(required=True, metadata={"description": "Send it as `price_minor`; below zero it comes back"})
    priced_at = fields.DateTime(required=True, metadata={"description": "Send it along; by seconds, the price holds for some minutes"})
    tax_minor = fields.Integer(required=True, metadata={"description": "Inside the amount"})
    bonus_minor = fields.Integer(required=True, attribute="wallet.bonus_minor", metadata={"description": "Drawn from bonus"})
    paid_minor = fields.Integer(required=True, attribute="wallet.paid_minor", metadata={"description": "Drawn from paid money"})
    back_bonus_minor = fields.Integer(required=True, attribute="wallet.back_bonus_minor", metadata={"description": "Comes back as bonus"})
    back_paid_minor = fields.Integer(required=True, attribute="wallet.back_paid_minor", metadata={"description": "Comes back as paid money"})
    missing_minor = fields.Integer(required=True, metadata={"description": "What the wallet lacks"})
    available_minor = fields.Integer(required=True, attribute="wallet.available_minor")
    balance_after_minor = fields.Integer(required=True)
    service_from = fields.DateTime(required=True)
    service_until = fields.DateTime(required=True, metadata={"description": "Exclusive; the next term begins here"})
    rank = fields.Integer(required=True)
    seats = fields.Integer(required=True)
    period = fields.String(required=True, validate=validate.OneOf(ALL_PERIODS))
    next_rank = fields.Integer(allow_none=True, attribute="next.rank", dump_default=None, metadata={"description": "Null where nothing follows"})
    next_seats = fields.Integer(allow_none=True, attribute="next.seats", dump_default=None)
    next_period = fields.String(allow_none=True, attribute="next.period", dump_default=None)
    next_price_minor = fields.Integer(
        allow_none=True, attribute="next.price_minor", dump_default=None, metadata={"description": "The next term's price, as far as it is known today"}
    )
    next_is_instalment = fields.Boolean(
        allow_none=True, attribute="next.is_instalment", dump_default=None, metadata={"description": "Of a commitment, at the locked price"}
    )
    scheduled = fields.Nested(ScheduledOut, required=True, allow_none=True, metadata={"description": "What waits for a later term"})


class ChangeOut(Schema):
    """A change that stands."""

    id = fields.UUID(required=True)
    amount_minor = fields.Integer(required=True, metadata={"description": "What it charged; below zero: gave back"})
    subscription = fields.Nested(SubscriptionOut, required=True)
