"""An offer buys once, for the price shown, and the sale is the CSM's."""

import re
import threading
import uuid
from datetime import timedelta

import pytest
from flask import Flask
from flask_babel import force_locale
from sqlalchemy import Engine, select, text

from billing.wallet import balances, wallets
from core.actor import Actor
from core.audit import AuditEntry
from core.db import SYSTEM, db, transaction
from core.errors import IdReused, Invalid
from core.ids import new_id
from marketplace.license.license_models import License
from marketplace.order import pricing
from marketplace.order.order_models import Order
from marketplace.store.listing_models import Listing
from membership.models import Member
from membership.notice_models import Notice
from operations import offers
from operations.models import Offer, Routine
from tests.billing import subscription_world
from tests.factories import AT, make_member, make_user
from tests.operations.factories import make_listing, make_order
from tests.sign_in import bearer, signed_in


@pytest.fixture
def csm(app: Flask) -> Actor:
    user = make_user("csm", name="陈静")
    return Actor(kind="staff", role="csm", name="陈静", user_id=user.id)


def buyer_of(member: Member) -> Actor:
    return Actor(kind="member", role="buyer", member_id=member.id, user_id=uuid.uuid4())


def sent(member: Member, csm: Actor, slug: str = "robot", days: int = 3_650, **changes: object) -> Offer:
    wanted = offers.Wanted(**{"id": new_id(), "slug": slug, "reason": "因为你们每天都在复制粘贴", **changes})
    with transaction(csm):
        offer = offers.send(member.id, wanted, csm, days=days, at=AT)
    db.session.expunge_all()  # a later rollback must not empty what tests hold
    return offer


def balance(member: Member) -> int:
    with transaction(SYSTEM):
        return balances.balance(member.id, "CNY", at=AT).available_minor


def test_sending_tells_the_member_once_and_is_audited(csm: Actor) -> None:
    member, listing = make_member(), make_listing()
    wanted = offers.Wanted(new_id(), "robot", "  为你省时  ")
    for _ in range(2):
        with transaction(csm):
            offer = offers.send(member.id, wanted, csm, days=30, at=AT)
    with transaction(SYSTEM) as session:
        assert len(session.scalars(select(Offer)).all()) == len(session.scalars(select(Notice)).all()) == 1
        assert [entry.action for entry in session.scalars(select(AuditEntry))] == ["offer.send"]
    assert (offer.reason, offer.price_minor, offer.csm_id, offer.expires_at) == ("为你省时", listing.price_minor, csm.user_id, AT + timedelta(days=30))
    with pytest.raises(IdReused), transaction(csm):
        offers.send(member.id, offers.Wanted(wanted.id, "robot", "something else"), csm, days=30, at=AT)


def test_one_open_offer_of_a_listing_none_of_what_is_owned(csm: Actor) -> None:
    member, other, listing = make_member(), make_member(), make_listing()
    make_order(other, listing)
    sent(member, csm)
    with pytest.raises(offers.OfferOpen):
        sent(member, csm)
    with pytest.raises(offers.OwnedAlready):
        sent(other, csm)
    for slug, reason in (("nothing-there", "x"), ("robot", "   "), ("robot", "x" * 501)):
        with pytest.raises(Invalid):
            sent(make_member(), csm, slug, reason=reason)


def test_accepting_buys_once_and_the_sale_is_the_csms(csm: Actor) -> None:
    member, listing = make_member(paid=50_000), make_listing()
    offer = sent(member, csm)
    for _ in range(2):
        with transaction(buyer_of(member)):
            done, order = offers.accept(member.id, offer.id, listing.price_minor, buyer_of(member), at=AT)
    assert balance(member) == 20_000
    assert (done.state, done.order_id) == ("accepted", order.id)
    assert (order.offer_id, order.csm_id, order.total_minor) == (offer.id, csm.user_id, 30_000)


def test_two_clicks_at_once_pay_once(app: Flask, csm: Actor) -> None:
    member, listing = make_member(paid=90_000), make_listing()
    offer, results, failures = sent(member, csm), [], []
    gate = threading.Barrier(4)

    def click() -> None:
        with app.app_context():
            gate.wait()
            try:
                with transaction(buyer_of(member)):
                    results.append(offers.accept(member.id, offer.id, listing.price_minor, buyer_of(member), at=AT)[1].id)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(results)) == 1
    assert balance(member) == 60_000


