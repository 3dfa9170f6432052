"""What a purchase will do to the wallet, shown before it is confirmed: computed by the rule of the charge itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.wallet import wallets
from billing.wallet.consumption import bonus_part
from billing.wallet.wallet_models import Grant
from marketplace.order.pricing import Quote


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
    credit_minor: int = 0  # of the price, what goes on the member's account

    @property
    def after_minor(self) -> int:
        """What is available after the purchase."""
        return self.available_minor - sum(draw.amount_minor for draw in self.draws)

    def drawn(self, kind: str) -> int:
        """How much comes from paid money or from bonus."""
        return sum(draw.amount_minor for draw in self.draws if draw.kind == kind)


def of(quote: Quote, grants: Sequence[Grant], credit_minor: int = 0) -> Preview:
    """Lay the price on the open grants in the order of consumption, and what is missing then on a credit limit of which so much is left."""
    available = sum(grant.remaining_minor - grant.held_minor for grant in grants)
    bonus = sum(grant.remaining_minor - grant.held_minor for grant in grants if grant.kind == "bonus")
    total = quote.total_minor
    by_bonus = bonus_part(wallets.consumption_order(), total, quote.bonus_limit_minor, bonus, available - bonus)
    left = {"bonus": by_bonus, "paid": total - by_bonus}
    draws: list[Draw] = []
    for grant in grants:
        take = min(grant.remaining_minor - grant.held_minor, left[grant.kind])
        if take > 0:
            left[grant.kind] -= take
            draws.append(Draw(grant.kind, take, grant.expires_at))
    on_credit = min(credit_minor, left["paid"])
    return Preview(available, draws, left["paid"] - on_credit, max(0, min(bonus, total) - quote.bonus_limit_minor), on_credit)
