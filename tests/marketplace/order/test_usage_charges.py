"""Prices by use: set aside before a run, charged when it succeeds, given back when it does not, and never above the approved cap."""

import dataclasses
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from billing.document import document_sources
from billing.document.document_sources import Moved
from billing.ledger.accounts import Account
from billing.wallet import balances, holds, wallets
from core.actor import Actor
from core.db import SYSTEM, db, transaction
from core.errors import Invalid
from core.ids import new_id
from core.money import tax_included
from marketplace.checks.findings import Finding
from marketplace.license.license_models import License
from marketplace.order import order_refunds, orders, pricing, usage_charges
from marketplace.order.order_models import Order
from marketplace.run import runs
from marketplace.run.run_models import Run
from marketplace.sandbox import box
from tests.billing.books import accounts, assert_books_hold
from tests.factories import AT, make_member, make_user
from tests.marketplace.release.test_publishing import needs_sandbox
from tests.marketplace.store_world import acting_for, open_store, set_listing
from tests.sign_in import bearer, client_as

pytestmark = needs_sandbox
TASK, PRICE, CAP = "merge-duplicate-contacts", 3_00, 10_00
NEXT_MONTH = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)  # the first of July in Shanghai


@pytest.fixture(autouse=True)
def by_use(app):
    """One task at ¥3.00 a run that anybody may have."""
    open_store(TASK)
    set_listing(TASK, pricing="usage", price_minor=PRICE, required_rank=0, required_features=[], product_line=None, bonus_limit_bp=10_000)
    pricing._offered.clear()
    yield
    assert_books_hold()


def agree(member, cap=CAP):
    with transaction(acting_for(member)):
        placed = orders.place(member.id, TASK, orders.Wanted(new_id(), PRICE, monthly_cap_minor=cap), at=AT)
    assert (placed.total_minor, placed.paid_minor) == (0, 0)
    return placed.license_id


def start(app, member_id, license_id, at=AT):
    """A run in line, as a worker would take it next."""
    settings = dataclasses.replace(app.extensions["settings"], runs_at_once=50)
    with transaction(Actor(kind="member", role="buyer", member_id=member_id)):
        made = runs.request(member_id, license_id, runs.Wanted(new_id(), {}), settings, at=at, by=None, by_name="Bo").id
    with transaction(SYSTEM):
        runs.begin(member_id, made, at=at)
    return made


def finish(member_id, run_id, failure=None, at=AT):
    with transaction(SYSTEM):
        runs.finish(member_id, run_id, box.Outcome(), failure, at=at)
    with transaction(SYSTEM) as session:
        return session.get(Run, (member_id, run_id), populate_existing=True).state


def held(member_id, at=AT):
    with transaction(SYSTEM):
        return balances.balance(member_id, "CNY", at=at).held_minor


def charged(member_id):
    with transaction(SYSTEM) as session:
        return list(session.scalars(select(Order.total_minor).where(Order.member_id == member_id, Order.kind == "usage")))


def month(member_id, license_id, at=AT):
    with transaction(SYSTEM) as session:
        found = usage_charges.month_of(session.get(License, (member_id, license_id), populate_existing=True), at)
        return found.charged_minor, found.held_minor, found.left_minor


def test_a_run_that_succeeds_is_charged_out_of_what_was_set_aside(app):
    member = make_member(paid=20_00, bonus=1_00)
    license_id = agree(member)
    run_id = start(app, member.id, license_id)
    assert (held(member.id), charged(member.id)) == (PRICE, [])
    assert finish(member.id, run_id) == "succeeded"
    assert (held(member.id), charged(member.id)) == (0, [PRICE])
    books, tax = accounts(member.id), tax_included(PRICE, 600)
    assert books[Account.TAX_PAYABLE] == tax
    assert books[Account.WALLET_PAID] + books.get(Account.WALLET_BONUS, 0) == 21_00 - PRICE
    assert month(member.id, license_id) == (PRICE, 0, CAP - PRICE)
    with transaction(SYSTEM) as session:
        order = session.scalars(select(Order).where(Order.kind == "usage")).one()
        assert (order.license_id, order.tax_minor, order.paid_minor + order.bonus_minor) == (license_id, tax, PRICE)
        entry = next(one for one in document_sources.new_entries([Moved(member.id, "CNY", 0)], 50) if one.id == order.id)
        assert entry.name_en.endswith("· one run")
        assert entry.document_kind == "invoice"


def test_a_run_that_fails_costs_nothing(app):
    member = make_member(paid=20_00)
    license_id = agree(member)
    assert finish(member.id, start(app, member.id, license_id), Finding("run_failed", "no such column")) == "failed"
    assert (held(member.id), charged(member.id)) == (0, [])
    assert accounts(member.id)[Account.WALLET_PAID] == 20_00
    assert month(member.id, license_id) == (0, 0, CAP)


def test_the_cap_counts_what_is_charged_and_what_is_set_aside(app):
    member_id = (member := make_member(paid=100_00)).id
    license_id = agree(member)
    first = start(app, member_id, license_id)
    finish(member_id, first)
    second = start(app, member_id, license_id)
    start(app, member_id, license_id)
    with pytest.raises(usage_charges.CapReached) as refused:
        start(app, member_id, license_id)
    assert (refused.value.extra["used_minor"], refused.value.extra["cap_minor"]) == (9_00, CAP)
    finish(member_id, second, Finding("run_failed", ""))
    start(app, member_id, license_id)  # what failed counts no more
    assert month(member_id, license_id) == (PRICE, 2 * PRICE, 1_00)


