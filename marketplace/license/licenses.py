"""Licences: what a member may use, and the one place that decides it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import Select, func, select
from sqlalchemy.orm import defer

from core.actor import Actor, actor
from core.db import db
from core.errors import Forbidden, NotFound
from marketplace.license.license_models import License
from marketplace.order.order_models import Order
from marketplace.publisher.publisher_models import Publisher
from marketplace.seat import seats
from marketplace.store.listing_models import Listing
from marketplace.store.listings import is_newer


class LicenseEnded(Forbidden):
    """The licence does not cover this any more."""

    code = "license_ended"


@dataclass(frozen=True, slots=True)
class Owned:
    """A licence with what it is for and the order it came from."""

    license: License
    listing: Listing
    order: Order

    @property
    def update(self) -> str | None:
        """The version to update to, once an older one has been downloaded."""
        newest = self.listing.current_version
        return newest if is_newer(newest, self.license.installed_version) else None


@dataclass(frozen=True, slots=True)
class Packs:
    """Something bought again and again: how often, how many, and the latest licence."""

    listing: Listing
    orders: int
    pieces: int
    total_minor: int
    latest_id: uuid.UUID
    latest_at: datetime


def is_valid(license: License, at: datetime) -> bool:
    """Does the licence hold at this instant?"""
    return license.state in ("active", "trial") and license.starts_at <= at and (license.ends_at is None or at < license.ends_at)


def check(license: License, at: datetime) -> None:
    """The licence check of everything that a licence opens, for whoever acts now. Raises LicenseEnded, NoSeat."""
    if not is_valid(license, at):
        raise LicenseEnded(_("This licence is not active. Your files stay yours; new downloads need an active licence."))
    seats.check(license, actor())


def may_run(license: License, acting: Actor) -> bool:
    """May this actor's role run what the licence opens? Viewers only look, unless they hold a seat, which `check` asks for."""
    return license.seats is not None or acting.role != "viewer"


def owned(member_id: uuid.UUID, license_id: uuid.UUID) -> Owned:
    """A member's licence. Raises NotFound for anybody else's."""
    row = db.session.execute(
        select(License, Listing, Order)
        .join(Listing, Listing.id == License.listing_id)
        .join(Order, (Order.member_id == License.member_id) & (Order.id == License.id))
        .where(License.member_id == member_id, License.id == license_id)
        .options(defer(Listing.search))
    ).one_or_none()
    if row is None:
        raise NotFound(_("You have no such licence."))
    return Owned(*row)


def list_owned(member_id: uuid.UUID, *, with_bundles: bool = False) -> Sequence[Owned]:
    """Licences of what is bought once, latest first; of a bundle its parts by themselves, unless it is asked for too."""
    return [Owned(*row) for row in db.session.execute(select_owned(member_id, with_bundles=with_bundles))]


def select_owned(member_id: uuid.UUID, *, with_bundles: bool = False) -> Select[License, Listing, Order]:
    """The query of `list_owned`, for who adds a column."""
    return (
        select(License, Listing, Order)
        .join(Listing, Listing.id == License.listing_id)
        .join(Order, (Order.member_id == License.member_id) & (Order.id == License.id))
        .where(License.member_id == member_id, License.is_exclusive, (Listing.kind != "bundle") | with_bundles)
        .order_by(License.starts_at.desc(), Listing.slug)
        .options(defer(Listing.search), defer(Listing.description_zh), defer(Listing.description_en))
    )


def list_packs(member_id: uuid.UUID) -> Sequence[Packs]:
    """What is bought again and again, added up."""
    sums = (
        select(
            License.listing_id,
            func.count().label("orders"),
            func.sum(License.quantity).label("pieces"),
            func.sum(Order.total_minor).label("total"),
            func.max(License.starts_at).label("latest_at"),
        )
        .join(Order, (Order.member_id == License.member_id) & (Order.id == License.id))
        .where(License.member_id == member_id, License.is_exclusive.is_(False))
        .group_by(License.listing_id)
        .subquery()
    )
    newest = (
        select(License.id)
        .where(License.member_id == member_id, License.listing_id == sums.c.listing_id, License.starts_at == sums.c.latest_at)
        .order_by(License.id)
        .limit(1)
        .scalar_subquery()
    )
    rows = db.session.execute(
        select(Listing, sums.c.orders, sums.c.pieces, sums.c.total, newest, sums.c.latest_at)
        .join(sums, sums.c.listing_id == Listing.id)
        .order_by(sums.c.latest_at.desc())
        .options(defer(Listing.search))
    )
    return [Packs(listing, int(orders), int(pieces), int(total), license_id, at) for listing, orders, pieces, total, license_id, at in rows]


def of_listing(member_id: uuid.UUID, listing_id: uuid.UUID) -> License | None:
    """The member's licence of a listing, one that has not ended first; `None` where it has none."""
    return db.session.scalars(
        select(License)
        .where(License.member_id == member_id, License.listing_id == listing_id)
        .order_by(License.state == "ended", License.starts_at.desc())
        .limit(1)
    ).one_or_none()


def owned_listings(member_id: uuid.UUID) -> dict[uuid.UUID, uuid.UUID]:
    """Listing id → licence id of what a member has and can't buy again. A trial is no hindrance."""
    kept = License.state.not_in(("ended", "trial"))
    rows = db.session.execute(select(License.listing_id, License.id).where(License.member_id == member_id, License.is_exclusive, kept))
    return {row[0]: row[1] for row in rows}


def publisher_of(listing: Listing) -> Publisher:
    """Who offers a listing."""
    found = db.session.get(Publisher, listing.publisher_id)
    assert found is not None
    return found
