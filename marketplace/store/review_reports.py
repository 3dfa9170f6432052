"""Reviews that break the rules: reported by readers, hidden or kept by a reviewer, and the author told why."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import defer

from core import audit, outbox
from core.db import db
from core.errors import Invalid, NotFound
from core.ids import new_id
from marketplace.publisher import publisher_notices
from marketplace.store import reviews
from marketplace.store.listing_models import Listing
from marketplace.store.review_models import Review, ReviewReport
from membership import notices
from membership.models import Member

REASONS = ("abuse", "advertising", "private_data", "off_topic", "untrue")


class OwnReview(Invalid):
    """One's own review is changed, not reported."""

    code = "own_review"


@dataclass(frozen=True, slots=True)
class Reported:
    """A review that somebody reported, with everybody's reasons."""

    review: Review
    listing: Listing
    reports: Sequence[ReviewReport]
    reporters: Sequence[str]


def reportable(member_id: uuid.UUID, listing_id: uuid.UUID, review_id: uuid.UUID) -> Review:
    """The review that a member may report. Raises NotFound, OwnReview."""
    found = db.session.scalar(reviews.on_show(listing_id).where(Review.id == review_id))
    if found is None:
        raise NotFound(_("There is no such review."))
    if found.member_id == member_id:
        raise OwnReview(_("This is your own review; change it where you wrote it."))
    return found


def report(member_id: uuid.UUID, listing_id: uuid.UUID, review_id: uuid.UUID, reason: str, note: str, *, at: datetime) -> bool:
    """Report a review; `False` where this member's report of it waits already. Raises NotFound, OwnReview."""
    about = reportable(member_id, listing_id, review_id)
    row = {
        "member_id": member_id, "id": new_id(), "listing_id": listing_id, "author_id": about.member_id, "review_id": review_id, "reason": reason,
        "note": note, "at": at,
    }  # fmt: skip
    return db.session.execute(insert(ReviewReport).values(row).on_conflict_do_nothing().returning(ReviewReport.id)).first() is not None


def waiting() -> list[Reported]:
    """Reported reviews that nobody has decided on, the longest waiting first."""
    rows = db.session.execute(
        select(ReviewReport, Review, Listing, Member.name)
        .join(Review, (Review.member_id == ReviewReport.author_id) & (Review.id == ReviewReport.review_id))
        .join(Listing, Listing.id == ReviewReport.listing_id)
        .join(Member, Member.id == ReviewReport.member_id)
        .where(ReviewReport.decision.is_(None))
        .order_by(ReviewReport.at, ReviewReport.id)
        .options(defer(Listing.search), defer(Listing.description_zh), defer(Listing.description_en))
    )
    found: dict[uuid.UUID, tuple[Review, Listing, list[ReviewReport], list[str]]] = {}
    for one, review, listing, reporter in rows:
        entry = found.setdefault(review.id, (review, listing, [], []))
        entry[2].append(one)
        entry[3].append(reporter)
    return [Reported(*entry) for entry in found.values()]


def find_waiting(slug: str, review_id: uuid.UUID) -> Reported:
    """One reported review that waits. Raises NotFound."""
    for one in waiting():
        if one.listing.slug == slug and one.review.id == review_id:
            return one
    raise NotFound(_("This report has been decided on already."))


def decide(slug: str, review_id: uuid.UUID, *, hide: bool, reason: str, at: datetime) -> None:
    """Hide a reported review or let it stand; all open reports of it are answered. The author of a hidden one is told the reason.

    Hidden reviews no longer count in the rating. Raises NotFound where nothing waits.
    """
    reported = find_waiting(slug, review_id)
    listing, author_id = reported.listing, reported.review.member_id
    review = db.session.get(Review, (author_id, review_id), with_for_update=True)
    assert review is not None
    db.session.execute(
        update(ReviewReport)
        .where(ReviewReport.author_id == author_id, ReviewReport.review_id == review_id, ReviewReport.decision.is_(None))
        .values(decision="hidden" if hide else "kept", decided_at=at)
    )
    if hide and review.hidden_at is None:
        review.hidden_at, review.hidden_reason = at, reason
        db.session.flush()
        outbox.publish(reviews.TOPIC, {"listing_id": str(listing.id)}, at=at, member_id=author_id)
        names = {"name_zh": listing.name_zh, "name_en": listing.name_en}
        notices.tell(author_id, "review_hidden", {**names, "reason": reason}, at=at, key=f"review_hidden:{review_id}:{at.isoformat()}")
    publisher_notices.tell_of(listing, "report_hidden" if hide else "report_kept", at=at, key=f"{review_id}:{at.isoformat()}", reason=reason)
    kept = {"stars": review.stars, "text": review.text, "reports": len(reported.reports)}
    audit.record("review.hide" if hide else "review.keep", f"{slug}/{review_id}", at=at, member_id=author_id, before=kept, reason=reason)
