"""Bundles: one price, split so that each part's revenue, tax and partner's share are right; licences of each; refunds that say what ends."""

import uuid

import pytest

from billing.ledger.accounts import Account
from billing.wallet import balances, wallets
from core.actor import Actor
from core.db import SYSTEM, transaction
from core.errors import Invalid
from core.ids import new_id
from core.money import split
from marketplace.license import licenses
from marketplace.license.license_models import License
from marketplace.order import bundle_terms, coupons, listing_bundles, order_refunds, orders, previews, pricing
from marketplace.order.order_models import Order
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import publishing, term_sheets
from marketplace.store.listing_models import Listing
from tests.billing.books import accounts, assert_books_hold
from tests.factories import AT, make_member, make_user
from tests.marketplace.store_world import ONE_TIME, acting_for, open_store, set_listing
from tests.sign_in import bearer, client_as

PARTNERS, OWN, FREE_PART, BUNDLE = ONE_TIME, "payment-reminder-mail", "nps-survey-form", "starter"
PRICE = 100_00
ALONE = {PARTNERS: 99_00, OWN: 49_00, FREE_PART: 0}


@pytest.fixture(autouse=True)
def bundle(app):
    """A partner's listing, one of ours and a free one, for ¥100.00 together."""
    open_store(*ALONE)
    for slug in ALONE:
        set_listing(slug, required_rank=0, required_features=[], product_line=None, bonus_limit_bp=10_000)
    pricing._offered.clear()
    with transaction(SYSTEM) as session:
        ours = session.query(Listing).filter_by(slug=OWN).one()
        made = Listing(
            id=new_id(), slug=BUNDLE, publisher_id=ours.publisher_id, kind="bundle", category="sales", name_zh="套装", name_en="Bundle", summary_zh="一起买",
            summary_en="Together", description_zh="一起买", description_en="Together", state="published", revision=1, pricing="one_time", period=None,
            currency="CNY", price_minor=PRICE, tax_rate_bp=None, bonus_limit_bp=10_000, is_repeatable=False, product_line=None, required_rank=0,
            required_features=[], minutes_saved=0, automates={"steps": []}, rating_sum=0, rating_count=0, published_at=AT, updated_at=AT,
        )  # fmt: skip
        session.add(made)
        session.flush()
        term_sheets.put_together(made, list(ALONE))
        publishing.release_terms(made, AT)
    yield
    assert_books_hold()


def buy(member, order_id=None, slug=BUNDLE, coupon=None):
    price = {BUNDLE: PRICE, **ALONE}[slug]
    with transaction(acting_for(member)):
        return orders.place(member.id, slug, orders.Wanted(order_id or new_id(), price, coupon=coupon), at=AT)


def parts_of(member, order_id):
    with transaction(SYSTEM):
        return {listing.slug: order for order, listing in listing_bundles.part_orders(member.id, order_id)}


def states(member):
    with transaction(SYSTEM) as session:
        rows = session.query(Listing.slug, License.state).join(License, License.listing_id == Listing.id).filter(License.member_id == member.id)
        return dict(tuple(row) for row in rows)


def refund(member, order_id, amount, licence, refund_id=None):
    finance = Actor(kind="staff", role="finance", user_id=make_user("finance").id, name="F")
    with transaction(finance):
        return order_refunds.propose(member.id, order_id, refund_id or new_id(), amount, licence, "customer_request", "", finance, at=AT).state


def test_the_price_is_split_by_what_the_parts_cost_alone():
    member = make_member(paid=150_00)
    placed = buy(member)
    assert (placed.total_minor, placed.paid_minor, placed.balance_after_minor) == (PRICE, PRICE, 50_00)
    found = parts_of(member, placed.id)
    assert [found[slug].total_minor for slug in ALONE] == split(PRICE, list(ALONE.values()))
    books = accounts(member.id)
    assert books[Account.TAX_PAYABLE] == sum(one.tax_minor for one in found.values()) == placed.tax_minor
    of_partner = found[PARTNERS].total_minor - found[PARTNERS].tax_minor
    assert books[Account.PARTNER_PENDING] + books[Account.COMMISSION_REVENUE] == of_partner
    assert books[Account.STORE_REVENUE] == found[OWN].total_minor - found[OWN].tax_minor
    assert states(member) == dict.fromkeys([BUNDLE, *ALONE], "active")


