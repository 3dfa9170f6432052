"""From a sale to the partner's bank account (books, moves 3, 5 and 6), with refunds at every point; amounts in minor units (fen)."""

import threading
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from billing.approval.approvals import NeedsAnother
from billing.ledger import verify
from billing.ledger.accounts import Account as A
from billing.revenue.partner_shares import NotDue
from core.actor import Actor
from core.db import SYSTEM, db, transaction
from core.errors import Conflict, Invalid
from core.ids import new_id
from marketplace.order import order_refunds, orders
from marketplace.partner import partner_payables, payouts
from marketplace.partner.partner_models import Payout
from marketplace.store.listing_models import Listing
from membership.models import Member
from tests.billing.books import accounts, assert_books_hold
from tests.billing.stories import top_up
from tests.factories import ENTITY, make_member
from tests.marketplace.order.test_order_refunds import partner  # noqa: F401 (a fixture)
from tests.marketplace.services_world import PRICE, accept, deliver, offer_service, order_service

CLERK, BOSS = (Actor(kind="staff", role="finance", name=name, user_id=new_id()) for name in ("Clerk", "Boss"))
DAY = timedelta(days=1)


@pytest.fixture
def member(app: Flask, at: datetime) -> Iterator[Member]:
    """A member that topped up 1,000 with 100 bonus; when the story is told, all books must hold."""
    member = make_member()
    db.session.expunge(member)
    top_up(member, at, 1_000_00, 100_00)
    yield member
    assert_books_hold()


def buy(member: Member, listing: Listing, at: datetime) -> uuid.UUID:
    with transaction(Actor(kind="member", role="owner", member_id=member.id)):
        return orders.place(member.id, listing.slug, orders.Wanted(new_id(), 212_00), at=at).id


def refund(member: Member, order_id: uuid.UUID, amount: int, at: datetime) -> None:
    with transaction(SYSTEM):
        order_refunds.propose(member.id, order_id, new_id(), amount, "keep", "customer_request", "", CLERK, at=at)


def prepare(listing: Listing, at: datetime) -> Payout:
    with transaction(SYSTEM):
        made = payouts.prepare(listing.publisher_id, CLERK, at=at)
    db.session.expunge(made)
    return made


def pay(one: Payout, at: datetime, acting: Actor = BOSS, reference: str = "OUT-1") -> None:
    with transaction(SYSTEM):
        payouts.pay(one.id, reference, acting, at=at)


def again_member(at: datetime) -> Member:
    member = make_member()
    db.session.expunge(member)
    top_up(member, at, 1_000_00, 100_00)
    return member


def test_5_due_after_the_window_and_paid_by_two_people(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner, at)
    assert partner_payables.release_due(at + 14 * DAY - timedelta(seconds=1)) == 0
    assert partner_payables.release_due(at + 14 * DAY) == 1
    assert partner_payables.release_due(at + 15 * DAY) == 0
    assert accounts(partner.publisher_id) == {A.INTERBOOK: -140_00, A.PARTNER_DUE: 140_00}
    one = prepare(partner, at + 15 * DAY)
    assert (one.opening_minor, one.released_minor, one.closing_minor, one.amount_minor, one.state) == (0, 140_00, 140_00, 140_00, "prepared")
    with pytest.raises(NeedsAnother):
        pay(one, at + 16 * DAY, CLERK)
    with pytest.raises(Invalid):
        pay(one, at + 16 * DAY, reference=" ")
    with pytest.raises(Conflict):
        prepare(partner, at + 16 * DAY)
    assert accounts(ENTITY) == {}
    pay(one, at + 16 * DAY)
    pay(one, at + 17 * DAY)
    assert (accounts(partner.publisher_id), accounts(ENTITY)) == ({}, {A.INTERBOOK: -140_00, A.BANK: 140_00})
    with transaction(SYSTEM):
        found = payouts.lines(partner.publisher_id, "CNY", one.after_seq, one.until_seq)
    assert [(line.order_id, line.total_minor, line.tax_minor, line.commission_minor, line.amount_minor) for line in found] == [
        (order_id, 212_00, 12_00, 60_00, 140_00)
    ]


def test_6_what_was_refunded_before_lowers_what_becomes_due(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner, at)
    refund(member, order_id, 63_60, at + DAY)
    partner_payables.release_due(at + 14 * DAY)
    with transaction(SYSTEM) as session:
        row = session.execute(text("select total_minor, refunded_minor, tax_minor, commission_minor, share_minor from partner_release")).one()
    assert tuple(row) == (212_00, 63_60, 8_40, 42_00, 98_00)  # the commission falls in proportion
    assert accounts(partner.publisher_id)[A.PARTNER_DUE] == 98_00


