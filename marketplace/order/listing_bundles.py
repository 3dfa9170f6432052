"""Bundles: a listing that names others, sold at one price (decision 0052).

The price is split over the parts by what they cost alone (largest remainder), so that revenue, tax and partner's share of each are right. The money
is set aside as a whole, in the order of consumption, and taken part by part: so the wallet pays exactly what the preview of the whole shows.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import func, select

from billing.wallet import holds
from billing.wallet.wallets import Target
from core.db import db
from core.ids import derived, request_hash
from core.money import split
from marketplace.license import license_terms, licenses
from marketplace.license.license_models import License
from marketplace.order import order_entries, pricing
from marketplace.order.bundle_models import BundlePart
from marketplace.order.order_models import Order
from marketplace.publisher.publisher_models import Publisher
from marketplace.release.version_models import ListingVersion
from marketplace.store import compatibility
from marketplace.store.listing_models import Listing
from membership import entitlements


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bundle as it is sold in it: `quote` is its share of the price, `alone_minor` what it costs by itself."""

    listing: Listing
    quote: pricing.Quote
    alone_minor: int
    owned_id: uuid.UUID | None  # the licence that the member has already


def permissions(bundle_id: uuid.UUID) -> list[str]:
    """What the parts' present versions may do, taken together."""
    rows = db.session.scalars(
        select(ListingVersion.manifest)
        .join(Listing, (Listing.id == ListingVersion.listing_id) & (Listing.current_version == ListingVersion.number))
        .join(BundlePart, BundlePart.listing_id == Listing.id)
        .where(BundlePart.bundle_id == bundle_id)
    )
    return sorted({code for manifest in rows for code in manifest.get("permissions", [])})


def parts(member_id: uuid.UUID, bundle: pricing.Offered, *, at: datetime, discount_minor: int = 0) -> list[Part]:
    """The bundle's price, less a discount, laid out over its parts for this member. Raises NotForSale, Incompatible."""
    rows = db.session.execute(
        select(Listing, Publisher)
        .join(BundlePart, BundlePart.listing_id == Listing.id)
        .join(Publisher, Publisher.id == Listing.publisher_id)
        .where(BundlePart.bundle_id == bundle.id)
        .order_by(BundlePart.position)
    ).all()
    if not rows or any(one.state != "published" or one.current_version is None or one.licensed_per != "member" for one, _publisher in rows):
        raise pricing.NotForSale(_("A part of this bundle is not for sale at the moment."))
    owned = licenses.owned_listings(member_id)
    terms = [pricing.terms_of(one, publisher, one.current_version or "") for one, publisher in rows]
    alone = [one.paid_minor(1, pricing.rate_of(member_id, one, at)) for one in terms]
    shares = split(bundle.price_minor, alone)
    discounts = split(discount_minor, shares) if discount_minor else [0] * len(shares)
    standing = entitlements.standing_of(member_id)
    found = []
    for (listing, _publisher), one, by_itself, share, discount in zip(rows, terms, alone, shares, discounts, strict=True):
        offered = replace(one, price_minor=share, excludes_tax=False)
        compatibility.refuse(compatibility.judge(offered, standing))
        quote = pricing.quote(member_id, offered, 1, at=at, discount_minor=discount, is_judged=True)
        found.append(Part(listing, quote, by_itself, owned.get(listing.id)))
    return found


def whole(bundle: pricing.Offered, found: Sequence[Part], rate_bp: int) -> pricing.Quote:
    """The parts' quotes as one: what the wallet is asked for."""
    by_account: dict[int, Target] = {}
    for target in (target for part in found for target in part.quote.targets):
        before = by_account.get(int(target.account), Target(target.account, 0))
        by_account[int(target.account)] = Target(target.account, before.amount_minor + target.amount_minor, before.bonus_minor + target.bonus_minor)
    total, tax, discount = (sum(getattr(part.quote, name) for part in found) for name in ("total_minor", "tax_minor", "discount_minor"))
    return pricing.Quote(bundle, 1, total + discount, total, tax, rate_bp, tuple(by_account.values()), discount, "")


