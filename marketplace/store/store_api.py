"""The store for machines: listings, orders, licences, artifacts."""

import base64
import uuid
from typing import Any

from flask import Response
from sqlalchemy import select

from core import paging
from core.access import MEMBERS, public, requires
from core.actor import ROLES, actor
from core.clock import now
from core.db import transaction
from core.openapi import Blueprint
from core.schemas import PageQuery, fails, page_of
from marketplace.license import downloads
from marketplace.license.license_models import License
from marketplace.order import pricing
from marketplace.order.order_models import Order
from marketplace.release.lifecycle_models import SigningKey
from marketplace.store import listings, search
from marketplace.store.listing_models import Listing
from marketplace.store.listings import Shown
from marketplace.store.store_schemas import ArtifactQuery, LicenseOut, ListingDetailOut, ListingOut, ListingQuery, OrderListOut, SigningKeyOut
from membership import entitlements
from membership.entitlements import Standing

blp = Blueprint("store_api", __name__, url_prefix="/api/v1", description="The store: listings, orders, licences, artifacts")
_SAME = (
    "slug", "name_zh", "name_en", "summary_zh", "summary_en", "kind", "category", "excludes_tax", "currency", "pricing", "period", "required_rank",
    "product_line", "required_features", "host_version", "is_repeatable", "licensed_per", "minutes_saved", "updated_at",
)  # fmt: skip


def _listing(shown: Shown) -> dict[str, Any]:
    one = shown.listing
    average = round(one.rating_sum / one.rating_count, 2) if one.rating_count else None
    return {name: getattr(one, name) for name in _SAME} | {
        "price_minor": pricing.shown_minor(one, now(), actor().member_id),
        "version": one.current_version,
        "rating": {"average": average, "count": one.rating_count},
        "publisher": shown.publisher,
        "compatible": shown.verdict.allowed if shown.verdict else None,
    }


def _standing() -> Standing | None:
    member_id = actor().member_id
    return entitlements.standing_of(member_id) if member_id else None


@blp.get("/listings")
@blp.arguments(ListingQuery, location="query")
@blp.response(200, page_of(ListingOut))
@fails(blp, 400, 401, 422)
@requires(*ROLES)
def list_listings(query: dict[str, Any]) -> dict[str, Any]:
    """Search the store. Without words: everything on offer, what changed last first."""
    wanted = {name: query[name] for name in ("kind", "category", "price", "edition", "usable", "stars")}
    filters = search.Filters(**wanted, since=query["updated_since"])
    with transaction(actor()):
        found = search.find(query["q"], filters, query["sort"], after=query["after"], limit=query["limit"], standing=_standing())
        return {"items": [_listing(shown) for shown in found.hits], "next": found.next}


@blp.get("/listings/<slug>")
@blp.response(200, ListingDetailOut)
@fails(blp, 401, 404)
@requires(*ROLES)
def show_listing(slug: str) -> dict[str, Any]:
    """One listing with its text, permissions and versions. A deprecated one is still found here, though not by search."""
    with transaction(actor()):
        shown = listings.find_on_show(slug, _standing())
        versions = listings.public_versions(shown.listing.id)
        current = next((one for one in versions if one.number == shown.listing.current_version), None)
        return _listing(shown) | {
            "description_zh": shown.listing.description_zh,
            "description_en": shown.listing.description_en,
            "permissions": current.manifest.get("permissions", []) if current else [],
            "versions": versions,
        }


@blp.get("/signing-keys")
@blp.response(200, SigningKeyOut(many=True))
@public
def list_signing_keys() -> list[dict[str, Any]]:
    """Public keys of the signatures on artifacts, newest first. A signature names its key; keys stay here when a newer one signs."""
    with transaction(actor()) as session:
        keys = session.scalars(select(SigningKey).order_by(SigningKey.created_at.desc(), SigningKey.id)).all()
        return [{"id": one.id, "algorithm": "Ed25519", "public_key": base64.b64encode(one.public).decode(), "created_at": one.created_at} for one in keys]


@blp.get("/orders")
@blp.arguments(PageQuery, location="query")
@blp.response(200, page_of(OrderListOut))
@fails(blp, 400, 401, 403, 422)
@requires(*MEMBERS)
def list_orders(query: dict[str, Any]) -> dict[str, Any]:
    """The member's orders, latest first."""
    with transaction(actor()) as session:
        page: paging.Page[Order] = paging.keyset(
            session, select(Order).where(Order.member_id == actor().member), [Order.at, Order.id], query["after"], query["limit"]
        )
        slugs = _slugs(session, [order.listing_id for order in page.items])
        return {"items": [_row(OrderListOut, order, slugs) for order in page.items], "next": page.next}


@blp.get("/licenses")
@blp.arguments(PageQuery, location="query")
@blp.response(200, page_of(LicenseOut))
@fails(blp, 400, 401, 403, 422)
@requires(*MEMBERS)
def list_licenses(query: dict[str, Any]) -> dict[str, Any]:
    """The member's licences, latest first."""
    with transaction(actor()) as session:
        page: paging.Page[License] = paging.keyset(
            session, select(License).where(License.member_id == actor().member), [License.starts_at, License.id], query["after"], query["limit"]
        )
        slugs = _slugs(session, [one.listing_id for one in page.items])
        return {"items": [_row(LicenseOut, one, slugs) for one in page.items], "next": page.next}


def _slugs(session: Any, listing_ids: list[uuid.UUID]) -> dict[uuid.UUID, tuple[str, str | None]]:
    rows = session.execute(select(Listing.id, Listing.slug, Listing.current_version).where(Listing.id.in_(set(listing_ids))))
    return {listing_id: (slug, newest) for listing_id, slug, newest in rows}


def _row(schema: type, row: Order | License, slugs: dict[uuid.UUID, tuple[str, str | None]]) -> dict[str, Any]:
    slug, newest = slugs[row.listing_id]
    own = {name: getattr(row, name) for name in schema._declared_fields if hasattr(row, name)}  # type: ignore[attr-defined]
    return own | {"listing": slug, "newest_version": newest}


@blp.get("/licenses/<uuid:license_id>/artifact")
@blp.arguments(ArtifactQuery, location="query")
@blp.response(200, {"type": "string", "format": "binary"}, content_type="application/zip", description="The bundle; `Repr-Digest` and `ETag` hold its SHA-256")
@fails(blp, 401, 403, 404, 409, 422)
@requires(*MEMBERS)
def download(query: dict[str, Any], license_id: uuid.UUID) -> Response:
    """Download what a licence opens: an edited copy as it is, else the newest version that works with the member's host, or the one asked for."""
    acting = actor()
    with transaction(acting):
        handout = downloads.hand_out(acting.member, license_id, at=now(), user_id=acting.user_id, version=query["version"], original=query["original"])
    return Response(handout.content, mimetype="application/zip", headers=handout.headers)
