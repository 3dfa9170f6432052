"""More and fewer seats of a licence (decision 0060).

More of a running term cost their share of it, prorated by the day as the seats of a subscription are (decision 0021), at the price that was agreed to;
more of a licence that was bought once cost what the store asks for them today. Fewer wait for the next term.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime

from flask_babel import gettext as _

from billing.wallet import balances
from core import audit
from core.actor import actor
from core.db import db
from core.errors import Conflict, IdReused, Invalid
from core.formats import number
from core.ids import request_hash
from core.money import tax_included
from marketplace.license import license_terms, licenses
from marketplace.license.license_models import License
from marketplace.order import order_entries, previews, pricing
from marketplace.order.order_models import Order
from marketplace.seat import seats
from marketplace.store import compatibility
from marketplace.store.listing_models import Listing
from membership import proration, subscriptions

MOST_SEATS = 10_000  # of a licence, as an order has so many pieces at most


class SeatsNotChangeable(Conflict):
    """The licence is tried, unpaid, over or just being renewed; the sentence says which."""

    code = "seats_not_changeable"


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many seats more; `id` makes it happen once, `price_minor` is the charge that was shown."""

    id: uuid.UUID
    seats: int
    price_minor: int


@dataclass(frozen=True, slots=True)
class More:
    """What more seats cost today, tax included, and what follows: the charge uses these very figures."""

    license: License
    quote: pricing.Quote  # its total is the charge, its unit a seat for a whole term, or for good
    gone: proration.Progress | None  # of the running term; None: the licence has none
    worth_offset: int
    next_term_minor: int | None  # what a term costs afterwards

    @property
    def seats_after(self) -> int:
        """How many seats the licence has then."""
        return (self.license.seats or 0) + self.quote.quantity


def preview(member_id: uuid.UUID, license_id: uuid.UUID, more: int, *, at: datetime) -> More:
    """What so many seats more cost at an instant. Raises NotFound, NotPerSeat, SeatsNotChangeable, NotForSale, EditionTooLow, Invalid."""
    return _worked_out(licenses.owned(member_id, license_id).license, more, at)


def wallet_preview(found: More, *, at: datetime) -> previews.Preview:
    """The charge laid on the wallet as it is."""
    member_id, currency = found.license.member_id, found.quote.listing.currency
    balance, grants = balances.contents(member_id, currency, at=at)
    return previews.of(found.quote, grants, balance.credit_minor)


def add(member_id: uuid.UUID, license_id: uuid.UUID, wanted: Wanted, *, at: datetime, placed_by: uuid.UUID | None) -> Order:
    """Buy more seats, within the caller's transaction of that member; the same id and content again returns the first order.

    Raises what `preview` raises, and PriceChanged, InsufficientFunds, WalletFrozen, IdReused.
    """
    content = request_hash("license.seats", license=license_id, seats=wanted.seats, price_minor=wanted.price_minor)
    order_entries.wait_for_turn(member_id)
    first = db.session.get(Order, (member_id, wanted.id))
    if first is not None:
        if first.request_hash != content:
            raise IdReused(_("This id was already used for another request."), field="id")
        return first
    license = license_terms.locked(member_id, license_id)
    found = _worked_out(license, wanted.seats, at)
    if found.quote.total_minor != wanted.price_minor:
        words, now_minor = _("The price has changed. Nothing was charged."), found.quote.total_minor
        raise pricing.PriceChanged(words, field="price_minor", price_minor=now_minor, shown_minor=wanted.price_minor)
    entry = order_entries.Entry(member_id, wanted.id, content, found.quote, at, placed_by, kind="seats", license_id=license_id)
    order = order_entries.charge_and_record(entry)
    license.seats, license.next_seats, license.worth_offset = found.seats_after, None, found.worth_offset
    db.session.flush()
    return order


