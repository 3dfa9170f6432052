"""What a start or a change of a subscription costs, before anybody is charged. Charging uses these very figures."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from billing import wallets
from billing.models import Grant
from core.money import tax_included
from membership import catalogue, subscriptions, terms
from membership.models import Subscription
from membership.subscriptions import Change, Opening, Seller, Wish


@dataclass(frozen=True, slots=True)
class Line:
    """One line of today's charge: base, seats (of a new term), edition or more_seats (of a change)."""

    kind: str
    amount_minor: int
    quantity: int = 1
    unit_minor: int = 0


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


@dataclass(frozen=True, slots=True)
class Preview:
    """Today's charge and what follows from it; amounts in minor units, tax included."""

    currency: str
    lines: tuple[Line, ...]
    tax_minor: int
    service_from: datetime
    service_until: datetime  # exclusive; the next term begins here
    rank: int
    seats: int
    next_rank: int
    next_seats: int
    next_price_minor: int
    draw: Draw = field(default=Draw())
    available_minor: int = 0
    opening: Opening | None = None
    change: Change | None = None

    @property
    def amount_minor(self) -> int:
        """What is charged today."""
        return sum(line.amount_minor for line in self.lines)

    @property
    def missing_minor(self) -> int:
        """What the wallet lacks for today's charge."""
        return self.draw.missing_minor

    @property
    def balance_after_minor(self) -> int:
        """What can be spent after today's charge."""
        return self.available_minor - self.draw.bonus_minor - self.draw.paid_minor


def of_start(member_id: uuid.UUID, seller: Seller, wish: Wish, *, at: datetime) -> Preview:
    """What starting a subscription costs today. Raises AlreadySubscribed, TrialUsed, NoPrice, NotFound."""
    opening = subscriptions.open_new(member_id, seller, wish, at=at)
    parts = (Line("base", opening.base_minor), Line("seats", wish.seats * opening.seat_minor, wish.seats, opening.seat_minor))
    lines = () if wish.is_trial else parts
    price = catalogue.price(wish.product_line, wish.rank, seller.currency, wish.period, opening.ends_at)
    return Preview(
        seller.currency, lines, _tax(lines, seller, at), at, opening.ends_at, wish.rank, wish.seats, wish.rank, wish.seats,
        terms.term_price(price.base_minor, price.seat_minor, wish.seats), opening=opening,
    )  # fmt: skip


def of_change(subscription: Subscription, seller: Seller, rank: int | None, seats: int | None, *, at: datetime) -> Preview:
    """What a change costs today. Raises NotChangeable, SeatsInUse, Invalid, NoPrice, NotFound."""
    if rank is not None:
        catalogue.edition(subscription.product_line, rank)
    taken = subscriptions.seats_taken(subscription.member_id).get(subscription.id, 0)
    change = subscriptions.plan(subscription, rank, seats, subscriptions.price_in_term(subscription), taken, at=at, timezone=seller.timezone)
    parts = (Line("edition", change.edition_minor), Line("more_seats", change.seats_minor, change.seats - subscription.seats))
    lines = tuple(line for line in parts if line.amount_minor)
    next_rank, next_seats, next_price = subscriptions.next_term(subscription, change)
    return Preview(
        subscription.currency, lines, _tax(lines, seller, at), at, subscription.term_end, change.rank, change.seats, next_rank, next_seats, next_price,
        change=change,
    )  # fmt: skip


def with_wallet(preview: Preview, member_id: uuid.UUID, *, at: datetime) -> Preview:
    """The same, with what the wallet has and lacks: for showing."""
    purse = Purse.of(member_id, preview.currency, at=at)
    available = purse.available_minor
    return replace(preview, available_minor=available, draw=purse.draw(preview.amount_minor, preview.tax_minor, at))


def _tax(lines: tuple[Line, ...], seller: Seller, at: datetime) -> int:
    """The tax inside, at the rate in force when the service begins."""
    return tax_included(sum(line.amount_minor for line in lines), seller.tax_rate_at(at))
