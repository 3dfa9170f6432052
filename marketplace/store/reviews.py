"""Reviews: a verified buyer's word, one for each listing, of a service one for each order, about the version it used; and the publisher's answer."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import defer

from core import outbox
from core.db import db
from core.errors import Forbidden, NotFound
from core.ids import derived
from marketplace.license import licenses
from marketplace.license.license_models import License
from marketplace.service import services
from marketplace.store.listing_models import Listing
from marketplace.store.listings import version_key
from marketplace.store.review_models import Review

TOPIC = "review.written"


class NotABuyer(Forbidden):
    """Only those who have a licence may review."""

    code = "not_a_buyer"


@dataclass(frozen=True, slots=True)
class VersionRating:
    """The stars of one version added up."""

    version: str
    stars: int
    count: int


def write(license: License, stars: int, text: str, author: str, *, at: datetime) -> None:
    """Write or change the member's review. It is about the version installed, or the one bought.

    The rating on the listing follows when the message is delivered. Raises NotABuyer for a licence that never held.
    """
    if license.starts_at > at:
        raise NotABuyer(_("You can review this when your licence has begun."))
    _put(license.member_id, license.listing_id, None, license.installed_version or license.version, stars, text, author, at)


def write_of_order(shown: services.Shown, stars: int, text: str, author: str, *, at: datetime) -> None:
    """Write or change what the member thinks of one service order. Raises NotABuyer while nothing of it was accepted."""
    if not shown.captured_minor:
        raise NotABuyer(_("You can rate this once you have accepted a milestone."))
    order = shown.order
    _put(order.member_id, order.listing_id, order.id, order.version, stars, text, author, at)


def _put(
    member_id: uuid.UUID, listing_id: uuid.UUID, order_id: uuid.UUID | None, version: str, stars: int, text: str, author: str, at: datetime
) -> None:  # fmt: skip
    said = {"version": version, "stars": stars, "text": text, "author": author, "at": at}
    new = insert(Review).values(
        member_id=member_id, id=derived("review", member_id, order_id or listing_id), listing_id=listing_id, order_id=order_id, answer=None, **said
    )
    if order_id is None:
        put = new.on_conflict_do_update(index_elements=["member_id", "listing_id"], index_where=Review.order_id.is_(None), set_=said)
    else:
        put = new.on_conflict_do_update(index_elements=["member_id", "order_id"], index_where=Review.order_id.is_not(None), set_=said)
    review_id = db.session.scalar(put.returning(Review.id))
    outbox.publish(TOPIC, {"listing_id": str(listing_id), "review_id": str(review_id), "stars": stars}, at=at, member_id=member_id)


def recount(message: outbox.OutboxMessage) -> None:
    """Subscriber of `review.written`: bring the listing's rating up to date, from all its reviews, so that twice is as good as once."""
    recount_listing(uuid.UUID(message.payload["listing_id"]))


def recount_listing(listing_id: uuid.UUID) -> None:
    """Rating sum and count of a listing from its reviews."""
    own = select(func.coalesce(func.sum(Review.stars), 0), func.count()).where(Review.listing_id == listing_id, Review.hidden_at.is_(None))
    total, count = db.session.execute(own).one()
    db.session.execute(update(Listing).where(Listing.id == listing_id).values(rating_sum=int(total), rating_count=count))


def recount_all() -> None:
    """Ratings of all listings in one statement, for worlds that are filled in bulk."""
    visible = select(Review.listing_id, func.sum(Review.stars).label("total"), func.count().label("count"))
    sums = visible.where(Review.hidden_at.is_(None)).group_by(Review.listing_id).subquery()
    db.session.execute(update(Listing).where(Listing.id == sums.c.listing_id).values(rating_sum=sums.c.total, rating_count=sums.c.count))


def on_show(listing_id: uuid.UUID) -> Select[Review]:
    """Reviews of a listing that everybody may read."""
    return select(Review).where(Review.listing_id == listing_id, Review.hidden_at.is_(None))


def of_listing(listing_id: uuid.UUID, version: str | None = None, limit: int = 50) -> Sequence[Review]:
    """What buyers say (about one version, where it is given), latest first."""
    found = on_show(listing_id) if version is None else on_show(listing_id).where(Review.version == version)
    return db.session.scalars(found.order_by(Review.at.desc(), Review.member_id).limit(limit)).all()


def by_version(listing_id: uuid.UUID) -> list[VersionRating]:
    """What buyers thought of each version, the newest version first."""
    rows = db.session.execute(
        select(Review.version, func.sum(Review.stars), func.count()).where(Review.listing_id == listing_id, Review.hidden_at.is_(None)).group_by(Review.version)
    )
    found = [VersionRating(version, int(total), count) for version, total, count in rows]
    return sorted(found, key=lambda one: version_key(one.version), reverse=True)


def mine(member_id: uuid.UUID, listing_id: uuid.UUID) -> Review | None:
    """The member's own review of a listing that it has a licence of."""
    return db.session.scalar(select(Review).where(Review.member_id == member_id, Review.listing_id == listing_id, Review.order_id.is_(None)))


def of_order(member_id: uuid.UUID, order_id: uuid.UUID) -> Review | None:
    """The member's own review of a service order."""
    return db.session.scalar(select(Review).where(Review.member_id == member_id, Review.order_id == order_id))


def of_publisher(publisher_id: uuid.UUID, limit: int = 10) -> Sequence[tuple[Review, Listing]]:
    """What buyers say about anything of one publisher, latest first."""
    rows = db.session.execute(
        select(Review, Listing)
        .join(Listing, Listing.id == Review.listing_id)
        .where(Listing.publisher_id == publisher_id, Review.hidden_at.is_(None))
        .order_by(Review.at.desc(), Review.id)
        .limit(limit)
        .options(defer(Listing.search))
    )
    return [(review, listing) for review, listing in rows]


def answer(listing: Listing, review_id: uuid.UUID, text: str, *, at: datetime) -> None:
    """The publisher's answer to one review; an empty one takes it back. Raises NotFound."""
    answered = update(Review).where(Review.id == review_id, Review.listing_id == listing.id).values(answer=text or None)
    if db.session.execute(answered.returning(Review.id)).first() is None:
        raise NotFound(_("There is no such review."))
    if text:
        outbox.publish("review.answered", {"review_id": str(review_id)}, at=at)


def license_for(member_id: uuid.UUID, listing_id: uuid.UUID) -> License:
    """The licence that makes a member a verified buyer. Raises NotABuyer."""
    found = licenses.of_listing(member_id, listing_id)
    if found is None:
        raise NotABuyer(_("Only verified buyers can review."))
    return found
