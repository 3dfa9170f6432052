"""Reviews: a verified buyer's word, one for each listing, about the version it used; and the publisher's answer."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert

from core import outbox
from core.db import db
from core.errors import Forbidden, NotFound
from marketplace.license import licenses
from marketplace.models import License, Listing, Review
from marketplace.store.listings import version_key

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
    about = license.installed_version or license.version
    values = {"version": about, "stars": stars, "text": text, "author": author, "at": at}
    statement = insert(Review).values(member_id=license.member_id, listing_id=license.listing_id, answer=None, **values)
    db.session.execute(statement.on_conflict_do_update(index_elements=["member_id", "listing_id"], set_=values))
    outbox.publish(TOPIC, {"listing_id": str(license.listing_id)}, at=at, member_id=license.member_id)


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
    """The member's own review of a listing."""
    return db.session.get(Review, (member_id, listing_id))


def answer(listing: Listing, member_id: uuid.UUID, text: str) -> None:
    """The publisher's answer to one review; an empty one takes it back. Raises NotFound."""
    if mine(member_id, listing.id) is None:
        raise NotFound(_("There is no such review."))
    db.session.execute(update(Review).where(Review.member_id == member_id, Review.listing_id == listing.id).values(answer=text or None))


def license_for(member_id: uuid.UUID, listing_id: uuid.UUID) -> License:
    """The licence that makes a member a verified buyer. Raises NotABuyer."""
    found = licenses.of_listing(member_id, listing_id)
    if found is None:
        raise NotABuyer(_("Only verified buyers can review."))
    return found
