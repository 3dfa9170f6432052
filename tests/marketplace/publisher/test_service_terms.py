"""Services from the form to the shelf: milestones row by row, other terms as another version, and what was agreed kept."""

import re
from html import unescape
from uuid import UUID

import pytest
from flask_babel import force_locale
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from billing.wallet import balances
from core.actor import Actor
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import derived, new_id
from marketplace.checks import jobs
from marketplace.order import pricing
from marketplace.publisher import term_changes
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import lifecycle, submissions, term_sheets
from marketplace.release.version_models import ListingVersion
from marketplace.service import services
from marketplace.store.listing_models import Listing
from tests.billing.books import assert_books_hold
from tests.factories import make_member, make_user
from tests.marketplace.store_world import FREE, open_store, unzip
from tests.sign_in import signed_in

HARBOR, YUNQI, VENDOR = (derived("publisher", code) for code in ("harbor-automation", "yunqi-services", "vendor"))
SLUG = "pipeline-review"
ID = derived("listing", SLUG)
WORDS = {
    "category": "sales", "name_zh": "管道诊断", "name_en": "Pipeline review", "summary_zh": "两周内看清销售管道。",
    "summary_en": "See your pipeline clearly in two weeks.",
    "description_zh": "顾问" * 40, "description_en": "A consultant reads your pipeline. " * 5,
}  # fmt: skip
ROWS = {
    "step_zh_1": "访谈", "step_en_1": "Interviews", "step_amount_1": "1,000.00", "step_days_1": "7",
    "step_zh_2": "报告", "step_en_2": "Report", "step_amount_2": "333.33", "step_days_2": "14",
}  # fmt: skip
PRICE = 1_333_33
FORM = {"slug": SLUG, **WORDS, **ROWS, "do": "keep"}


@pytest.fixture
def shop(app):
    with force_locale("en"):
        yield open_store(FREE)


@pytest.fixture
def partner(app, shop):
    return signed_in(app, make_user("publisher", publisher_id=HARBOR))


@pytest.fixture
def reviewer(app, shop):
    return signed_in(app, make_user("reviewer"))


def say(answer):
    return unescape(answer.text)


def values(page, name):
    """What stands in the fields whose names begin so, in their order."""
    return [unescape(found) for found in re.findall(rf'value="([^"]*)" id="f-{name}_\d+"', page)]


def check(number):
    return jobs.check_version(str(derived("listing", SLUG)), number)


def on_sale(partner, reviewer, form=FORM):
    assert partner.post("/publisher/new/service", data=form).status_code == 303
    assert partner.post(f"/publisher/{SLUG}/submission").status_code == 303
    assert check("1.0.0") == "in_review"
    assert reviewer.post(f"/review/{SLUG}/1.0.0/approval").status_code == 302


def order(member_id, price=PRICE, version="1.0.0"):
    with transaction(Actor(kind="member", role="buyer", member_id=member_id)):
        return services.place(member_id, SLUG, services.Wanted(new_id(), price, "please", version), at=now(), placed_by=None).id


def amounts(member_id, order_id):
    with transaction(SYSTEM):
        return [one.amount_minor for one in services.show(member_id, order_id).milestones]


def listing():
    with transaction(SYSTEM) as session:
        return session.query(Listing).filter_by(slug=SLUG).one()


