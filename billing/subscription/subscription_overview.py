"""What the subscription page shows: each subscription with its seats, its next renewal, and whether the wallet covers it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from billing.subscription import coming_charges, coming_terms, subscription_values
from billing.subscription.coming_charges import Coming, Draw
from billing.subscription.subscription_models import SubscriptionCharge
from billing.wallet import balances
from membership import catalogue, contracts, motions, subscriptions, terms
from membership.catalogue_models import Edition, ProductLine
from membership.subscription_models import Subscription

SOON = timedelta(days=32)  # a monthly renewal is always soon


@dataclass(frozen=True, slots=True)
class Shown:
    """One subscription ready to print; amounts in minor units, tax included."""

    subscription: Subscription
    line: ProductLine
    edition: Edition
    next_edition: Edition
    next: subscriptions.NextTerm
    seats_taken: int
    owed: SubscriptionCharge | None
    draw: Draw
    arr_minor: int
    contract_minor: int
    grace_until: datetime | None
    is_soon: bool  # its next charge comes within SOON

    @property
    def is_running(self) -> bool:
        """Not ended."""
        return self.subscription.state != "ended"

    @property
    def due_minor(self) -> int | None:
        """What the wallet must hold next: what is owed, or the next renewal; None when nothing will be charged."""
        if self.owed is not None:
            return self.owed.amount_minor
        return self.next.price_minor if self.renews else None

    @property
    def state(self) -> str:
        """The one state to show: what is suspended is not merely due, and nothing is active and due at once."""
        return "suspended" if self.subscription.suspended_at else self.subscription.state

    @property
    def renews(self) -> bool:
        """Will a next term be charged? Not when it ends before, is paused, or is a licence without maintenance."""
        one = self.subscription
        ends = one.cancel_at_term_end and not self.next.is_instalment
        return not ends and one.period != "once" and one.state in ("trialing", "active", "past_due")

    @property
    def ends_at(self) -> datetime | None:
        """When it ends, where it was cancelled (of a commitment: when that is over)."""
        one = self.subscription
        return contracts.free_at(one) if one.cancel_at_term_end and self.is_running else None

    @property
    def scheduled_at(self) -> datetime | None:
        """When the edition, seats or period change that are scheduled."""
        one = self.subscription
        waits = one.next_rank or one.next_seats or one.next_period
        return contracts.free_at(one) if waits and self.is_running and not one.cancel_at_term_end else None

    @property
    def instalments_left(self) -> int:
        """Yearly instalments of a commitment that are still to come."""
        return contracts.instalments_left(self.subscription)

    @property
    def last_day(self) -> datetime:
        """An instant of the last day that is covered."""
        return self.subscription.term_end - timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Overview:
    """A member's subscriptions, in the order in which they will draw on the wallet."""

    currency: str
    available_minor: int
    running: list[Shown]
    ended: list[Shown]
    free_lines: list[ProductLine]  # product lines that the member could still subscribe to

    @property
    def missing_minor(self) -> int:
        """What the wallet lacks for everything that is owed or renews soon; what renews in a year is not worth a warning yet."""
        return sum(one.draw.missing_minor for one in self.running if one.is_soon)

    @property
    def owed_minor(self) -> int:
        """What is past due."""
        return sum(one.owed.amount_minor for one in self.running if one.owed)

    @property
    def next(self) -> Shown | None:
        """The next renewal."""
        return next((one for one in self.running if one.due_minor is not None), None)

    @property
    def arr_minor(self) -> int:
        """What a year of all of it costs."""
        return sum(one.arr_minor for one in self.running)


def of_member(member_id: uuid.UUID, grace: timedelta, *, at: datetime) -> Overview:
    """Everything the page shows of a member's subscriptions, with a fixed number of queries."""
    seller = subscriptions.seller_of(member_id)
    rows = subscriptions.list_all(member_id)
    lines = {line.code: line for line in catalogue.product_lines()}
    editions, taken = catalogue.all_editions(), subscriptions.seats_taken(member_id)
    coming, owed = coming_terms.of(rows, at=at), subscription_values.owed(member_id)
    values = subscription_values.contract_value(list(rows))
    shown = []
    for one in rows:
        follows = coming[one.id]
        charge = owed.get(one.id)
        shown.append(Shown(
            one, lines[one.product_line], editions[one.product_line, one.rank], editions[one.product_line, follows.rank], follows,
            taken.get(one.id, 0), charge, Draw(), motions.arr_of(one), values.get(one.id, 0), charge.due_at + grace if charge else None,
            one.term_end <= at + SOON,
        ))  # fmt: skip
    draws = coming_charges.draws(member_id, seller.currency, _coming(shown, at))
    shown = [replace(item, draw=draws.get(item.subscription.id, Draw())) for item in shown]
    running = [item for item in shown if item.is_running]
    used = {item.line.code for item in running}
    free = [line for code, line in lines.items() if code not in used]
    available = balances.balance(member_id, seller.currency, at=at).available_minor
    return Overview(seller.currency, available, running, [item for item in shown if not item.is_running], free)


def _coming(items: Sequence[Shown], at: datetime) -> list[Coming]:
    """What the wallet will be asked for next, in the order in which the renewal run asks."""
    due = [one for one in items if one.due_minor]
    due.sort(key=lambda one: (one.subscription.term_end, one.subscription.started_at, one.subscription.id))
    return [
        Coming(
            one.subscription.id, one.due_minor or 0, (one.owed.tax_minor if one.owed is not None else one.next.tax_minor) or 0,
            max(at, one.subscription.term_end),
        )
        for one in due
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offered:
    """One edition in the comparison."""

    edition: Edition
    below: Edition | None  # the edition whose features it has, too
    price_minor: int | None  # what is paid for a term with these seats; None: not sold for this period
    base_minor: int  # as the list states it
    seat_minor: int
    added_tax_minor: int = 0  # on top of what the list states


def compare(line: str, seller: subscriptions.Seller, period: str, seats: int, *, at: datetime) -> Sequence[Offered]:
    """The editions of a product line side by side."""
    prices, below, found = catalogue.prices(seller.currency, at), None, []
    for edition in catalogue.editions(line):
        price = prices.get((line, edition.rank, period))
        if price is None:
            found.append(Offered(edition, below, None, 0, 0))
        else:
            total = catalogue.term_price(price, seats, seller.tax_rates, at)
            added = total - terms.term_price(price.base_minor, price.seat_minor, seats)
            found.append(Offered(edition, below, total, price.base_minor, price.seat_minor, added))
        below = edition
    return found
