"""Offers: a CSM recommends a listing to a member; accepting it buys from the wallet, and the sale is that CSM's upsell.

sent → accepted | declined (the customer) | withdrawn (the CSM, or bought without the offer) | expired.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import and_, exists, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import defer

from core import audit
from core.actor import Actor
from core.db import db
from core.errors import Conflict, IdReused, Invalid, NotFound
from core.formats import number
from core.ids import derived, request_hash
from marketplace.license.license_models import License
from marketplace.order import orders, pricing
from marketplace.order.order_models import Order
from marketplace.seat import seat_orders
from marketplace.store.listing_models import Listing
from membership import members, notices
from membership.models import User
from operations import words
from operations.models import Offer, Routine

REASON_MAX = 500
STATES = ("sent", "accepted", "declined", "withdrawn", "expired")


class NotOffered(NotFound):
    """There is no such offer for this member."""


class OfferClosed(Conflict):
    """The offer was decided, withdrawn, or is past its date; nothing was charged."""

    code = "offer_closed"


class OfferOpen(Conflict):
    """The member has an open offer of this listing already."""

    code = "offer_open"


class OwnedAlready(Conflict):
    """The member has this listing already."""

    code = "already_owned"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a CSM sends: `id` is its own idempotency key, `reason` tells the customer why; `seats` of a listing that is licensed by the seat, one by default."""

    id: uuid.UUID
    slug: str
    reason: str
    seats: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """An offer with its listing; `is_open` at the instant it was asked for."""

    offer: Offer
    listing: Listing
    is_open: bool
    price_minor: int  # what accepting costs now, with tax; of a closed one, the price it was sent with


@dataclass(frozen=True, slots=True)
class Recommended:
    """Something for this member: an open offer, or the listing that does what its people repeat."""

    listing: Listing
    reason: str
    offer: Offer | None
    minutes_saved_a_month: int


def send(member_id: uuid.UUID, wanted: Wanted, acting: Actor, *, days: int, at: datetime) -> Offer:
    """Recommend a listing to a member, once; it is told, and may decide for `days` days. The caller's staff transaction.

    Raises IdReused, OfferOpen, OwnedAlready, Invalid (no reason, no such listing, other currency, seats), NotFound (no such member).
    """
    reason = wanted.reason.strip()
    if not 1 <= len(reason) <= REASON_MAX:
        raise Invalid(_("Say why, in up to %(most)s characters.", most=REASON_MAX), field="reason")
    counted = {"seats": wanted.seats} if wanted.seats is not None else {}
    content = request_hash("offer", member=member_id, slug=wanted.slug, reason=reason, **counted)
    if (first := _replayed(member_id, wanted.id, content)) is not None:
        return first
    member = members.find(member_id)
    listing = db.session.scalar(select(Listing).where(Listing.slug == wanted.slug, Listing.state == "published", Listing.current_version.is_not(None)))
    if listing is None:
        raise Invalid(_("The store does not offer this listing."), field="listing")
    if listing.pricing == "usage":  # whoever buys it sets a limit, which an offer cannot
        raise Invalid(_("A price by use is agreed to in the store: recommend it there."), field="listing")
    if listing.currency != member.currency:
        raise Invalid(_("This listing is sold in another currency."), field="listing")
    if not listing.is_repeatable and db.session.scalar(select(_licensed(member_id, listing.id))):
        raise OwnedAlready(_("This member has the listing already."), field="listing")
    seats = seats_of(listing, wanted.seats)
    csm_id = acting.user_id if acting.role == "csm" else member.csm_id
    is_me = csm_id is None or (csm_id == acting.user_id and acting.name)
    csm_name = acting.name if is_me else db.session.scalars(select(User.name).where(User.id == csm_id)).one()
    price_minor = pricing.shown_minor(listing, at, member_id, seats or 1)
    row = {
        "member_id": member_id, "id": wanted.id, "request_hash": content, "listing_id": listing.id,
        "csm_id": csm_id, "csm_name": csm_name, "reason": reason, "seats": seats,
        "price_minor": price_minor, "state": "sent", "sent_at": at, "expires_at": at + timedelta(days=days),
    }  # fmt: skip
    sent: Offer | None = db.session.scalar(insert(Offer).values(row).on_conflict_do_nothing().returning(Offer))
    if sent is None:  # the same id just now, or another open offer of the listing
        if (first := _replayed(member_id, wanted.id, content)) is not None:
            return first
        raise OfferOpen(_("An offer of this listing is open already."), field="listing")
    details = {"csm": csm_name, "name_zh": listing.name_zh, "name_en": listing.name_en, "offer_id": str(sent.id)}
    notices.tell(member_id, "offer_received", details, at=at, key=f"offer:{sent.id}")
    audit.record("offer.send", sent.id, at=at, member_id=member_id, after={"listing": listing.slug, "price_minor": price_minor} | counted, reason=reason)
    return sent


