"""Services: held, captured by milestones, disputed, cancelled, decided by time; amounts in minor units (fen). The books are proved after each story."""

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from billing.document import document_jobs
from billing.ledger.accounts import Account as A
from billing.wallet import balances, holds, wallets
from core.db import SYSTEM, db, transaction
from core.errors import IdReused, Invalid, NotFound
from core.ids import new_id
from core.money import split
from marketplace.order import orders, pricing
from marketplace.publisher.publisher_models import Publisher
from marketplace.service import service_decisions, service_offerings, service_steps, services
from marketplace.service.service_offerings import Step
from membership.models import Member
from tests.billing.books import accounts, assert_books_hold
from tests.billing.stories import top_up
from tests.factories import make_member
from tests.marketplace.services_world import PRICE, SLUG, STEPS, accept, deliver, dispute, offer_service, order_service
from tests.marketplace.store_world import acting_for

DAY = timedelta(days=1)


@pytest.fixture
def member(app: Flask, at: datetime) -> Iterator[Member]:
    """A member with 2,000 and 100 bonus; when the story is told, all books must hold."""
    member = make_member()
    db.session.expunge(member)
    top_up(member, at, 2_000_00, 100_00)
    offer_service(at)
    yield member
    assert_books_hold()


def money(member: Member, at: datetime) -> tuple[int, int]:
    """Available and held."""
    with transaction(SYSTEM):
        found = balances.balance(member.id, "CNY", at=at)
    return found.available_minor, found.held_minor


def shown(member: Member, order_id: uuid.UUID) -> services.Shown:
    with transaction(acting_for(member)):
        return services.show(member.id, order_id)


def states(member: Member, order_id: uuid.UUID) -> tuple[str, list[str]]:
    found = shown(member, order_id)
    return found.order.state, [one.state for one in found.milestones]


def test_an_order_holds_the_price_and_moves_nothing(member: Member, at: datetime) -> None:
    before = accounts(member.id)
    order_id = order_service(member, at)
    assert accounts(member.id) == before
    assert money(member, at) == (1_040_00, 1_060_00)
    found = shown(member, order_id)
    assert [one.amount_minor for one in found.milestones] == [318_00, 530_00, 212_00]
    assert sum(one.tax_minor for one in found.milestones) == 60_00
    assert sum(one.commission_minor for one in found.milestones) == 300_00
    assert (found.held_minor, found.captured_minor, found.returned_minor) == (PRICE, 0, 0)


def test_accepted_milestones_are_purchases_with_the_commission_of_the_order(member: Member, at: datetime) -> None:
    order_id = order_service(member, at)
    with transaction(SYSTEM) as session:
        session.execute(text("update publisher set commission_bp = 9000"))
    for position in (1, 2, 3):
        deliver(member, order_id, position, at + position * DAY)
        accept(member, order_id, position, at + position * DAY)
    assert states(member, order_id) == ("completed", ["accepted"] * 3)
    books = accounts(member.id)
    assert (books[A.TAX_PAYABLE], books[A.PARTNER_PENDING]) == (60_00, 700_00)
    assert money(member, at + 4 * DAY) == (1_040_00, 0)
    assert books[A.WALLET_BONUS] == 3 if A.WALLET_BONUS in books else True  # the slack of a minor unit a milestone
    with transaction(SYSTEM) as session:
        assert session.scalar(text("select count(*) from store_order where kind = 'milestone'")) == 3


def test_a_capture_comes_out_as_an_invoice_that_names_the_milestone(member: Member, at: datetime) -> None:
    order_id = order_service(member, at)
    deliver(member, order_id, 1, at)
    accept(member, order_id, 1, at)
    document_jobs.issue_all(at + DAY)
    with transaction(SYSTEM) as session:
        content = session.scalar(text("select content from document where kind = 'invoice' and member_id = :m"), {"m": member.id})
    assert content
    assert [(line["name_zh"], line["name_en"], line["gross_minor"], line["rate_bp"]) for line in content["lines"]] == [
        ("客户云上线 · 调研", "CRM rollout · Survey", 318_00, 600)
    ]