def place(
    member_id: uuid.UUID, order_id: uuid.UUID, content: bytes, bundle: pricing.Offered, *, at: datetime, placed_by: uuid.UUID | None,
    coupon_id: uuid.UUID | None = None, discount_minor: int = 0, sold_by: tuple[uuid.UUID | None, uuid.UUID | None] = (None, None),
) -> Order:  # fmt: skip
    """Buy a bundle: its order and licence, and those of each part that the member has not yet. Raises what `holds.place` raises, NotForSale, Incompatible."""
    found = parts(member_id, bundle, at=at, discount_minor=discount_minor)
    quote = whole(bundle, found, 0)
    entry = order_entries.Entry(member_id, order_id, content, quote.without_charge(), at, placed_by, kind="bundle")
    order = order_entries.charge_and_record(entry, *sold_by)
    order_entries.license_of(order, is_exclusive=True)
    if quote.total_minor:
        wanted = holds.Wanted(order_id, quote.total_minor, f"bundle {bundle.slug}", bonus_limit_minor=quote.bonus_limit_minor, by_member=False)
        holds.place(member_id, wanted, at=at, created_by=placed_by)
    for part in found:
        _take(order, part, coupon_id)
    return order


def _take(order: Order, part: Part, coupon_id: uuid.UUID | None) -> None:
    """One part: charged out of what was set aside, with a licence of its own where there is none yet."""
    part_id = derived("bundle-part", order.member_id, order.id, part.listing.id)
    content = request_hash("bundle.part", order=order.id, listing=part.listing.id)
    entry = order_entries.Entry(
        order.member_id, part_id, content, part.quote, order.at, order.placed_by, kind="part", license_id=part.owned_id, bundle_id=order.id,
        coupon_id=coupon_id if part.quote.discount_minor else None,
    )  # fmt: skip
    if part.quote.total_minor:
        charged = holds.capture(order.member_id, order.id, part_id, content, part.quote.targets, at=order.at, memo=None, created_by=order.placed_by)
        taken = order_entries.record(entry, charged, order.offer_id, order.csm_id)
    else:
        taken = order_entries.charge_and_record(entry, order.offer_id, order.csm_id)
    if part.owned_id is None:
        running = db.session.scalars(
            select(License).where(License.member_id == order.member_id, License.listing_id == part.listing.id, License.state == "trial").with_for_update()
        ).all()
        for license in running:
            license_terms.end(license, order.at)
        db.session.flush()
        order_entries.license_of(taken, is_exclusive=True)


@dataclass(frozen=True, slots=True)
class Taken:
    """What the parts of a bundle's order add up to."""

    total_minor: int
    tax_minor: int
    paid_minor: int
    bonus_minor: int
    discount_minor: int
    refunded_minor: int
    balance_after_minor: int


def taken(order: Order) -> Taken:
    """The money of a bundle's order: all of it is in its parts."""
    names = ("total_minor", "tax_minor", "paid_minor", "bonus_minor", "discount_minor", "refunded_minor")
    of_it = (Order.member_id == order.member_id, Order.bundle_id == order.id)
    sums = db.session.execute(select(*(func.coalesce(func.sum(getattr(Order, name)), 0) for name in names)).where(*of_it)).one()
    after = db.session.scalar(select(func.min(Order.balance_after_minor)).where(*of_it))
    money = {name: int(amount) for name, amount in zip(names, sums, strict=True)}
    return Taken(**money, balance_after_minor=order.balance_after_minor if after is None else int(after))


def part_orders(member_id: uuid.UUID, order_id: uuid.UUID) -> Sequence[tuple[Order, Listing]]:
    """The orders of a bundle's parts, in its order."""
    rows = db.session.execute(
        select(Order, Listing).join(Listing, Listing.id == Order.listing_id).where(Order.member_id == member_id, Order.bundle_id == order_id).order_by(Order.id)
    )
    return [(order, listing) for order, listing in rows]
