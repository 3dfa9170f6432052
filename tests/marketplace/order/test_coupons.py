"""Coupons: the quote shown is the charge, everybody's share follows from what is paid, and no use too many is ever taken."""

import threading
from datetime import timedelta

import pytest

from billing.ledger.accounts import Account
from billing.wallet import wallets
from core.actor import Actor
from core.db import SYSTEM, transaction
from core.errors import IdReused, Invalid
from core.ids import new_id
from core.money import tax_included
from marketplace.license.license_models import License
from marketplace.order import coupons, order_refunds, orders, pricing
from marketplace.order.coupon_models import Coupon
from marketplace.order.order_models import Order
from tests.billing.books import accounts, assert_books_hold
from tests.factories import AT, make_member, make_user
from tests.marketplace.store_world import ONE_TIME, PACK, acting_for, buy, open_store, price_of, set_listing
from tests.sign_in import bearer, client_as

PARTNERS = "shop-leads-mapping"


@pytest.fixture(autouse=True)
def store(app):
    """Listings anybody may buy, one of them a partner's."""
    open_store(ONE_TIME, PACK, PARTNERS)
    for slug in (ONE_TIME, PACK, PARTNERS):
        set_listing(slug, required_rank=0, required_features=[], product_line=None, pricing="one_time", price_minor=200_00, bonus_limit_bp=10_000)
    pricing._offered.clear()
    yield
    assert_books_hold()


def coupon(code="SPRING", **more):
    if "amount_minor" not in more:
        more.setdefault("percent_bp", 1_500)
    with transaction(SYSTEM):
        return coupons.create(coupons.Wanted(new_id(), code, "CNY", **more), at=AT)


def buy_with(member, code, slug=ONE_TIME, *, id=None, quantity=1, at=AT):
    with transaction(acting_for(member)):
        return orders.place(member.id, slug, orders.Wanted(id or new_id(), 200_00, quantity, code), at=at)


def uses(made):
    with transaction(SYSTEM) as session:
        return session.get(Coupon, made.id, populate_existing=True).uses


def test_tax_and_the_partners_share_follow_from_what_is_paid():
    coupon()
    member = make_member(paid=500_00)
    with transaction(SYSTEM):
        commission = pricing.offered(PARTNERS).commission_bp
    placed = buy_with(member, "spring", PARTNERS)
    assert (placed.total_minor, placed.discount_minor) == (170_00, 30_00)
    tax = tax_included(170_00, 600)
    ours = (170_00 - tax) * commission // 10_000
    books = accounts(member.id)
    assert books[Account.TAX_PAYABLE] == placed.tax_minor == tax
    assert abs(books[Account.COMMISSION_REVENUE] - ours) <= 1
    assert books[Account.PARTNER_PENDING] == 170_00 - tax - books[Account.COMMISSION_REVENUE]
    assert books[Account.WALLET_PAID] == 330_00


def test_an_amount_comes_off_the_order_and_never_more_than_its_price():
    coupon("TAKE50", amount_minor=50_00)
    coupon("TAKE900", amount_minor=900_00)
    member = make_member(paid=1_000_00)
    assert buy_with(member, "TAKE50", PACK, quantity=3).total_minor == 550_00
    free = buy_with(member, "TAKE900", PACK)
    assert (free.total_minor, free.discount_minor, free.tax_minor) == (0, 200_00, 0)
    assert free.balance_after_minor == 450_00


def test_a_purchase_that_fails_gives_its_use_back():
    made = coupon(most_uses=1)
    with pytest.raises(wallets.InsufficientFunds) as failed:
        buy_with(make_member(paid=100_00), "SPRING")
    assert failed.value.extra["missing_minor"] == 70_00
    assert uses(made) == 0
    buy_with(make_member(paid=200_00), "SPRING")
    assert uses(made) == 1
    with pytest.raises(coupons.CouponRefused, match="用完"):
        buy_with(make_member(paid=200_00), "SPRING")


def test_sent_again_it_is_the_same_purchase_and_no_second_use():
    made = coupon()
    member, order_id = make_member(paid=500_00), new_id()
    first = buy_with(member, "SPRING", id=order_id)
    again = buy_with(member, "spring ", id=order_id)
    assert (again.is_replay, again.total_minor, again.discount_minor) == (True, first.total_minor, first.discount_minor)
    assert uses(made) == 1
    with pytest.raises(IdReused), transaction(acting_for(member)):
        orders.place(member.id, ONE_TIME, orders.Wanted(order_id, 200_00), at=AT)


