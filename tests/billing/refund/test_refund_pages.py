"""Pages and JSON of money that goes back, as finance and the member use them; amounts in minor units (fen)."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from core.clock import now
from core.db import SYSTEM, db, transaction
from core.ids import new_id
from membership.models import Member
from tests.billing.books import assert_books_hold
from tests.billing.stories import buy_own, top_up, wallet
from tests.factories import make_member
from tests.sign_in import bearer, client_as


@pytest.fixture
def member(app: Flask) -> Iterator[Member]:
    """A member with 3,000 and 300 bonus; when the story is told, all books must hold."""
    member = make_member(name="蓝岳科技")
    db.session.expunge(member)
    yield member
    assert_books_hold()


@pytest.fixture
def topped(member: Member, app: Flask) -> uuid.UUID:
    """Its top-up, of a while ago."""
    return top_up(member, now() - timedelta(days=1), 3_000_00, 300_00)


def state(id: str) -> str:
    with transaction(SYSTEM) as session:
        return str(session.scalar(text("select state from approval where id = :id"), {"id": id}))


def why(**more: str) -> dict[str, str]:
    return {"id": str(new_id()), "reason_code": "service_failure", "reason": "两小时中断"} | more


def test_goodwill_above_the_limit_passes_two_people(app: Flask, member: Member, topped: uuid.UUID) -> None:
    anna, boris = client_as(app, "finance", name="Anna"), client_as(app, "finance", name="Boris")
    form = why(kind="goodwill", amount="2,000.00", days="30")
    answer = anna.post(f"/finance/members/{member.id}/adjustments?lang=en", data=form)
    assert (answer.status_code, answer.location) == (303, f"/finance/approvals/{form['id']}")
    own = anna.get(answer.location + "?lang=en").text
    assert "somebody else has to decide" in own
    assert "Approve and book" not in own
    assert anna.post(f"/finance/approvals/{form['id']}/approval").status_code == 403
    queue = boris.get("/finance/approvals?lang=en").text
    assert ("1 proposal waits" in queue, "Anna" in queue, "两小时中断" in queue) == (True, True, True)
    shown = boris.get(answer.location + "?lang=en").text
    assert ("Goodwill given → Wallet, bonus" in shown, "¥2,300.00" in shown, "now ¥300.00" in shown) == (True, True, True)
    assert wallet(member, now()) == (3_000_00, 300_00)
    assert boris.post(f"/finance/approvals/{form['id']}/rejection", data={"note": ""}).status_code == 422
    assert boris.post(f"/finance/approvals/{form['id']}/approval", data={"note": "ok"}).location == "/finance/approvals"
    assert (state(form["id"]), wallet(member, now())) == ("done", (3_000_00, 2_300_00))


def test_a_wrong_form_keeps_its_input_and_books_nothing(app: Flask, member: Member, topped: uuid.UUID) -> None:
    finance = client_as(app, "finance")
    pages = {
        f"/finance/members/{member.id}/adjustments": why(kind="goodwill", amount="12 apples", days="30"),
        f"/finance/top-ups/{member.id}/{topped}/refunds": why(amount="999,999.00"),
        f"/finance/entries/{member.id}/{topped}/correction": why(reason_code="because"),
    }
    for address, form in pages.items():
        answer = finance.post(address + "?lang=en", data=form)
        assert answer.status_code in (409, 422), address
        assert "<title>Error: " in answer.text
        assert "两小时中断" in answer.text
    assert finance.get(f"/finance/entries/{member.id}/{new_id()}").status_code == 404
    assert finance.get(f"/finance/members/{new_id()}/adjustments/new").status_code == 404
    assert wallet(member, now()) == (3_000_00, 300_00)


def test_an_entry_is_corrected_from_its_page(app: Flask, member: Member) -> None:
    wrong = top_up(member, now() - timedelta(hours=1), 100_00, 10_00)
    finance = client_as(app, "finance")
    assert str(wrong) in finance.get(f"/finance/entries/{member.id}/{wrong}").text
    form = why()
    for _again in range(2):
        assert finance.post(f"/finance/entries/{member.id}/{wrong}/correction", data=form).location == f"/finance/approvals/{form['id']}"
    assert wallet(member, now()) == (0, 0)
    again = finance.get(f"/finance/entries/{member.id}/{wrong}?lang=en").text
    assert ("Reversed by" in again, "was corrected before" in again, "Reverse it" in again) == (True, True, False)


def test_the_owner_asks_for_money_back_and_sees_how_it_stands(app: Flask, member: Member, topped: uuid.UUID) -> None:
    buy_own(member, now(), 400_00)  # 300 bonus, 100 paid
    owner = client_as(app, "owner", member)
    page = owner.get(f"/wallet/top-ups/{topped}/refund?lang=en").text
    assert ("Less bonus that was used" in page, "¥2,600.00" in page) == (True, True)
    assert owner.post(f"/wallet/top-ups/{topped}/refunds", data={"id": str(new_id()), "amount": "2,600.01"}).status_code == 409
    form = {"id": str(new_id()), "amount": "2,600"}
    for _again in range(2):
        assert owner.post(f"/wallet/top-ups/{topped}/refunds", data=form).status_code == 303
    assert (state(form["id"]), wallet(member, now())) == ("proposed", (2_900_00, 0))
    assert "Waits for approval" in owner.get(f"/wallet/top-ups/{topped}/refund?lang=en").text
    assert client_as(app, "buyer", member).get(f"/wallet/top-ups/{topped}/refund").status_code == 403
    boss = client_as(app, "finance")
    assert boss.post(f"/finance/approvals/{form['id']}/rejection", data={"note": "合同期内"}).status_code == 303
    assert "合同期内" in owner.get("/notices").text


def test_the_same_by_api(app: Flask, member: Member, topped: uuid.UUID, at: datetime) -> None:
    client, finance = app.test_client(), bearer("finance")
    wanted = {"id": str(new_id()), "kind": "goodwill", "amount_minor": 50_00, "days": 30, "reason_code": "contract"}
    for _again in range(2):
        answer = client.post(f"/api/v1/finance/members/{member.id}/adjustments", json=wanted, headers=finance)
        assert (answer.status_code, answer.json["state"], answer.json["id"]) == (201, "done", wanted["id"])
    other = client.post(f"/api/v1/finance/members/{member.id}/adjustments", json=wanted | {"amount_minor": 1}, headers=finance)
    assert (other.status_code, other.json["code"]) == (409, "id_reused")
    assert wallet(member, now()) == (3_000_00, 350_00)
    too_much = {"id": str(new_id()), "amount_minor": 9_000_00, "reason_code": "contract"}
    answer = client.post(f"/api/v1/finance/members/{member.id}/top-ups/{topped}/refunds", json=too_much, headers=finance)
    assert (answer.status_code, answer.json["code"], answer.json["refundable_minor"]) == (409, "not_refundable", 3_000_00)
    listed = client.get("/api/v1/finance/approvals?state=done", headers=finance).json
    assert [one["id"] for one in listed["items"]] == [wanted["id"]]
    corrected = client.post(
        f"/api/v1/finance/members/{member.id}/entries/{wanted['id']}/corrections", json={"id": str(new_id()), "reason_code": "duplicate"}, headers=finance
    )
    assert (corrected.status_code, corrected.json["state"]) == (201, "done")
    assert wallet(member, now()) == (3_000_00, 300_00)
    assert client.get(f"/api/v1/top-ups/{topped}/refunds", headers=bearer("viewer", member)).json["refundable_minor"] == 3_000_00
