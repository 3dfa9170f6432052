"""What a purchase will do to the wallet, shown before it is confirmed: computed by the rule of the charge itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.models import Grant
from marketplace.pricing import Quote


@dataclass(frozen=True, slots=True)
class Draw:
    """What one grant will pay."""

    kind: str  # paid | bonus
    amount_minor: int
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Preview:
    """The wallet before and after. `missing_minor` is what must be topped up first; `unusable_bonus_minor` can't pay for this."""

    available_minor: int
    draws: list[Draw]
    missing_minor: int
    unusable_bonus_minor: int

    @property
    def after_minor(self) -> int:
        """What is available after the purchase."""
        return self.available_minor - sum(draw.amount_minor for draw in self.draws)

    def drawn(self, kind: str) -> int:
        """How much comes from paid money or from bonus."""
        return sum(draw.amount_minor for draw in self.draws if draw.kind == kind)


def of(quote: Quote, grants: Sequence[Grant]) -> Preview:
    """Lay the price on the open grants in the order they are spent (the order of `charge_one` in the ledger's functions)."""
    due, by_bonus = quote.total_minor, quote.bonus_limit_minor
    draws: list[Draw] = []
    for grant in grants:
        free = grant.remaining_minor - grant.held_minor
        take = min(free, due, by_bonus) if grant.kind == "bonus" else min(free, due)
        if take <= 0:
            continue
        due -= take
        by_bonus -= take if grant.kind == "bonus" else 0
        draws.append(Draw(grant.kind, take, grant.expires_at))
    available = sum(grant.remaining_minor - grant.held_minor for grant in grants)
    bonus = sum(grant.remaining_minor - grant.held_minor for grant in grants if grant.kind == "bonus")
    return Preview(available, draws, due, max(0, min(bonus, quote.total_minor) - quote.bonus_limit_minor))
