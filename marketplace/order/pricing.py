"""What a listing costs a member, and where each part of the price goes. The quote shown is the quote charged."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from flask_babel import gettext as _
from sqlalchemy import select

from billing.ledger.accounts import Account
from billing.wallet.wallets import Target
from core.composites import fields
from core.db import db
from core.errors import Conflict, Invalid, NotFound
from core.money import basis_points, gross_of, tax_included
from marketplace.publisher.publisher_models import Publisher
from marketplace.store import compatibility
from marketplace.store.listing_models import Listing
from membership import hosts, subscriptions, taxes


class NotForSale(NotFound):
    """There is no such listing, or it is not offered any more."""

    code = "not_for_sale"


class PriceChanged(Conflict):
    """The price shown is no longer the price; `price_minor` is the present one."""

    code = "price_changed"


class TermsChanged(Conflict):
    """Another version is on sale than the one whose terms were read."""

    code = "terms_changed"


@dataclass(frozen=True, slots=True)
class Offered:
    """A listing as a purchase sees it. `revision` proves at the charge that nothing has changed since."""

    id: uuid.UUID
    slug: str
    revision: int
    version: str
    currency: str
    price_minor: int
    tax_rate_bp: int | None  # None: the seller's rate at the purchase
    bonus_limit_bp: int
    commission_bp: int | None  # None: our own listing
    is_repeatable: bool
    product_line: str | None
    required_rank: int
    required_features: tuple[str, ...]
    period: str | None  # of a recurring price
    trial_days: int
    publisher_id: uuid.UUID
    pricing: str = "one_time"
    excludes_tax: bool = False  # `price_minor` is stated without tax
    kind: str = "robot_task"
    licensed_per: str = "member"  # member | seat: a piece is then a seat
    host_version: str | None = None  # versions of the host that it works with

    @property
    def is_plain(self) -> bool:
        """Bought once for a price, and nothing to mind besides but the host's version: what the hot path sells."""
        return (
            self.pricing in ("free", "one_time") and self.kind != "bundle" and self.licensed_per == "member"
            and not (self.required_rank or self.required_features or self.trial_days)
        )  # fmt: skip

    @property
    def is_counted(self) -> bool:
        """Whoever buys it says how many: pieces, or seats."""
        return self.is_repeatable or self.licensed_per == "seat"

    def paid_minor(self, quantity: int, rate_bp: int) -> int:
        """What is paid for so many pieces, with tax; where the price leaves it out, that of all pieces is rounded once."""
        stated = self.price_minor * quantity
        return gross_of(stated, rate_bp) if self.excludes_tax else stated


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of `quantity` pieces, tax included, laid out as the moves it will make."""

    listing: Offered
    quantity: int
    unit_minor: int  # of one piece, as a buyer is shown it
    total_minor: int
    tax_minor: int
    tax_rate_bp: int
    targets: tuple[Target, ...]
    discount_minor: int  # what a coupon takes off; the total is without it
    terms: str  # as fields of an `order_request`, from `listing_id` to `is_exclusive`

    @property
    def bonus_limit_minor(self) -> int:
        """How much of the total may be paid from bonus."""
        return sum(t.bonus_minor for t in self.targets)

    def without_charge(self) -> "Quote":
        """The same listing for nothing now: what is paid comes with its use."""
        free = replace(self.listing, price_minor=0)
        return Quote(free, self.quantity, 0, 0, 0, self.tax_rate_bp, (), 0, "")


_offered: dict[str, Offered] = {}  # a hint: `place_orders` compares the revision in the transaction that charges


def remembered(slug: str) -> Offered | None:
    """The terms this process saw last, without asking the database."""
    return _offered.get(slug)


def offered(slug: str) -> Offered:
    """The listing's terms of sale as they stand. Raises NotForSale."""
    row = db.session.execute(
        select(Listing, Publisher).join(Publisher, Publisher.id == Listing.publisher_id).where(Listing.slug == slug, Listing.state == "published")
    ).one_or_none()
    version = row[0].current_version if row else None
    if row is None or version is None or row[0].milestones:  # a service is ordered, not bought
        _offered.pop(slug, None)
        raise NotForSale(_("This listing is not for sale."))
    listing, publisher = row
    terms = terms_of(listing, publisher, version)
    _offered[slug] = terms
    hosts.refresh()
    return terms


def terms_of(listing: Listing, publisher: Publisher, version: str) -> Offered:
    """A listing's terms of sale, its version `version` being on offer."""
    return Offered(
        listing.id, listing.slug, listing.revision, version, listing.currency, listing.price_minor, listing.tax_rate_bp, listing.bonus_limit_bp,
        publisher.commission_bp if publisher.kind == "partner" else None, listing.is_repeatable,
        listing.product_line, listing.required_rank, tuple(listing.required_features), listing.period, listing.trial_days,
        publisher.id, listing.pricing, listing.excludes_tax, listing.kind, listing.licensed_per, listing.host_version,
    )  # fmt: skip


