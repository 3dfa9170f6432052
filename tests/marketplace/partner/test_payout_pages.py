"""Payouts and claims over their pages, as each side walks them."""

from datetime import timedelta

from flask import Flask

from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id
from marketplace.partner import partner_payables
from marketplace.service import services
from tests.billing.books import assert_books_hold
from tests.factories import make_member, make_user
from tests.marketplace.services_world import accept, deliver, offer_service, order_service
from tests.sign_in import signed_in

DAY = timedelta(days=1)


def test_a_claim_from_the_buyer_to_the_decision(app: Flask) -> None:
    partner_id = offer_service(now() - 5 * DAY)
    member = make_member(paid=2_000_00)
    service_id = order_service(member, now() - 5 * DAY)
    deliver(member, service_id, 1, now() - 4 * DAY)
    accept(member, service_id, 1, now() - 4 * DAY)
    with transaction(SYSTEM):
        order_id = services.show(member.id, service_id).milestones[0].charge_id
    owner, partner = signed_in(app, make_user("owner", member)), signed_in(app, make_user("publisher", publisher_id=partner_id))
    clerk, other = signed_in(app, make_user("finance")), signed_in(app, make_user("publisher", publisher_id=new_id()))
    assert f"/orders/{order_id}/claim" in owner.get(f"/services/{service_id}").text
    id = new_id()
    sent = {"id": str(id), "amount": "106.00", "reason": "a third of it is wrong"}
    assert owner.get(f"/orders/{order_id}/claim").status_code == 200
    for wrong in ({"amount": "318.01"}, {"amount": ""}, {"reason": "no"}):
        assert owner.post(f"/orders/{order_id}/claim", data=sent | wrong).status_code in (409, 422)
    assert owner.post(f"/orders/{order_id}/claim", data=sent).location == f"/claims/{id}"
    assert "a third of it is wrong" in owner.get(f"/claims/{id}").text
    assert "106.00" in owner.get("/claims").text
    address = f"/publisher/claims/{member.id}/{id}"
    assert other.get(address).status_code == other.post(address, data={"decision": "accept"}).status_code == 404
    assert "106.00" in partner.get("/publisher/claims").text
    assert partner.post(address, data={"decision": "refuse", "reason": ""}).status_code == 422
    assert partner.post(address, data={"decision": "refuse", "reason": "it is all there"}).status_code == 302
    assert partner.post(address, data={"decision": "accept"}).status_code == 409
    assert "it is all there" in clerk.get(f"/finance/claims/{member.id}/{id}").text
    assert clerk.post(f"/finance/claims/{member.id}/{id}", data={"decision": "accept", "amount": "53.00", "reason": "half of that"}).status_code == 302
    assert "53.00" in owner.get(f"/claims/{id}").text
    assert clerk.get("/finance/claims").status_code == 200
    assert_books_hold()


def test_a_payout_from_the_list_to_the_partners_statement(app: Flask) -> None:
    earlier = now() - 30 * DAY
    partner_id = offer_service(earlier)
    member = make_member(paid=2_000_00, at=earlier)
    service_id = order_service(member, earlier)
    for position in (1, 2):
        deliver(member, service_id, position, earlier)
        accept(member, service_id, position, earlier)
    partner_payables.release_due(now())
    clerk, boss = signed_in(app, make_user("finance")), signed_in(app, make_user("finance"))
    partner, other = signed_in(app, make_user("publisher", publisher_id=partner_id)), signed_in(app, make_user("publisher", publisher_id=new_id()))
    assert "560.00" in clerk.get("/finance/payouts").text  # 70% of 848 less tax
    assert clerk.post("/finance/payouts/nobody").status_code == 404
    address = clerk.post("/finance/payouts/harbor-automation").location
    assert "560.00" in clerk.get(address).text
    assert clerk.post(f"{address}/payment", data={"bank_reference": "OUT-1"}).status_code == 403
    assert boss.post(f"{address}/payment", data={"bank_reference": ""}).status_code == 422
    assert boss.post(f"{address}/payment", data={"bank_reference": "OUT-1"}).status_code == 302
    assert clerk.post("/finance/payouts/harbor-automation").status_code == 302  # the payment itself makes a statement
    for file in (f"{address}.csv", f"{address}.xlsx"):
        assert clerk.get(file).status_code == 200
    assert "210.00" in clerk.get(f"{address}.csv").text
    own = address.replace("/finance/payouts", "/publisher/earnings")
    assert "560.00" in partner.get("/publisher/earnings").text
    assert "OUT-1" in partner.get(own).text
    assert "350.00" in partner.get(f"{own}.csv").text
    assert other.get(own).status_code == other.get(f"{own}.csv").status_code == 404
    assert "560.00" not in other.get("/publisher/earnings").text
    assert_books_hold()
