"""Store prices without tax (decision 0049): the buyer is shown, charged and billed net + tax, at the rate of the moment, whichever way it buys."""

import html as markup
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import floor

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from billing.document import document_jobs
from billing.ledger.accounts import Account
from core.actor import Actor
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id
from core.money import gross_of
from marketplace.license import license_renewals
from marketplace.license.license_models import License
from marketplace.order import coupons, order_refunds, orders, pricing
from marketplace.order.order_models import Order
from marketplace.order.pricing import Offered, PriceChanged
from marketplace.release import bundles, publishing
from marketplace.store.listing_models import Listing
from membership import taxes
from operations import offers
from tests.billing.books import accounts, assert_books_hold
from tests.billing.document.test_documents import documents
from tests.factories import AT, ENTITY, make_member, make_user
from tests.marketplace.order.test_orders import at_once, buy, served  # noqa: F401 (a fixture that serves every `buy`)
from tests.marketplace.store_world import PACK, acting_for, open_store, set_listing
from tests.sign_in import bearer, client_as

MIDNIGHT = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)  # 1 July begins in Shanghai
TICK = timedelta(microseconds=1)
NET = 33  # 6% of it is 1.98: rounded piece by piece, a hundred of them would carry 2 fen too much


@pytest.fixture(autouse=True)
def _sold_without_tax(app: Flask) -> Iterator[None]:
    taxes.forget()
    open_store(PACK)
    set_listing(PACK, price_minor=NET, excludes_tax=True, tax_rate_bp=None, required_rank=0, required_features=[], product_line=None, pricing="one_time",
                period=None, is_repeatable=True)  # fmt: skip
    pricing._offered.clear()
    yield
    taxes.forget()
    assert_books_hold()


def nine_percent_from_july() -> None:
    with transaction(SYSTEM):
        taxes.add_rate(ENTITY, date(2026, 7, 1), 900, ("增值税", "VAT"), at=AT)


@given(st.integers(0, 10**9), st.integers(1, 99_999), st.integers(0, 10_000), st.none() | st.integers(0, 10_000))
def test_a_quote_adds_the_tax_of_all_pieces_once(price: int, quantity: int, rate: int, commission: int | None) -> None:
    listing = Offered(new_id(), "x", 1, "1.0.0", "CNY", price, None, 10_000, commission, True, None, 0, (), None, 0, new_id(), excludes_tax=True)
    quote = pricing._laid_out.__wrapped__(listing, quantity, rate, 0)
    tax = floor(Fraction(price * quantity * rate, 10_000) + Fraction(1, 2))
    assert (quote.tax_minor, quote.total_minor) == (tax, price * quantity + tax)
    assert {target.account: target.amount_minor for target in quote.targets}.get(Account.TAX_PAYABLE, 0) == tax
    assert sum(target.amount_minor for target in quote.targets) == quote.total_minor
    assert quote.unit_minor == price + floor(Fraction(price * rate, 10_000) + Fraction(1, 2))
    assert 2 * abs(quote.total_minor - quote.unit_minor * quantity) <= quantity  # the constraint of store_order


def test_a_hundred_pieces_are_bought_billed_and_given_back_to_the_unit(app: Flask) -> None:
    member = make_member(paid=1_000_00)
    with transaction(acting_for(member)):
        placed = orders.place(member.id, PACK, orders.Wanted(new_id(), 35, 100), at=AT)
    assert (placed.price_minor, placed.total_minor, placed.tax_minor) == (35, 34_98, 1_98)
    assert accounts(member.id)[Account.TAX_PAYABLE] == 1_98
    assert accounts(member.id)[Account.WALLET_PAID] == 1_000_00 - 34_98
    document_jobs.issue_all(AT + timedelta(hours=1))
    (bill,) = (one for one in documents(member) if one.kind == "invoice")
    (line,) = bill.content["lines"]
    assert (line["quantity"], line["unit_minor"], line["net_minor"], line["tax_minor"], line["gross_minor"]) == (100, NET, 33_00, 1_98, 34_98)
    assert (line["unit_excludes_tax"], line["rate_bp"]) == (True, 600)
    with transaction(acting_for(member)):
        again = orders.place(member.id, PACK, orders.Wanted(placed.id, 35, 100), at=AT)
    assert (again.is_replay, again.total_minor) == (True, 34_98)
    with transaction(SYSTEM):
        clerk = Actor(kind="staff", role="finance", name="Clerk", user_id=new_id())
        order_refunds.propose(member.id, placed.id, new_id(), 34_98, "revoke", "customer_request", "", clerk, at=AT + timedelta(days=1))
    left = accounts(member.id)
    assert (left[Account.WALLET_PAID], left.get(Account.TAX_PAYABLE, 0)) == (1_000_00, 0)