def test_what_fails_charges_nothing_and_leaves_the_offer_open(csm: Actor, owner: Engine) -> None:
    poor, rich, listing = make_member(paid=29_999), make_member(paid=90_000), make_listing()
    first, second = sent(poor, csm), sent(rich, csm)
    with pytest.raises(wallets.InsufficientFunds) as short, transaction(buyer_of(poor)):
        offers.accept(poor.id, first.id, None, buyer_of(poor), at=AT)
    assert short.value.extra["missing_minor"] == 1
    with owner.begin() as connection:
        connection.execute(text("update listing set price_minor = 31000, revision = revision + 1"))
    with pytest.raises(pricing.PriceChanged), transaction(buyer_of(rich)):
        offers.accept(rich.id, second.id, listing.price_minor, buyer_of(rich), at=AT)
    assert (balance(poor), balance(rich)) == (29_999, 90_000)
    with transaction(buyer_of(rich)):
        assert offers.open_count(rich.id, at=AT) == 1
        offers.accept(rich.id, second.id, 31_000, buyer_of(rich), at=AT)  # shown again, confirmed
    assert balance(rich) == 59_000


def test_an_offer_that_is_past_or_decided_cannot_be_accepted(csm: Actor) -> None:
    member, _listing = make_member(paid=90_000), make_listing()
    offer = sent(member, csm, days=30)
    with pytest.raises(offers.OfferClosed), transaction(buyer_of(member)):
        offers.accept(member.id, offer.id, None, buyer_of(member), at=AT + timedelta(days=30))
    with transaction(buyer_of(member)):
        offers.decline(member.id, offer.id, "  太贵  ", at=AT)
    with transaction(buyer_of(member)):
        assert offers.decline(member.id, offer.id, "again", at=AT).refusal == "太贵"
    with pytest.raises(offers.OfferClosed), transaction(buyer_of(member)):
        offers.accept(member.id, offer.id, None, buyer_of(member), at=AT)
    assert balance(member) == 90_000
    sent(member, csm)  # a declined one does not stand in the way of a new one


def test_a_member_cannot_touch_anothers_offer(csm: Actor) -> None:
    member, other, _listing = make_member(), make_member(paid=90_000), make_listing()
    offer = sent(member, csm)
    for victim in (member.id, other.id):  # by the right id under the wrong member, and by another's id
        with pytest.raises(offers.NotOffered), transaction(buyer_of(other)):
            offers.accept(victim, offer.id, None, buyer_of(other), at=AT)


def test_the_job_closes_what_is_past_and_what_was_bought(csm: Actor) -> None:
    late, bought, open_one = make_member(), make_member(), make_member()
    listing = make_listing()
    for member in (late, bought):
        sent(member, csm, days=30)
    order = make_order(bought, listing, at=AT + timedelta(days=2))
    with transaction(csm):
        offers.send(open_one.id, offers.Wanted(new_id(), "robot", "x"), csm, days=60, at=AT)
    with transaction(SYSTEM):
        assert offers.expire(at=AT + timedelta(days=31)) == 2
    with transaction(SYSTEM) as session:
        states = {offer.member_id: (offer.state, offer.order_id) for offer in session.scalars(select(Offer))}
        assert offers.expire(at=AT + timedelta(days=31)) == 0
    assert states == {late.id: ("expired", None), bought.id: ("withdrawn", order.id), open_one.id: ("sent", None)}


def test_recommended_are_open_offers_then_what_does_the_toil(csm: Actor) -> None:
    member, toil, owned = make_member(), make_listing("toil"), make_listing("owned")
    make_listing("offered")
    make_order(member, owned)
    with transaction(SYSTEM) as session:
        for listing in (toil, owned):
            session.add(Routine(member_id=member.id, id=new_id(), steps=[["contact", "open"]], runs=40, users=2, minutes_a_month=300, listing_id=listing.id, minutes_saved_a_month=240, found_at=AT))  # fmt: skip  # noqa: E501
    sent(member, csm, "offered")
    with transaction(buyer_of(member)):
        found = offers.recommended_for(member.id, at=AT)
    assert [(one.listing.slug, one.offer is not None, one.minutes_saved_a_month) for one in found] == [("offered", True, 0), ("toil", False, 240)]


def test_the_api_from_sending_to_buying(app: Flask) -> None:
    member, listing = make_member(paid=50_000), make_listing()
    client, mine = app.test_client(), bearer("buyer", member)
    body = {"id": str(new_id()), "listing": "robot", "reason": "saves hours"}
    for number in (member.number, str(member.id)):
        answer = client.post(f"/api/v1/members/{number}/offers", json=body, headers=bearer("operator"))
        assert (answer.status_code, answer.json["state"], answer.json["price_minor"]) == (201, "sent", listing.price_minor)
    listed = client.get("/api/v1/offers", headers=mine).json
    assert [one["id"] for one in listed["items"]] == [body["id"]]
    assert client.get("/api/v1/offers", headers=bearer("buyer", make_member())).json["items"] == []
    assert client.post(f"/api/v1/offers/{body['id']}/acceptance", json={"price_minor": 1}, headers=mine).status_code == 409
    for _ in range(2):
        bought = client.post(f"/api/v1/offers/{body['id']}/acceptance", json={}, headers=mine)
        assert (bought.status_code, bought.json["balance_after_minor"]) == (201, 20_000)
    assert balance(member) == 20_000
    assert client.post(f"/api/v1/offers/{body['id']}/refusal", json={}, headers=mine).status_code == 409
    assert client.post(f"/api/v1/offers/{uuid.uuid4()}/refusal", json={}, headers=mine).status_code == 404
    assert client.post("/api/v1/members/M-none/offers", json=body, headers=bearer("operator")).status_code == 404
    assert client.post(f"/api/v1/members/{member.id}/offers", json={**body, "reason": ""}, headers=bearer("operator")).status_code == 422
    assert client.post(f"/api/v1/members/{member.id}/offers", json=body, headers=mine).status_code == 403


