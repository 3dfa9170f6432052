"""The store in a browser without scripts: find, look, buy once, use, review; publishers and reviewers at their pages."""

import hashlib
import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from sqlalchemy import event, select

from billing.wallet import balances, holds, wallets
from billing.wallet.wallet_models import Wallet
from core import outbox
from core.db import SYSTEM, db, transaction
from core.ids import new_id
from marketplace.checks import jobs
from marketplace.license.license_models import Download, License
from marketplace.order.order_models import Order
from marketplace.release.version_models import ListingVersion
from marketplace.sandbox import box
from marketplace.store import store_pages
from marketplace.store.listing_models import Listing
from marketplace.store.review_models import Review
from tests.factories import AT, make_member
from tests.marketplace.release.test_publishing import content_of, needs_sandbox
from tests.marketplace.store_world import CRM_ONLY, FREE, PACK, buy, open_store, repack, set_listing, subscribe, unzip, zip_of
from tests.memories import remember_for_long
from tests.sign_in import client_as

PAID = "order-split-by-region"  # a partner's, with tax


@pytest.fixture
def store(app, shelf):
    shelf.take("listings of the store's pages", lambda: open_store(FREE, PACK, CRM_ONLY, PAID))
    set_listing(PAID, required_rank=0, product_line=None, price_minor=53_000, tax_rate_bp=600)


@pytest.fixture
def member(store):
    return make_member(paid=100_000, bonus=10_000)


@pytest.fixture
def buyer(app, member):
    return client_as(app, "buyer", member)


def page(response, status=200):
    assert response.status_code == status, response.text[:2000]
    return unescape(re.sub(r"\s+", " ", response.text))


def hidden(html):
    return dict(re.findall(r'type="hidden" name="(id|price_minor|quantity)" value="([^"]*)"', html))


def money(member):
    with transaction(SYSTEM) as session:
        wallet = session.get(Wallet, (member.id, "CNY"))
        return wallet.paid_minor, wallet.bonus_minor


def count(model):
    with transaction(SYSTEM) as session:
        return session.query(model).count()


# --- finding ----------------------------------------------------------------------------------------------------------------------


def test_the_store_speaks_both_languages(buyer):
    assert "Clean phone numbers" in page(buyer.get("/store?lang=en"))
    assert "电话号码清洗" in page(buyer.get("/store?lang=zh"))


def test_search_in_the_address_works(buyer):
    html = page(buyer.get("/store?q=电话&lang=en"))
    assert "Clean phone numbers" in html
    assert f"/store/{PACK}" not in html
    assert "Did you mean <a" in (html := page(buyer.get("/store?q=phnoe&lang=en")))
    assert ">phone</a>" in html
    assert "Nothing found for" in page(buyer.get("/store?q=zzzz&lang=en"))
    assert "Clear filters" in page(buyer.get("/store?q=phone&price=paid&category=usage&lang=en"))


def test_nonsense_in_the_address_narrows_nothing(buyer):
    assert "Clean phone numbers" in page(buyer.get("/store?kind=x&category='&price=9&usable=maybe&stars=abc&sort=zz&lang=en"))
    page(buyer.get("/store?after=rubbish"), 400)


def test_what_needs_a_higher_edition_is_hidden_counted_and_shown_on_request(buyer, member):
    front = page(buyer.get("/store?lang=en"))
    assert "Upgrade to use" not in front
    assert "more need another edition" in front
    everything = page(buyer.get("/store?all=1&lang=en"))
    assert "Upgrade to use" in everything
    assert "more need another edition" not in everything
    assert "Nothing you can use as it is" in page(buyer.get("/store?q=quotation&lang=en"))
    subscribe(member, "crm", 1)
    assert "more need another edition" not in page(buyer.get("/store?lang=en"))


def test_what_was_not_updated_for_long_is_hidden_until_asked_for(buyer):
    set_listing(FREE, updated_at=datetime.now(UTC) - timedelta(days=731))
    assert "Clean phone numbers" not in page(buyer.get("/store?q=phone&lang=en"))
    assert "Clean phone numbers" in page(buyer.get("/store?q=phone&all=1&lang=en"))


def test_the_required_edition_narrows(buyer, member):
    subscribe(member, "crm", 4)
    assert "Clean phone numbers" in page(buyer.get("/store?edition=0&lang=en"))
    assert "Clean phone numbers" not in page(buyer.get("/store?edition=1&lang=en"))


