"""What members are told before a renewal, of a dearer price, and after an end: once each, and true."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from billing.renewal import renewal_jobs
from billing.renewal.renewal_models import PriceNotice
from billing.subscription import subscription_charges, subscription_previews
from billing.subscription.subscription_charges import Start
from core.db import SYSTEM, transaction
from core.ids import new_id
from membership import subscriptions
from membership.models import Member
from membership.notice_models import Notice
from membership.subscriptions import Wish
from tests.billing import subscription_world as world

AT, END = world.AT, datetime(2026, 7, 14, 16, tzinfo=UTC)
OLD = world.month_price(2, 5)


@pytest.fixture
def member(app: Flask) -> Member:
    world.sell()
    return world.member_with(paid=800_00)


def told(member: Member, kind: str) -> list[Notice]:
    with transaction(SYSTEM) as session:
        found = session.scalars(select(Notice).where(Notice.member_id == member.id, Notice.kind == kind).order_by(Notice.at)).all()
        session.expunge_all()
        return list(found)


def test_a_renewal_is_announced_once_with_day_amount_and_what_is_lacking(member: Member) -> None:
    world.sell("ops")
    first, second = world.subscribe(member), world.subscribe(member, line="ops", at=AT + timedelta(hours=1))
    renewal_jobs.tell_members(END - timedelta(days=8))
    assert told(member, "renewal_upcoming") == []
    for hours in (0, 1, 25):
        renewal_jobs.tell_members(END - timedelta(days=7) + timedelta(hours=hours))
    notices = {n.details["subscription_id"]: n for n in told(member, "renewal_upcoming")}
    assert {(i, n.details["amount_minor"], n.details["missing_minor"], n.details["on"]) for i, n in notices.items()} == {
        (str(first.id), OLD, 100_00, "2026-07-15"), (str(second.id), OLD, 300_00, "2026-07-15"),
    }  # fmt: skip
    world.put_in(member, 100_00, at=END)
    assert world.renew_all(END).renewed == 1
    read = {n.details["subscription_id"]: n.read_at is not None for n in told(member, "renewal_upcoming")}
    assert read == {str(first.id): True, str(second.id): True}  # one was renewed; the other is past due, and says so instead
    assert [n.details["missing_minor"] for n in told(member, "subscription_past_due")] == [300_00]


def test_who_has_cancelled_is_not_announced_a_renewal(member: Member, owner) -> None:  # type: ignore[no-untyped-def]
    subscription = world.subscribe(member)
    with owner.begin() as connection:
        connection.execute(text("update subscription set cancel_at_term_end = true where id = :id"), {"id": subscription.id})
    renewal_jobs.tell_members(END - timedelta(days=3))
    assert told(member, "renewal_upcoming") == []


def price_notices(member: Member) -> list[tuple[datetime, datetime, int, int]]:
    with transaction(SYSTEM) as session:
        found = session.scalars(select(PriceNotice).where(PriceNotice.member_id == member.id).order_by(PriceNotice.told_at))
        return [(n.valid_from, n.applies_from, n.old_minor, n.new_minor) for n in found]


def test_a_yearly_renewal_is_told_of_a_dearer_price_a_month_before_and_pays_it(app: Flask) -> None:
    world.sell()
    member = world.member_with(paid=90_000_00)
    subscription = world.subscribe(member, period="year")
    ends = subscription.term_end
    world.reprice("crm", AT + timedelta(days=60), factor=2)
    renewal_jobs.tell_members(ends - timedelta(days=32))
    assert price_notices(member) == []
    for days in (31, 30, 12):
        renewal_jobs.tell_members(ends - timedelta(days=days))
    assert price_notices(member) == [(AT + timedelta(days=60), ends, 10 * OLD, 20 * OLD)]
    (notice,) = told(member, "price_change")
    assert (notice.details["amount_minor"], notice.details["old_minor"]) == (20 * OLD, 10 * OLD)
    assert world.renew_all(ends).renewed == 1
    assert world.now_of(subscription).term_price_minor == 20 * OLD


def test_a_monthly_term_is_too_short_for_the_notice_so_the_one_after_pays_it(app: Flask) -> None:
    world.sell()
    member = world.member_with(paid=90_000_00)
    subscription = world.subscribe(member)
    list_from = END + timedelta(days=1)
    world.reprice("crm", list_from, factor=2)
    instants, prices = [END - timedelta(days=20) + timedelta(days=n) for n in range(90)], []
    for instant in instants:  # the job every day, as it is
        renewal_jobs.tell_members(instant)
        if world.renew_all(instant).renewed:
            prices.append(world.now_of(subscription).term_price_minor)
    (found,) = price_notices(member)
    assert found[:2] == (list_from, datetime(2026, 8, 14, 16, tzinfo=UTC))
    assert prices == [OLD, 2 * OLD, 2 * OLD]
    assert len(told(member, "price_change")) == 1


def test_a_price_that_was_announced_too_late_holds_from_the_next_renewal_it_can(app: Flask) -> None:
    world.sell()
    member = world.member_with(paid=90_000_00)
    subscription = world.subscribe(member, period="quarter")
    ends = subscription.term_end
    world.reprice("crm", ends - timedelta(days=10), factor=2)  # scheduled 12 days before
    renewal_jobs.tell_members(ends - timedelta(days=12))
    (found,) = price_notices(member)
    assert found[1] > ends
    world.renew_all(ends)
    assert world.now_of(subscription).term_price_minor == 3 * OLD
    world.renew_all(found[1])
    assert world.now_of(subscription).term_price_minor == 6 * OLD


def test_a_cheaper_price_and_a_commitment_are_not_announced(app: Flask, owner) -> None:  # type: ignore[no-untyped-def]
    world.sell()
    cheap, committed = world.member_with(paid=9_000_00), world.member_with(paid=9_000_00)
    first, second = world.subscribe(cheap, rank=4), world.subscribe(committed)
    world.reprice("crm", END - timedelta(days=2), factor=2)
    with owner.begin() as connection:
        until = {"id": second.id, "until": END + timedelta(days=800), "at": AT}
        connection.execute(text("update subscription set commitment_years = 3, committed_until = :until, price_locked_at = :at where id = :id"), until)
        connection.execute(text("update edition_price set base_minor = 1, seat_minor = 0 where rank = 4 and valid_from > :at"), {"at": AT})
    renewal_jobs.tell_members(END - timedelta(days=20))
    assert price_notices(cheap) == price_notices(committed) == []
    world.renew_all(END)
    assert (world.now_of(first).term_price_minor, world.now_of(second).term_price_minor) == (1, OLD)


def test_who_lapsed_is_asked_to_come_back_once_unless_it_has(app: Flask) -> None:
    world.sell()
    gone, back = world.member_with(paid=OLD), world.member_with(paid=OLD)
    world.subscribe(gone)
    world.subscribe(back)
    world.renew_all(END)
    lapsed_at = END + timedelta(days=14)
    assert world.renew_all(lapsed_at).lapsed == 2
    world.put_in(back, 900_00, at=lapsed_at)
    wish = Wish(product_line="crm", rank=2, period="month", seats=5)
    with transaction(world.owner_of(back)):  # pays for the days it used unpaid, too
        price = subscription_previews.of_start(back.id, subscriptions.seller_of(back.id), wish, at=lapsed_at + timedelta(days=1)).amount_minor
        start = Start(id=new_id(), price_minor=price, product_line="crm", rank=2, period="month", seats=5)
        subscription_charges.start(back.id, start, at=lapsed_at + timedelta(days=1))
    for days in (6, 7, 8):
        renewal_jobs.tell_members(lapsed_at + timedelta(days=days))
    assert [len(told(one, "win_back")) for one in (gone, back)] == [1, 0]
    assert told(gone, "win_back")[0].details["amount_minor"] == OLD
