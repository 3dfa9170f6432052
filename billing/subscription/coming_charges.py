"""What the charges of subscriptions to come will draw from a wallet."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.subscription import subscription_charges
from billing.wallet import wallets
from core.ids import derived, request_hash


@dataclass(frozen=True, slots=True)
class Coming:
    """A charge to come: of which subscription, how much, how much of it is tax, and when."""

    subscription_id: uuid.UUID
    amount_minor: int
    tax_minor: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Draw:
    """How much of an amount comes from bonus, from paid money and on the member's account; or what is missing, and then nothing is drawn."""

    bonus_minor: int = 0
    paid_minor: int = 0
    credit_minor: int = 0
    missing_minor: int = 0


def draws(member_id: uuid.UUID, currency: str, coming: Sequence[Coming]) -> dict[uuid.UUID, Draw]:
    """What each draws, in their order, by subscription (see `wallets.foresee`); a frozen wallet lacks all of it."""
    asked = [
        wallets.ChargeRequest(
            member_id, derived("coming_charge", one.subscription_id), request_hash("coming_charge"), "subscription", currency, one.at,
            subscription_charges.targets(one.amount_minor, one.tax_minor),
        )
        for one in coming
    ]  # fmt: skip
    found = {}
    for one, result in zip(coming, wallets.foresee(asked) if asked else [], strict=True):
        missing = one.amount_minor if result.status == "frozen" else result.missing_minor
        found[one.subscription_id] = Draw(result.bonus_minor, result.paid_minor, result.credit_minor, missing)
    return found
