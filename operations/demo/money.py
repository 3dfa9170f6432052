"""Top-ups of the demo world: many at once, booked as settled ones are, by card or by bank transfer for large sums."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from billing.ledger.accounts import Account
from billing.top_up import top_up_offers
from billing.top_up.top_up_models import TopUp
from billing.wallet import wallets
from core.ids import derived, request_hash
from operations.demo.cast import CURRENCY, ENTITY

BY_BANK_FROM = 3_000_000  # minor units
FEE_PER_MILLE = 29


@dataclass(frozen=True, slots=True)
class Arrival:
    """Money that a member puts in; `key` tells it from the member's others."""

    member_id: uuid.UUID
    number: str
    key: str
    amount_minor: int
    at: datetime
    created_by: uuid.UUID | None

    @property
    def id(self) -> uuid.UUID:
        """The top-up's."""
        return derived("demo", "top-up", self.number, self.key)

    @property
    def method(self) -> str:
        """card | bank_transfer."""
        return "bank_transfer" if self.amount_minor >= BY_BANK_FROM else "card"


def arrive(session: Session, arrivals: Sequence[Arrival]) -> None:
    """Settle these top-ups with the bonus then on offer, the bank's side in the house book (books, moves 1 and 2)."""
    if not arrivals:
        return
    credits, rows = zip(*(_booked(one) for one in arrivals), strict=True)
    wallets.credit_many(credits)
    session.execute(insert(TopUp), list(rows))
    for row in rows:
        if row["method"] == "bank_transfer":
            hashed = request_hash("bank", top_up=row["id"])
            moves = [(Account.BANK, Account.INTERBOOK, row["amount_minor"])]
            transfer_id = derived("bank_transfer", row["member_id"], row["id"])
            wallets.post_moves(ENTITY, transfer_id, hashed, "bank", CURRENCY, row["settled_at"], moves, row["bank_reference"])


def _booked(one: Arrival) -> tuple[wallets.Credit, dict[str, Any]]:
    """The credit of the wallet, and the row of the top-up."""
    promised = top_up_offers.best(CURRENCY, one.amount_minor, at=one.at)
    hashed = request_hash("top-up", amount_minor=one.amount_minor, method=one.method)
    fee = one.amount_minor * FEE_PER_MILLE // 1_000 if one.method == "card" else 0
    credit = wallets.Credit(
        one.member_id, one.id, hashed, "top_up", CURRENCY, one.at, one.amount_minor, promised.bonus_minor,
        source=Account.STRIPE_CLEARING if fee else Account.INTERBOOK, bonus_expires_at=promised.expires_at(one.at),
        priority=promised.priority, moves=((Account.PAYMENT_FEES, Account.STRIPE_CLEARING, fee),) if fee else (),
    )  # fmt: skip
    by_bank = one.method == "bank_transfer"
    row = {
        "member_id": one.member_id, "id": one.id, "request_hash": hashed, "currency": CURRENCY, "amount_minor": one.amount_minor,
        "bonus_minor": promised.bonus_minor, "bonus_days": promised.bonus_days, "method": one.method, "state": "settled", "failure": None,
        "stripe_payment_intent": None, "payment_method_id": None, "bank_transaction": None, "received_minor": one.amount_minor if by_bank else None,
        "bank_reference": f"{one.number}-{one.at:%m%d}" if by_bank else None, "created_by": one.created_by, "created_at": one.at, "settled_at": one.at,
        "checked_at": None, "offer_id": promised.offer_id,
    }  # fmt: skip
    return credit, row
