"""Reviews of verified buyers, the rating they make, and the answer."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import ProgrammingError

from core import outbox
from core.actor import Actor
from core.db import SYSTEM, transaction
from core.ids import new_id
from marketplace.license.license_models import License
from marketplace.store import reviews
from marketplace.store.listing_models import Listing
from marketplace.store.review_models import Review
from tests.factories import AT, make_member
from tests.marketplace.store_world import FREE, PACK, acting_for, buy, open_store


@pytest.fixture
def store(app):
    return open_store(FREE, PACK, "order-split-by-region")


def write(member, stars, text="", at=AT):
    with transaction(acting_for(member)) as session:
        license = session.query(License).filter_by(member_id=member.id).one()
        reviews.write(license, stars, text, member.name, at=at)


def rating():
    with transaction(SYSTEM) as session:
        listing = session.query(Listing).filter_by(slug=FREE).one()
        return listing.rating_sum, listing.rating_count


def test_the_rating_follows_what_is_written_once_for_each_buyer(store):
    first, second = make_member(), make_member()
    for member in (first, second):
        buy(member, FREE)
    write(first, 5, "good")
    write(second, 2)
    outbox.deliver(AT)
    assert rating() == (7, 2)
    write(second, 4, "better now", at=AT + timedelta(days=1))
    outbox.deliver(AT)
    assert rating() == (9, 2)
    with transaction(acting_for(first)):  # everybody reads what others say
        assert [(r.stars, r.text, r.version) for r in reviews.of_listing(store[FREE])] == [(4, "better now", "1.0.0"), (5, "good", "1.0.0")]


def test_a_message_that_comes_twice_changes_nothing(store):
    member = make_member()
    buy(member, FREE)
    write(member, 5)
    with transaction(SYSTEM) as session:
        message = session.query(outbox.OutboxMessage).filter_by(topic=reviews.TOPIC).one()
        reviews.recount(message)
        reviews.recount(message)
    assert rating() == (5, 1)
    with transaction(SYSTEM):
        reviews.recount_all()
    assert rating() == (5, 1)


def test_only_buyers_may_review(store):
    with transaction(acting_for(member := make_member())), pytest.raises(reviews.NotABuyer):
        reviews.license_for(member.id, store[FREE])


def test_nobody_writes_in_anothers_name(store):
    mine, theirs = make_member(), make_member()
    buy(theirs, FREE)
    with pytest.raises(ProgrammingError), transaction(acting_for(mine)) as session:
        session.add(Review(member_id=theirs.id, id=new_id(), listing_id=store[FREE], version="1.0.0", stars=1, text="", author="x", answer=None, at=AT))


def test_the_publisher_answers_its_own_reviews_and_keeps_the_stars(store):
    member = make_member()
    buy(member, FREE)
    write(member, 1, "bad")
    with transaction(SYSTEM) as session:
        own = session.query(Listing).filter_by(slug=FREE).one()
        other = session.query(Listing).filter_by(slug="order-split-by-region").one()
    assert own.publisher_id != other.publisher_id
    publisher = Actor(kind="publisher", role="publisher", publisher_id=own.publisher_id)
    with transaction(publisher) as session:
        reviews.answer(own, session.query(Review.id).scalar(), "we mended it", at=AT)
    stranger = Actor(kind="publisher", role="publisher", publisher_id=other.publisher_id)
    with transaction(stranger):
        assert reviews.of_listing(own.id) == []
    write(member, 3, "a little better")  # a changed review keeps its answer
    with transaction(SYSTEM) as session:
        assert [(r.stars, r.answer) for r in session.query(Review)] == [(3, "we mended it")]
    with pytest.raises(ProgrammingError), transaction(publisher) as session:
        session.query(Review).update({"stars": 5})


def test_ratings_are_told_by_version(store):
    first, second = make_member(), make_member()
    for member in (first, second):
        buy(member, FREE)
    write(first, 5)
    with transaction(SYSTEM) as session:
        session.query(License).filter_by(member_id=second.id).one().installed_version = "1.10.0"
    write(second, 2)
    with transaction(acting_for(first)):
        assert reviews.by_version(store[FREE]) == [reviews.VersionRating("1.10.0", 2, 1), reviews.VersionRating("1.0.0", 5, 1)]
        assert [one.stars for one in reviews.of_listing(store[FREE], "1.10.0")] == [2]


def test_a_member_hides_and_shows_nothing_itself(store):
    member = make_member()
    buy(member, FREE)
    write(member, 5)
    with pytest.raises(ProgrammingError), transaction(acting_for(member)) as session:
        session.query(Review).update({"hidden_at": AT})