def test_cancelled_what_was_not_delivered_comes_back(member: Member, at: datetime) -> None:
    order_id = order_service(member, at)
    deliver(member, order_id, 1, at)
    with transaction(acting_for(member)):
        assert services.cancel(member.id, order_id, "plans have changed", at=at) == 742_00
    assert states(member, order_id) == ("running", ["delivered", "released", "released"])
    accept(member, order_id, 1, at)
    assert states(member, order_id) == ("cancelled", ["accepted", "released", "released"])
    assert money(member, at) == (1_782_00, 0)
    with transaction(acting_for(member)):
        assert services.cancel(member.id, order_id, "plans have changed", at=at) == 0


@pytest.mark.parametrize("paid", [0, 1, 100_00, 529_99, 530_00])
def test_a_dispute_stops_the_money_until_it_is_decided(member: Member, at: datetime, paid: int) -> None:
    order_id = order_service(member, at)
    for position in (1, 2, 3):
        deliver(member, order_id, position, at)
    dispute(member, order_id, 2, at)
    with pytest.raises(service_steps.WrongState):
        accept(member, order_id, 2, at)
    assert money(member, at) == (1_040_00, 1_060_00)
    for _again in range(2):
        with transaction(SYSTEM):
            service_decisions.decide(member.id, order_id, 2, paid, "the report shows half of it", at=at)
    accept(member, order_id, 1, at)
    accept(member, order_id, 3, at)
    assert states(member, order_id) == ("completed", ["accepted", "decided", "accepted"])
    assert money(member, at) == (1_040_00 + 530_00 - paid, 0)
    with transaction(SYSTEM), pytest.raises(service_steps.WrongState):
        service_decisions.decide(member.id, order_id, 2, paid - 1 if paid else 1, "and again otherwise", at=at)