def test_a_customer_accepts_with_one_click_on_the_page(app: Flask, csm: Actor) -> None:
    member, listing = make_member(paid=50_000), make_listing()
    offer = sent(member, csm)
    client = signed_in(app, make_user("buyer", member))
    page = client.get("/offers/?lang=zh")
    assert page.status_code == 200
    assert "因为你们每天都在复制粘贴" in page.text
    assert "¥300.00" in page.text
    for _ in range(2):
        bought = client.post(f"/offers/{offer.id}/acceptance", data={"price_minor": listing.price_minor})
        assert bought.status_code == 302
        assert "/orders/" in bought.location
    assert balance(member) == 20_000
    with transaction(SYSTEM) as session:
        assert session.scalars(select(Order.csm_id)).one() == csm.user_id


def test_a_short_wallet_is_told_what_is_missing(app: Flask, csm: Actor) -> None:
    member, listing = make_member(paid=14_200), make_listing()
    offer = sent(member, csm)
    client = signed_in(app, make_user("owner", member))
    assert "¥158.00" in client.get("/offers/").text
    refused = client.post(f"/offers/{offer.id}/acceptance", data={"price_minor": listing.price_minor}, headers={"Accept-Language": "en"})
    assert refused.status_code == 402
    assert "Nothing was charged." in refused.text
    assert balance(member) == 14_200


def test_a_viewer_sees_but_does_not_buy(app: Flask, csm: Actor) -> None:
    member, _listing = make_member(paid=50_000), make_listing()
    offer = sent(member, csm)
    client = signed_in(app, make_user("viewer", member))
    assert client.get("/offers/").status_code == 200
    assert client.post(f"/offers/{offer.id}/acceptance", data={"price_minor": 30_000}).status_code == 403
    assert balance(member) == 50_000


def test_a_listing_that_left_the_store_is_not_sold(app: Flask, csm: Actor) -> None:
    member, listing = make_member(paid=50_000), make_listing()
    offer = sent(member, csm)
    with transaction(SYSTEM) as session:
        session.get_one(Listing, listing.id).state = "archived"
    client = signed_in(app, make_user("owner", member))
    assert client.get("/offers/").status_code == 200
    assert client.post(f"/offers/{offer.id}/acceptance", data={"price_minor": 30_000}).status_code == 404
    assert balance(member) == 50_000


def per_seat(**changes: object) -> Listing:
    """A listing of 300.00 a seat."""
    listing = make_listing()
    with transaction(SYSTEM) as session:
        found = session.get_one(Listing, listing.id)
        for name, value in {"licensed_per": "seat", **changes}.items():
            setattr(found, name, value)
    return listing


def seated_buyer_of(member: Member) -> Actor:
    """Somebody of the member: who buys takes the first seat."""
    return Actor(kind="member", role="buyer", member_id=member.id, user_id=make_user("buyer", member).id)


def test_an_offer_of_seats_sells_them_all_at_the_price_that_was_shown(app: Flask, csm: Actor) -> None:
    member = make_member(paid=200_000)
    per_seat()
    offer = sent(member, csm, seats=4)
    assert (offer.seats, offer.price_minor) == (4, 120_000)
    page = signed_in(app, make_user("buyer", member)).get("/offers/?lang=en").text
    assert "for 4 seats; you can add more afterwards" in page
    assert "Buy for ¥1,200.00" in page
    buyer = seated_buyer_of(member)
    for price in (30_000, 119_999):  # of one seat; of none
        with pytest.raises(pricing.PriceChanged), transaction(buyer):
            offers.accept(member.id, offer.id, price, buyer, at=AT)
    assert balance(member) == 200_000
    for _ in range(2):
        with transaction(buyer) as session:
            done, order = offers.accept(member.id, offer.id, 120_000, buyer, at=AT)
            assert (done.state, order.quantity, order.total_minor, order.csm_id) == ("accepted", 4, 120_000, csm.user_id)
            assert session.scalars(select(License.seats)).one() == 4
    assert balance(member) == 80_000


