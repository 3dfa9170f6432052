"""Bundles put together on pages: a publisher's own, ours of any publishers, their shares, and what the database itself refuses."""

import re
from html import unescape

import pytest
from flask_babel import force_locale
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from billing.ledger.accounts import Account
from core.actor import Actor
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import derived, new_id
from core.money import split
from marketplace.checks import jobs
from marketplace.order import listing_bundles, orders
from marketplace.publisher.publisher_models import Publisher
from marketplace.store.listing_models import Listing
from membership import mailboxes
from tests.billing.books import accounts, assert_books_hold
from tests.factories import make_entity, make_member, make_user
from tests.marketplace.store_world import acting_for, open_store, set_listing
from tests.sign_in import signed_in

HARBOR, YUNQI = (derived("publisher", code) for code in ("harbor-automation", "yunqi-services"))
FIRST, SECOND, OURS, THEIRS = "order-split-by-region", "foreign-crm-import", "payment-reminder-mail", "complaint-intake-form"
SLUG = "import-set"
ID = derived("listing", SLUG)
FORM = {
    "slug": SLUG, "category": "integration", "name_zh": "导入套装", "name_en": "Import set", "summary_zh": "导入与拆分一次买齐。",
    "summary_en": "Import and split, bought together.", "description_zh": "套装" * 40, "description_en": "Import and split. " * 10, "price": "1,000.00",
    "part": [FIRST, SECOND], "do": "keep",
}  # fmt: skip


@pytest.fixture
def shop(app):
    with force_locale("en"):
        yield open_store(FIRST, SECOND, OURS, THEIRS)


@pytest.fixture
def partner(app, shop):
    return signed_in(app, make_user("publisher", publisher_id=HARBOR))


@pytest.fixture
def reviewer(app, shop):
    return signed_in(app, make_user("reviewer"))


def say(answer):
    return unescape(answer.text)


def offered(page):
    return re.findall(r'name="part" value="([^"]+)"', page)


def check(number):
    return jobs.check_version(str(ID), number)


def found():
    with transaction(SYSTEM) as session:
        listing = session.get(Listing, ID, populate_existing=True)
        query = text("select l.slug from bundle_part p join listing l on l.id = p.listing_id where bundle_id = :b order by position")
        return listing, session.scalars(query, {"b": ID}).all()


def test_a_publisher_bundles_what_is_its_own(app, partner, reviewer):
    page = partner.get("/publisher/new/bundle?lang=en").text
    assert set(offered(page)) == {FIRST, SECOND}
    shown = say(partner.post("/publisher/new/bundle?lang=en", data=FORM | {"do": "shares"}))
    assert "A buyer saves ¥398.00 (28%)." in shown
    assert "¥929.18" in shown  # 1,000.00 × 1,299.00 / 1,398.00
    assert "¥70.82" in shown
    assert offered(partner.post("/publisher/new/bundle", data=FORM | {"do": "find", "find": "foreign", "part": []}).text) == [SECOND]
    assert partner.post("/publisher/new/bundle", data=FORM).location == f"/publisher/{SLUG}"
    listing, parts = found()
    assert (listing.state, listing.price_minor, parts) == ("draft", 1_000_00, [FIRST, SECOND])
    assert (listing.product_line, listing.required_rank) == ("crm", 3)
    partner.post(f"/publisher/{SLUG}/submission")
    assert check("1.0.0") == "in_review"
    assert "¥929.18" in say(reviewer.get(f"/review/{SLUG}/1.0.0?lang=en"))
    assert reviewer.post(f"/review/{SLUG}/1.0.0/approval").status_code == 302
    assert found()[0].current_version == "1.0.0"
    owner = signed_in(app, make_user("owner", make_member()))
    page = say(owner.get(f"/store/{SLUG}?lang=en"))
    assert "A buyer saves ¥398.00 (28%)." in page
    assert f"/store/{SECOND}" in page