def test_many_at_once_never_take_more_uses_than_there_are(app):
    made = coupon(most_uses=3)
    members = [make_member(paid=200_00) for _ in range(10)]
    outcomes = []

    def one(member):
        with app.app_context():
            try:
                outcomes.append(buy_with(member, "SPRING").total_minor)
            except coupons.CouponRefused:
                outcomes.append(None)

    threads = [threading.Thread(target=one, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [170_00] * 3 + [None] * 7
    assert uses(made) == 3


def test_the_same_purchase_sent_many_times_at_once_takes_one_use(app):
    made = coupon(most_uses=5, first_only=True)
    member, order_id, replays = make_member(paid=900_00), new_id(), []

    def one():
        with app.app_context():
            replays.append(buy_with(member, "SPRING", id=order_id).is_replay)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(replays) == [False] + [True] * 5
    assert uses(made) == 1
    assert accounts(member.id)[Account.WALLET_PAID] == 730_00


def test_the_first_purchase_is_one_even_when_two_are_made_at_once(app):
    coupon("FIRST1", first_only=True)
    coupon("FIRST2", first_only=True)
    member, outcomes = make_member(paid=900_00), []

    def one(code, slug):
        with app.app_context():
            try:
                outcomes.append(buy_with(member, code, slug).discount_minor)
            except coupons.CouponRefused:
                outcomes.append(0)

    threads = [threading.Thread(target=one, args=pair) for pair in (("FIRST1", ONE_TIME), ("FIRST2", PACK))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [0, 30_00]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"starts_at": AT + timedelta(days=1)}, "尚未生效"),
        ({"listing": PACK}, "不适用"),
        ({"publisher": "harbor-automation"}, "不适用"),
        ({"first_only": True}, "仅限首次"),
    ],
)
def test_a_code_that_is_not_for_this_purchase_is_refused_in_words(terms, words):
    if terms.get("publisher"):
        with transaction(SYSTEM):
            assert pricing.offered(ONE_TIME).publisher_id
        set_listing(ONE_TIME, publisher_id=_publisher_of_other("harbor-automation"))
        pricing._offered.clear()
    coupon(**terms)
    member = make_member(paid=900_00)
    buy(member, PACK)
    with pytest.raises(coupons.CouponRefused, match=words):
        buy_with(member, "SPRING")
    with pytest.raises(coupons.CouponRefused, match="没有这个"):
        buy_with(make_member(), "WINTER\x00")


def _publisher_of_other(code):
    from marketplace.publisher.publisher_models import Publisher

    with transaction(SYSTEM) as session:
        return session.query(Publisher).filter(Publisher.code != code).first().id


def test_the_end_is_the_end_and_earlier_orders_keep_what_they_got():
    made = coupon(ends_at=AT + timedelta(days=1))
    with pytest.raises(coupons.CouponRefused, match="已失效"):
        buy_with(make_member(paid=200_00), "SPRING", at=AT + timedelta(days=1))
    first = buy_with(make_member(paid=200_00), "SPRING")
    with transaction(SYSTEM):
        coupons.end(made.id, "sold out", at=AT + timedelta(hours=1))
    with pytest.raises(coupons.CouponRefused, match="已失效"):
        buy_with(make_member(paid=200_00), "SPRING", at=AT + timedelta(hours=1))
    with transaction(SYSTEM) as session:
        assert session.query(Order).filter_by(id=first.id).one().discount_minor == 30_00


def test_a_recurring_price_is_lowered_for_its_first_term_only():
    set_listing(ONE_TIME, pricing="recurring", period="month")
    coupon()
    member = make_member(paid=500_00)
    placed = buy_with(member, "SPRING")
    with transaction(SYSTEM) as session:
        license = session.get(License, (member.id, placed.id))
        assert (license.price_minor, license.period) == (200_00, "month")