def test_at_midnight_the_price_is_another_and_the_old_one_is_refused(app: Flask) -> None:
    nine_percent_from_july()
    set_listing(PACK, price_minor=100_00)
    member = make_member(paid=1_000_00)
    with transaction(acting_for(member)):
        pricing.offered(PACK)
        taxes.refresh(MIDNIGHT - timedelta(seconds=30))
    first = orders.place_alone(member.id, PACK, orders.Wanted(new_id(), 106_00), at=MIDNIGHT - TICK)
    assert first is not None
    late = orders.Wanted(new_id(), 106_00)
    assert orders.place_alone(member.id, PACK, late, at=MIDNIGHT) is None  # the hot path leaves it to the other one
    with transaction(acting_for(member)), pytest.raises(PriceChanged) as refused:
        orders.place(member.id, PACK, late, at=MIDNIGHT)
    assert (refused.value.extra["price_minor"], refused.value.extra["shown_minor"]) == (109_00, 106_00)
    second = orders.place_alone(member.id, PACK, orders.Wanted(new_id(), 109_00), at=MIDNIGHT)
    assert second is not None
    assert [(one.total_minor, one.tax_minor) for one in (first, second)] == [(106_00, 6_00), (109_00, 9_00)]
    assert accounts(member.id)[Account.WALLET_PAID] == 1_000_00 - 106_00 - 109_00


def test_forty_buyers_at_once_pay_what_they_were_shown(app: Flask) -> None:
    members = [make_member(paid=100_00) for _ in range(4)]
    keys = [bearer("buyer", member) for member in members]
    shown = app.test_client().get(f"/api/v1/listings/{PACK}", headers=keys[0]).json
    assert (shown["price_minor"], shown["excludes_tax"]) == (35, True)
    wrong = buy(app, keys[0], price=NET)
    assert (wrong.status_code, wrong.json["code"], wrong.json["price_minor"]) == (409, "price_changed", 35)
    answers = at_once(*[lambda key=key: buy(app, key, price=35, quantity=10) for key in keys * 10])  # type: ignore[misc]
    assert Counter(answer.status_code for answer in answers) == {201: 40}
    assert {(answer.json["price_minor"], answer.json["total_minor"], answer.json["tax_minor"]) for answer in answers} == {(35, 350, 20)}
    for member in members:
        assert accounts(member.id)[Account.WALLET_PAID] == 100_00 - 10 * 350
        assert accounts(member.id)[Account.TAX_PAYABLE] == 200


def test_a_licence_keeps_its_net_price_and_takes_the_rate_of_each_term(app: Flask) -> None:
    nine_percent_from_july()
    set_listing(PACK, price_minor=99_99, pricing="recurring", period="month", is_repeatable=False)
    member = make_member(paid=1_000_00)
    with transaction(acting_for(member)):
        orders.place(member.id, PACK, orders.Wanted(new_id(), gross_of(99_99, 600)), at=AT)
    set_listing(PACK, price_minor=200_00, excludes_tax=False)  # no longer this licence's price
    with transaction(SYSTEM) as session:
        ends_at = session.query(License).filter_by(member_id=member.id).one().ends_at
        assert ends_at is not None
    with transaction(SYSTEM):
        assert license_renewals.renew_due(ends_at) == 1
    with transaction(SYSTEM) as session:
        rows = [(one.kind, one.total_minor, one.tax_minor, one.excludes_tax) for one in session.query(Order).filter_by(member_id=member.id).order_by(Order.at)]
    assert rows == [("purchase", 105_99, 6_00, True), ("renewal", 108_99, 9_00, True)]
    assert accounts(member.id)[Account.WALLET_PAID] == 1_000_00 - 105_99 - 108_99