def test_the_tax_of_several_seats_is_rounded_once(csm: Actor) -> None:
    member = make_member(paid=100_000)
    per_seat(price_minor=9_999, excludes_tax=True, tax_rate_bp=625)
    offer = sent(member, csm, seats=7)
    assert offer.price_minor == 74_368  # 7 × 99.99 × 1.0625
    buyer = seated_buyer_of(member)
    with transaction(buyer):
        _done, order = offers.accept(member.id, offer.id, None, buyer, at=AT)
        assert (order.quantity, order.total_minor) == (7, 74_368)


def test_seats_without_a_number_are_one_and_of_other_listings_none(csm: Actor) -> None:
    member = make_member()
    per_seat()
    make_listing("whole")
    for seats in (0, -1, 10_001):
        with pytest.raises(Invalid, match="seats"), force_locale("en"):
            sent(member, csm, seats=seats)
    assert sent(member, csm).seats == 1
    with pytest.raises(Invalid, match="not licensed by the seat"), force_locale("en"):
        sent(member, csm, "whole", seats=2)
    assert sent(member, csm, "whole", seats=1).seats is None


def test_the_page_prices_the_seats_and_says_what_is_wrong_beside_the_field(app: Flask, csm: Actor) -> None:
    member = make_member(paid=100_000)
    per_seat()
    client = signed_in(app, make_user("csm"))
    url, form = f"/csm/members/{member.id}/offers", {"id": str(new_id()), "listing": "robot", "reason": "x", "seats": "3", "do": "price"}
    page = client.post(f"{url}?lang=en", data=form)
    assert (page.status_code, "¥900.00" in page.text, "3 × ¥300.00" in page.text, "does not cover it" in page.text) == (200, True, True, False)
    assert "does not cover it" in client.post(f"{url}?lang=en", data=form | {"seats": "4"}).text
    for seats, said in (("0", "Enter 1 to 10,000 seats."), ("many", "Enter a number of seats."), ("2.5", "Enter a number of seats.")):
        for do in ("price", "send"):
            wrong = client.post(f"{url}?lang=en", data=form | {"seats": seats, "do": do})
            assert re.search(rf'id="e-seats">.*{re.escape(said)}', wrong.text)
            assert f'value="{seats}"' in wrong.text
    with transaction(SYSTEM) as session:
        assert session.scalars(select(Offer)).all() == []
    assert client.post(url, data=form | {"do": ""}).status_code == 302
    with transaction(SYSTEM) as session:
        assert [(one.seats, one.price_minor) for one in session.scalars(select(Offer))] == [(3, 90_000)]
    assert "for 3 seats" in client.get("/csm/offers?lang=en&whose=all").text
    assert "for 3 seats" in client.get(f"/csm/members/{member.id}?lang=en").text


def test_the_csm_is_told_before_sending_that_the_edition_is_missing(app: Flask, csm: Actor) -> None:
    member = make_member(paid=100_000)
    subscription_world.sell()
    per_seat(licensed_per="member", product_line="crm", required_rank=3)
    client = signed_in(app, make_user("csm"))
    page = client.get(f"/csm/members/{member.id}/offers/new?lang=en&listing=robot")
    assert re.search(r'<option value="robot"[^>]*>[^<]* · not with what they have</option>', page.text)
    assert "cannot buy it as things stand, and is told what helps: Needs a subscription of" in page.text
    with transaction(SYSTEM) as session:
        session.get_one(Listing, session.scalars(select(Listing.id)).one()).required_rank = 0
    page = client.get(f"/csm/members/{member.id}/offers/new?lang=en&listing=robot")
    assert ("not with what they have" in page.text, "as things stand" in page.text) == (False, False)


def test_the_api_offers_seats(app: Flask, csm: Actor) -> None:
    member, client = make_member(paid=100_000), app.test_client()
    per_seat()
    body, url = {"id": str(new_id()), "listing": "robot", "reason": "x", "seats": 3}, f"/api/v1/members/{member.id}/offers"
    for _ in range(2):
        answer = client.post(url, json=body, headers=bearer("operator"))
        assert (answer.status_code, answer.json["seats"], answer.json["price_minor"]) == (201, 3, 90_000)
    assert client.post(url, json=body | {"seats": 2}, headers=bearer("operator")).status_code == 409
    assert client.post(url, json=body | {"id": str(new_id()), "seats": 0}, headers=bearer("operator")).status_code == 422
    mine = bearer("buyer", member)
    assert client.get("/api/v1/offers", headers=mine).json["items"][0]["seats"] == 3
    assert client.post(f"/api/v1/offers/{body['id']}/acceptance", json={"price_minor": 90_000}, headers=mine).json["total_minor"] == 90_000