@pytest.mark.parametrize("order", ["bonus_first", "paid_first", "proportional"])
def test_the_preview_is_the_charge_in_every_order_of_consumption(order, monkeypatch):
    monkeypatch.setattr(wallets, "consumption_order", lambda: order)
    member = make_member(paid=80_00, bonus=60_00)
    with transaction(acting_for(member)):
        terms = pricing.offered(BUNDLE)
        quote = listing_bundles.whole(terms, listing_bundles.parts(member.id, terms, at=AT), 600)
        preview = previews.of(quote, balances.open_grants(member.id, "CNY", at=AT))
    placed = buy(member)
    assert (preview.drawn("paid"), preview.drawn("bonus"), preview.after_minor) == (placed.paid_minor, placed.bonus_minor, placed.balance_after_minor)


def test_what_is_owned_lowers_nothing_and_gets_no_second_licence():
    member = make_member(paid=300_00)
    first = buy(member, slug=OWN)
    placed = buy(member)
    assert placed.total_minor == PRICE
    assert parts_of(member, placed.id)[OWN].license_id == first.id
    with transaction(SYSTEM) as session:
        assert session.query(License).filter_by(member_id=member.id).count() == 4


def test_without_the_money_nothing_of_it_stands():
    member = make_member(paid=99_99)
    member_id = member.id
    with pytest.raises(wallets.InsufficientFunds) as refused:
        buy(member)
    assert refused.value.extra["missing_minor"] == 1
    with transaction(SYSTEM) as session:
        assert session.query(Order).filter_by(member_id=member_id).count() == 0
        assert balances.balance(member_id, "CNY", at=AT).held_minor == 0


def test_sent_again_it_is_the_same_bundle_and_bought_once():
    member, order_id = make_member(paid=300_00), new_id()
    first, again = buy(member, order_id), buy(member, order_id)
    assert (again.is_replay, again.total_minor, again.tax_minor) == (True, first.total_minor, first.tax_minor)
    with pytest.raises(orders.AlreadyOwned):
        buy(member)


def test_a_part_that_is_not_for_sale_keeps_the_bundle_from_being_sold():
    set_listing(OWN, state="deprecated")
    with pytest.raises(pricing.NotForSale):
        buy(make_member(paid=300_00))


def test_a_coupon_lowers_every_part_in_its_share():
    with transaction(SYSTEM):
        coupons.create(coupons.Wanted(new_id(), "SPRING", "CNY", percent_bp=1_000), at=AT)
    member = make_member(paid=300_00)
    placed = buy(member, coupon="SPRING")
    assert (placed.total_minor, placed.discount_minor) == (90_00, 10_00)
    assert sum(one.discount_minor for one in parts_of(member, placed.id).values()) == 10_00
    assert accounts(member.id)[Account.WALLET_PAID] == 210_00


def test_given_back_as_a_whole_all_parts_end_but_what_was_owned_before():
    member = make_member(paid=300_00, bonus=20_00)
    buy(member, slug=OWN)
    before = accounts(member.id)
    placed = buy(member)
    with pytest.raises(Invalid):
        refund(member, placed.id, 50_00, "keep")
    assert refund(member, placed.id, PRICE, "revoke") == "done"
    after = accounts(member.id)
    assert {kind: after.get(kind, 0) for kind in before} == before
    assert states(member) == {BUNDLE: "ended", PARTNERS: "ended", FREE_PART: "ended", OWN: "active"}


def test_given_back_as_a_whole_the_licences_may_stay():
    member = make_member(paid=300_00)
    placed = buy(member)
    refund(member, placed.id, PRICE, "keep")
    assert set(states(member).values()) == {"active"}
    assert accounts(member.id)[Account.WALLET_PAID] == 300_00