def test_a_suspended_licence_wakes_up_for_the_price_with_tax(app: Flask) -> None:
    set_listing(PACK, price_minor=100_00, pricing="recurring", period="month", is_repeatable=False)
    member = make_member(paid=211_99)  # a fen less than two terms
    with transaction(acting_for(member)):
        orders.place(member.id, PACK, orders.Wanted(new_id(), 106_00), at=AT)
    for days in (31, 32):
        with transaction(SYSTEM):
            license_renewals.renew_due(AT + timedelta(days=days))
    with transaction(SYSTEM) as session:
        assert session.query(License).filter_by(member_id=member.id).one().state == "suspended"
    assert accounts(member.id)[Account.WALLET_PAID] == 105_99


def test_a_coupon_lowers_what_is_paid_and_the_tax_is_that_of_the_rest(app: Flask) -> None:
    set_listing(PACK, price_minor=100_00)
    member = make_member(paid=1_000_00)
    with transaction(SYSTEM):
        coupons.create(coupons.Wanted(new_id(), "SPRING", "CNY", percent_bp=1_000), at=AT)
    with transaction(acting_for(member)):
        placed = orders.place(member.id, PACK, orders.Wanted(new_id(), 106_00, 2, "SPRING"), at=AT)
    assert (placed.price_minor, placed.total_minor, placed.tax_minor) == (106_00, 190_80, 10_80)  # 212.00 less a tenth: 180.00 + 10.80
    assert accounts(member.id)[Account.TAX_PAYABLE] == 10_80
    page = markup.unescape(client_as(app, "buyer", make_member(paid=1_000_00)).get(f"/store/{PACK}/buy?quantity=2&coupon=SPRING&lang=en").text)
    for words in ("2 × ¥106.00", "¥212.00", "Buy for ¥190.80"):
        assert words in page


def test_pages_show_net_tax_and_what_is_paid(app: Flask) -> None:
    set_listing(PACK, price_minor=100_00)
    member = make_member(paid=1_000_00)
    buyer = client_as(app, "buyer", member)
    page = markup.unescape(buyer.get(f"/store/{PACK}?lang=en").text)
    assert "¥106.00" in page
    assert "¥100.00 + ¥6.00 tax (6%)" in page
    page = markup.unescape(buyer.get(f"/store/{PACK}/buy?quantity=3&lang=en").text)
    assert 'name="price_minor" value="10600"' in page
    for words in ("3 × ¥100.00", "Tax on top, 6%", "¥18.00", "Buy for ¥318.00"):
        assert words in page
    csm = make_user("csm")
    acting = Actor(kind="staff", role="csm", name="CSM", user_id=csm.id)
    with transaction(acting):
        sent = offers.send(member.id, offers.Wanted(new_id(), PACK, "It fits"), acting, days=14, at=now())
        assert sent.price_minor == 106_00
    page = buyer.get("/offers/?lang=en").text
    assert 'name="price_minor" value="10600"' in page
    with transaction(acting_for(member)):
        _offer, order = offers.accept(member.id, sent.id, None, acting_for(member), at=now())
        assert order.total_minor == 106_00


def test_a_price_on_sale_keeps_its_meaning_and_a_new_one_is_stated_as_the_company_states_prices(app: Flask) -> None:
    set_listing(PACK, excludes_tax=False)
    with transaction(SYSTEM) as session:
        taxes.add_rate(ENTITY, date(2026, 7, 1), 600, ("增值税", "VAT"), at=AT, prices_exclude_tax=True)
        offered = next(one for one in bundles.load_showcase() if one.slug == PACK)
        set_price = session.query(Listing).filter_by(slug=PACK).one()
        set_price.price_minor = offered.price_minor
        session.flush()
        assert publishing._excludes_tax(offered, MIDNIGHT) is False
        set_price.price_minor = offered.price_minor + 1
        session.flush()
        assert [publishing._excludes_tax(offered, at) for at in (MIDNIGHT - TICK, MIDNIGHT)] == [False, True]
        session.rollback()