def test_a_refund_after_the_payout_is_carried_over_as_a_debt_and_netted(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner, at)
    partner_payables.release_due(at + 14 * DAY)
    pay(prepare(partner, at + 15 * DAY), at + 15 * DAY)
    refund(member, order_id, 63_60, at + 16 * DAY)
    debt = prepare(partner, at + 17 * DAY)
    assert (debt.opening_minor, debt.taken_back_minor, debt.other_minor, debt.closing_minor, debt.amount_minor, debt.state) == (
        140_00, 42_00, -140_00, -42_00, 0, "carried",
    )  # fmt: skip
    for n in (1, 2):
        buy(again_member(at + 17 * DAY + n * timedelta(minutes=1)), partner, at + 17 * DAY + n * timedelta(minutes=2))
    assert partner_payables.release_due(at + 32 * DAY) == 2
    one = prepare(partner, at + 32 * DAY)
    assert (one.opening_minor, one.released_minor, one.closing_minor, one.amount_minor) == (-42_00, 280_00, 238_00, 238_00)
    pay(one, at + 33 * DAY)
    assert accounts(partner.publisher_id) == {A.INTERBOOK: 0} or accounts(partner.publisher_id) == {}
    assert accounts(ENTITY)[A.BANK] == 140_00 + 238_00


def test_less_than_the_minimum_is_carried(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner, at)
    refund(member, order_id, 100_00, at)
    partner_payables.release_due(at + 14 * DAY)
    one = prepare(partner, at + 15 * DAY)
    assert (one.state, one.amount_minor, one.closing_minor) == ("carried", 0, 73_96)
    with pytest.raises(payouts.NothingToPay):
        prepare(partner, at + 16 * DAY)
    with pytest.raises(Conflict):
        pay(one, at + 16 * DAY)


def test_a_refund_between_the_two_steps_stops_the_payment(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner, at)
    partner_payables.release_due(at + 14 * DAY)
    one = prepare(partner, at + 15 * DAY)
    refund(member, order_id, 21_20, at + 15 * DAY)
    with pytest.raises(NotDue):
        pay(one, at + 16 * DAY)
    with transaction(SYSTEM):
        payouts.discard(one.id, at=at + 16 * DAY)
    two = prepare(partner, at + 16 * DAY)
    assert (two.released_minor, two.taken_back_minor, two.amount_minor) == (140_00, 14_00, 126_00)
    pay(two, at + 17 * DAY)
    assert accounts(ENTITY)[A.BANK] == 126_00


def test_milestones_become_due_like_any_sale(app: Flask, at: datetime) -> None:
    member = make_member(paid=2_000_00)
    partner_id = offer_service(at)
    order_id = order_service(member, at, price=PRICE)
    deliver(member, order_id, 1, at)
    accept(member, order_id, 1, at + DAY)
    assert partner_payables.release_due(at + 14 * DAY) == 0  # the window runs from the acceptance
    assert partner_payables.release_due(at + 15 * DAY) == 1
    assert accounts(partner_id)[A.PARTNER_DUE] == 210_00
    assert_books_hold()


def test_two_runs_and_two_payments_at_once_are_one(app: Flask, member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    buy(member, partner, at)

    def together(what: object) -> list[object]:
        outcomes: list[object] = []
        start = threading.Barrier(3)

        def go() -> None:
            with app.app_context():
                start.wait()
                try:
                    outcomes.append(what())  # type: ignore[operator]
                except Exception as error:
                    outcomes.append(error)

        threads = [threading.Thread(target=go) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes

    assert sorted(map(str, together(lambda: partner_payables.release_due(at + 14 * DAY)))) == ["0", "0", "1"]
    one = prepare(partner, at + 15 * DAY)
    assert together(lambda: pay(one, at + 16 * DAY)) == [None] * 3
    assert accounts(ENTITY)[A.BANK] == 140_00


# What a broken row looks like to the proof: statement, check, what.
BROKEN = {
    "a release that says too much": ("update partner_release set share_minor = share_minor + 1, commission_minor = commission_minor - 1", "partner share"),
    "a payout that says too much": ("update payout set amount_minor = amount_minor - 1", "payout"),
    "a milestone that says too little": (
        "update service_milestone set state = 'decided', captured_minor = captured_minor - 1 where captured_minor > 0",
        "service milestone",
    ),
    "a milestone that came to nothing": ("update service_milestone set state = 'released', closed_at = accept_by where state = 'delivered'", "service hold"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_proof_finds_what_is_wrong(app: Flask, owner: Engine, member: Member, partner: Listing, at: datetime, case: str) -> None:  # noqa: F811
    statement, check = BROKEN[case]
    buy(member, partner, at)
    other = make_member(paid=2_000_00)
    offer_service(at)
    order_id = order_service(other, at)
    for position in (1, 2):
        deliver(other, order_id, position, at)
    accept(other, order_id, 1, at)
    partner_payables.release_due(at + 14 * DAY)
    pay(prepare(partner, at + 15 * DAY), at + 16 * DAY)
    with owner.connect() as connection, connection.begin() as changes:
        assert connection.execute(text(statement)).rowcount >= 1
        assert check in {difference.check for difference in verify.differences(connection)}
        changes.rollback()
