"""Buying: one SQL call charges the wallet and records order and licence, or nothing happens at all."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from flask_babel import gettext as _
from psycopg.errors import UniqueViolation
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from billing.wallet import wallets
from core.composites import array, fields
from core.db import db
from core.errors import Conflict, IdReused
from core.ids import request_hash
from marketplace.license import license_terms, trials
from marketplace.order import coupons, listing_bundles, order_batches, order_entries, pricing, usage_charges
from marketplace.order.order_models import Order
from marketplace.seat import seats
from membership import hosts


class AlreadyOwned(Conflict):
    """The member has a licence of this listing already."""

    code = "already_owned"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a buyer asks for: `id` is its own idempotency key, `price_minor` the price of one piece that it was shown."""

    id: uuid.UUID
    price_minor: int
    quantity: int = 1
    coupon: str | None = None  # a code that lowers the price
    monthly_cap_minor: int | None = None  # of a price by use: what runs may cost in a month


@dataclass(frozen=True, slots=True)
class Attribution:
    """The offer a purchase came from, and the CSM whose upsell it is."""

    offer_id: uuid.UUID
    csm_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Placed:
    """A purchase that stands. `is_replay`: it stood before this request."""

    id: uuid.UUID
    slug: str
    version: str
    quantity: int
    price_minor: int
    total_minor: int
    tax_minor: int
    currency: str
    paid_minor: int
    bonus_minor: int
    credit_minor: int
    balance_after_minor: int
    at: datetime
    is_replay: bool
    discount_minor: int = 0

    @property
    def license_id(self) -> uuid.UUID:
        """The licence carries the order's id."""
        return self.id


_PLACE = text("select p.* from place_orders(cast(:requests as order_request[])) p")


def content_hash(slug: str, wanted: Wanted) -> bytes:
    """What decides a purchase's outcome besides its id."""
    more: dict[str, object] = {"coupon": coupons.written(wanted.coupon)} if wanted.coupon is not None else {}
    more |= {"monthly_cap_minor": wanted.monthly_cap_minor} if wanted.monthly_cap_minor is not None else {}
    if more:
        return request_hash("order", slug=slug, price_minor=wanted.price_minor, quantity=wanted.quantity, **more)
    return _content_hash(slug, wanted.price_minor, wanted.quantity)


@lru_cache(maxsize=1024)
def _content_hash(slug: str, price_minor: int, quantity: int) -> bytes:
    return request_hash("order", slug=slug, price_minor=price_minor, quantity=quantity)


def place(
    member_id: uuid.UUID, slug: str, wanted: Wanted, *, at: datetime, placed_by: uuid.UUID | None = None, attribution: Attribution | None = None
) -> Placed:
    """Buy once, within the caller's transaction of that member. Replaying `wanted.id` returns the first order, even if the listing is gone by now.

    Raises NotForSale, PriceChanged, Incompatible, AlreadyOwned, InsufficientFunds, WalletFrozen, IdReused, CouponRefused.
    """
    if first := replayed(member_id, slug, wanted):
        return first
    terms = pricing.offered(slug)
    pricing.confirm_price(terms, wanted.price_minor, rate_bp=pricing.rate_of(member_id, terms, at) if terms.excludes_tax else 0)
    if terms.pricing == "usage":
        placed = _agree(member_id, terms, wanted, at, placed_by)
    elif wanted.coupon is not None or terms.kind == "bundle":
        placed = _place_by_itself(member_id, terms, wanted, at, placed_by, attribution)
    else:
        quote = pricing.quote(member_id, terms, wanted.quantity, at=at)
        trials.give_way(member_id, terms.id, at=at)
        with _owned_already():
            row = db.session.execute(_PLACE, {"requests": array([_request(member_id, quote, wanted, at, placed_by, attribution)])}).one()
        first = replayed(member_id, slug, wanted) if row[0] == "replayed" else None  # it came in between
        placed = first or _outcome(quote, wanted, row)
    if terms.period and not placed.is_replay:
        license_terms.begin(member_id, placed.license_id, terms, at=at)
    if terms.licensed_per == "seat" and not placed.is_replay:
        seats.begin(license_terms.locked(member_id, placed.license_id), wanted.quantity, at=at, by=placed_by)
    return placed