def seats_of(listing: Listing, wanted: int | None) -> int | None:
    """How many seats an offer of this listing is for; None where it is licensed as a whole. Raises Invalid."""
    if listing.licensed_per != "seat":
        if wanted not in (None, 1):
            raise Invalid(_("This listing is not licensed by the seat: it serves the whole organisation."), field="seats")
        return None
    if wanted is not None and not 1 <= wanted <= seat_orders.MOST_SEATS:
        raise Invalid(_("Enter 1 to %(most)s seats.", most=number(seat_orders.MOST_SEATS)), field="seats")
    return wanted or 1


def _replayed(member_id: uuid.UUID, offer_id: uuid.UUID, content: bytes) -> Offer | None:
    first = db.session.scalar(select(Offer).where(Offer.member_id == member_id, Offer.id == offer_id))
    if first is not None and first.request_hash != content:
        raise IdReused(_("This id was already used for another request."), field="id")
    return first


def _licensed(member_id: Any, listing_id: Any) -> Any:
    return exists().where(License.member_id == member_id, License.listing_id == listing_id, License.is_exclusive, License.state.not_in(("ended", "trial")))


def accept(member_id: uuid.UUID, offer_id: uuid.UUID, price_minor: int | None, acting: Actor, *, at: datetime) -> tuple[Offer, Order]:
    """Buy what is offered from the wallet; a second acceptance returns the first purchase and charges nothing.

    `price_minor` is the price the customer was shown, of all seats (None: the offer's own). The caller's transaction of that member.
    Raises NotOffered, OfferClosed and what `orders.place` raises; then the offer stays as it was.
    """
    offer = _locked(member_id, offer_id)
    order_id = derived("offer-order", member_id, offer_id)  # an offer buys once, whoever clicks
    if offer.state != "accepted":
        _must_be_open(offer, at)
        listing = db.session.scalars(select(Listing).where(Listing.id == offer.listing_id).options(defer(Listing.search))).one()
        wanted = _wanted(offer, listing, order_id, offer.price_minor if price_minor is None else price_minor, at)
        orders.place(member_id, listing.slug, wanted, at=at, placed_by=acting.user_id, attribution=orders.Attribution(offer.id, offer.csm_id))
        offer.state, offer.decided_at, offer.order_id = "accepted", at, order_id
    return offer, db.session.scalars(select(Order).where(Order.member_id == member_id, Order.id == order_id)).one()


def _wanted(offer: Offer, listing: Listing, order_id: uuid.UUID, shown_minor: int, at: datetime) -> orders.Wanted:
    """The purchase of an offer; an order states the price of one piece, so that of several seats is confirmed here. Raises PriceChanged."""
    if offer.seats is None:
        return orders.Wanted(order_id, shown_minor)
    now_minor = price_now(offer, listing, at)
    if now_minor != shown_minor:
        raise pricing.PriceChanged(_("The price has changed. Nothing was charged."), field="price_minor", price_minor=now_minor, shown_minor=shown_minor)
    return orders.Wanted(order_id, pricing.shown_minor(listing, at, offer.member_id), offer.seats)


def decline(member_id: uuid.UUID, offer_id: uuid.UUID, reason: str | None, *, at: datetime) -> Offer:
    """The customer does not want it; saying so again changes nothing. Raises NotOffered, OfferClosed."""
    offer = _locked(member_id, offer_id)
    if offer.state != "declined":
        _must_be_open(offer, at)
        offer.state, offer.decided_at, offer.refusal = "declined", at, (reason or "").strip() or None
    return offer


