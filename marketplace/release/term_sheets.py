"""Listings that are what is agreed and nothing else: services, and bundles of listings. A version of one is its *term sheet* (decision 0062).

Nothing of them is installed, so the artifact is the manifest alone: words, requirements, price, and the milestones or the parts. Other terms are another
version, numbered, checked, signed and reviewed like any; and the listing says what its version on sale says.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select

from core.db import db
from marketplace.order.bundle_models import BundlePart
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import bundles
from marketplace.release.version_models import ListingVersion
from marketplace.store.listing_models import Listing
from marketplace.store.listings import version_key
from marketplace.store.search_terms import make_findable

SERVICE, BUNDLE = "service_offering", "bundle"
KINDS = (SERVICE, BUNDLE)
WORDS = ("category", "name_zh", "name_en", "summary_zh", "summary_en", "description_zh", "description_en")
REQUIREMENTS = ("product_line", "required_rank", "required_features")
FIRST = "1.0.0"
Sheet = dict[str, Any]


def of(listing: Listing) -> Sheet:
    """What a listing offers now."""
    said: Sheet = {name: getattr(listing, name) for name in (*WORDS, *REQUIREMENTS, "currency")}
    if listing.kind == SERVICE:
        return said | {"milestones": listing.milestones or []}
    parts = select(Listing.slug).join(BundlePart, BundlePart.listing_id == Listing.id).where(BundlePart.bundle_id == listing.id)
    return said | {"price_minor": listing.price_minor, "parts": list(db.session.scalars(parts.order_by(BundlePart.position)))}


def price_minor(sheet: Sheet) -> int:
    """What it costs, tax included: a service the sum of its milestones."""
    return sum(int(one["amount_minor"]) for one in sheet["milestones"]) if "milestones" in sheet else int(sheet["price_minor"])


def packed(listing: Listing, number: str, sheet: Sheet) -> bundles.Bundle:
    """The artifact of a version: its manifest alone. The same terms give the same bytes."""
    manifest = {
        "slug": listing.slug, "version": number, "kind": listing.kind, "parameters": {"type": "object", "properties": {}}, "permissions": [],
        "required_edition_rank": sheet["required_rank"], "product_line": sheet["product_line"], "required_features": list(sheet["required_features"]),
        "offer": sheet,
    }  # fmt: skip
    return bundles.pack(manifest, {"manifest.json": json.dumps(manifest, sort_keys=True, ensure_ascii=False).encode()})


def next_number(known: Sequence[ListingVersion]) -> str:
    """The number of the next version: numbers are never used twice, not even those of what was sent back."""
    if not known:
        return FIRST
    major, minor, _patch = max(version_key(one.number) for one in known)
    return f"{major}.{minor + 1}.0"


def sheet_of(version: ListingVersion | None) -> Sheet | None:
    """What a version offers; None of what is no term sheet."""
    return version.manifest.get("offer") if version else None


def take_over(listing: Listing) -> None:
    """Let a listing say what its version on sale says: after an approval the new terms, after a withdrawal those of the version before."""
    if listing.kind not in KINDS or listing.current_version is None:
        return
    sheet = sheet_of(db.session.get(ListingVersion, (listing.id, listing.current_version)))
    if sheet is None:
        return
    for name in (*WORDS, *REQUIREMENTS):
        setattr(listing, name, sheet[name])
    listing.price_minor = price_minor(sheet)
    if listing.kind == SERVICE:
        listing.milestones = sheet["milestones"]
    else:
        put_together(listing, sheet["parts"])
    publisher = db.session.get_one(Publisher, listing.publisher_id)
    make_findable(listing, publisher)
    db.session.flush()


def put_together(bundle: Listing, slugs: Sequence[str]) -> None:
    """Let a bundle consist of these listings, in this order."""
    db.session.flush()
    ids = {row.slug: row.id for row in db.session.execute(select(Listing.slug, Listing.id).where(Listing.slug.in_(slugs)))}
    db.session.execute(delete(BundlePart).where(BundlePart.bundle_id == bundle.id))
    rows = [{"bundle_id": bundle.id, "listing_id": ids[slug], "position": n} for n, slug in enumerate(slugs)]
    db.session.execute(insert(BundlePart), rows)