def test_other_parts_are_another_version(partner, reviewer, shop):
    for slug in (FIRST, SECOND, "legacy-orders-mapping"):
        if slug in shop:
            set_listing(slug, required_rank=0, required_features=[], product_line=None)
    partner.post("/publisher/new/bundle", data=FORM)
    partner.post(f"/publisher/{SLUG}/submission")
    check("1.0.0")
    reviewer.post(f"/review/{SLUG}/1.0.0/approval")
    answer = partner.post(f"/publisher/{SLUG}/bundle", data=FORM | {"price": "900", "part": [SECOND, FIRST]})
    assert answer.location == f"/publisher/{SLUG}/versions/1.1.0"
    assert (found()[0].price_minor, found()[1]) == (1_000_00, [FIRST, SECOND])
    check("1.1.0")
    member = make_member(paid=2_000_00)
    member_id = member.id
    with transaction(acting_for(member)):
        first = orders.place(member_id, SLUG, orders.Wanted(new_id(), 1_000_00), at=now())
    reviewer.post(f"/review/{SLUG}/1.1.0/approval")
    assert (found()[0].price_minor, found()[1]) == (900_00, [SECOND, FIRST])
    with transaction(SYSTEM):
        assert sum(order.total_minor for order, _listing in listing_bundles.part_orders(member_id, first.id)) == 1_000_00
    reviewer.post(f"/review/listings/{SLUG}/versions/1.1.0/steps", data={"action": "yank", "reason": "priced by mistake"})
    assert (found()[0].price_minor, found()[1]) == (1_000_00, [FIRST, SECOND])
    assert_books_hold()


def test_ours_hold_what_others_offer_and_each_gets_its_share(app, shop, reviewer):
    for slug in (FIRST, OURS, THEIRS):
        set_listing(slug, required_rank=0, required_features=[], product_line=None, bonus_limit_bp=0)
    clerk = signed_in(app, make_user("finance"))
    form = FORM | {"part": [FIRST, OURS, THEIRS], "price": "200.00"}
    assert {FIRST, SECOND, OURS, THEIRS} <= set(offered(clerk.get("/finance/bundles/new").text))
    assert clerk.post("/finance/bundles/new", data=form).location == f"/finance/bundles/{SLUG}"
    assert "It is complete." in say(clerk.get(f"/finance/bundles/{SLUG}?lang=en"))
    assert clerk.post(f"/finance/bundles/{SLUG}/submission").status_code == 303
    check("1.0.0")
    assert "A change waits for its answer" in say(clerk.get(f"/finance/bundles/{SLUG}?lang=en"))
    assert reviewer.post(f"/review/{SLUG}/1.0.0/approval").status_code == 302
    assert "Import set" in say(clerk.get("/finance/bundles?lang=en"))
    with transaction(SYSTEM):
        notices = {code: [one for one in mailboxes.of_publisher(code).newest() if one.kind == "bundle_joined"] for code in (HARBOR, YUNQI)}
    shares = dict(zip((FIRST, OURS, THEIRS), split(200_00, (99_00, 49_00, 99_00)), strict=True))
    assert {one.details["slug"]: one.details["amount_minor"] for one in notices[HARBOR] + notices[YUNQI]} == {FIRST: shares[FIRST], THEIRS: shares[THEIRS]}
    page = say(signed_in(app, make_user("publisher", publisher_id=HARBOR)).get("/publisher/notices?lang=en"))
    assert "is now part of our bundle “Import set”: of its price of ¥200.00, ¥80.16 is for yours, tax included." in page
    member = make_member(paid=200_00)
    with transaction(acting_for(member)):
        placed = orders.place(member.id, SLUG, orders.Wanted(new_id(), 200_00), at=now())
    with transaction(SYSTEM):
        by_slug = {listing.slug: order for order, listing in listing_bundles.part_orders(member.id, placed.id)}
    assert {slug: order.total_minor for slug, order in by_slug.items()} == dict(zip((FIRST, OURS, THEIRS), split(200_00, (99_00, 49_00, 99_00)), strict=True))
    books = accounts(member.id)
    net = {slug: order.total_minor - order.tax_minor for slug, order in by_slug.items()}
    assert books[Account.STORE_REVENUE] == net[OURS]
    assert books[Account.PARTNER_PENDING] + books[Account.COMMISSION_REVENUE] == net[FIRST] + net[THEIRS]
    assert_books_hold()


