"""The way of a service over the pages and the API, as each side walks it."""

import uuid
from datetime import datetime

from flask import Flask
from sqlalchemy import text

from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id
from tests.billing.books import assert_books_hold
from tests.factories import make_member, make_user
from tests.marketplace.services_world import PRICE, SLUG, deliver, offer_service, order_service
from tests.sign_in import bearer, signed_in


def test_from_the_directory_to_the_decision(app: Flask, at: datetime) -> None:
    partner_id = offer_service(now())
    member = make_member(paid=2_000_00)
    owner, viewer = signed_in(app, make_user("owner", member)), signed_in(app, make_user("viewer", member))
    partner = signed_in(app, make_user("publisher", publisher_id=partner_id))
    clerk = signed_in(app, make_user("finance"))
    assert "CRM rollout" in owner.get("/partners/harbor-automation?lang=en").text
    assert "Harbor Automation" in viewer.get("/partners?lang=en").text
    assert f"/store/{SLUG}/order" in owner.get(f"/store/{SLUG}").text
    page = owner.get(f"/store/{SLUG}/order?lang=en").text
    assert "318.00" in page
    assert "Order and hold" in page
    id = new_id()
    sent = {"id": str(id), "price_minor": str(PRICE), "brief": "three hundred contacts"}
    assert owner.post(f"/store/{SLUG}/order", data=sent | {"price_minor": "1"}).status_code == 409
    assert viewer.post(f"/store/{SLUG}/order", data=sent).status_code == 403
    for _again in range(2):
        assert owner.post(f"/store/{SLUG}/order", data=sent).location == f"/services/{id}"
    assert "three hundred contacts" in partner.get(f"/publisher/services/{member.id}/{id}").text
    assert "CRM rollout" in partner.get("/publisher/services?lang=en").text
    steps = f"/publisher/services/{member.id}/{id}/milestones"
    assert partner.post(f"{steps}/1/delivery", data={"note": "x"}).status_code == 422
    for position in (1, 2):
        assert partner.post(f"{steps}/{position}/delivery", data={"note": "see the report"}).status_code == 302
    assert "see the report" in owner.get(f"/services/{id}").text
    assert owner.post(f"/services/{id}/milestones/1/acceptance").status_code == 302
    assert owner.post(f"/services/{id}/milestones/2/dispute", data={"reason": "no"}).status_code == 422
    assert owner.post(f"/services/{id}/milestones/2/dispute", data={"reason": "half is missing"}).status_code == 302
    assert "half is missing" in clerk.get("/services/disputes").text
    desk = f"/services/disputes/{member.id}/{id}/2"
    for wrong in ({"by": "amount", "amount": "530.01"}, {"by": "amount", "amount": ""}, {"by": "all", "reason": "no"}, {"by": "some"}):
        assert clerk.post(desk, data={"reason": "half was there"} | wrong).status_code in (409, 422)
    assert clerk.post(desk, data={"by": "amount", "amount": "265.00", "reason": "half was there"}).status_code == 302
    assert partner.post(f"/publisher/services/{member.id}/{id}/cancellation", data={"reason": "no time for it"}).status_code == 302
    shown = owner.get(f"/services/{id}?lang=en").text
    assert "half was there" in shown
    assert "583.00" in shown  # 318 and 265 paid
    assert "CRM rollout" in owner.get("/services?lang=en").text
    assert_books_hold()


def test_another_partner_sees_nothing_of_it(app: Flask) -> None:
    offer_service(now())
    member = make_member(paid=2_000_00)
    order_id = order_service(member, now())
    other = signed_in(app, make_user("publisher", publisher_id=new_id()))
    assert other.get(f"/publisher/services/{member.id}/{order_id}").status_code == 404
    assert other.post(f"/publisher/services/{member.id}/{order_id}/milestones/1/delivery", data={"note": "see the report"}).status_code == 404
    assert other.post(f"/publisher/services/{member.id}/{order_id}/cancellation", data={"reason": "not mine at all"}).status_code == 404
    with transaction(SYSTEM) as session:
        assert session.scalar(text("select count(*) from service_milestone where state <> 'open'")) == 0


def test_the_same_over_the_api(app: Flask) -> None:
    offer_service(now())
    member = make_member(paid=2_000_00)
    client, key = app.test_client(), bearer("buyer", member)
    body = {"id": str(new_id()), "price_minor": PRICE}
    made = client.post(f"/api/v1/listings/{SLUG}/service-orders", json=body, headers=key)
    assert (made.status_code, made.json["state"], [one["state"] for one in made.json["milestones"]]) == (201, "running", ["open"] * 3)
    assert client.post(f"/api/v1/listings/{SLUG}/service-orders", json=body | {"brief": "x"}, headers=key).status_code == 409
    assert client.post(f"/api/v1/listings/{SLUG}/service-orders", json=body | {"id": str(new_id())}, headers=key).status_code == 402
    assert client.post(f"/api/v1/listings/{SLUG}/orders", json=body, headers=key).status_code == 404
    address = f"/api/v1/services/{body['id']}"
    assert client.post(f"{address}/milestones/1/acceptance", headers=key).json["code"] == "wrong_state"
    for position in (1, 2):
        deliver(member, uuid.UUID(body["id"]), position, now())
    assert client.post(f"{address}/milestones/1/acceptance", headers=key).json["milestones"][0]["captured_minor"] == 318_00
    assert client.post(f"{address}/milestones/2/dispute", json={"reason": "half is missing"}, headers=key).json["milestones"][1]["state"] == "disputed"
    assert client.post(f"{address}/cancellation", json={"reason": "plans have changed"}, headers=key).json["milestones"][2]["state"] == "released"
    assert client.get(address, headers=key).json["state"] == "running"