def test_a_recommendation_stands_on_the_front_page(buyer, monkeypatch):
    one = store_pages.Recommended("用量包", "Usage pack", "Because you run out of calls", "/store/usage-pack")
    monkeypatch.setattr(store_pages, "recommended_for", lambda _member, _at: [one] * 5)
    assert page(buyer.get("/store?lang=en")).count("Because you run out of calls") == 3
    assert "Because you run out" not in page(buyer.get("/store?q=phone&lang=en"))


@pytest.mark.parametrize(("state", "status"), [("published", 200), ("deprecated", 200), ("draft", 404), ("in_review", 404), ("archived", 404)])
def test_hidden_states(buyer, state, status):
    set_listing(FREE, state=state)
    assert buyer.get(f"/store/{FREE}").status_code == status
    assert buyer.get(f"/store/{FREE}/buy").status_code == (200 if state == "published" else 404)


def test_the_listing_shows_sample_result_hash_and_permissions(buyer):
    html = page(buyer.get(f"/store/{FREE}?lang=en"))
    assert hashlib.sha256(content_of()).hexdigest() in html
    for words in ("Goes in", "Comes out", "sample/customers.csv", "expected/clean.csv", "Reads contacts and customers", "saves", "Works with your edition"):
        assert words.lower() in html.lower(), words


# --- buying -----------------------------------------------------------------------------------------------------------------------