def test_from_the_form_to_an_order(app, partner, reviewer):
    assert "New service" in say(partner.get("/publisher?lang=en"))
    assert values(partner.get("/publisher/new/service").text, "step_zh") == ["", ""]
    on_sale(partner, reviewer)
    found = listing()
    assert (found.state, found.current_version, found.price_minor, found.bonus_limit_bp) == ("published", "1.0.0", PRICE, 3000)
    assert found.milestones == [
        {"name_zh": "访谈", "name_en": "Interviews", "amount_minor": 1_000_00, "days": 7},
        {"name_zh": "报告", "name_en": "Report", "amount_minor": 333_33, "days": 14},
    ]
    member = make_member(paid=2_000_00)
    buyer = signed_in(app, make_user("owner", member))
    page = say(buyer.get(f"/store/{SLUG}?lang=en"))
    assert "¥1,333.33" in page
    assert "¥333.33" in page
    assert SLUG in buyer.get("/store?q=管道").text
    confirm = buyer.get(f"/store/{SLUG}/order").text
    sent = {name: re.search(rf'name="{name}" value="([^"]+)"', confirm)[1] for name in ("id", "price_minor", "version")}
    assert buyer.post(f"/store/{SLUG}/order", data=sent).status_code == 302
    assert amounts(member.id, UUID(sent["id"])) == [1_000_00, 333_33]
    with transaction(SYSTEM):
        assert balances.balance(member.id, "CNY", at=now()).held_minor == PRICE
    assert_books_hold()


def test_rows_come_and_go_without_scripts(partner):
    page = partner.post("/publisher/new/service", data=FORM | {"do": "add"})
    assert (page.status_code, values(page.text, "step_zh")) == (200, ["访谈", "报告", ""])
    assert "autofocus" in page.text
    page = partner.post("/publisher/new/service", data=FORM | {"do": "remove-1"})
    assert (values(page.text, "step_zh"), values(page.text, "step_amount")) == (["报告"], ["333.33"])
    assert 'value="Pipeline review"' in page.text
    assert partner.post("/publisher/new/service", data={"do": "remove-9"}).status_code == 200
    with transaction(SYSTEM) as session:
        assert session.query(Listing).filter_by(slug=SLUG).count() == 0
    many = {f"step_zh_{n}": "步骤" for n in range(1, 21)}
    assert len(values(partner.post("/publisher/new/service", data=many | {"do": "add-"}).text, "step_zh")) == 20


def test_an_empty_row_does_not_count(partner):
    blank = {f"step_{column}_3": " " for column in ("zh", "en", "amount", "days")}
    assert partner.post("/publisher/new/service", data=FORM | blank).status_code == 303
    assert len(listing().milestones) == 2


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"step_zh_1": "x"}, "2 to 60 characters."),
        ({"step_amount_2": "0"}, "Enter an amount like 1,000.00."),
        ({"step_amount_2": "1.005"}, "Enter an amount like 1,000.00."),
        ({"step_days_1": "61"}, "Enter 1 to 60 days."),
        ({"step_days_1": "soon"}, "Enter a number of days."),
        (dict.fromkeys(ROWS, ""), "A service has 1 to 20 milestones."),
        ({"slug": FREE}, "There is a listing with this name in the address already."),
        ({"slug": "services"}, "This name is kept for the store's own pages."),
        ({"category": "moon"}, "Choose a category."),
        ({"step_zh_1": "步" * 61}, "2 to 60 characters."),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_kept(partner, sent, said):
    answer = partner.post("/publisher/new/service?lang=en", data=FORM | sent)
    assert answer.status_code in (409, 422)
    assert said in say(answer)
    with transaction(SYSTEM) as session:
        assert session.query(Listing).filter_by(kind="service_offering").count() == 0