def test_a_refund_gives_back_what_was_paid_and_no_more():
    coupon()
    member = make_member(paid=160_00, bonus=200_00)
    placed = buy_with(member, "SPRING")
    finance = Actor(kind="staff", role="finance", user_id=make_user("finance").id, name="F")
    with transaction(finance):
        assert order_refunds.find(member.id, placed.id).open_minor == 170_00
        order_refunds.propose(member.id, placed.id, new_id(), 170_00, "keep", "customer_request", "did not fit", finance, at=AT + timedelta(hours=1))
    books = accounts(member.id)
    assert (books[Account.WALLET_PAID], books[Account.WALLET_BONUS]) == (160_00, 200_00)
    assert Account.TAX_PAYABLE not in books


def test_what_cannot_be_a_coupon_is_said_in_words():
    for wrong, field in (
        ({"code": "a b"}, "code"),
        ({"percent_bp": None}, "percent"),
        ({"amount_minor": 5, "percent_bp": 5}, "percent"),
        ({"listing": "nothing"}, "listing"),
        ({"publisher": "nobody"}, "publisher"),
        ({"listing": PACK, "publisher": "harbor-automation"}, "listing"),
        ({"ends_at": AT}, "ends_at"),
    ):
        with pytest.raises(Invalid) as refused, transaction(SYSTEM):
            coupons.create(coupons.Wanted(**({"id": new_id(), "code": "SPRING", "currency": "CNY", "percent_bp": 100} | wrong)), at=AT)
        assert list(refused.value.fields) == [field], wrong
    coupon()
    with pytest.raises(Invalid, match="已存在"):
        coupon()


def test_the_page_shows_the_price_that_is_charged(app):
    coupon()
    member = make_member(paid=500_00)
    client = client_as(app, "buyer", member)
    page = client.get(f"/store/{ONE_TIME}/buy?coupon=spring&lang=en").text
    assert "170.00" in page
    assert "SPRING" in page
    assert client.get(f"/store/{ONE_TIME}/buy?coupon=wrong").status_code == 422
    form = {"id": str(new_id()), "price_minor": "20000", "coupon": "spring"}
    assert client.post(f"/store/{ONE_TIME}/buy", data=form).status_code == 302
    assert accounts(member.id)[Account.WALLET_PAID] == 330_00


def test_over_the_api_the_code_is_part_of_the_request(app):
    coupon()
    member = make_member(paid=500_00)
    headers, client = bearer("buyer", member), app.test_client()
    body = {"id": str(new_id()), "price_minor": price_of(ONE_TIME), "coupon": "SPRING"}
    made = client.post(f"/api/v1/listings/{ONE_TIME}/orders", json=body, headers=headers)
    assert (made.status_code, made.json["total_minor"], made.json["discount_minor"]) == (201, 170_00, 30_00)
    assert client.post(f"/api/v1/listings/{ONE_TIME}/orders", json=body, headers=headers).json == made.json
    other = client.post(f"/api/v1/listings/{ONE_TIME}/orders", json=body | {"coupon": "OTHER"}, headers=headers)
    assert (other.status_code, other.json["code"]) == (409, "id_reused")
    refused = client.post(f"/api/v1/listings/{PACK}/orders", json=body | {"id": str(new_id()), "coupon": "OTHER"}, headers=headers)
    assert (refused.status_code, refused.json["code"]) == (409, "coupon_refused")


def test_finance_makes_and_ends_coupons_on_its_pages(app):
    client = client_as(app, "finance")
    form = {"id": str(new_id()), "code": "autumn", "percent": "12.5", "most_uses": "10", "ends_at": "2100-01-01"}
    assert client.post("/finance/coupons", data=form).status_code == 303
    assert client.post("/finance/coupons", data=form).status_code == 303  # the same again
    assert "AUTUMN" in client.get("/finance/coupons").text
    assert client.post("/finance/coupons", data=form | {"id": str(new_id())}).status_code == 422
    assert client.post("/finance/coupons", data={"id": str(new_id()), "code": "x", "percent": "-1", "amount": "a"}).status_code == 422
    assert client.post(f"/finance/coupons/{form['id']}/end", data={"reason": ""}).status_code == 422
    assert client.post(f"/finance/coupons/{form['id']}/end", data={"reason": "enough"}).status_code == 303
    assert client.post(f"/finance/coupons/{form['id']}/end", data={"reason": "enough"}).status_code == 409
