"""Orders outside the hot path: charged and written down one by one, in the caller's transaction."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text

from billing.wallet import wallets
from billing.wallet.wallet_models import Wallet
from core.db import db
from marketplace.license.license_models import License
from marketplace.order.order_models import Order
from marketplace.order.pricing import Quote

_TURN = text("select pg_advisory_xact_lock(hashtextextended('order ' || cast(:member as text), 0))")


@dataclass(frozen=True, slots=True)
class Entry:
    """An order to write down, and the quote it is charged by."""

    member_id: uuid.UUID
    id: uuid.UUID
    request_hash: bytes
    quote: Quote
    at: datetime
    placed_by: uuid.UUID | None = None
    kind: str = "purchase"
    coupon_id: uuid.UUID | None = None
    license_id: uuid.UUID | None = None
    bundle_id: uuid.UUID | None = None  # of a part: the order of the bundle
    price_minor: int | None = None  # of one piece, where the licence has another than the listing


def wait_for_turn(member_id: uuid.UUID) -> None:
    """Orders of this file's kind of one member go one after the other: until the transaction ends, the next one waits."""
    db.session.execute(_TURN, {"member": member_id})


def charge_and_record(entry: Entry, offer_id: uuid.UUID | None = None, csm_id: uuid.UUID | None = None) -> Order:
    """Charge an order's price, if it has one, and write it down. Raises what `wallets.charge` raises."""
    quote = entry.quote
    if not quote.total_minor:
        held = select(Wallet.paid_minor + Wallet.bonus_minor).where(Wallet.member_id == entry.member_id, Wallet.currency == quote.listing.currency)
        balance = db.session.scalar(held) or 0
        return record(entry, wallets.ChargeResult(entry.member_id, entry.id, "new", 0, 0, 0, balance), offer_id, csm_id)
    request = wallets.ChargeRequest(entry.member_id, entry.id, entry.request_hash, "purchase", quote.listing.currency, entry.at, quote.targets)
    return record(entry, wallets.charge(request), offer_id, csm_id)


def record(entry: Entry, charged: wallets.ChargeResult, offer_id: uuid.UUID | None = None, csm_id: uuid.UUID | None = None) -> Order:
    """Write an order down as it was charged."""
    quote, listing = entry.quote, entry.quote.listing
    price = quote.unit_minor if entry.price_minor is None else entry.price_minor
    order = Order(
        member_id=entry.member_id, id=entry.id, request_hash=entry.request_hash, listing_id=listing.id, version=listing.version, quantity=quote.quantity,
        price_minor=price, total_minor=quote.total_minor, tax_minor=quote.tax_minor, currency=listing.currency, paid_minor=charged.paid_minor,
        bonus_minor=charged.bonus_minor, credit_minor=charged.credit_minor, balance_after_minor=charged.balance_after_minor, state="completed",
        offer_id=offer_id, csm_id=csm_id, placed_by=entry.placed_by, at=entry.at, kind=entry.kind, license_id=entry.license_id,
        discount_minor=quote.discount_minor, coupon_id=entry.coupon_id, bundle_id=entry.bundle_id,
        excludes_tax=listing.excludes_tax and entry.price_minor is None,
    )  # fmt: skip
    db.session.add(order)
    db.session.flush()
    return order


def license_of(order: Order, *, is_exclusive: bool) -> License:
    """The licence that an order opens: it carries the order's id."""
    license = License(
        member_id=order.member_id, id=order.id, listing_id=order.listing_id, version=order.version, quantity=order.quantity, state="active",
        is_exclusive=is_exclusive, starts_at=order.at,
    )  # fmt: skip
    db.session.add(license)
    db.session.flush()
    return license
