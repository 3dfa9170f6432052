"""Staff enters a contract on its page: the form, the price, and what is said when it cannot be."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id
from membership import subscriptions
from membership.models import Member
from tests.billing import subscription_world as world
from tests.sign_in import client_as

WISH = "product_line=crm&rank=2&period=year&seats=5&commitment_years=3&deployment=private"


@pytest.fixture
def member(app: Flask) -> Member:
    world.sell()
    return world.member_with(paid=4_000_00)


@pytest.fixture
def csm(app: Flask) -> FlaskClient:
    client = client_as(app, "csm")
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


def test_a_contract_is_priced_then_entered_once(csm: FlaskClient, member: Member) -> None:
    url = f"/contracts/{member.id}"
    assert "Show the price" in csm.get(f"{url}/new").text
    priced = csm.get(f"{url}/new?{WISH}").text
    assert "Enter it for ¥3,000.00" in priced
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', priced.split('method="post"')[-1]))
    assert csm.post(url, data=form).status_code == 422  # without a reason
    for _click in range(2):
        assert csm.post(url, data=form | {"reason": "contract 17"}).status_code == 303
    assert world.balance(member, now()) == (1_000_00, 0)
    with transaction(SYSTEM):
        one = subscriptions.running_of(member.id, "crm")
    assert one is not None
    assert (one.deployment, one.commitment_years, str(one.id)) == ("private", 3, form["id"])
    again = csm.get(f"{url}/new?{WISH}")
    assert again.status_code == 409
    assert "running subscription of this product" in again.text


def test_what_cannot_be_entered_is_said_beside_the_field_and_charges_nothing(csm: FlaskClient, member: Member) -> None:
    url = f"/contracts/{member.id}"
    monthly = csm.get(f"{url}/new?product_line=crm&rank=2&period=month&seats=5&commitment_years=3")
    assert monthly.status_code == 422
    assert "paid yearly" in monthly.text
    assert csm.get(f"{url}/new?product_line=crm&rank=2&period=once&seats=5").status_code == 404  # it has no such price
    assert "has to top up first" in csm.get(f"{url}/new?product_line=crm&rank=4&period=year&seats=50").text
    wrong = {"id": str(new_id()), "product_line": "crm", "rank": "2", "period": "year", "seats": "5", "price_minor": "1", "reason": "x"}
    assert csm.post(url, data=wrong).status_code == 409
    assert world.balance(member, now()) == (4_000_00, 0)
