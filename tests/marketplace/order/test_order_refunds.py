"""Refunds of orders: the money, the partner's share before and after its window and payout, and the licence; amounts in minor units (fen)."""

import dataclasses
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from billing.approval import adjustments, approvals
from billing.approval.approval_models import Approval
from billing.ledger.accounts import Account as A
from billing.refund.refunds import RefundTooLarge
from billing.revenue import partner_shares
from billing.wallet import wallets
from core.actor import Actor
from core.db import SYSTEM, db, transaction
from core.errors import Invalid, NotFound
from core.ids import new_id
from marketplace.license.license_models import License
from marketplace.order import order_refunds, orders
from marketplace.order.order_models import Order
from marketplace.store.listing_models import Listing
from membership.models import Member
from tests.billing.books import accounts, assert_books_hold
from tests.billing.stories import top_up, wallet
from tests.factories import ENTITY, make_member
from tests.operations.factories import make_listing

CLERK = Actor(kind="staff", role="finance", name="Clerk", user_id=new_id())
DAY = timedelta(days=1)


@pytest.fixture
def member(app: Flask, at: datetime) -> Iterator[Member]:
    """A member that topped up 1,000 with 100 bonus; when the story is told, all books must hold."""
    member = make_member()
    db.session.expunge(member)
    top_up(member, at, 1_000_00, 100_00)
    yield member
    assert_books_hold()


@pytest.fixture
def partner(member: Member, at: datetime) -> Listing:
    """A partner's listing for 212, 12 of it tax, 60 commission, of which bonus may pay 50."""
    listing = make_listing("partner-script", price_minor=212_00)
    with transaction(SYSTEM) as session:
        session.execute(text("update publisher set kind = 'partner', commission_bp = 3000 where id = :id"), {"id": listing.publisher_id})
        session.execute(text("update listing set bonus_limit_bp = 8333, tax_rate_bp = 600, revision = revision + 1 where id = :id"), {"id": listing.id})
        wallets.open_book(listing.publisher_id, "partner", ENTITY, "CNY", at)
    db.session.expunge_all()
    return listing


def buy(member: Member, slug: str, price: int, at: datetime) -> uuid.UUID:
    with transaction(Actor(kind="member", role="owner", member_id=member.id)):
        return orders.place(member.id, slug, orders.Wanted(new_id(), price), at=at).id


def refund(member: Member, order_id: uuid.UUID, amount: int, at: datetime, licence: str = "keep") -> Approval:
    with transaction(SYSTEM):
        return order_refunds.propose(member.id, order_id, new_id(), amount, licence, "customer_request", "", CLERK, at=at)


def read(member: Member, order_id: uuid.UUID) -> tuple[str, int, str]:
    """The order's state, what was refunded of it, the licence's state."""
    with transaction(SYSTEM) as session:
        order = session.get_one(Order, (member.id, order_id), populate_existing=True)
        return order.state, order.refunded_minor, session.get_one(License, (member.id, order_id), populate_existing=True).state


def test_6_30_percent_come_back_while_the_partner_waits(member: Member, partner: Listing, at: datetime) -> None:
    order_id = buy(member, partner.slug, 212_00, at)
    assert wallet(member, at) == (838_00, 50_00)
    with transaction(SYSTEM) as session:
        amount = order_refunds.portion(session.get_one(Order, (member.id, order_id)), 3_000)
    assert amount == 63_60
    refund(member, order_id, amount, at + DAY)
    books = accounts(member.id)
    assert (books[A.PARTNER_PENDING], books[A.TAX_PAYABLE]) == (98_00, 8_40)
    assert read(member, order_id) == ("completed", 63_60, "active")
    assert accounts(partner.publisher_id) == {}


def test_6_in_full_with_its_licence(member: Member, partner: Listing, at: datetime) -> None:
    before = accounts(member.id)
    order_id = buy(member, partner.slug, 212_00, at)
    refund(member, order_id, 212_00, at + DAY, "revoke")
    assert accounts(member.id) == before
    assert read(member, order_id) == ("refunded", 212_00, "ended")
    with transaction(SYSTEM) as session:
        kinds = session.execute(text("select kind, details->>'licence' from notice where member_id = :m"), {"m": member.id}).all()
        assert [tuple(row) for row in kinds] == [("order_refunded", "revoke")]
        assert session.scalar(text("select count(*) from outbox where topic = 'order.refunded'")) == 1
    again = buy(member, partner.slug, 212_00, at + DAY)  # and may be bought again
    assert read(member, again) == ("completed", 0, "active")


