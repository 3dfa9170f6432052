"""Coupons: made and ended by finance, taken by a purchase in its own transaction, so that a purchase that fails gives its use back."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import Select, func, select, text
from sqlalchemy.dialects.postgresql import insert

from core import audit
from core.actor import actor
from core.db import db
from core.errors import Conflict, IdReused, Invalid, NotFound
from core.money import basis_points
from marketplace.order.coupon_models import Coupon
from marketplace.order.order_models import Order
from marketplace.order.pricing import Offered
from marketplace.publisher.publisher_models import Publisher
from marketplace.store.listing_models import Listing

CODE = re.compile(r"[A-Z0-9][A-Z0-9-]{2,29}")
_TAKE = text("select take_coupon(:id, :at)")


class CouponRefused(Conflict):
    """The code does not lower this purchase; the sentence says why."""

    code = "coupon_refused"


class CouponOver(Conflict):
    """It has ended already."""

    code = "coupon_over"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A coupon as finance wants it. Either `percent_bp` or `amount_minor`; `listing` is a slug, `publisher` a code."""

    id: uuid.UUID
    code: str
    currency: str
    percent_bp: int | None = None
    amount_minor: int | None = None
    starts_at: datetime | None = None  # None: at once
    ends_at: datetime | None = None
    most_uses: int | None = None
    first_only: bool = False
    listing: str | None = None
    publisher: str | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """What became of a coupon."""

    orders: int = 0
    discount_minor: int = 0
    sold_minor: int = 0


def written(code: str) -> str:
    """A code as it is stored: capitals, no spaces around."""
    return code.strip().upper()


def find(member_id: uuid.UUID, code: str, bought: Offered, *, at: datetime) -> Coupon:
    """The coupon of this code, if it lowers this purchase now. Nothing is taken yet. Raises CouponRefused."""
    known = CODE.fullmatch(written(code))
    query = select(Coupon).where(Coupon.code == written(code)).execution_options(populate_existing=True)
    coupon = db.session.scalars(query).one_or_none() if known else None
    if coupon is None:
        raise CouponRefused(_("There is no such code."), field="coupon")
    reason = _refusal(member_id, coupon, bought, at)
    if reason is not None:
        raise CouponRefused(reason, field="coupon")
    return coupon


def _refusal(member_id: uuid.UUID, coupon: Coupon, bought: Offered, at: datetime) -> str | None:
    if coupon.starts_at > at:
        return str(_("This code is not valid yet."))
    if coupon.ends_at is not None and coupon.ends_at <= at:
        return str(_("This code is no longer valid."))
    if coupon.most_uses is not None and coupon.uses >= coupon.most_uses:
        return str(_("This code has been used as often as it may be."))
    if (
        coupon.currency != bought.currency
        or coupon.listing_id not in (None, bought.id)
        or coupon.publisher_id not in (None, bought.publisher_id)
        or bought.pricing == "usage"
    ):
        return str(_("This code is not for this listing."))
    if bought.price_minor == 0:
        return str(_("This costs nothing: keep the code for something else."))
    if coupon.first_only and has_bought(member_id):
        return str(_("This code is for a first purchase only."))
    return None


def has_bought(member_id: uuid.UUID) -> bool:
    """Has the member ever paid for something in the store?"""
    paid = select(Order.id).where(Order.member_id == member_id, Order.total_minor > 0, Order.kind != "trial").limit(1)
    return db.session.scalar(paid) is not None


def discount(coupon: Coupon, full_minor: int) -> int:
    """What it takes off a price, never more than all of it."""
    if coupon.percent_bp is not None:
        return basis_points(full_minor, coupon.percent_bp)
    assert coupon.amount_minor is not None
    return min(coupon.amount_minor, full_minor)


def take(coupon: Coupon, *, at: datetime) -> None:
    """Count one use, within the purchase's transaction: whoever buys with the same code waits for its end. Raises CouponRefused."""
    if not db.session.scalar(_TAKE, {"id": coupon.id, "at": at}):
        raise CouponRefused(_("This code has been used as often as it may be."), field="coupon")


def create(wanted: Wanted, *, at: datetime) -> Coupon:
    """Write a coupon down; the same again is the same coupon. Raises Invalid, IdReused."""
    first = db.session.get(Coupon, wanted.id)
    wanted = replace(wanted, code=written(wanted.code), starts_at=wanted.starts_at or (first.starts_at if first else at))
    listing_id, publisher_id = _scope(wanted)
    content = {
        "code": wanted.code, "currency": wanted.currency, "kind": "amount" if wanted.percent_bp is None else "percent", "percent_bp": wanted.percent_bp,
        "amount_minor": wanted.amount_minor, "starts_at": wanted.starts_at, "most_uses": wanted.most_uses, "first_only": wanted.first_only,
        "listing_id": listing_id, "publisher_id": publisher_id,
    }  # fmt: skip
    if first is not None:
        if any(getattr(first, name) != value for name, value in content.items()):
            raise IdReused(_("This id was already used for another request."), field="id")
        return first
    _check(wanted, at)
    row = {**content, "id": wanted.id, "uses": 0, "ends_at": wanted.ends_at, "created_by": actor().name, "created_at": at}
    made = db.session.execute(insert(Coupon).values(row).on_conflict_do_nothing().returning(Coupon.id)).one_or_none()
    if made is None:
        raise Invalid(_("This code exists already."), field="code")
    coupon = show(wanted.id)
    audit.record("coupon.create", coupon.id, at=at, after=_words(coupon))
    return coupon