def test_one_part_is_given_back_by_itself():
    member = make_member(paid=300_00)
    placed = buy(member)
    part = parts_of(member, placed.id)[PARTNERS]
    refund(member, part.id, part.total_minor, "revoke")
    assert states(member)[PARTNERS] == "ended"
    assert states(member)[OWN] == "active"
    assert Account.PARTNER_PENDING not in accounts(member.id)


def test_what_cannot_be_a_bundle():
    with transaction(SYSTEM) as session:
        vendor, partner = (session.query(Publisher).filter_by(code=code).one() for code in ("vendor", "harbor-automation"))
        for slugs, price, seller, field in (
            ([OWN], 1_00, vendor, "parts"), ([OWN, OWN], 1_00, vendor, "parts"), ([OWN, BUNDLE], 1_00, vendor, "parts"),
            ([OWN, "no-such-thing"], 1_00, vendor, "parts"), ([FREE_PART, "no-such-thing"], 1_00, vendor, "parts"),
            ([OWN, PARTNERS], 1_00, partner, "parts"), ([OWN, PARTNERS], 148_00, vendor, "price_minor"), ([OWN, PARTNERS], 0, vendor, "price_minor"),
        ):  # fmt: skip
            with pytest.raises(Invalid) as refused:
                bundle_terms.check(slugs, price, seller, "CNY", at=AT)
            assert set(refused.value.fields) == {field}, slugs
        assert [one.slug for one in bundle_terms.check([PARTNERS, OWN], 147_99, vendor, "CNY", at=AT)] == [PARTNERS, OWN]


def test_a_page_of_other_parts_buys_nothing(app):
    member = make_member(paid=300_00)
    client = client_as(app, "owner", member)
    sent = {"id": str(new_id()), "price_minor": str(PRICE), "version": "0.9.0"}
    answer = client.post(f"/store/{BUNDLE}/buy?lang=en", data=sent)
    assert answer.status_code == 409
    assert "What is in this bundle has changed." in answer.text
    assert states(member) == {}
    assert client.post(f"/store/{BUNDLE}/buy", data=sent | {"version": "1.0.0"}).status_code == 302
    assert states(member) == dict.fromkeys([BUNDLE, *ALONE], "active")


def test_what_is_shown_of_the_shares_is_what_is_charged():
    member = make_member(paid=300_00)
    with transaction(SYSTEM) as session:
        shown = bundle_terms.of_listing(session.query(Listing).filter_by(slug=BUNDLE).one(), at=AT)
    placed = buy(member)
    assert {one.listing.slug: one.share_minor for one in shown} == {slug: order.total_minor for slug, order in parts_of(member, placed.id).items()}


def test_pages_and_api(app):
    member = make_member(paid=300_00)
    buy(member, slug=OWN)
    client = client_as(app, "owner", member)
    with transaction(SYSTEM) as session:
        assert listing_bundles.permissions(session.query(Listing).filter_by(slug=BUNDLE).one().id), "a bundle may do what its parts may"
    assert "148.00" in client.get(f"/store/{BUNDLE}").text  # one by one
    page = client.get(f"/store/{BUNDLE}/buy?lang=en").text
    assert "you have it already" in page
    body = {"id": str(new_id()), "price_minor": PRICE}
    made = app.test_client().post(f"/api/v1/listings/{BUNDLE}/orders", json=body, headers=bearer("buyer", member))
    assert (made.status_code, made.json["total_minor"]) == (201, PRICE)
    assert "100.00" in client.get(f"/orders/{body['id']}").text
    assert client.get(f"/apps/{body['id']}").status_code == 302
    with transaction(acting_for(member)):
        assert BUNDLE not in {one.listing.slug for one in licenses.list_owned(member.id)}
    finance = client_as(app, "finance")
    assert finance.get(f"/finance/orders/{member.id}/{uuid.UUID(body['id'])}/refund").status_code == 200