def test_other_terms_are_another_version_and_what_was_agreed_stays(app, partner, reviewer):
    on_sale(partner, reviewer)
    member_id = make_member(paid=9_000_00).id
    before = order(member_id)
    changed = FORM | {"step_amount_2": "666.66", "name_en": "Pipeline review plus", "notes_en": "A longer report"}
    answer = partner.post(f"/publisher/{SLUG}/service?lang=en", data=changed)
    assert answer.location == f"/publisher/{SLUG}/versions/1.1.0"
    assert (listing().price_minor, listing().name_en) == (PRICE, "Pipeline review")
    assert partner.get(f"/publisher/{SLUG}/service").location == f"/publisher/{SLUG}/versions/1.1.0"
    assert partner.post(f"/publisher/{SLUG}/service?lang=en", data=FORM).status_code == 409
    assert check("1.1.0") == "in_review"
    page = say(reviewer.get(f"/review/{SLUG}/1.1.0?lang=en"))
    assert "− Pipeline review" in page
    assert "+ Pipeline review plus" in page
    assert "Milestones on sale now" in page
    assert "other terms of use" in say(reviewer.get("/review?lang=en"))
    reviewer.post(f"/review/{SLUG}/1.1.0/approval")
    assert (listing().price_minor, listing().current_version, listing().name_en) == (1_666_66, "1.1.0", "Pipeline review plus")
    with pytest.raises(pricing.TermsChanged):
        order(member_id, 1_666_66, "1.0.0")
    after = order(member_id, 1_666_66, "1.1.0")
    assert (amounts(member_id, before), amounts(member_id, after)) == ([1_000_00, 333_33], [1_000_00, 666_66])
    with transaction(SYSTEM):
        assert [services.show(member_id, one).order.version for one in (before, after)] == ["1.0.0", "1.1.0"]
        assert balances.balance(member_id, "CNY", at=now()).held_minor == PRICE + 1_666_66
    assert reviewer.post(f"/review/listings/{SLUG}/versions/1.1.0/steps", data={"action": "yank", "reason": "priced by mistake"}).status_code == 302
    assert (listing().price_minor, listing().current_version, listing().name_en) == (PRICE, "1.0.0", "Pipeline review")
    assert_books_hold()


def test_a_stale_page_is_told_that_the_terms_have_changed(app, partner, reviewer):
    on_sale(partner, reviewer)
    buyer = signed_in(app, make_user("owner", make_member(paid=9_000_00)))
    sent = {"id": str(new_id()), "price_minor": str(PRICE), "version": "0.9.0"}
    answer = buyer.post(f"/store/{SLUG}/order?lang=en", data=sent)
    assert answer.status_code == 409
    assert "What is offered has changed meanwhile." in say(answer)


def test_what_was_sent_back_is_mended_under_the_next_number(partner, reviewer):
    assert partner.post("/publisher/new/service", data=FORM).status_code == 303
    partner.post(f"/publisher/{SLUG}/submission")
    check("1.0.0")
    reviewer.post(f"/review/{SLUG}/1.0.0/rejection", data={"reason": "the report is not described", "fix": "say what is in it"})
    assert (listing().state, listing().current_version) == ("draft", None)
    assert "the report is not described" in say(partner.get(f"/publisher/{SLUG}?lang=en"))
    assert partner.post(f"/publisher/{SLUG}/service", data=FORM | {"step_en_2": "Written report"}).status_code == 303
    partner.post(f"/publisher/{SLUG}/submission")
    check("1.1.0")
    reviewer.post(f"/review/{SLUG}/1.1.0/approval")
    assert (listing().state, listing().current_version, listing().milestones[1]["name_en"]) == ("published", "1.1.0", "Written report")
    with transaction(SYSTEM) as session:
        assert {one.number: one.state for one in session.query(ListingVersion).filter_by(listing_id=ID)} == {
            "1.0.0": "rejected",
            "1.1.0": "published",
        }


def test_a_change_that_was_taken_back_can_be_written_again(partner, reviewer):
    on_sale(partner, reviewer)
    partner.post(f"/publisher/{SLUG}/service", data=FORM | {"step_days_2": "20"})
    partner.post(f"/publisher/{SLUG}/versions/1.1.0/withdrawal")
    assert values(partner.get(f"/publisher/{SLUG}/service").text, "step_days") == ["7", "20"]
    assert partner.post(f"/publisher/{SLUG}/service", data=FORM | {"step_days_2": "21"}).location.endswith("/1.2.0")


