"""Reviews are reported by readers, decided on once, and hidden ones count no longer."""

import pytest

from core import outbox
from core.db import SYSTEM, transaction
from core.errors import NotFound
from core.ids import new_id
from marketplace.store import review_reports, reviews
from marketplace.store.listing_models import Listing
from marketplace.store.review_models import Review, ReviewReport
from membership.notice_models import Notice
from tests.factories import AT, make_member
from tests.marketplace.store_world import FREE, acting_for, buy, open_store
from tests.sign_in import client_as


@pytest.fixture
def listing_id(app):
    return open_store(FREE)[FREE]


@pytest.fixture
def author(listing_id):
    member = make_member()
    buy(member, FREE)
    with transaction(acting_for(member)):
        reviews.write(reviews.license_for(member.id, listing_id), 1, "buy at my shop", member.name, at=AT)
    outbox.deliver(AT)
    return member


@pytest.fixture
def reader(app):
    return make_member()


def rating():
    with transaction(SYSTEM) as session:
        listing = session.query(Listing).filter_by(slug=FREE).one()
        return listing.rating_sum, listing.rating_count


def review_of(author):
    with transaction(SYSTEM) as session:
        return session.query(Review.id).filter_by(member_id=author.id).scalar() or new_id()


def report(reader, listing_id, author, reason="advertising"):
    about = review_of(author)
    with transaction(acting_for(reader)):
        return review_reports.report(reader.id, listing_id, about, reason, "a note", at=AT)


def decide(author, *, hide):
    about = review_of(author)
    with transaction(SYSTEM):
        review_reports.decide(FREE, about, hide=hide, reason="It is advertising.", at=AT)
    outbox.deliver(AT)


def test_a_reader_reports_once_at_a_time(listing_id, author, reader):
    assert report(reader, listing_id, author)
    assert not report(reader, listing_id, author, "abuse")
    assert report(make_member(), listing_id, author, "abuse")
    with transaction(SYSTEM):
        (one,) = review_reports.waiting()
        assert [r.reason for r in one.reports] == ["advertising", "abuse"]


def test_hidden_reviews_are_seen_and_counted_by_nobody_and_the_author_is_told(listing_id, author, reader):
    assert rating() == (1, 1)
    report(reader, listing_id, author)
    decide(author, hide=True)
    assert rating() == (0, 0)
    with transaction(acting_for(reader)):
        assert reviews.of_listing(listing_id) == []
    with transaction(acting_for(author)) as session:
        assert reviews.mine(author.id, listing_id).hidden_reason == "It is advertising."
        assert [one.details["reason"] for one in session.query(Notice).filter_by(kind="review_hidden")] == ["It is advertising."]
    with pytest.raises(NotFound):
        report(reader, listing_id, author, "abuse")


def test_a_review_that_stands_answers_its_reports(listing_id, author, reader):
    report(reader, listing_id, author)
    decide(author, hide=False)
    assert rating() == (1, 1)
    with transaction(SYSTEM) as session:
        assert review_reports.waiting() == []
        assert session.query(ReviewReport).one().decision == "kept"
        assert session.query(Review).one().hidden_at is None
    with pytest.raises(NotFound):
        decide(author, hide=True)


def test_nobody_reports_its_own(listing_id, author):
    with pytest.raises(review_reports.OwnReview):
        report(author, listing_id, author)


def test_nobody_reports_what_is_not_there(listing_id, reader):
    stranger = make_member()
    with pytest.raises(NotFound):
        report(reader, listing_id, stranger)


def test_reporting_and_deciding_on_pages(app, listing_id, author, reader):
    customer, staff = client_as(app, "viewer", reader), client_as(app, "reviewer")
    place = f"/store/{FREE}/reviews/{review_of(author)}/report"
    assert "Report this review" in customer.get(f"/store/{FREE}?lang=en").text
    assert "Nothing is reported" in staff.get("/review/reports?lang=en").text
    wrong = customer.post(place, data={"note": "x"})
    assert wrong.status_code == 422
    assert "Choose a reason." in wrong.text
    assert customer.post(place, data={"reason": "abuse"}).status_code == 302
    assert "It insults or threatens" in staff.get("/review/reports?lang=en").text
    decision = f"/review/reports/{FREE}/{review_of(author)}"
    assert staff.get(decision).status_code == 200
    assert staff.post(decision, data={"decision": "hide", "reason": "no"}).status_code == 422
    assert staff.post(decision, data={"decision": "hide", "reason": "It insults."}).status_code == 302
    assert staff.post(decision, data={"decision": "hide", "reason": "It insults."}).status_code == 404
    assert "buy at my shop" not in customer.get(f"/store/{FREE}?lang=en").text