def test_5_and_6_after_the_window_the_partner_is_owed_less(member: Member, partner: Listing, at: datetime) -> None:
    order_id = buy(member, partner.slug, 212_00, at)
    refund(member, order_id, 21_20, at)
    for expected in (126_00, 0):
        with transaction(SYSTEM):
            assert partner_shares.release(member.id, order_id, partner.publisher_id, "CNY", at=at + 14 * DAY) == expected
    assert accounts(partner.publisher_id) == {A.INTERBOOK: -126_00, A.PARTNER_DUE: 126_00}
    refund(member, order_id, 63_60, at + 15 * DAY)
    assert accounts(partner.publisher_id) == {A.INTERBOOK: -84_00, A.PARTNER_DUE: 84_00}
    assert accounts(member.id)[A.INTERBOOK] == 84_00


def test_5_and_6_after_payout_the_partner_owes_us(member: Member, partner: Listing, at: datetime) -> None:
    order_id = buy(member, partner.slug, 212_00, at)
    payout = new_id()
    with transaction(SYSTEM):
        partner_shares.release(member.id, order_id, partner.publisher_id, "CNY", at=at + 14 * DAY)
        with pytest.raises(partner_shares.NotDue):
            partner_shares.pay_out(partner.publisher_id, ENTITY, new_id(), 140_01, "CNY", at=at + 20 * DAY)
        assert partner_shares.pay_out(partner.publisher_id, ENTITY, payout, 140_00, "CNY", at=at + 20 * DAY)
        assert not partner_shares.pay_out(partner.publisher_id, ENTITY, payout, 140_00, "CNY", at=at + 20 * DAY)
    assert (accounts(partner.publisher_id), accounts(ENTITY)) == ({}, {A.INTERBOOK: -140_00, A.BANK: 140_00})
    refund(member, order_id, 63_60, at + 30 * DAY)
    assert accounts(partner.publisher_id) == {A.INTERBOOK: 42_00, A.PARTNER_RECEIVABLE: -42_00}
    assert accounts(member.id)[A.INTERBOOK] == 98_00


def test_the_licence_is_never_decided_silently(member: Member, partner: Listing, at: datetime) -> None:
    order_id = buy(member, partner.slug, 212_00, at)
    for licence in ("", "maybe"):
        with pytest.raises(Invalid) as told:
            refund(member, order_id, 1, at, licence)
        assert set(told.value.fields) == {"licence"}
    for amount, error in ((0, Invalid), (212_01, RefundTooLarge)):
        with pytest.raises(error):
            refund(member, order_id, amount, at)
    with pytest.raises(NotFound):
        refund(member, new_id(), 1, at)
    with pytest.raises(NotFound):
        refund(make_member(), order_id, 1, at)
    assert read(member, order_id) == ("completed", 0, "active")


def test_a_free_order_has_nothing_to_give_back(member: Member, at: datetime) -> None:
    make_listing("gift", price_minor=0)
    order_id = buy(member, "gift", 0, at)
    with pytest.raises(RefundTooLarge):
        refund(member, order_id, 1, at)


def test_above_the_limit_nothing_happens_until_somebody_else_agrees(member: Member, partner: Listing, at: datetime, app: Flask) -> None:
    settings = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(settings, approval_limit_minor=100_00)
    try:
        order_id = buy(member, partner.slug, 212_00, at)
        one, two = refund(member, order_id, 150_00, at, "revoke"), refund(member, order_id, 150_00, at)
        assert read(member, order_id) == ("completed", 0, "active")
        boss = Actor(kind="staff", role="finance", name="Boss", user_id=new_id())
        with transaction(SYSTEM):
            approvals.approve(one.id, boss, at=at)
        assert read(member, order_id) == ("completed", 150_00, "ended")
        with pytest.raises(RefundTooLarge), transaction(SYSTEM):  # the other one no longer fits
            approvals.approve(two.id, boss, at=at)
    finally:
        app.extensions["settings"] = settings


def test_a_refund_by_mistake_is_corrected_and_the_order_counts_again(member: Member, partner: Listing, at: datetime) -> None:
    order_id = buy(member, partner.slug, 212_00, at)
    before = accounts(member.id)
    with transaction(SYSTEM):
        partner_shares.release(member.id, order_id, partner.publisher_id, "CNY", at=at)
    released = accounts(member.id)
    made = refund(member, order_id, 63_60, at, "revoke")
    with transaction(SYSTEM):
        adjustments.correct(member.id, made.id, new_id(), "duplicate", "", CLERK, at=at)
    assert accounts(member.id) == released != before
    assert accounts(partner.publisher_id) == {A.INTERBOOK: -140_00, A.PARTNER_DUE: 140_00}
    assert read(member, order_id) == ("completed", 0, "ended")
    refund(member, order_id, 212_00, at)
    assert read(member, order_id)[:2] == ("refunded", 212_00)