def _scope(wanted: Wanted) -> tuple[uuid.UUID | None, uuid.UUID | None]:
    if wanted.listing and wanted.publisher:
        raise Invalid(_("Choose a listing or a publisher, not both."), field="listing")
    listing_id = publisher_id = None
    if wanted.listing:
        listing_id = db.session.scalar(select(Listing.id).where(Listing.slug == wanted.listing, Listing.currency == wanted.currency))
        if listing_id is None:
            raise Invalid(_("There is no such listing in this currency."), field="listing")
    if wanted.publisher:
        publisher_id = db.session.scalar(select(Publisher.id).where(Publisher.code == wanted.publisher))
        if publisher_id is None:
            raise Invalid(_("There is no such publisher."), field="publisher")
    return listing_id, publisher_id


def _check(wanted: Wanted, at: datetime) -> None:
    if CODE.fullmatch(wanted.code) is None:
        raise Invalid(_("A code has 3 to 30 letters, digits or hyphens."), field="code")
    if (wanted.percent_bp is None) == (wanted.amount_minor is None):
        raise Invalid(_("Enter a percentage or an amount, and only one of them."), field="percent")
    assert wanted.starts_at is not None
    if wanted.ends_at is not None and wanted.ends_at <= max(wanted.starts_at, at):
        raise Invalid(_("The coupon must end after it begins, and not in the past."), field="ends_at")


def _words(coupon: Coupon) -> dict[str, object]:
    names = ("code", "currency", "percent_bp", "amount_minor", "most_uses", "first_only")
    ids = {name: str(value) for name in ("listing_id", "publisher_id") if (value := getattr(coupon, name))}
    return {name: getattr(coupon, name) for name in names} | ids | {"starts_at": coupon.starts_at.isoformat(), "ends_at": _iso(coupon.ends_at)}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def end(coupon_id: uuid.UUID, reason: str, *, at: datetime) -> Coupon:
    """It lowers nothing any more; orders keep what they got. Raises NotFound, CouponOver."""
    coupon = show(coupon_id)
    before = coupon.ends_at
    if coupon.end_reason is not None or (before is not None and before <= at):
        raise CouponOver(_("This coupon has ended already."))
    coupon.ends_at, coupon.end_reason = max(at, coupon.starts_at), reason
    db.session.flush()
    audit.record("coupon.end", coupon.id, at=at, before={"ends_at": _iso(before)}, after={"ends_at": _iso(coupon.ends_at)}, reason=reason)
    return coupon


def show(coupon_id: uuid.UUID) -> Coupon:
    """One coupon as it stands now. Raises NotFound."""
    found = db.session.get(Coupon, coupon_id, populate_existing=True)
    if found is None:
        raise NotFound(_("There is no such coupon."))
    return found


def state(coupon: Coupon, *, at: datetime) -> str:
    """scheduled, running, used_up or over."""
    if coupon.end_reason is not None or (coupon.ends_at is not None and coupon.ends_at <= at):
        return "over"
    if coupon.most_uses is not None and coupon.uses >= coupon.most_uses:
        return "used_up"
    return "scheduled" if coupon.starts_at > at else "running"


def all_of() -> Select[Coupon]:
    """Every coupon, for a list."""
    return select(Coupon)


def use_of(coupon_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Use]:
    """Orders that were lowered, by how much, and what they brought."""
    rows = db.session.execute(
        select(Order.coupon_id, func.count(), func.sum(Order.discount_minor), func.sum(Order.total_minor))
        .where(Order.coupon_id.in_(coupon_ids))
        .group_by(Order.coupon_id)
    )
    found = {row[0]: Use(int(row[1]), int(row[2]), int(row[3])) for row in rows}
    return {one: found.get(one, Use()) for one in coupon_ids}


def scope_names(coupons: Sequence[Coupon]) -> dict[uuid.UUID, Listing | Publisher]:
    """What the coupons are for, by coupon; one that is for everything has none."""
    listings = {one.listing_id: one for one in coupons if one.listing_id}
    publishers = {one.publisher_id: one for one in coupons if one.publisher_id}
    known: dict[uuid.UUID, Listing | Publisher] = {}
    for listing in db.session.scalars(select(Listing).where(Listing.id.in_(listings))):
        known[listing.id] = listing
    for publisher in db.session.scalars(select(Publisher).where(Publisher.id.in_(publishers))):
        known[publisher.id] = publisher
    return {one.id: known[scope] for one in coupons if (scope := one.listing_id or one.publisher_id) in known}
