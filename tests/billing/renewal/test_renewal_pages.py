"""Finance's pages of renewals and prices, as a clerk uses them."""

import uuid
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from billing.renewal import renewal_jobs
from billing.renewal.renewal_models import RenewalRun
from core.audit import AuditEntry
from core.clock import now
from core.db import SYSTEM, transaction
from membership.catalogue_models import EditionPrice
from membership.models import Member
from tests.billing import subscription_world as world
from tests.sign_in import client_as

PRICE = world.month_price(2, 5)


@pytest.fixture
def finance(app: Flask) -> FlaskClient:
    world.sell()
    client = client_as(app, "finance")
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


def page(client: FlaskClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.get_data(as_text=True)[:2000]
    return answer.get_data(as_text=True)


def due_since(days: int, paid: int) -> Member:
    """A member whose monthly term ended so many days ago (about), with so much left."""
    member = world.member_with(paid=PRICE + paid)
    world.subscribe(member, at=now() - timedelta(days=31 + days))
    return member


def test_to_come_says_who_is_covered_and_who_is_short(finance: FlaskClient) -> None:
    for paid in (PRICE, 100_00):
        world.subscribe(world.member_with(paid=PRICE + paid), at=now() - timedelta(days=10))
    shown = page(finance, "/finance/renewals?days=30")
    assert "¥600.00" in shown  # both
    assert "¥200.00" in shown  # lacking
    assert shown.count("<tr>") == 3
    assert page(finance, "/finance/renewals?days=30&show=short").count("<tr>") == 2
    assert page(finance, "/finance/renewals?days=31", 422)
    csv = page(finance, "/finance/renewals.csv?days=60")
    assert "300.00" in csv
    assert "200.00" in csv
    assert finance.get("/finance/renewals.xlsx").data[:2] == b"PK"


def test_empty_pages_say_what_comes_there(finance: FlaskClient) -> None:
    for path in ("renewals", "renewals/past-due", "renewals/parked", "renewals/runs", "renewals/dry-run", "renewals/dry-run?run=1"):
        assert 'class="empty"' in page(finance, f"/finance/{path}")
    assert page(finance, f"/finance/renewals/runs/{uuid.uuid4()}", 404)


def test_a_dry_run_then_the_run_with_figures_that_tie(finance: FlaskClient) -> None:
    due_since(1, PRICE)
    due_since(1, 0)
    tried = page(finance, "/finance/renewals/dry-run?run=1")
    assert "Renewed" in tried
    assert "Past due" in tried
    assert "300.00" in page(finance, "/finance/renewals/dry-run.csv")
    with transaction(SYSTEM) as session:
        assert session.scalars(select(RenewalRun)).all() == []
    done = renewal_jobs.renew_due_subscriptions()
    assert (done.renewed, done.past_due) == (1, 1)
    with transaction(SYSTEM) as session:
        run = session.scalars(select(RenewalRun)).one()
        assert run.finished_at is not None
        run_id = run.id
    assert "Finished" in page(finance, "/finance/renewals/runs")
    one = page(finance, f"/finance/renewals/runs/{run_id}")
    assert "difference 0.00" in one
    assert "¥300.00" in one
    past_due = page(finance, "/finance/renewals/past-due")
    assert "¥300.00" in past_due
    assert "will be tried again" in past_due


def test_a_parked_one_shows_why_and_goes_on_when_finance_says_so(finance: FlaskClient, owner) -> None:  # type: ignore[no-untyped-def]
    member = due_since(1, PRICE)
    with owner.begin() as connection:
        connection.execute(text("update subscription set next_rank = 4"))
        connection.execute(text("delete from edition_price where rank = 4"))
    assert renewal_jobs.renew_due_subscriptions().parked == 1
    assert renewal_jobs.renew_due_subscriptions().examined == 0
    shown = page(finance, "/finance/renewals/parked")
    assert "There is no price" in shown
    with transaction(SYSTEM) as session:
        path = session.execute(text("select member_id, id from subscription")).one()
    with owner.begin() as connection:
        connection.execute(text("update subscription set next_rank = null"))
    where = f"/finance/renewals/parked/{path.member_id}/{path.id}/release"
    assert finance.post(where).status_code == 303
    assert finance.post(where).status_code == 303  # told that it is not parked
    with transaction(SYSTEM) as session:
        assert [e.action for e in session.scalars(select(AuditEntry))] == ["renewal.release"]
    assert renewal_jobs.renew_due_subscriptions().renewed == 1
    assert world.balance(member, now()) == (0, 0)


def test_a_price_is_scheduled_after_its_effect_was_seen_and_taken_back_while_nobody_knows(finance: FlaskClient) -> None:
    world.subscribe(world.member_with(paid=10 * PRICE), at=now() - timedelta(days=2))
    day = (now() + timedelta(days=90)).strftime("%Y-%m-%d")
    form = {"edition": "crm/2", "period": "month", "base": "0,410.00", "seat": "20", "valid_from": day}
    seen = finance.get("/finance/prices/new", query_string=form)
    assert seen.status_code == 200
    assert "+¥2,520.00" in seen.get_data(as_text=True)  # 12 × (510 − 300)
    assert finance.post("/finance/prices", data=form).status_code == 303
    assert finance.post("/finance/prices", data=form).status_code == 422  # it is there already
    with transaction(SYSTEM) as session:
        price = session.scalars(select(EditionPrice).where(EditionPrice.base_minor == 410_00)).one()
        valid_from = price.valid_from.isoformat()
    assert "¥410.00" in page(finance, "/finance/prices")
    back = {"edition": "crm/2", "period": "month", "currency": "CNY", "valid_from": valid_from}
    assert finance.post("/finance/prices/withdrawal", data=back).status_code == 303
    assert finance.post("/finance/prices/withdrawal", data=back).status_code == 404
    with transaction(SYSTEM) as session:
        assert sorted(e.action for e in session.scalars(select(AuditEntry))) == ["price.schedule", "price.withdraw"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": "x"},
        {"base": "-1"},
        {"base": "1,000,000,000,000"},
        {"base": "1,000,000,000,000.01"},
        {"seat": ""},
        {"seat": "10.005"},
        {"valid_from": "2020-01-01"},
        {"valid_from": "2026-13-01"},
        {"edition": "crm/9"},
        {"edition": "x"},
        {"period": "day"},
    ],
)
def test_a_wrong_price_is_told_and_changes_nothing(finance: FlaskClient, wrong: dict[str, str]) -> None:
    form = {"edition": "crm/2", "period": "month", "base": "400.00", "seat": "20", "valid_from": "2100-01-01"} | wrong
    with transaction(SYSTEM) as session:
        before = len(session.scalars(select(EditionPrice)).all())
    for answer in (finance.get("/finance/prices/new", query_string=form), finance.post("/finance/prices", data=form)):
        assert answer.status_code in (404, 422)
        assert "Error:" in answer.get_data(as_text=True)
    with transaction(SYSTEM) as session:
        assert len(session.scalars(select(EditionPrice)).all()) == before


def test_an_announced_price_cannot_be_taken_back(finance: FlaskClient) -> None:
    subscription = world.subscribe(world.member_with(paid=10 * PRICE), at=now() - timedelta(days=2))
    since = now() + timedelta(days=100)
    world.reprice("crm", since, factor=2)
    world.announce(subscription, since, told_at=now())
    back = {"edition": "crm/2", "period": "month", "currency": "CNY", "valid_from": since.isoformat()}
    assert finance.post("/finance/prices/withdrawal", data=back).status_code == 409