def quote(member_id: uuid.UUID, listing: Offered, quantity: int, *, at: datetime, discount_minor: int = 0, is_judged: bool = False) -> Quote:
    """What `quantity` pieces cost this member at an instant (books, moves 3 and 4).

    Tax comes out of what is paid, a partner gets its net share, the rest is ours; bonus pays at most the set part of ours.
    Raises Incompatible (unless the caller has judged that), and Invalid for several pieces of what a member has only once.
    """
    if quantity != 1 and not listing.is_counted:
        raise Invalid(_("One licence serves your whole organisation: buy one."), field="quantity")
    if not is_judged:
        compatibility.check(member_id, listing)
    return _laid_out(listing, quantity, rate_of(member_id, listing, at), discount_minor)


def rate_of(member_id: uuid.UUID, listing: Offered, at: datetime) -> int:
    """The rate a purchase of this member is taxed at, in basis points."""
    rate = tax_rate_of(listing, at)
    return _sellers_rate(member_id, listing, at) if rate is None else rate


def tax_rate_of(listing: Offered, at: datetime) -> int | None:
    """The rate a purchase is taxed at, as far as this process knows without asking; None where it does not."""
    return taxes.remembered(listing.currency, at) if listing.tax_rate_bp is None else listing.tax_rate_bp


def shown_rate(listing: Listing, at: datetime) -> int | None:
    """The rate a listing's page names; None where the seller, and so the rate, depends on the member."""
    if listing.tax_rate_bp is None and taxes.remembered(listing.currency, at) is None:
        taxes.refresh(at)
    return taxes.remembered(listing.currency, at) if listing.tax_rate_bp is None else listing.tax_rate_bp


def shown_minor(listing: Listing, at: datetime, member_id: uuid.UUID | None, quantity: int = 1) -> int:
    """What so many pieces of a listing cost whoever looks at it, with tax; as it is stated where only a member would tell the seller, and so the rate."""
    rate = shown_rate(listing, at) if listing.excludes_tax else 0
    if rate is None and member_id is not None:
        rate = subscriptions.seller_of(member_id).tax_rate_at(at)
    return gross_of(listing.price_minor * quantity, rate or 0)


def _sellers_rate(member_id: uuid.UUID, listing: Offered, at: datetime) -> int:
    taxes.refresh(at)
    remembered = taxes.remembered(listing.currency, at)
    return subscriptions.seller_of(member_id).tax_rate_at(at) if remembered is None else remembered


@lru_cache(maxsize=1024)
def _laid_out(listing: Offered, quantity: int, tax_rate_bp: int, discount_minor: int) -> Quote:
    unit, total = listing.paid_minor(1, tax_rate_bp), listing.paid_minor(quantity, tax_rate_bp) - discount_minor
    tax = tax_included(total, tax_rate_bp)
    targets = targets_of(total, tax, listing.commission_bp, listing.bonus_limit_bp)
    terms = fields(
        listing.id, listing.revision, listing.version, quantity, unit, tax, listing.currency, [int(t.account) for t in targets],
        [t.amount_minor for t in targets], [t.bonus_minor for t in targets], not listing.is_repeatable,
    )  # fmt: skip
    return Quote(listing, quantity, unit, total, tax, tax_rate_bp, targets, discount_minor, terms)


def targets_of(total_minor: int, tax_minor: int, commission_bp: int | None, bonus_limit_bp: int) -> tuple[Target, ...]:
    """Where the parts of a price go (books, moves 3 and 4): tax, a partner's net share, and ours, of which bonus may pay the set part."""
    net = total_minor - tax_minor
    ours = net if commission_bp is None else basis_points(net, commission_bp)
    account = Account.STORE_REVENUE if commission_bp is None else Account.COMMISSION_REVENUE
    parts = (
        Target(account, ours, basis_points(ours, bonus_limit_bp)),
        Target(Account.TAX_PAYABLE, tax_minor),
        Target(Account.PARTNER_PENDING, net - ours),
    )
    return tuple(part for part in parts if part.amount_minor)


def confirm_price(listing: Offered, shown_minor: int, *, rate_bp: int = 0) -> None:
    """The price the buyer saw must be the price, with the tax at `rate_bp` where it is stated without. Raises PriceChanged."""
    price = listing.paid_minor(1, rate_bp)
    if shown_minor != price:
        raise PriceChanged(_("The price has changed. Nothing was charged."), field="price_minor", price_minor=price, shown_minor=shown_minor)


def confirm_terms(listing: Offered, read: str) -> None:
    """A bundle must hold the parts that the buyer has read about: those of this version. Raises TermsChanged."""
    if listing.kind == "bundle" and listing.version != read:
        raise TermsChanged(_("What is in this bundle has changed. Please read it again."), field="version")