@pytest.mark.parametrize(("sent", "said"), [({}, "Nothing has changed."), ({"summary_en": "Too short"}, "Summary in English needs at least 20 characters.")])
def test_a_change_must_change_something_and_be_complete(partner, reviewer, sent, said):
    on_sale(partner, reviewer)
    answer = partner.post(f"/publisher/{SLUG}/service?lang=en", data=FORM | sent)
    assert answer.status_code == 422
    assert said in say(answer)


def test_an_incomplete_draft_is_not_submitted(partner):
    assert partner.post("/publisher/new/service", data=FORM | {"description_en": ""}).status_code == 303
    partner.post(f"/publisher/{SLUG}/submission")
    assert listing().state == "draft"
    with transaction(SYSTEM) as session:
        assert session.query(ListingVersion).filter_by(listing_id=ID).count() == 0


def test_only_partners_and_only_their_own(app, shop, partner, reviewer):
    vendor = signed_in(app, make_user("publisher", publisher_id=VENDOR))
    assert vendor.get("/publisher/new/service").status_code == 422
    assert "New service" not in say(vendor.get("/publisher?lang=en"))
    assert vendor.post("/publisher/new/service", data=FORM).status_code == 422
    on_sale(partner, reviewer)
    other = signed_in(app, make_user("publisher", publisher_id=YUNQI))
    assert other.get(f"/publisher/{SLUG}/service").status_code == 404
    assert other.post(f"/publisher/{SLUG}/service", data=FORM).status_code == 404
    assert partner.get(f"/publisher/{FREE}/service").status_code == 404


def test_the_database_itself_lets_a_publisher_write_drafts_only(partner, reviewer):
    on_sale(partner, reviewer)
    mine = Actor(kind="publisher", role="publisher", publisher_id=HARBOR)
    statement = text('update listing set price_minor = 1, milestones = \'[{"name_zh": "一", "name_en": "x", "amount_minor": 1, "days": 1}]\' where slug = :s')
    with transaction(mine) as session:
        assert session.execute(statement, {"s": SLUG}).rowcount == 0
    with pytest.raises(ProgrammingError), transaction(mine) as session:
        session.execute(text("update listing set current_version = '9.9.9'"))


def test_a_file_does_not_replace_the_form(partner, reviewer):
    on_sale(partner, reviewer)
    with transaction(SYSTEM) as session:
        found = session.query(Listing).filter_by(slug=SLUG).one()
        content = term_sheets.packed(found, "2.0.0", term_sheets.of(found)).content
        assert set(unzip(content)) == {"manifest.json"}
        with pytest.raises(submissions.SubmissionInvalid):
            submissions.submit(found, content, "x", "x", "me", at=now())


def test_what_is_no_longer_sold_keeps_its_terms(partner, reviewer):
    on_sale(partner, reviewer)
    reviewer.post(f"/review/listings/{SLUG}/steps", data={"action": "deprecate", "reason": "its maker is gone", "replacement": ""})
    said = WORDS | {"milestones": [{"name_zh": "访谈", "name_en": "Interviews", "amount_minor": 1, "days": 1}]}
    with pytest.raises(term_changes.NotSold), transaction(Actor(kind="publisher", role="publisher", publisher_id=HARBOR)):
        term_changes.keep(HARBOR, SLUG, said, ("", ""), "me", at=now())


def test_quarantine_and_its_end_leave_the_service_on_sale(partner, reviewer):
    on_sale(partner, reviewer)
    for action in ("quarantine", "lift"):
        reviewer.post(f"/review/listings/{SLUG}/steps", data={"action": action, "reason": "a question came up", "replacement": ""})
    assert (listing().current_version, listing().price_minor) == ("1.0.0", PRICE)
    with transaction(SYSTEM) as session:
        version = session.get(ListingVersion, (ID, "1.0.0"))
        assert [one.action for one in lifecycle.history(version)] == ["hand_in", "scan", "pass", "approve"]
        assert session.get(Publisher, HARBOR) is not None