def withdraw(member_id: uuid.UUID, offer_id: uuid.UUID, *, at: datetime) -> Offer:
    """The CSM takes an open offer back; doing so again changes nothing. Raises NotOffered, OfferClosed."""
    offer = _locked(member_id, offer_id)
    if offer.state != "withdrawn":
        _must_be_open(offer, at)
        offer.state, offer.decided_at = "withdrawn", at
        audit.record("offer.withdraw", offer.id, at=at, member_id=member_id, before={"state": "sent"}, after={"state": "withdrawn"})
    return offer


def _locked(member_id: uuid.UUID, offer_id: uuid.UUID) -> Offer:
    mine = select(Offer).where(Offer.member_id == member_id, Offer.id == offer_id)
    found = db.session.scalar(mine.with_for_update().execution_options(populate_existing=True))
    if found is None:
        raise NotOffered(_("There is no such offer."))
    return found


def _must_be_open(offer: Offer, at: datetime) -> None:
    if offer.state != "sent" or offer.expires_at <= at:
        raise OfferClosed(_("This offer is closed. Nothing was charged."))


_BOUGHT = text("""
with bought as (
  update offer o set state = 'withdrawn', decided_at = l.starts_at, order_id = l.id from license l
  where o.state = 'sent' and l.member_id = o.member_id and l.listing_id = o.listing_id and l.is_exclusive and l.state <> 'ended' returning 1
) select count(*) from bought
""")
_EXPIRE = text("""
with gone as (
  update offer set state = 'expired', decided_at = expires_at where state = 'sent' and expires_at <= :at returning 1
) select count(*) from gone
""")


def expire(*, at: datetime) -> int:
    """Close what is past its date, and what the member bought without the offer; returns how many. Jobs only."""
    return int(db.session.execute(_BOUGHT).scalar_one()) + int(db.session.execute(_EXPIRE, {"at": at}).scalar_one())


def list_shown(member_id: uuid.UUID, *, at: datetime, limit: int = 50) -> list[Shown]:
    """A member's offers with their listings: open ones first, then the latest."""
    rows = db.session.execute(
        select(Offer, Listing)
        .join(Listing, Listing.id == Offer.listing_id)
        .where(Offer.member_id == member_id)
        .order_by((Offer.state == "sent").desc(), Offer.sent_at.desc(), Offer.id)
        .limit(limit)
        .options(defer(Listing.search), defer(Listing.description_zh), defer(Listing.description_en))
    )
    shown = []
    for offer, listing in rows:
        is_open = offer.state == "sent" and offer.expires_at > at
        shown.append(Shown(offer, listing, is_open, price_now(offer, listing, at) if is_open else offer.price_minor))
    return shown


def price_now(offer: Offer, listing: Listing, at: datetime) -> int:
    """What accepting costs today, of all seats, with tax."""
    return pricing.shown_minor(listing, at, offer.member_id, offer.seats or 1)


def open_count(member_id: uuid.UUID, *, at: datetime) -> int:
    """How many offers wait for this member's answer: the badge beside the page's name."""
    return db.session.scalar(select(func.count()).where(Offer.member_id == member_id, Offer.state == "sent", Offer.expires_at > at)) or 0


def recommended_for(member_id: uuid.UUID, limit: int = 3, *, at: datetime) -> list[Recommended]:
    """“Recommended for you because…”: open offers first, then listings that do what the member's people repeat. One query."""
    is_open = and_(Offer.member_id == member_id, Offer.listing_id == Listing.id, Offer.state == "sent", Offer.expires_at > at)
    rows = db.session.execute(
        select(Listing, Offer, Routine)
        .outerjoin(Offer, is_open)
        .outerjoin(Routine, and_(Routine.member_id == member_id, Routine.listing_id == Listing.id))
        .where((Offer.id.is_not(None)) | (Routine.id.is_not(None)), Listing.state == "published", ~_licensed(member_id, Listing.id))
        .order_by(Offer.id.is_(None), Offer.sent_at.desc(), Routine.minutes_saved_a_month.desc().nulls_last(), Listing.slug)
        .limit(limit * 5)  # one listing may answer several routines
        .options(defer(Listing.search), defer(Listing.description_zh), defer(Listing.description_en))
    )
    best: dict[uuid.UUID, Recommended] = {}
    for listing, offer, routine in rows:
        reason = offer.reason if offer else _("Your team repeats “%(steps)s”.", steps=words.steps(routine.steps))
        best.setdefault(listing.id, Recommended(listing, reason, offer, routine.minutes_saved_a_month if routine else 0))
    return list(best.values())[:limit]
