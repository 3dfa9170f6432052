"""Finance's page of deferred revenue: figures, roll-forward, proof and exports agree with each other and with the ledger."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine

from billing.ledger import ledger_queries
from billing.ledger.accounts import Account as A
from billing.revenue import deferred_revenue, recognition_jobs
from core import clock
from core.db import SYSTEM, transaction
from membership.models import Member
from tests.billing import subscription_world as world
from tests.billing.books import as_owner
from tests.billing.revenue.test_recognition import net_of, total
from tests.sign_in import client_as

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


@pytest.fixture
def member(app: Flask) -> Member:
    world.sell()
    return world.member_with(paid=100_000_00, bonus=300_00)


@pytest.fixture
def finance(app: Flask) -> FlaskClient:
    return client_as(app, "finance")


def figures(at: datetime, since: datetime) -> deferred_revenue.Summary:
    with transaction(SYSTEM):
        return deferred_revenue.summary("CNY", at, since)


def test_the_roll_forward_adds_up_and_ties_at_every_instant(member: Member) -> None:
    world.subscribe(member, rank=2, seats=5, at=world.AT)
    recognition_jobs.recognise_days(world.AT + 10 * DAY)
    since = world.AT - DAY
    for at in (world.AT, world.AT + timedelta(hours=12) - TICK, world.AT + 4 * DAY, world.AT + 10 * DAY):
        found = figures(at, since)
        assert found.ties, (at, found)
        assert found.closing_minor == total(A.DEFERRED_REVENUE, at)
        assert found.recognised_minor == total(A.SUBSCRIPTION_REVENUE, at)
        assert found.changes["charged"] == net_of(world.month_price(2, 5))
        assert found.changes["discount"] < 0
    later = figures(world.AT + 10 * DAY, world.AT + 4 * DAY)
    assert later.opening_minor == figures(world.AT + 4 * DAY - TICK, since).closing_minor
    assert later.changes["charged"] == 0


def test_what_is_charged_and_not_taken_up_yet_ties_too(member: Member) -> None:
    world.subscribe(member, at=world.AT)
    assert figures(world.AT, world.AT).ties
    assert figures(world.AT, world.AT).done_until is None


def test_the_months_ahead_are_the_whole_balance(member: Member) -> None:
    world.subscribe(member, rank=3, seats=4, period="quarter", at=world.AT)
    now = world.AT + 20 * DAY
    recognition_jobs.recognise_days(now)
    with transaction(SYSTEM):
        months = deferred_revenue.by_month(ledger_queries.entity_for("CNY"), now, 2, 4)
    assert [month for month, *_rest in months] == ["2026-05", "2026-06", "2026-07", "2026-08", "2026-09", "2026-10", "2026-11"]
    assert sum(done for _month, done, _rest in months) == total(A.SUBSCRIPTION_REVENUE, now)
    assert sum(rest for _month, _done, rest in months) == total(A.DEFERRED_REVENUE, now)
    assert months[0][1:] == (0, 0)
    assert months[5][1:] == (0, 0)


def test_the_page_shows_them(member: Member, finance: FlaskClient) -> None:
    began = clock.now() - 3 * DAY
    world.subscribe(member, rank=2, seats=5, at=began)
    recognition_jobs.recognise_days()
    page = finance.get("/finance/deferred-revenue?lang=en").text
    closing = total(A.DEFERRED_REVENUE, clock.now())
    assert f"{closing / 100:,.2f}" in page
    assert "difference 0.00" in page
    assert finance.get("/finance/deferred-revenue?at=soon&lang=en").status_code == 422
    assert finance.get("/finance/deferred-revenue?at=2999-01-01&lang=en").status_code == 422
    assert "No deferred revenue" in finance.get("/finance/deferred-revenue?at=2020-01-01&lang=en").text


def test_a_difference_is_shouted(member: Member, finance: FlaskClient, owner: Engine) -> None:
    world.subscribe(member, at=clock.now() - 3 * DAY)
    recognition_jobs.recognise_days()
    as_owner(owner, "update deferral set deferred_minor = deferred_minor + 100")
    assert "Do not report these figures" in finance.get("/finance/deferred-revenue?lang=en").text


def test_the_export_has_every_line_and_sums_to_the_balance(member: Member, finance: FlaskClient) -> None:
    world.subscribe(member, rank=2, seats=5, at=clock.now() - 3 * DAY)
    recognition_jobs.recognise_days()
    text = finance.get("/finance/deferred-revenue.csv?lang=en").get_data(as_text=True)
    rows = [row for row in csv.reader(io.StringIO(text.lstrip("\ufeff"))) if row]
    (line,) = [row for row in rows if row[0] == member.number]
    assert line[-1].replace(",", "") == f"{total(A.DEFERRED_REVENUE, datetime.now(UTC)) / 100:.2f}"
    assert finance.get("/finance/deferred-revenue.xlsx").status_code == 200