def lower(member_id: uuid.UUID, license_id: uuid.UUID, wanted: int, *, at: datetime) -> License:
    """Have fewer seats from the next term on, or as many as now, which takes that back. Raises NotFound, NotPerSeat, NotRenewing, Invalid.

    Who got a seat last loses it then, where nobody gave one back before.
    """
    license = license_terms.locked(member_id, license_id)
    if license.seats is None:
        raise seats.no_seats()
    if license.period is None or license.state not in ("active", "suspended") or not license.auto_renews:
        raise license_terms.NotRenewing(_("This licence does not renew."))
    if not 1 <= wanted <= license.seats:
        raise Invalid(_("Enter 1 to %(most)s seats.", most=license.seats), field="seats")
    before, license.next_seats = license.next_seats, wanted if wanted < license.seats else None
    if license.state == "suspended":
        license.next_attempt_at = at  # the wallet may hold the price of fewer
    if before != license.next_seats:
        after = {"next_seats": license.next_seats, "by": actor().name}
        audit.record("license.seats", license_id, at=at, member_id=member_id, before={"next_seats": before}, after=after)
    db.session.flush()
    return license


def take_back(license: License, listing: Listing, order: Order, *, at: datetime) -> None:
    """The seats of an order that was given back are gone; one is left at least. The caller holds the order's lock."""
    license = license_terms.locked(license.member_id, license.id)
    if license.seats is None or license.state == "ended":
        return
    license.seats = max(1, license.seats - order.quantity)
    if license.next_seats is not None and license.next_seats >= license.seats:
        license.next_seats = None
    license.worth_offset = 0  # what is added later is rounded anew, never in the member's favour
    db.session.flush()
    seats.fit(license, listing, at=at)


def _worked_out(license: License, more: int, at: datetime) -> More:
    if license.seats is None or license.state == "ended":
        raise seats.no_seats()
    if license.state == "trial":
        raise SeatsNotChangeable(_("A trial has the seats it has. Buy the app to choose how many."))
    if license.state == "suspended":
        raise SeatsNotChangeable(_("The renewal of this licence is not paid yet. Top up first; then it can get more seats."))
    if not 1 <= more <= MOST_SEATS - license.seats:
        raise Invalid(_("Enter how many seats to add; a licence has %(most)s at most.", most=number(MOST_SEATS)), field="seats")
    listing = db.session.get_one(Listing, license.listing_id)
    offered = pricing.offered(listing.slug)
    if license.period is None:
        if (offered.licensed_per, offered.pricing) != ("seat", "one_time"):
            raise SeatsNotChangeable(_("The store sells this app on other terms now; seats cannot be added to yours."))
        return More(license, pricing.quote(license.member_id, offered, more, at=at), None, 0, None)
    compatibility.check(license.member_id, compatibility.of_edition(listing))  # it is installed, so its host is no question
    return _of_term(license, offered, more, at)


def _of_term(license: License, offered: pricing.Offered, more: int, at: datetime) -> More:
    """The share of the running term: what the term is worth afterwards, less what it is worth now."""
    assert license.seats is not None
    assert license.period is not None
    assert license.ends_at is not None
    if at >= license.ends_at:
        raise SeatsNotChangeable(_("This term is over and is being renewed right now. Please try again in a minute."))
    seller = subscriptions.seller_of(license.member_id)
    rate = seller.tax_rate_at(at) if license.tax_rate_bp is None else license.tax_rate_bp
    agreed = replace(
        offered, price_minor=license.price_minor, excludes_tax=license.excludes_tax, commission_bp=license.commission_bp,
        tax_rate_bp=license.tax_rate_bp, bonus_limit_bp=license.bonus_limit_bp,
    )  # fmt: skip
    now_minor, then_minor = agreed.paid_minor(license.seats, rate), agreed.paid_minor(license.seats + more, rate)
    gone = proration.progress(license_terms.term_start(license, seller.timezone), license.ends_at, at, seller.timezone)
    worth = proration.Worth(now_minor, license.worth_offset, now_minor, gone)
    after = worth.at(then_minor)
    charge = after.paid_minor - worth.paid_minor
    tax = tax_included(charge, rate)
    targets = pricing.targets_of(charge, tax, license.commission_bp, license.bonus_limit_bp)
    quote = pricing.Quote(agreed, more, agreed.paid_minor(1, rate), charge, tax, rate, targets, 0, "")
    return More(license, quote, gone, after.offset, then_minor if license.auto_renews else None)