def _agree(member_id: uuid.UUID, terms: pricing.Offered, wanted: Wanted, at: datetime, placed_by: uuid.UUID | None) -> Placed:
    """A price by use is agreed to with its cap; nothing is charged yet."""
    if wanted.coupon is not None:
        raise coupons.CouponRefused(_("This code is not for this listing."), field="coupon")
    order_entries.wait_for_turn(member_id)
    if first := replayed(member_id, terms.slug, wanted):
        return first
    trials.give_way(member_id, terms.id, at=at)
    with _owned_already():
        content = content_hash(terms.slug, wanted)
        order = usage_charges.agree(member_id, wanted.id, content, terms, wanted.monthly_cap_minor, at=at, placed_by=placed_by)
    return _placed(order, terms.slug, is_replay=False)


def _place_by_itself(
    member_id: uuid.UUID, terms: pricing.Offered, wanted: Wanted, at: datetime, placed_by: uuid.UUID | None, attribution: Attribution | None
) -> Placed:
    """A bundle, or a purchase with a coupon. Those of one member wait for each other, so that a replay takes no second use."""
    order_entries.wait_for_turn(member_id)
    if first := replayed(member_id, terms.slug, wanted):
        return first
    coupon = coupons.find(member_id, wanted.coupon, terms, at=at) if wanted.coupon is not None else None
    discount = coupons.discount(coupon, terms.paid_minor(wanted.quantity, pricing.rate_of(member_id, terms, at))) if coupon else 0
    quote = pricing.quote(member_id, terms, wanted.quantity, at=at, discount_minor=discount)
    trials.give_way(member_id, terms.id, at=at)
    if coupon:
        coupons.take(coupon, at=at)
    coupon_id = coupon.id if coupon else None
    sold_by = (attribution.offer_id, attribution.csm_id) if attribution else (None, None)
    if terms.kind == "bundle":
        with _owned_already():
            content = content_hash(terms.slug, wanted)
            order = listing_bundles.place(
                member_id, wanted.id, content, terms, at=at, placed_by=placed_by, coupon_id=coupon_id, discount_minor=discount, sold_by=sold_by
            )  # fmt: skip
        return _placed(order, terms.slug, is_replay=False)
    entry = order_entries.Entry(member_id, wanted.id, content_hash(terms.slug, wanted), quote, at, placed_by, coupon_id=coupon_id)
    with _owned_already():
        order = order_entries.charge_and_record(entry, *sold_by)
        order_entries.license_of(order, is_exclusive=not terms.is_repeatable)
    return _placed(order, terms.slug, is_replay=False)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A purchase ready for `place_orders`, by terms of sale from memory."""

    quote: pricing.Quote
    wanted: Wanted
    request: str  # the fields of an `order_request`

    def outcome(self, row: Any) -> Placed | None:
        """What its row of `place_orders` says; None where memory does not know: terms out of date, or an earlier order. Raises what `place` does."""
        return None if row[0] in ("stale", "replayed") else _outcome(self.quote, self.wanted, row)


def prepare(member_id: uuid.UUID, slug: str, wanted: Wanted, *, at: datetime, placed_by: uuid.UUID | None = None) -> Prepared | None:
    """The hot path of `place`, without asking the database.

    None where the terms in memory do not serve (unknown, changed, bound to an edition or to another host than the current release, with a term or a
    trial, lowered by a coupon). Not for members whose host runs another version: `Actor.has_own_host`.
    """
    terms = pricing.remembered(slug)
    if terms is None or not terms.is_plain or wanted.coupon is not None or not hosts.fits_releases(terms.product_line, terms.host_version):
        return None
    rate = pricing.tax_rate_of(terms, at)
    if rate is None or terms.paid_minor(1, rate) != wanted.price_minor or (wanted.quantity != 1 and not terms.is_counted):
        return None
    quote = pricing.quote(member_id, terms, wanted.quantity, at=at, is_judged=True)
    return Prepared(quote, wanted, _request(member_id, quote, wanted, at, placed_by, None))


def place_alone(member_id: uuid.UUID, slug: str, wanted: Wanted, *, at: datetime, placed_by: uuid.UUID | None = None) -> Placed | None:
    """`place` in one round trip, in a transaction of its own; None where nothing was done because memory does not serve: call `place`."""
    prepared = prepare(member_id, slug, wanted, at=at, placed_by=placed_by)
    if prepared is None:
        return None
    with _owned_already():
        return prepared.outcome(order_batches.place([prepared.request])[0])


@contextmanager
def _owned_already() -> Iterator[None]:
    """Turn the refusal of a second licence into words."""
    try:
        yield
    except (IntegrityError, UniqueViolation) as error:
        if "license_one_each" in str(error):
            raise AlreadyOwned(_("You own this already. Nothing was charged.")) from error
        raise


def _request(member_id: uuid.UUID, quote: pricing.Quote, wanted: Wanted, at: datetime, placed_by: uuid.UUID | None, attribution: Attribution | None) -> str:
    """The fields of an `order_request`."""
    own = fields(member_id, wanted.id, content_hash(quote.listing.slug, wanted))
    offer_id, csm_id = (attribution.offer_id, attribution.csm_id) if attribution else (None, None)
    return f"{own},{quote.terms},{fields(offer_id, csm_id, placed_by, at, wallets.consumption_order(), quote.listing.excludes_tax)}"


def _outcome(quote: pricing.Quote, wanted: Wanted, row: Any) -> Placed:
    """The order a call of `place_orders` left, or the error it stands for."""
    status, missing, paid, bonus, balance_after, at, credit = row
    if status in ("new", "replayed"):
        terms = quote.listing
        return Placed(
            wanted.id, terms.slug, terms.version, wanted.quantity, quote.unit_minor, quote.total_minor, quote.tax_minor, terms.currency,
            paid, bonus, credit, balance_after, at, status == "replayed",
        )  # fmt: skip
    if status == "stale":
        raise pricing.PriceChanged(_("The listing has changed just now. Nothing was charged."), price_minor=quote.unit_minor)
    if status == "insufficient_funds":
        raise wallets.InsufficientFunds(_("There is not enough money in the wallet. Nothing was charged."), missing_minor=missing)
    if status == "already_owned":
        raise AlreadyOwned(_("You own this already. Nothing was charged."))
    if status == "frozen":
        raise wallets.WalletFrozen(_("This wallet is frozen while a payment is disputed."))
    assert status == "id_reused", status
    raise IdReused(_("This id was already used for another request."), field="id")


def replayed(member_id: uuid.UUID, slug: str, wanted: Wanted) -> Placed | None:
    """The first order under this id, or None. Raises IdReused when it was for something else."""
    order = db.session.scalar(select(Order).where(Order.member_id == member_id, Order.id == wanted.id))
    if order is None:
        return None
    if order.request_hash != content_hash(slug, wanted):
        raise IdReused(_("This id was already used for another request."), field="id")
    return _placed(order, slug, is_replay=True)


def _placed(order: Order, slug: str, *, is_replay: bool) -> Placed:
    if order.kind == "bundle":
        money = listing_bundles.taken(order)
        return Placed(
            order.id, slug, order.version, 1, money.total_minor + money.discount_minor, money.total_minor, money.tax_minor, order.currency, money.paid_minor,
            money.bonus_minor, 0, money.balance_after_minor, order.at, is_replay, money.discount_minor,
        )  # fmt: skip
    return Placed(
        order.id, slug, order.version, order.quantity, order.price_minor, order.total_minor, order.tax_minor, order.currency,
        order.paid_minor, order.bonus_minor, order.credit_minor, order.balance_after_minor, order.at, is_replay,
        order.discount_minor,
    )  # fmt: skip