def test_the_confirmation_is_what_is_charged(buyer, member):
    html = page(buyer.get(f"/store/{PAID}/buy?lang=en"))
    # 530.00 with 6 % tax: 30.00 tax, 500.00 net, 30 % of it ours, of which bonus may pay all
    with transaction(SYSTEM) as session:
        limit = session.query(Listing).filter_by(slug=PAID).one().bonus_limit_bp
    bonus = min(10_000, 15_000 * limit // 10_000)
    for text in ("¥1,100.00", "¥30.00", "¥500.00", f"−¥{bonus / 100:.2f}", f"−¥{(53_000 - bonus) / 100:.2f}", "¥570.00", "Buy for ¥530.00"):
        assert text in html, text
    response = buyer.post(f"/store/{PAID}/buy", data=hidden(html))
    assert response.status_code == 302
    done = page(buyer.get(response.location + "?lang=en"))
    assert "¥1,100.00" in done
    assert "¥570.00" in done
    assert money(member) == (100_000 - 53_000 + bonus, 10_000 - bonus)
    entries = page(buyer.get("/wallet?lang=en")).partition("Entries")[2]
    assert re.search(r"Purchase\s*<span class=\"note\">[^<]{3,}</span>", entries), "an entry says what was bought"


def test_a_double_click_is_one_purchase(buyer, member):
    form = hidden(page(buyer.get(f"/store/{PAID}/buy")))
    first, second = (buyer.post(f"/store/{PAID}/buy", data=form) for _ in range(2))
    assert first.location == second.location
    assert count(Order) == count(License) == 1
    assert sum(money(member)) == 110_000 - 53_000


def test_too_little_money_leads_to_a_top_up_and_charges_nothing(app, store):
    poor = make_member(paid=10_000)
    client = client_as(app, "owner", poor)
    html = page(client.get(f"/store/{PAID}/buy?lang=en"))
    assert "¥430.00 missing" in html
    assert 'type="submit" class="btn btn-primary"' not in html  # nothing to press that would fail
    form = {"id": str(new_id()), "price_minor": "53000", "quantity": "1"}
    assert "¥430.00 missing" in page(client.post(f"/store/{PAID}/buy?lang=en", data=form), 402)
    assert money(poor) == (10_000, 0)
    assert count(Order) == 0


def test_a_changed_price_is_shown_and_confirmed_again(buyer, member):
    form = hidden(page(buyer.get(f"/store/{PAID}/buy")))
    set_listing(PAID, price_minor=54_000)
    html = page(buyer.post(f"/store/{PAID}/buy?lang=en", data=form), 409)
    assert "was ¥530.00 and is now ¥540.00" in html
    assert "Nothing was charged" in html
    assert money(member) == (100_000, 10_000)
    again = hidden(html)
    assert again["price_minor"] == "54000"
    assert buyer.post(f"/store/{PAID}/buy", data=again).status_code == 302
    assert sum(money(member)) == 110_000 - 54_000


def test_what_is_owned_is_not_bought_twice(buyer, member):
    license_id = buy(member, FREE)
    assert buyer.get(f"/store/{FREE}/buy").location == f"/apps/{license_id}"
    form = {"id": str(new_id()), "price_minor": "0", "quantity": "1"}
    assert buyer.post(f"/store/{FREE}/buy", data=form).location == f"/apps/{license_id}"
    assert count(Order) == 1


def test_packs_are_bought_in_number(buyer, member):
    html = page(buyer.get(f"/store/{PACK}/buy?quantity=3&lang=en"))
    assert "Buy for ¥3.00" in html
    assert buyer.post(f"/store/{PACK}/buy", data=hidden(html)).status_code == 302
    assert sum(money(member)) == 110_000 - 300
    assert "1 to 10,000" in page(buyer.get(f"/store/{PACK}/buy?quantity=0&lang=en"), 422)
    page(buyer.get(f"/store/{PACK}/buy?quantity=99999999999999999999"), 422)


def test_an_edition_that_is_too_low_is_told_where_to_upgrade(buyer, member):
    html = page(buyer.get(f"/store/{CRM_ONLY}?lang=en"))
    assert "Not with your edition" in html
    assert "/buy" not in html
    assert buyer.get(f"/store/{CRM_ONLY}/buy").location == f"/store/{CRM_ONLY}"
    form = {"id": str(new_id()), "price_minor": "1", "quantity": "1"}
    assert buyer.post(f"/store/{CRM_ONLY}/buy", data=form).location == f"/store/{CRM_ONLY}"
    assert count(Order) == 0


def test_a_viewer_looks_but_does_not_buy(app, member):
    viewer = client_as(app, "viewer", member)
    html = page(viewer.get(f"/store/{PAID}?lang=en"))
    assert "not buy" in html
    assert "/buy" not in html
    assert viewer.get(f"/store/{PAID}/buy").status_code == 403
    assert viewer.post(f"/store/{PAID}/buy", data={"id": str(new_id()), "price_minor": "53000"}).status_code == 403


def test_broken_forms_charge_nothing(buyer, member):
    good = {"id": str(new_id()), "price_minor": "53000"}
    for form in ({}, {**good, "id": "x"}, {**good, "price_minor": "-1"}, {**good, "quantity": "0"}):
        assert buyer.post(f"/store/{PAID}/buy", data=form).status_code == 422
    assert sum(money(member)) == 110_000


# --- using ------------------------------------------------------------------------------------------------------------------------


def test_my_apps_lead_to_the_download(buyer, member):
    assert "No apps yet" in page(buyer.get("/apps?lang=en"))
    license_id = buy(member, FREE)
    buy(member, PACK, quantity=2)
    html = page(buyer.get("/apps?lang=en"))
    assert "Clean phone numbers" in html
    assert "Usage pack" in html
    app_html = page(buyer.get(f"/apps/{license_id}?lang=en"))
    digest = hashlib.sha256(content_of()).hexdigest()
    assert digest in app_html
    assert "Take a CSV file" in app_html  # the README's English part
    assert "准备一份" not in app_html
    response = buyer.get(f"/apps/{license_id}/artifact")
    assert hashlib.sha256(response.data).hexdigest() == digest
    assert response.headers["ETag"] == f'"{digest}"'
    assert response.headers["Content-Disposition"].endswith(f'{FREE}-1.0.0.zip"')
    assert "You downloaded 1.0.0, the newest" in page(buyer.get(f"/apps/{license_id}?lang=en"))
    assert count(Download) == 1


def test_a_foreign_licence_is_not_found(app, buyer, store):
    foreign = buy(make_member(), FREE)
    for path in (f"/apps/{foreign}", f"/apps/{foreign}/artifact", f"/orders/{foreign}"):
        assert buyer.get(path).status_code == 404
    assert buyer.post(f"/apps/{foreign}/review", data={"stars": "5"}).status_code == 404


def test_a_review_is_written_changed_and_counted(buyer, member):
    license_id = buy(member, FREE)
    assert "Choose one to five stars" in page(buyer.post(f"/apps/{license_id}/review?lang=en", data={"stars": "", "text": "kept words"}), 422)
    assert buyer.post(f"/apps/{license_id}/review", data={"stars": "9"}).status_code == 422
    assert buyer.post(f"/apps/{license_id}/review", data={"stars": "5", "text": "<b>good</b>"}).status_code == 302
    assert buyer.post(f"/apps/{license_id}/review", data={"stars": "4", "text": "<b>good</b>"}).status_code == 302
    outbox.deliver(AT)
    raw = buyer.get(f"/store/{FREE}?lang=en").text
    assert "&lt;b&gt;good" in raw
    assert "Verified buyer" in raw
    with transaction(SYSTEM) as session:
        one = session.query(Listing).filter_by(slug=FREE).one()
        assert (one.rating_sum, one.rating_count) == (4, 1)


# --- publishers and reviewers -----------------------------------------------------------------------------------------------------


@pytest.fixture
def publisher(app, store):
    with transaction(SYSTEM) as session:
        owner = session.query(Listing).filter_by(slug=PAID).one().publisher_id
    return client_as(app, "publisher", publisher_id=owner)


def upload(client, content, notes="what is new", slug=PAID):
    data = {"notes_en": notes, "bundle": (io.BytesIO(content), "b.zip")}
    return client.post(f"/publisher/{slug}/versions?lang=en", data=data, content_type="multipart/form-data")


def check(slug, number):
    """What the worker does with a version that was handed in."""
    with transaction(SYSTEM) as session:
        listing_id = session.query(Listing).filter_by(slug=slug).one().id
    return jobs.check_version(str(listing_id), number)


@needs_sandbox
def test_a_version_goes_from_the_publisher_past_the_reviewer_to_the_buyer(app, publisher, member, buyer):
    license_id = buy(member, PAID)
    buyer.get(f"/apps/{license_id}/artifact")
    assert "¥530.00" in page(publisher.get("/publisher?lang=en"))
    content = repack(content_of(PAID), "5.0.0", permissions=["order:read", "invoice:read"])
    assert upload(publisher, content).location.endswith(f"/publisher/{PAID}/versions/5.0.0")
    html = page(publisher.get(f"/publisher/{PAID}/versions/5.0.0?lang=en"))
    assert "Waits for a worker" in html
    assert publisher.get(f"/publisher/{PAID}/versions/5.0.0/progress").json == {"text": "Waits for a worker", "percent": 0, "done": False}
    assert check(PAID, "5.0.0") == "in_review"
    html = page(publisher.get(f"/publisher/{PAID}/versions/5.0.0?lang=en"))
    assert html.count("passed") >= 10
    assert "Log of the sample" in html
    assert publisher.get(f"/publisher/{PAID}/versions/5.0.0/progress").json["done"]
    assert "In review" in page(publisher.get(f"/publisher/{PAID}?lang=en"))
    reviewer = client_as(app, "reviewer")
    html = page(reviewer.get("/review?lang=en"))
    assert "more permissions" in html
    assert "10 of 10" in html
    html = page(reviewer.get(f"/review/{PAID}/5.0.0?lang=en"))
    assert "Reads invoices" in html
    assert html.index("Reads invoices") < html.index("<code>version</code>") < html.index("Replay: expected and actual")
    assert unzip(reviewer.get(f"/review/{PAID}/5.0.0/bundle").data) == unzip(content)
    assert reviewer.post(f"/review/{PAID}/5.0.0/approval").status_code == 302
    assert "The queue is empty" in page(reviewer.get("/review?lang=en"))
    assert reviewer.post(f"/review/{PAID}/5.0.0/approval").status_code == 409
    assert "Updates available: 1" in page(buyer.get("/apps?lang=en"))
    assert "Update to 5.0.0" in page(buyer.get(f"/apps/{license_id}?lang=en"))
    assert "10 of 10" in page(buyer.get(f"/store/{PAID}?lang=en"))


@needs_sandbox
def test_a_routine_update_needs_no_person_and_the_queue_says_so(app, publisher):
    upload(publisher, repack(content_of(PAID), "5.0.0"))
    assert check(PAID, "5.0.0") == "published"
    assert "Released without a person" in page(client_as(app, "reviewer").get("/review?lang=en"))
    assert "On sale" in page(publisher.get(f"/publisher/{PAID}?lang=en"))


@needs_sandbox
def test_a_bad_task_comes_back_with_file_line_and_fix(publisher):
    files = unzip(content_of(PAID))
    upload(publisher, repack(zip_of({**files, "task.robot": files["task.robot"] + b"\nMore\n    Evaluate    1\n"}), "5.0.0"))
    assert check(PAID, "5.0.0") == "rejected"
    html = page(publisher.get(f"/publisher/{PAID}/versions/5.0.0?lang=en"))
    line = (files["task.robot"] + b"\nMore\n    Evaluate").count(b"\n") + 1
    for text in (f"task.robot:{line}", "This keyword is not allowed: Evaluate", "Fix: It runs Python", "take the next version number"):
        assert text in html
    assert "not reached" in html
    again = repack(content_of(PAID), "5.0.0")
    assert "Numbers are never used twice" in page(upload(publisher, again), 409)


def test_without_a_sandbox_nothing_can_be_approved(app, publisher, monkeypatch):
    upload(publisher, repack(content_of(PAID), "5.0.0"))
    monkeypatch.setattr(box, "unavailable", lambda: "the program bwrap is not installed")
    assert check(PAID, "5.0.0") == "in_review"
    reviewer = client_as(app, "reviewer")
    assert "There is no sandbox on this machine" in page(reviewer.get("/review?lang=en"))
    html = page(reviewer.get(f"/review/{PAID}/5.0.0?lang=en"))
    assert "It cannot be approved now" in html
    assert "bwrap is not installed" in html
    assert "disabled" in html
    assert "bwrap is not installed" in page(reviewer.post(f"/review/{PAID}/5.0.0/approval?lang=en"), 409)
    monkeypatch.undo()
    if box.unavailable() is None:
        assert jobs.check_waiting() == 1, "the sweep takes it up again where there is one"
        assert check(PAID, "5.0.0") == "published"


def test_a_rejection_says_what_file_and_fix(app, publisher):
    upload(publisher, repack(content_of(PAID), "5.0.0", permissions=["order:read", "invoice:read"]))
    check(PAID, "5.0.0")
    reviewer = client_as(app, "reviewer")
    assert "Say how to mend it" in page(reviewer.post(f"/review/{PAID}/5.0.0/rejection?lang=en", data={"reason": "wrong totals"}), 422)
    form = {"reason": "wrong totals", "file": "task.robot:12", "fix": "round each line"}
    assert reviewer.post(f"/review/{PAID}/5.0.0/rejection?lang=en", data=form).status_code == 302
    html = page(publisher.get(f"/publisher/{PAID}?lang=en"))
    for text in ("Rejected", *form.values()):
        assert text in html


def test_a_publisher_takes_a_version_back(publisher):
    upload(publisher, repack(content_of(PAID), "5.0.0"))
    assert publisher.post(f"/publisher/{PAID}/versions/5.0.0/withdrawal").status_code == 302
    assert "Taken back by the publisher" in page(publisher.get(f"/publisher/{PAID}/versions/5.0.0?lang=en"))
    assert publisher.post(f"/publisher/{PAID}/versions/5.0.0/withdrawal").status_code == 409
    assert publisher.get(f"/publisher/{PAID}/versions/9.9.9").status_code == 404
    assert check(PAID, "5.0.0") is None


def test_staff_stops_one_release_or_a_whole_listing(app, publisher, member, buyer):
    license_id = buy(member, PAID)
    reviewer = client_as(app, "reviewer")
    assert PAID in reviewer.get("/review/listings").text
    steps = f"/review/listings/{PAID}/versions/1.0.0/steps?lang=en"
    assert "Say why" in page(reviewer.post(steps, data={"action": "quarantine", "reason": ""}), 422)
    assert reviewer.post(steps, data={"action": "quarantine", "reason": "it may leak data"}).status_code == 302
    assert buyer.get(f"/store/{PAID}").status_code == 404
    assert "in quarantine" in page(buyer.get(f"/apps/{license_id}/artifact?lang=en"), 403)
    assert reviewer.post(steps, data={"action": "quarantine", "reason": "it may leak data"}).status_code == 409
    assert "may leak data" in page(publisher.get(f"/publisher/{PAID}/versions/1.0.0?lang=en"))
    assert reviewer.post(steps, data={"action": "lift", "reason": "a false alarm"}).status_code == 302
    assert buyer.get(f"/apps/{license_id}/artifact").status_code == 200
    whole = f"/review/listings/{PAID}/steps?lang=en"
    assert "on sale" in page(reviewer.post(whole, data={"action": "deprecate", "reason": "an old thing", "replacement": "nothing-here"}), 422)
    assert reviewer.post(whole, data={"action": "deprecate", "reason": "an old thing", "replacement": FREE}).status_code == 302
    assert FREE in page(buyer.get(f"/store/{PAID}?lang=en"))
    assert buyer.get(f"/apps/{license_id}/artifact").status_code == 200
    assert reviewer.post(whole, data={"action": "quarantine", "reason": "it may leak data"}).status_code == 302
    assert buyer.get(f"/apps/{license_id}/artifact").status_code == 403
    assert buyer.get(f"/apps/{license_id}").status_code == 200, "the page stays, and says why"


def test_a_bad_upload_is_told_why_and_keeps_the_words(publisher):
    html = page(upload(publisher, b"nonsense", notes="my notes"), 422)
    assert "not a zip file" in html
    assert "my notes" in html
    assert "Choose the bundle" in page(publisher.post(f"/publisher/{PAID}/versions?lang=en", data={"notes_en": "x"}), 422)
    assert count(ListingVersion) == 4


def test_a_publisher_sees_its_own_only_and_answers(app, publisher, member, buyer):
    assert "Clean phone numbers" not in page(publisher.get("/publisher?lang=en"))
    assert publisher.get(f"/publisher/{FREE}").status_code == 404
    assert upload(publisher, repack(content_of(FREE), "5.0.0"), slug=FREE).status_code == 404
    license_id = buy(member, PAID)
    buyer.post(f"/apps/{license_id}/review", data={"stars": "2", "text": "slow"})
    assert "slow" in page(publisher.get(f"/publisher/{PAID}"))
    with transaction(SYSTEM) as session:
        review_id = session.scalars(select(Review.id)).one()
    assert publisher.post(f"/publisher/{PAID}/reviews/{review_id}/answer", data={"text": "faster now"}).status_code == 302
    assert "faster now" in page(buyer.get(f"/store/{PAID}"))
    assert publisher.post(f"/publisher/{FREE}/reviews/{review_id}/answer", data={"text": "x"}).status_code == 404


# --- cost -------------------------------------------------------------------------------------------------------------------------


def queries(call):
    seen = []

    def note(_connection, _cursor, statement, *_rest):
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        assert call().status_code == 200
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    return len(seen)


def test_pages_take_few_queries_however_long_they_are(app, buyer, member, monkeypatch):
    remember_for_long(app, monkeypatch)
    license_id = buy(member, FREE)
    buyer.get(f"/store/{FREE}")  # so that what a process remembers is known to it on each page alike
    open_store("renewal-letter", "merge-duplicate-contacts")
    few = {path: queries(lambda path=path: buyer.get(path)) for path in ("/store", f"/store/{FREE}", f"/store/{PAID}/buy", "/apps", f"/apps/{license_id}")}
    assert max(few.values()) <= 12, few
    open_store()
    set_listing(PAID, required_rank=0, product_line=None)
    for _ in range(20):
        buy(member, PACK)
    for path, number in few.items():
        assert queries(lambda path=path: buyer.get(path)) <= number, path


@pytest.mark.parametrize("order", ["bonus_first", "paid_first", "proportional"])
@pytest.mark.parametrize("held", [0, 9_000])
def test_preview_and_charge_agree_on_several_grants(app, store, order, held, monkeypatch):
    """Bonus that expires, older and newer paid money: what the page shows is what the ledger draws."""
    from core.ids import request_hash
    from marketplace.order import orders, previews, pricing
    from tests.marketplace.store_world import acting_for

    monkeypatch.setattr(wallets, "consumption_order", lambda: order)
    member = make_member(paid=30_000, bonus=3_000)
    with transaction(SYSTEM):
        wallets.credit(wallets.Credit(member.id, new_id(), request_hash("t"), "top_up", "CNY", AT, 40_000, 1_000))
        if held:
            holds.place(member.id, holds.Wanted(new_id(), held, "something else"), at=AT, created_by=None)
    with transaction(acting_for(member)):
        preview = previews.of(pricing.quote(member.id, pricing.offered(PAID), 1, at=AT), balances.open_grants(member.id, "CNY", at=AT))
        placed = orders.place(member.id, PAID, orders.Wanted(new_id(), 53_000), at=AT)
    assert (preview.drawn("paid"), preview.drawn("bonus"), preview.after_minor) == (placed.paid_minor, placed.bonus_minor, placed.balance_after_minor - held)
