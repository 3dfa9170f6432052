"""Services are rated by those who accepted something of them, once an order; answered, reported and counted like every review."""

from datetime import timedelta

import pytest
from flask_babel import force_locale
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError, ProgrammingError

from core import outbox
from core.actor import Actor
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import derived, new_id
from marketplace.partner import partners
from marketplace.service import services
from marketplace.store import reviews, search
from marketplace.store.listing_models import Listing
from marketplace.store.review_models import Review
from tests.factories import AT, make_member, make_user
from tests.marketplace.services_world import PRICE, SLUG, accept, deliver, offer_service, order_service
from tests.marketplace.store_world import acting_for
from tests.sign_in import signed_in

ID = derived("listing", SLUG)


@pytest.fixture
def partner_id(app):
    with force_locale("en"):
        yield offer_service(AT)


@pytest.fixture
def member(partner_id):
    return make_member(paid=3 * PRICE)


def begun(member, *, accepted=1):
    order_id = order_service(member, AT)
    for position in range(1, accepted + 1):
        deliver(member, order_id, position, AT)
        accept(member, order_id, position, AT)
    return order_id


def rate(member, order_id, stars, text="", at=AT):
    with transaction(acting_for(member)):
        reviews.write_of_order(services.show(member.id, order_id), stars, text, member.name, at=at)


def rating():
    outbox.deliver(AT)
    with transaction(SYSTEM) as session:
        return session.query(Listing.rating_sum, Listing.rating_count).filter_by(slug=SLUG).one()


def test_a_rating_is_for_an_order_and_may_change(member):
    first, second = begun(member), begun(member)
    rate(member, first, 5, "well done")
    rate(member, second, 2)
    assert rating() == (7, 2)
    rate(member, second, 4, "mended since", at=AT + timedelta(days=1))
    assert rating() == (9, 2)
    with transaction(acting_for(member)):
        assert [(one.stars, one.text, one.version, one.order_id) for one in reviews.of_listing(ID)] == [
            (4, "mended since", "1.0.0", second), (5, "well done", "1.0.0", first),
        ]  # fmt: skip
        assert reviews.of_order(member.id, first).stars == 5
        assert reviews.mine(member.id, ID) is None


def test_nobody_rates_what_it_has_not_accepted(member):
    order_id = order_service(member, AT)
    deliver(member, order_id, 1, AT)
    with pytest.raises(reviews.NotABuyer):
        rate(member, order_id, 1)
    assert rating() == (0, 0)


def test_the_directory_and_the_search_follow(member, partner_id):
    rate(member, begun(member), 4, "good")
    rate(make := make_member(paid=PRICE), begun(make), 5)
    assert rating() == (9, 2)
    with transaction(SYSTEM):
        partner = next(one for one in partners.directory() if one.publisher.id == partner_id)
        assert (partner.rating, partner.rating_count) == (4.5, 2)
        assert [hit.listing.slug for hit in search.find("", search.Filters(stars=4), "rating").hits] == [SLUG]
        assert search.find("", search.Filters(stars=5)).hits == []
        assert {review.stars for review, _listing in reviews.of_publisher(partner_id)} == {4, 5}


def test_the_database_itself_keeps_ratings_to_orders_of_ones_own(member):
    order_id = begun(member)
    other = make_member()
    rate(member, order_id, 5)
    me, them = acting_for(member), acting_for(other)
    values = {"listing_id": ID, "version": "1.0.0", "stars": 1, "text": "", "author": "x", "answer": None, "at": AT}
    with pytest.raises(IntegrityError), transaction(them) as session:
        session.execute(insert(Review).values(member_id=them.member_id, id=new_id(), order_id=order_id, **values))
    with pytest.raises(IntegrityError), transaction(me) as session:
        session.execute(insert(Review).values(member_id=me.member_id, id=new_id(), order_id=order_id, **values))
    with pytest.raises(ProgrammingError), transaction(me) as session:
        session.query(Review).update({"order_id": None})
    with transaction(Actor(kind="publisher", role="publisher", publisher_id=new_id())) as session:
        assert session.query(Review).count() == 0


def test_rated_answered_reported_and_hidden_on_pages(app, partner_id):
    offer_service(now())
    member = make_member(paid=PRICE, name="甲公司")
    order_id = order_service(member, now())
    owner, partner = signed_in(app, make_user("owner", member)), signed_in(app, make_user("publisher", publisher_id=partner_id))
    reader, reviewer = signed_in(app, make_user("viewer", make_member())), signed_in(app, make_user("reviewer"))
    place = f"/services/{order_id}"
    assert "Your rating" not in owner.get(f"{place}?lang=en").text
    assert owner.post(f"{place}/review", data={"stars": "5"}).status_code == 403
    partner.post(f"/publisher{place.replace('/services', f'/services/{member.id}')}/milestones/1/delivery", data={"note": "see the report"})
    owner.post(f"{place}/milestones/1/acceptance")
    assert "Your rating" in owner.get(f"{place}?lang=en").text
    assert owner.post(f"{place}/review", data={"stars": "7"}).status_code == 422
    assert owner.post(f"{place}/review", data={"stars": "2", "text": "too slow"}).status_code == 302
    outbox.deliver(now())
    shown = reader.get(f"/store/{SLUG}?lang=en").text
    assert "too slow" in shown
    assert "甲公司" in shown
    assert "version 1.0.0" not in shown
    assert "Rate your order" in owner.get(f"/store/{SLUG}?lang=en").text
    assert "too slow" in reader.get("/partners/harbor-automation?lang=en").text
    with transaction(SYSTEM) as session:
        review_id = session.query(Review.id).scalar()
    assert partner.post(f"/publisher/{SLUG}/reviews/{review_id}/answer", data={"text": "we were ill"}).status_code == 302
    assert "we were ill" in owner.get(f"{place}?lang=en").text
    assert reader.post(f"/store/{SLUG}/reviews/{review_id}/report", data={"reason": "untrue"}).status_code == 302
    assert owner.post(f"/store/{SLUG}/reviews/{review_id}/report", data={"reason": "untrue"}).status_code == 422
    decision = {"decision": "hide", "reason": "It is about another partner."}
    assert reviewer.post(f"/review/reports/{SLUG}/{review_id}", data=decision).status_code == 302
    assert rating() == (0, 0)
    assert "too slow" not in reader.get(f"/store/{SLUG}").text
    assert "It is about another partner." in owner.get(place).text
    other = signed_in(app, make_user("owner", make_member()))
    assert other.post(f"{place}/review", data={"stars": "1"}).status_code == 404