def test_a_part_is_told_once_and_only_where_it_is_new(app, shop, reviewer):
    for slug in (FIRST, OURS, THEIRS):
        set_listing(slug, required_rank=0, required_features=[], product_line=None)
    clerk = signed_in(app, make_user("finance"))
    clerk.post("/finance/bundles/new", data=FORM | {"part": [FIRST, OURS], "price": "100.00"})
    clerk.post(f"/finance/bundles/{SLUG}/submission")
    told = []
    for number, change in (("1.0.0", {}), ("1.1.0", {"price": "110.00"}), ("1.2.0", {"part": [OURS, THEIRS]}), ("1.3.0", {"part": [OURS, THEIRS, FIRST]})):
        if change:
            clerk.post(f"/finance/bundles/{SLUG}", data=FORM | {"part": [FIRST, OURS], "price": "100.00"} | change)
        check(number)
        reviewer.post(f"/review/{SLUG}/{number}/approval")
        with transaction(SYSTEM):
            told.append([sum(one.kind == "bundle_joined" for one in mailboxes.of_publisher(one).newest()) for one in (HARBOR, YUNQI)])
    assert told == [[1, 0], [1, 0], [1, 1], [2, 1]]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"part": [FIRST]}, "Choose 2 to 20 listings"),
        ({"part": []}, "Choose 2 to 20 listings"),
        ({"part": [FIRST, OURS]}, "Choose listings of your own"),
        ({"part": [FIRST, "no-such-thing"]}, "Choose listings that are on sale."),
        ({"price": "1,398.00"}, "The price must be lower than that of the parts alone"),
        ({"price": ""}, "Enter an amount like 1,000.00."),
        ({"slug": FIRST}, "There is a listing with this name in the address already."),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_kept(partner, sent, said):
    answer = partner.post("/publisher/new/bundle?lang=en", data=FORM | sent)
    assert answer.status_code in (409, 422)
    assert said in say(answer)
    assert found() == (None, [])


def test_before_a_bundle_of_ours_we_need_a_name_in_the_store(app):
    make_entity()
    with transaction(SYSTEM) as session:
        assert session.query(Publisher).count() == 0
    clerk = signed_in(app, make_user("finance"))
    assert "/finance/bundles/new" in clerk.get("/finance/bundles").text
    for page in (clerk.get("/finance/bundles/new?lang=en"), clerk.post("/finance/bundles/new?lang=en", data=FORM), clerk.get("/finance/publisher?lang=en")):
        assert page.status_code == 200
        assert "we have no name in the store yet" in page.text
        assert 'action="/finance/publisher"' in page.text
    wrong = clerk.post("/finance/publisher?lang=en", data={"name_zh": "玉衡", "name_en": "J"})
    assert (wrong.status_code, "2 to 120 characters." in wrong.text, 'value="玉衡"' in wrong.text) == (422, True, True)
    assert clerk.post("/finance/publisher", data={"name_zh": "玉衡", "name_en": "Jade"}).location == "/finance/bundles/new"
    assert clerk.post("/finance/publisher", data={"name_zh": "另一", "name_en": "Other"}).status_code == 303
    assert clerk.get("/finance/publisher").location == "/finance/bundles/new"
    with transaction(SYSTEM) as session:
        ours = session.query(Publisher).one()
        assert (ours.name_en, ours.kind, ours.commission_bp) == ("Jade", "vendor", 0)
    assert "Listings in it" in clerk.get("/finance/bundles/new?lang=en").text


def test_a_part_that_left_the_shelf_stops_the_approval(partner, reviewer):
    partner.post("/publisher/new/bundle", data=FORM)
    partner.post(f"/publisher/{SLUG}/submission")
    check("1.0.0")
    reviewer.post(f"/review/listings/{FIRST}/steps", data={"action": "deprecate", "reason": "its maker is gone", "replacement": ""})
    assert "is not on sale now" in say(reviewer.get(f"/review/{SLUG}/1.0.0?lang=en"))
    assert reviewer.post(f"/review/{SLUG}/1.0.0/approval").status_code == 422
    assert found()[0].state == "in_review"


def test_the_database_itself_keeps_bundles_apart(partner, shop):
    partner.post("/publisher/new/bundle", data=FORM)
    mine, theirs = (Actor(kind="publisher", role="publisher", publisher_id=one) for one in (HARBOR, YUNQI))
    insert = text("insert into bundle_part select :b, id, 9 from listing where slug = :s")
    for who, slug in ((mine, OURS), (theirs, THEIRS)):
        with pytest.raises(ProgrammingError, match="row-level security"), transaction(who) as session:
            session.execute(insert, {"b": ID, "s": slug})
    with transaction(theirs) as session:
        assert session.execute(text("delete from bundle_part")).rowcount == 0
    with transaction(SYSTEM) as session:
        session.get(Listing, ID).state = "in_review"
    with transaction(mine) as session:
        assert session.execute(text("delete from bundle_part")).rowcount == 0


def test_another_publisher_finds_nothing(app, partner, shop):
    partner.post("/publisher/new/bundle", data=FORM)
    other, clerk = signed_in(app, make_user("publisher", publisher_id=YUNQI)), signed_in(app, make_user("finance"))
    for client, path in ((other, f"/publisher/{SLUG}/bundle"), (clerk, f"/finance/bundles/{SLUG}"), (partner, f"/publisher/{FIRST}/bundle")):
        assert client.get(path).status_code == 404
        assert client.post(path, data=FORM).status_code == 404
    assert clerk.post(f"/finance/bundles/{SLUG}/submission").status_code == 404
