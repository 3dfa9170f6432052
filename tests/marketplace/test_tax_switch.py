"""When the tax rate changes at midnight, purchases, previews, renewals and documents change with it, and none before."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask

from billing.document import document_jobs
from billing.subscription import subscription_previews
from core.db import SYSTEM, transaction
from core.ids import new_id
from core.money import tax_included
from marketplace.order import orders, pricing
from membership import subscriptions, taxes
from tests.billing import subscription_world as world
from tests.billing.books import accounts, assert_books_hold
from tests.billing.document.test_documents import documents
from tests.factories import AT, ENTITY, make_member
from tests.marketplace.store.test_store_pages import PAID
from tests.marketplace.store_world import acting_for, open_store, set_listing

MIDNIGHT = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)  # 1 July begins in Shanghai
TICK = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def _nine_percent_from_july(app: Flask) -> Iterator[None]:
    taxes.forget()
    make_member()
    with transaction(SYSTEM):
        taxes.add_rate(ENTITY, date(2026, 7, 1), 900, ("增值税", "VAT"), at=AT)
    yield
    taxes.forget()


def test_a_purchase_is_taxed_at_the_rate_of_its_instant(app: Flask) -> None:
    from billing.ledger.accounts import Account

    open_store(PAID)
    set_listing(PAID, required_rank=0, product_line=None, price_minor=109_00, is_repeatable=True)
    member = make_member(paid=1_000_00)
    for at, rate in ((MIDNIGHT - TICK, 600), (MIDNIGHT, 900), (MIDNIGHT + TICK, 900)):
        before = accounts(member.id).get(Account.TAX_PAYABLE, 0)
        with transaction(acting_for(member)):
            placed = orders.place(member.id, PAID, orders.Wanted(new_id(), 109_00), at=at)
        assert placed.tax_minor == tax_included(109_00, rate)
        assert accounts(member.id)[Account.TAX_PAYABLE] - before == placed.tax_minor
    document_jobs.issue_all(MIDNIGHT + timedelta(hours=1))
    assert [d.content["taxes"][0]["rate_bp"] for d in documents(member) if d.kind == "invoice"] == [600, 900, 900]
    assert_books_hold()


def test_the_hot_path_switches_without_asking_and_asks_when_the_clock_was_moved(app: Flask) -> None:
    open_store(PAID)
    set_listing(PAID, required_rank=0, product_line=None, price_minor=109_00, is_repeatable=True)
    member = make_member(paid=1_000_00)
    with transaction(acting_for(member)):
        pricing.offered(PAID)
        taxes.refresh(MIDNIGHT - timedelta(seconds=30))
    wanted = [orders.Wanted(new_id(), 109_00) for _ in range(3)]
    first = orders.place_alone(member.id, PAID, wanted[0], at=MIDNIGHT - TICK)
    second = orders.place_alone(member.id, PAID, wanted[1], at=MIDNIGHT)
    assert first
    assert second
    assert (first.tax_minor, second.tax_minor) == (tax_included(109_00, 600), tax_included(109_00, 900))
    assert orders.place_alone(member.id, PAID, wanted[2], at=MIDNIGHT + timedelta(days=1)) is None
    assert_books_hold()


def test_previews_and_renewals_take_the_rate_of_the_term_they_begin(app: Flask) -> None:
    world.sell()
    member = world.member_with(10_000_00)
    for at, rate in ((MIDNIGHT - TICK, 600), (MIDNIGHT, 900)):
        with transaction(SYSTEM):
            wish = subscriptions.Wish(product_line="crm", rank=2, period="month", seats=5)
            preview = subscription_previews.of_start(member.id, subscriptions.seller_of(member.id), wish, at=at)
        assert preview.tax_minor == tax_included(preview.amount_minor, rate)
    world.subscribe(member, rank=2, seats=5, at=AT)  # 15 June: renewed on 15 July and so at the new rate
    world.renew_all(AT + timedelta(days=31))
    document_jobs.issue_all(AT + timedelta(days=31))
    bills = [d for d in documents(member) if d.kind == "invoice"]
    assert [d.content["taxes"][0]["rate_bp"] for d in bills] == [600, 900]
    assert [d.tax_minor for d in bills] == [tax_included(d.gross_minor, rate) for d, rate in zip(bills, (600, 900), strict=True)]
    assert_books_hold()
