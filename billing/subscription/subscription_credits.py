"""Unused service given back: from which charges of the term, how much of it is tax, and then to the grants that had paid them (books, move 10)."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from sqlalchemy import select

from billing.ledger.accounts import Account
from billing.refund import refunds
from billing.subscription.subscription_models import SubscriptionCharge
from core.db import db
from core.ids import derived
from core.money import round_half_up
from membership.proration import Progress
from membership.subscription_models import Subscription


@dataclass(frozen=True, slots=True)
class Credit:
    """A part of a charge that is given back; amounts in minor units, the tax inside."""

    charge_id: uuid.UUID
    amount_minor: int
    tax_minor: int


@dataclass(frozen=True, slots=True)
class Returned:
    """What came back into the wallet, as what; `lowered_minor` lowered what is owed on the credit limit instead."""

    paid_minor: int = 0
    bonus_minor: int = 0
    lowered_minor: int = 0


def charges_of_term(subscription: Subscription) -> Sequence[SubscriptionCharge]:
    """What was paid for the present term, and what of that was given back, in the order in which it happened."""
    return db.session.scalars(
        select(SubscriptionCharge)
        .where(
            SubscriptionCharge.member_id == subscription.member_id, SubscriptionCharge.subscription_id == subscription.id,
            SubscriptionCharge.term == subscription.term, SubscriptionCharge.state == "paid", SubscriptionCharge.service_until == subscription.term_end,
        )
        .order_by(SubscriptionCharge.paid_at, SubscriptionCharge.id)
    ).all()  # fmt: skip


def spread(credit_minor: int, rows: Sequence[SubscriptionCharge], left: int, whole: int) -> list[Credit]:
    """A credit shared out over the charges of a term: the newest first, each up to the part of it that is not used yet, with `left` units to come.

    So money comes back from what it paid for, and bonus that paid for used service stays used. What rounding leaves over (less than one minor unit a
    row) comes from the newest that still has something.
    """
    charges = [row for row in reversed(rows) if row.credits_id is None]
    given = {one.id: [row for row in rows if row.credits_id == one.id] for one in charges}
    room = {one.id: one.amount_minor + sum(row.amount_minor for row in given[one.id]) for one in charges}
    unused = {one.id: sum(Fraction(row.amount_minor * left, row.service_units or whole) for row in [one, *given[one.id]]) for one in charges}
    amounts = dict.fromkeys(room, 0)
    credit_minor = min(credit_minor, sum(room.values()))  # what was never charged here (an imported contract) can't come back
    for most in ({key: int(value) for key, value in unused.items()}, room):
        for key in amounts:
            take = max(0, min(most[key], room[key], credit_minor))
            amounts[key] += take
            room[key] -= take
            credit_minor -= take
    return [Credit(one.id, amounts[one.id], _tax(one, given[one.id], amounts[one.id])) for one in charges if amounts[one.id]]


def _tax(charge: SubscriptionCharge, given: Sequence[SubscriptionCharge], amount_minor: int) -> int:
    """The tax inside a credit: its share of the charge's tax, so that all credits of a charge never carry more."""
    before = -sum(row.amount_minor for row in given)
    share = round_half_up(Fraction(charge.tax_minor * (before + amount_minor), charge.amount_minor))
    return min(amount_minor, max(0, share + sum(row.tax_minor for row in given)))


def give_back(member_id: uuid.UUID, request_id: uuid.UUID, hashed: bytes, credits_: Sequence[Credit], *, takes_id: bool, at: datetime) -> Returned:
    """Move the money. `takes_id`: the first entry carries the request's own id, so that the ledger refuses another use of it. Raises IdReused."""
    done = Returned()
    for n, one in enumerate(credits_):
        net = one.amount_minor - one.tax_minor
        parts = [refunds.Part(account, part) for account, part in ((Account.DEFERRED_REVENUE, net), (Account.TAX_PAYABLE, one.tax_minor)) if part]
        result = refunds.refund_charge(
            member_id, one.charge_id, refund_id=entry_id(request_id, one, first=takes_id and n == 0), request_hash=hashed, parts=parts, at=at
        )
        done = Returned(done.paid_minor + result.paid_minor, done.bonus_minor + result.bonus_minor, done.lowered_minor + result.receivable_minor)
    return done


def entry_id(request_id: uuid.UUID, credit: Credit, *, first: bool) -> uuid.UUID:
    """The id of a credit's ledger entry and row."""
    return request_id if first else derived("credit", request_id, credit.charge_id)


def keep(
    subscription: Subscription, request_id: uuid.UUID, credits_: Sequence[Credit], motion: str, *, takes_id: bool, term: int, units: int,
    service: tuple[datetime, datetime], at: datetime,
) -> None:  # fmt: skip
    """Write the credits down as negative charges: over `service`, of `units` units, they take back what their charges spread there."""
    for n, one in enumerate(credits_):
        db.session.add(
            SubscriptionCharge(
                member_id=subscription.member_id, id=entry_id(request_id, one, first=takes_id and n == 0), subscription_id=subscription.id, motion=motion,
                term=term, currency=subscription.currency, amount_minor=-one.amount_minor, tax_minor=-one.tax_minor, service_from=service[0],
                service_until=service[1], state="paid", due_at=at, paid_at=at, credits_id=one.charge_id, service_units=units,
            )
        )  # fmt: skip
    db.session.flush()


def covered(gone: Progress, starts_now: bool) -> int:
    """How many units a row covers that begins with the present unit, or with the next."""
    return max(1, gone.left if starts_now else gone.after)
