"""Publishers: the vendor's own team and its service partners, and what their listings bring in."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import defer

from billing.wallet import wallets
from core.db import db
from core.errors import NotFound
from core.ids import derived
from marketplace.license.license_models import Download
from marketplace.order.order_models import Order
from marketplace.publisher.publisher_models import Publisher
from marketplace.release.version_models import ListingVersion
from marketplace.store.listing_models import Listing

VENDOR = "vendor"
SHOWCASE = {  # code: name_zh, name_en, kind, our share of a partner's net price in basis points
    VENDOR: ("玉衡官方", "Jade Balance", "vendor", 0),
    "harbor-automation": ("港湾自动化", "Harbor Automation", "partner", 3000),
    "yunqi-services": ("云栖服务", "Yunqi Services", "partner", 3000),
}


@dataclass(frozen=True, slots=True)
class Sales:
    """What one listing brought in: orders, their sum with tax, downloads; `waiting` are versions in review."""

    listing: Listing
    orders: int
    total_minor: int
    downloads: int
    waiting: int


def ensure(code: str, name_zh: str, name_en: str, kind: str, commission_bp: int, *, entity_id: uuid.UUID, currency: str, at: datetime) -> Publisher:
    """The publisher of this code, made (with a book of its own, for a partner) when it is new."""
    _put({"code": code, "name_zh": name_zh, "name_en": name_en, "kind": kind, "commission_bp": commission_bp})
    publisher_id = derived("publisher", code)
    if kind == "partner":
        wallets.open_book(publisher_id, "partner", entity_id, currency, at)
    return db.session.get_one(Publisher, publisher_id)


def find_vendor() -> uuid.UUID | None:
    """What we ourselves offer under; None before it is named."""
    return db.session.scalar(select(Publisher.id).where(Publisher.code == VENDOR))


def name_vendor(name_zh: str, name_en: str) -> bool:
    """Let us offer listings under this name, for which we need no book of a partner; `False` where we have one already, which stays."""
    return _put({"code": VENDOR, "name_zh": name_zh, "name_en": name_en, "kind": "vendor", "commission_bp": 0})


def _put(row: dict[str, Any]) -> bool:
    new = insert(Publisher).values(row | {"id": derived("publisher", row["code"]), "is_verified": True}).on_conflict_do_nothing()
    return db.session.execute(new.returning(Publisher.id)).first() is not None


def sales(publisher_id: uuid.UUID) -> Sequence[Sales]:
    """A publisher's listings with their figures, best seller first."""
    rows = sales_of(db.session.scalars(select(Listing).where(Listing.publisher_id == publisher_id).options(defer(Listing.search))).all())
    return sorted(rows, key=lambda row: (-row.total_minor, -row.orders, row.listing.slug))


def sales_of(listings: Sequence[Listing]) -> list[Sales]:
    """Listings with their figures. Runs as their publisher: the database shows it its own sales only."""
    ids = [listing.id for listing in listings]
    orders = {
        row[0]: (row[1], int(row[2]))
        for row in db.session.execute(
            select(Order.listing_id, func.count().filter(Order.kind.not_in(("trial", "usage"))), func.sum(Order.total_minor))
            .where(Order.listing_id.in_(ids), Order.state == "completed")
            .group_by(Order.listing_id)
        )
    }
    downloads = _counts(select(Download.listing_id, func.count()).where(Download.listing_id.in_(ids)).group_by(Download.listing_id))
    waiting = _counts(
        select(ListingVersion.listing_id, func.count())
        .where(ListingVersion.listing_id.in_(ids), ListingVersion.state == "in_review")
        .group_by(ListingVersion.listing_id)
    )
    return [Sales(one, *orders.get(one.id, (0, 0)), downloads.get(one.id, 0), waiting.get(one.id, 0)) for one in listings]


def _counts(statement: object) -> dict[uuid.UUID, int]:
    return {row[0]: int(row[1]) for row in db.session.execute(statement)}  # type: ignore[call-overload]


def own_listing(publisher_id: uuid.UUID, slug: str) -> Listing:
    """The publisher's listing of this slug. Raises NotFound for anybody else's."""
    found = db.session.scalar(select(Listing).where(Listing.slug == slug, Listing.publisher_id == publisher_id).options(defer(Listing.search)))
    if found is None:
        raise NotFound(_("You have no listing of this name."))
    return found
