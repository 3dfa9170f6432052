"""A wallet's open grants, and what future charges would draw from them: a forecast. What is charged today is tried out on the ledger itself."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from billing.models import Grant
from billing.wallet import wallets


@dataclass(frozen=True, slots=True)
class Draw:
    """How much of an amount comes from bonus and from paid money, and what is missing."""

    bonus_minor: int = 0
    paid_minor: int = 0
    missing_minor: int = 0


@dataclass(slots=True)
class _Slot:
    grant: Grant
    free_minor: int


class Purse:
    """A wallet's open grants, drawn on in the order in which the ledger draws (bonus never pays tax), without touching them."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._slots = [_Slot(grant, grant.remaining_minor - grant.held_minor) for grant in grants]  # kept in the order of `wallets.open_grants`

    @classmethod
    def of(cls, member_id: uuid.UUID, currency: str, *, at: datetime) -> "Purse":
        """The purse of a member as it is now."""
        return cls(wallets.open_grants(member_id, currency, at=at))

    @property
    def available_minor(self) -> int:
        """What can be spent."""
        return sum(slot.free_minor for slot in self._slots)

    def draw(self, amount_minor: int, tax_minor: int, at: datetime) -> Draw:
        """Take an amount at an instant, if all of it is there; what has expired by then is not."""
        drawn, left, by_bonus = {"bonus": 0, "paid": 0}, amount_minor, amount_minor - tax_minor
        taken: list[tuple[_Slot, int]] = []
        for slot in self._slots:
            grant = slot.grant
            if grant.expires_at is not None and grant.expires_at <= at:
                continue
            take = min(slot.free_minor, left, by_bonus) if grant.kind == "bonus" else min(slot.free_minor, left)
            by_bonus -= take if grant.kind == "bonus" else 0
            left -= take
            drawn[grant.kind] += take
            taken.append((slot, take))
        if not left:
            for slot, take in taken:
                slot.free_minor -= take
        return Draw(drawn["bonus"], drawn["paid"], left)
