"""What a bundle may consist of, what it asks of a buyer, and how its price lies over its parts (decision 0052).

A publisher bundles what is its own. Ours may hold what others offer: the split by what parts cost alone says what each of them gets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import or_, select
from sqlalchemy.orm import defer

from core.db import db
from core.errors import Invalid
from core.money import split
from marketplace.order import pricing
from marketplace.order.bundle_models import BundlePart
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import term_sheets
from marketplace.store.listing_models import Listing

MOST_PARTS = 20
MOST_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Share:
    """A part with what it costs alone, tax included, and its share of the bundle's price."""

    listing: Listing
    publisher: Publisher
    alone_minor: int
    share_minor: int


def shares(slugs: Sequence[str], price_minor: int, *, at: datetime) -> list[Share]:
    """A price over parts by what they cost alone, largest remainder; none where nothing of it costs anything. The wallet is charged just so."""
    rows = db.session.execute(_with_publisher().where(Listing.slug.in_(slugs))).all()
    found = {listing.slug: (listing, publisher) for listing, publisher in rows}
    return _laid_out([found[slug] for slug in slugs if slug in found], price_minor, at)


def _laid_out(parts: Sequence[tuple[Listing, Publisher]], price_minor: int, at: datetime) -> list[Share]:
    alone = [pricing.shown_minor(listing, at, None) for listing, _publisher in parts]
    if not sum(alone):
        return []
    return [Share(*part, by_itself, share) for part, by_itself, share in zip(parts, alone, split(price_minor, alone), strict=True)]


def of_sheet(sheet: term_sheets.Sheet | None, *, at: datetime) -> list[Share]:
    """The shares of what a version offers; none of what is no bundle."""
    return shares(sheet["parts"], sheet["price_minor"], at=at) if sheet and "parts" in sheet else []


def of_listing(listing: Listing, *, at: datetime) -> list[Share]:
    """The shares of a bundle as it is; none of other listings."""
    if listing.kind != term_sheets.BUNDLE:
        return []
    query = _with_publisher().join(BundlePart, BundlePart.listing_id == Listing.id).where(BundlePart.bundle_id == listing.id)
    return _laid_out([(part, publisher) for part, publisher in db.session.execute(query.order_by(BundlePart.position))], listing.price_minor, at)


def check(slugs: Sequence[str], price_minor: int, publisher: Publisher, currency: str, *, at: datetime) -> list[Listing]:
    """The parts, where they make a bundle of this publisher that is cheaper than its parts. Raises Invalid."""
    parts = [one.listing for one in shares(slugs, price_minor, at=at)]
    if len(set(slugs)) < 2 or len(set(slugs)) != len(slugs) or len(slugs) > MOST_PARTS:
        raise Invalid(_("Choose 2 to %(most)s listings, each of them once.", most=MOST_PARTS), field="parts")
    if not parts:
        raise Invalid(_("A bundle has one part at least that costs something."), field="parts")
    if len(parts) != len(slugs):
        raise Invalid(_("Choose listings that are on sale."), field="parts")
    for one in parts:
        if not is_eligible(one) or one.currency != currency:
            raise Invalid(_("“%(slug)s” cannot be a part: it is not bought once for a price.", slug=one.slug), field="parts")
        if publisher.kind == "partner" and one.publisher_id != publisher.id:
            raise Invalid(_("Choose listings of your own: “%(slug)s” is another publisher’s.", slug=one.slug), field="parts")
    alone = sum(pricing.shown_minor(one, at, None) for one in parts)
    if not 0 < price_minor < alone:
        raise Invalid(_("The price must be lower than that of the parts alone, and above zero."), field="price_minor")
    return parts


def is_eligible(one: Listing) -> bool:
    """Is it bought once for a price, or free, and for the whole member?"""
    is_whole = one.pricing in ("free", "one_time") and not one.is_repeatable and one.licensed_per == "member" and not one.milestones
    return is_whole and one.kind not in term_sheets.KINDS


def choice(publisher: Publisher, currency: str, typed: str, but: Sequence[str]) -> list[tuple[Listing, Publisher]]:
    """What may be a part, by name, as far as its name or address holds what was typed."""
    fits = (
        Listing.state == "published", Listing.current_version.is_not(None), Listing.currency == currency, Listing.pricing.in_(("free", "one_time")),
        Listing.is_repeatable.is_(False), Listing.licensed_per == "member", Listing.kind.not_in(term_sheets.KINDS), Listing.slug.not_in(but),
    )  # fmt: skip
    query = _with_publisher().where(*fits)
    if publisher.kind == "partner":
        query = query.where(Listing.publisher_id == publisher.id)
    if typed:
        query = query.where(or_(*(column.icontains(typed, autoescape=True) for column in (Listing.name_zh, Listing.name_en, Listing.slug))))
    return [(listing, one) for listing, one in db.session.execute(query.order_by(Listing.slug).limit(MOST_SHOWN))]


def requirement(parts: Sequence[Listing]) -> dict[str, Any]:
    """What a bundle asks of its buyer: all that its parts ask, where that is one product line's; else each part asks by itself at the purchase."""
    lines = {one.product_line for one in parts if one.product_line}
    if len(lines) > 1:
        return {"product_line": None, "required_rank": 0, "required_features": []}
    features = sorted({feature for one in parts for feature in one.required_features})
    return {"product_line": next(iter(lines), None), "required_rank": max(one.required_rank for one in parts), "required_features": features}


def _with_publisher() -> Any:
    """Listings on sale with who offers them."""
    columns = select(Listing, Publisher).join(Publisher, Publisher.id == Listing.publisher_id).where(Listing.state == "published")
    return columns.options(defer(Listing.search), defer(Listing.description_zh), defer(Listing.description_en))
