"""Top-up offers: made, scheduled and ended by finance, promised when a top-up is started, once to those who top up first."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from billing.top_up import bank_transfers, top_up_offers, top_ups
from billing.top_up.top_up_models import BankAccount, TopUp
from billing.top_up.top_up_offers import OfferOver
from billing.wallet.wallet_models import Grant
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id
from membership.models import Member
from tests.billing.books import assert_books_hold
from tests.factories import ENTITY, make_member, make_top_up_offer
from tests.sign_in import bearer, client_as


@pytest.fixture
def member(app: Flask) -> Member:
    """A member who may transfer money to us."""
    made = make_member()
    with transaction(SYSTEM) as session:
        session.add(BankAccount(entity_id=ENTITY, currency="CNY", holder="示例软件有限公司", bank="示例银行", number="6222", code="000"))
    return made


def announce(member: Member, amount: int) -> TopUp:
    with transaction(SYSTEM):
        top_up, _new = top_ups.start(member.id, top_ups.Wanted(new_id(), amount, "bank_transfer"), at=now(), created_by=None)
    return top_up


def arrive(top_up: TopUp, amount: int, number: str) -> TopUp:
    with transaction(SYSTEM):
        return bank_transfers.confirm(top_up.member_id, top_up.id, amount, number, at=now())


def test_the_best_step_of_all_running_offers_is_promised_and_kept(member: Member) -> None:
    offer = make_top_up_offer((1_000_00, 50_00), (5_000_00, 400_00), starts_at=now() - timedelta(days=1))
    make_top_up_offer((2_000_00, 150_00), starts_at=now() - timedelta(days=1))
    make_top_up_offer((1_000_00, 999_00), starts_at=now() + timedelta(days=1))
    make_top_up_offer((1_000_00, 998_00), starts_at=now() - timedelta(days=9), ends_at=now() - timedelta(seconds=1))
    assert [announce(member, amount).bonus_minor for amount in (999_99, 1_000_00, 2_000_00, 5_000_00)] == [0, 50_00, 150_00, 400_00]
    promised = announce(member, 5_000_00)
    with transaction(SYSTEM):
        top_up_offers.end(offer.id, "it is over", at=now())
    assert announce(member, 5_000_00).bonus_minor == 150_00
    settled = arrive(promised, 5_000_00, "B-1")
    assert (settled.bonus_minor, settled.offer_id) == (400_00, offer.id), "what was promised is kept"
    with transaction(SYSTEM):
        use = top_up_offers.use_of([offer.id])[offer.id]
        assert (use.settled, use.amount_minor, use.bonus_minor) == (1, 5_000_00, 400_00)
    with pytest.raises(OfferOver), transaction(SYSTEM):
        top_up_offers.end(offer.id, "again", at=now())
    assert_books_hold()


def test_a_first_top_up_is_the_first_that_arrives_or_may_arrive(member: Member) -> None:
    make_top_up_offer((100_00, 100_00), starts_at=now() - timedelta(days=1), first_only=True)
    first = announce(member, 100_00)
    assert first.bonus_minor == 100_00
    assert announce(member, 100_00).bonus_minor == 0, "the first may still arrive"
    with transaction(SYSTEM) as session:
        bank_transfers.cancel(member.id, first.id, "it never came", at=now())
        session.flush()
        assert top_up_offers.in_force("CNY", at=now(), member_id=member.id) == [], "the second one is on its way"
    other = make_member()
    assert announce(other, 100_00).bonus_minor == 100_00


def test_of_two_first_top_ups_at_once_one_is_the_first(app: Flask, member: Member) -> None:
    make_top_up_offer((100_00, 100_00), starts_at=now() - timedelta(days=1), first_only=True)
    start, promised = threading.Barrier(8), []

    def act() -> None:
        with app.app_context():
            start.wait()
            promised.append(announce(member, 100_00).bonus_minor)

    threads = [threading.Thread(target=act) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(promised) == [0] * 7 + [100_00]


def test_another_amount_arrives_for_a_first_top_up(member: Member) -> None:
    make_top_up_offer((100_00, 10_00), (200_00, 30_00), starts_at=now() - timedelta(days=1), first_only=True)
    first = announce(member, 100_00)
    assert arrive(first, 200_00, "B-1").bonus_minor == 30_00
    second = announce(member, 100_00)
    assert (second.bonus_minor, arrive(second, 200_00, "B-2").bonus_minor) == (0, 0)
    assert_books_hold()


def test_the_bonus_has_the_offers_place_in_the_order(member: Member) -> None:
    make_top_up_offer((100_00, 10_00), starts_at=now() - timedelta(days=1), priority=-5, bonus_days=7)
    settled = arrive(announce(member, 100_00), 100_00, "B-1")
    with transaction(SYSTEM) as session:
        (bonus,) = session.query(Grant).filter_by(member_id=member.id, kind="bonus")
        assert (bonus.priority, bonus.expires_at) == (-5, settled.settled_at + timedelta(days=7))  # type: ignore[operator]


FORM = {"name_zh": "开门红", "name_en": "Good start", "bonus_days": "90", "priority": "0", "from_1": "1,000.00", "bonus_1": "100"}


def test_finance_schedules_and_ends_an_offer_and_members_see_it(app: Flask, member: Member) -> None:
    finance, owner = client_as(app, "finance"), client_as(app, "owner", member)
    form = FORM | {"id": str(new_id()), "from_2": "5000", "bonus_2": "800", "first_only": "1"}
    assert finance.post("/finance/top-up-offers", data=form).status_code == 303
    assert finance.post("/finance/top-up-offers", data=form).status_code == 303, "sent twice it is one"
    page = finance.get("/finance/top-up-offers?lang=en").text
    assert page.count("Good start") == 1
    assert "Running" in page
    seen = owner.get("/wallet/top-ups/new?lang=en&amount_minor=500000").text
    assert "Top up ¥5,000.00, get ¥800.00" in seen
    assert "¥5,800.00" in seen
    later = FORM | {"id": str(new_id()), "name_en": "Later", "starts_at": "2099-01-01", "ends_at": "2099-01-31"}
    assert finance.post("/finance/top-up-offers", data=later).status_code == 303
    assert "Scheduled" in finance.get("/finance/top-up-offers?lang=en").text
    assert "2099-01-01 00:00 ～ 2099-02-01 00:00" in finance.get(f"/finance/top-up-offers/{later['id']}?lang=en").text
    one = f"/finance/top-up-offers/{form['id']}"
    assert finance.post(f"{one}/end?lang=en", data={"reason": ""}).status_code == 422
    assert finance.post(f"{one}/end", data={"reason": "spring is over"}).status_code == 303
    assert finance.post(f"{one}/end", data={"reason": "spring is over"}).status_code == 409
    assert "Good start" not in owner.get("/wallet/top-ups/new?lang=en").text
    assert owner.get("/finance/top-up-offers").status_code == 403


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"from_1": "", "bonus_1": ""}, "Enter at least one amount"),
        ({"bonus_1": ""}, "Enter an amount like"),
        ({"bonus_1": "2000"}, "must be a slip"),
        ({"from_2": "900", "bonus_2": "120"}, "Each step must ask for more"),
        ({"from_2": "2000", "bonus_2": "100"}, "Each step must ask for more"),
        ({"ends_at": "2020-01-01"}, "must end after it begins"),
        ({"starts_at": "tomorrow"}, "Write the day and time"),
        ({"name_zh": ""}, "Enter a name"),
        ({"bonus_days": "x"}, "Enter a number of days"),
        ({"priority": "101"}, "Enter a whole number"),
    ],
)
def test_a_wrong_form_keeps_its_input_and_makes_nothing(app: Flask, member: Member, values: dict[str, Any], words: str) -> None:
    answer = client_as(app, "finance").post("/finance/top-up-offers?lang=en", data=FORM | {"id": str(new_id())} | values)
    assert answer.status_code == 422
    assert words in answer.text
    assert 'value="Good start"' in answer.text
    with transaction(SYSTEM):
        assert top_up_offers.in_force("CNY", at=now()) == []


def test_the_api_of_offers(app: Flask, member: Member) -> None:
    client, key = app.test_client(), bearer("finance")
    body = {"id": str(new_id()), "name_zh": "开门红", "name_en": "Start", "bonus_days": 30, "tiers": [{"from_minor": 1_000_00, "bonus_minor": 100_00}]}
    made = client.post("/api/v1/finance/top-up-offers", json=body, headers=key)
    assert (made.status_code, made.get_json()["state"]) == (201, "running")
    assert client.post("/api/v1/finance/top-up-offers", json=body, headers=key).get_json() == made.get_json()
    assert client.post("/api/v1/finance/top-up-offers", json=body | {"bonus_days": 31}, headers=key).get_json()["code"] == "id_reused"
    (tier,) = client.get("/api/v1/wallet/top-up-offers", headers=bearer("viewer", member)).get_json()["tiers"]
    assert (tier["from_minor"], tier["bonus_minor"], tier["bonus_days"]) == (1_000_00, 100_00, 30)
    ended = client.post(f"/api/v1/finance/top-up-offers/{body['id']}/end", json={"reason": "over"}, headers=key)
    assert ended.get_json()["state"] == "over"
    assert client.get("/api/v1/wallet/top-up-offers", headers=bearer("viewer", member)).get_json()["tiers"] == []
    assert [one["id"] for one in client.get("/api/v1/finance/top-up-offers", headers=bearer("operator")).get_json()["items"]] == [body["id"]]
    assert client.post("/api/v1/finance/top-up-offers", json=body, headers=bearer("buyer", member)).status_code == 403