def test_many_at_once_never_go_above_the_cap(app):
    member_id = (member := make_member(paid=100_00)).id
    license_id, outcomes = agree(member), []

    def one():
        with app.app_context():
            try:
                run_id = start(app, member_id, license_id)
                outcomes.append(finish(member_id, run_id))
            except usage_charges.CapReached:
                outcomes.append("refused")

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 5 + ["succeeded"] * 3
    assert charged(member_id) == [PRICE] * 3


def test_a_calendar_month_of_the_seller_begins_anew(app):
    member_id = (member := make_member(paid=100_00)).id
    license_id = agree(member, cap=PRICE)
    before = NEXT_MONTH - timedelta(seconds=1)
    finish(member_id, start(app, member_id, license_id, at=before), at=before)
    with pytest.raises(usage_charges.CapReached):
        start(app, member_id, license_id, at=before)
    finish(member_id, start(app, member_id, license_id, at=NEXT_MONTH), at=NEXT_MONTH)
    assert charged(member_id) == [PRICE, PRICE]


def test_without_the_money_no_run_starts(app):
    member_id = (member := make_member(paid=2_00)).id
    license_id = agree(member)
    with pytest.raises(wallets.InsufficientFunds) as refused:
        start(app, member_id, license_id)
    assert refused.value.extra["missing_minor"] == 1_00
    assert held(member_id) == 0


def test_money_that_is_gone_when_the_run_ends_makes_it_a_failed_one(app):
    member = make_member(paid=20_00)
    license_id = agree(member)
    run_id = start(app, member.id, license_id)
    late = AT + timedelta(days=8)  # the hold has ended
    assert finish(member.id, run_id, at=late) == "failed"
    with transaction(SYSTEM) as session:
        assert session.get(Run, (member.id, run_id)).failure["rule"] == "run_unpaid"
    assert charged(member.id) == []


def test_a_run_whose_worker_is_gone_gives_its_money_back(app):
    member = make_member(paid=20_00)
    license_id = agree(member)
    run_id = start(app, member.id, license_id)
    with transaction(SYSTEM):
        assert runs.give_up_lost(AT + timedelta(minutes=1), at=AT + timedelta(minutes=20)) == 1
    assert held(member.id) == 0
    assert finish(member.id, run_id) == "failed"


def test_a_member_cannot_take_a_runs_hold_back_itself(app):
    member_id = (member := make_member(paid=20_00)).id
    run_id = start(app, member_id, agree(member))
    with pytest.raises(Exception, match=r"."), transaction(acting_for(member)):
        holds.release(member_id, run_id, new_id(), None, at=AT, reason=None, created_by=None, as_member=True)
    assert held(member_id) == PRICE


def test_a_run_is_refunded_like_any_order_and_the_licence_may_stay(app):
    member = make_member(paid=20_00)
    license_id = agree(member)
    finish(member.id, start(app, member.id, license_id))
    with transaction(SYSTEM) as session:
        order_id = session.scalars(select(Order.id).where(Order.kind == "usage")).one()
    finance = Actor(kind="staff", role="finance", user_id=make_user("finance").id, name="F")
    with transaction(finance):
        order_refunds.propose(member.id, order_id, new_id(), PRICE, "keep", "service_failure", "wrong output", finance, at=AT + timedelta(hours=1))
    assert accounts(member.id)[Account.WALLET_PAID] == 20_00
    with transaction(SYSTEM) as session:
        assert session.get(License, (member.id, license_id)).state == "active"


def test_the_cap_is_asked_for_and_an_owner_changes_it(app):
    member = make_member(paid=20_00)
    member_id = member.id
    db.session.expunge(member)
    with pytest.raises(Invalid), transaction(acting_for(member)):
        orders.place(member_id, TASK, orders.Wanted(new_id(), PRICE), at=AT)
    buyer, owner = client_as(app, "buyer", member), client_as(app, "owner", member)
    assert "3.00" in buyer.get(f"/store/{TASK}/buy").text
    form = {"id": str(new_id()), "price_minor": str(PRICE), "monthly_cap_minor": "1.00"}
    assert buyer.post(f"/store/{TASK}/buy", data=form).status_code == 422
    bought = buyer.post(f"/store/{TASK}/buy", data=form | {"monthly_cap_minor": "9.00"})
    assert bought.status_code == 302
    license_id = form["id"]
    assert "9.00" in owner.get(f"/apps/{license_id}").text
    assert buyer.post(f"/apps/{license_id}/cap", data={"monthly_cap_minor": "30"}).status_code == 403
    assert owner.post(f"/apps/{license_id}/cap", data={"monthly_cap_minor": "2"}).status_code == 422
    assert owner.post(f"/apps/{license_id}/cap", data={"monthly_cap_minor": "30"}).status_code == 302
    assert "30.00" in owner.get(f"/apps/{license_id}/runs").text
    answer = app.test_client().post(f"/api/v1/licenses/{license_id}/cap", json={"monthly_cap_minor": 400}, headers=bearer("owner", member))
    assert (answer.status_code, answer.json["monthly_cap_minor"]) == (200, 400)


def test_a_refusal_on_the_page_says_what_to_do(app):
    member = make_member(paid=20_00)
    license_id = agree(member, cap=PRICE)
    client = client_as(app, "buyer", member)
    assert client.post(f"/apps/{license_id}/runs", data={"id": str(new_id())}).status_code == 302
    refused = client.post(f"/apps/{license_id}/runs", data={"id": str(new_id())})
    assert refused.status_code == 409
    assert f"/apps/{license_id}#cap" in refused.text