@pytest.mark.parametrize("price", [1_00, 7_77, 1_234_57, 1_999_99])
def test_every_part_of_a_hold_can_be_captured_whatever_is_decided(app: Flask, at: datetime, price: int) -> None:
    """Bonus for most of it, uneven shares, disputes decided in odd parts: the last capture never lacks a cent."""
    shares = [1_111, 2_222, 3_333, 3_334]
    offer_service(at, slug="odd", price=price, steps=tuple(Step(f"第{n}步", f"Step {n}", share, n) for n, share in enumerate(shares, 1)))
    parts = split(price, shares)
    for order in ([1, 2, 3, 4], [4, 3, 2, 1], [3, 1, 4, 2]):
        member = make_member(paid=price, bonus=price)
        order_id = order_service(member, at, slug="odd", price=price)
        for n in order:
            deliver(member, order_id, n, at)
            if n % 2:
                accept(member, order_id, n, at)
            else:
                dispute(member, order_id, n, at)
                with transaction(SYSTEM):
                    service_decisions.decide(member.id, order_id, n, parts[n - 1] // 3, "a third of it", at=at)
        assert states(member, order_id)[0] == "completed"
        assert money(member, at)[1] == 0
    assert_books_hold()


def test_silence_accepts_what_was_delivered_and_gives_back_the_rest(member: Member, at: datetime) -> None:
    order_id = order_service(member, at)
    deliver(member, order_id, 1, at + DAY)
    assert service_decisions.run_due(at + 8 * DAY - timedelta(seconds=1)) == 0
    assert service_decisions.run_due(at + 8 * DAY) == 1
    assert states(member, order_id) == ("running", ["accepted", "open", "open"])
    assert service_decisions.run_due(at + 60 * DAY) == 2
    assert states(member, order_id) == ("lapsed", ["accepted", "lapsed", "lapsed"])
    assert money(member, at + 60 * DAY) == (1_782_00, 0)
    assert service_decisions.run_due(at + 90 * DAY) == 0
    with transaction(SYSTEM), pytest.raises(service_steps.WrongState):
        services.deliver(member.id, order_id, 2, "late", at=at + 61 * DAY)


def test_a_dispute_that_nobody_decides_ends_with_the_hold(member: Member, at: datetime) -> None:
    order_id = order_service(member, at)
    deliver(member, order_id, 1, at)
    dispute(member, order_id, 1, at)
    service_decisions.run_due(at + 60 * DAY)
    with transaction(SYSTEM):
        holds.expire_due(at=at + 90 * DAY)
    assert service_decisions.run_due(at + 90 * DAY) == 1
    assert states(member, order_id) == ("lapsed", ["lapsed"] * 3)
    assert money(member, at + 90 * DAY) == (2_100_00, 0)


def test_two_who_accept_at_once_pay_once(app: Flask, member: Member, at: datetime) -> None:
    order_id = order_service(member, at)
    deliver(member, order_id, 1, at)
    failures: list[Exception] = []
    start = threading.Barrier(4)

    def go() -> None:
        with app.app_context():
            start.wait()
            try:
                accept(member, order_id, 1, at)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert money(member, at) == (1_040_00, 742_00)
    assert sum(step.action == "accept" for step in shown(member, order_id).steps) == 1


def test_the_same_id_again_is_the_same_order(member: Member, at: datetime) -> None:
    id = new_id()
    assert order_service(member, at, id=id) == order_service(member, at, id=id) == id
    with pytest.raises(IdReused), transaction(acting_for(member)):
        services.place(member.id, SLUG, services.Wanted(id, PRICE, "something else"), at=at, placed_by=None)
    assert money(member, at) == (1_040_00, 1_060_00)


def test_what_is_refused_holds_nothing(member: Member, at: datetime) -> None:
    with pytest.raises(pricing.PriceChanged):
        order_service(member, at, price=PRICE - 1)
    with pytest.raises(pricing.NotForSale):
        order_service(member, at, slug="no-such-service")
    order_service(member, at)
    with pytest.raises(wallets.InsufficientFunds) as told:
        order_service(member, at)
    assert told.value.extra["missing_minor"] >= 20_00
    with pytest.raises(pricing.NotForSale), transaction(acting_for(member)):  # a service is not bought
        orders.place(member.id, SLUG, orders.Wanted(new_id(), PRICE), at=at)
    assert money(member, at) == (1_040_00, 1_060_00)


def test_steps_out_of_order_are_refused(member: Member, at: datetime) -> None:
    order_id = order_service(member, at)
    for wrong in (accept, dispute):
        with pytest.raises(service_steps.WrongState):
            wrong(member, order_id, 1, at)
    with pytest.raises(NotFound):
        deliver(member, order_id, 4, at)
    with pytest.raises(NotFound):
        deliver(make_member(), order_id, 1, at)
    for position in (1, 2, 3):
        deliver(member, order_id, position, at)
    with pytest.raises(service_steps.WrongState), transaction(acting_for(member)):
        services.cancel(member.id, order_id, "too late for that", at=at)
    dispute(member, order_id, 1, at)
    for amount in (-1, 318_01):
        with pytest.raises(Invalid), transaction(SYSTEM):
            service_decisions.decide(member.id, order_id, 1, amount, "because I say so", at=at)
    with pytest.raises(Invalid), transaction(SYSTEM):
        service_decisions.decide(member.id, order_id, 1, 0, "no", at=at)
    assert states(member, order_id) == ("running", ["disputed", "delivered", "delivered"])


def test_an_offering_must_make_a_whole_and_be_a_partners(member: Member, at: datetime) -> None:
    good = Step("一", "One", 1_00, 1)
    for steps in (
        (),
        (replace(good, amount_minor=0),),
        (replace(good, days=0),),
        (replace(good, days=61),),
        (good, replace(good, amount_minor=-1)),
        (good,) * 21,
    ):
        with pytest.raises(Invalid):
            service_offerings.check(steps)
    with transaction(SYSTEM) as session:
        vendor = Publisher(id=new_id(), code="us", name_zh="", name_en="", kind="vendor", is_verified=True, commission_bp=0)
        session.add(vendor)
        offering = service_offerings.Offering("ours", "onboarding", "我们的", "Ours", "", "", "", "", "CNY", STEPS)
        with pytest.raises(Invalid):
            service_offerings.publish(offering, vendor, at=at)


def test_every_step_says_who_and_why(member: Member, at: datetime) -> None:
    order_id = order_service(member, at)
    deliver(member, order_id, 1, at + DAY)
    dispute(member, order_id, 1, at + 2 * DAY)
    steps = shown(member, order_id).steps
    assert [(one.position, one.action, one.from_state, one.to_state, one.reason) for one in steps] == [
        (None, "order", None, "running", None), (1, "deliver", "open", "delivered", "see the report"),
        (1, "dispute", "delivered", "disputed", "half of it is missing"),
    ]  # fmt: skip
