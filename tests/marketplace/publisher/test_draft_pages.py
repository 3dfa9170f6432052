"""A publisher's pages: a new listing from the form to the shelf, what is wrong beside its field, and keys."""

import io
import re
from html import unescape

import pytest
from sqlalchemy import select

from core.audit import AuditEntry
from core.db import SYSTEM, transaction
from core.ids import derived
from marketplace.checks import jobs
from marketplace.store.listing_models import Listing
from membership.models import ApiKey
from tests.factories import make_member
from tests.marketplace.publisher.test_drafts import HARBOR, SLUG, WORDS, YUNQI, bundle, key_of
from tests.marketplace.release.test_publishing import needs_sandbox
from tests.marketplace.store_world import FREE, buy, open_store
from tests.sign_in import client_as

FORM = {"kind": "robot_task", "slug": SLUG, "category": "data_quality", "name_zh": "整理电话", "name_en": "Tidy phone numbers", "pricing": "free", "price": ""}


@pytest.fixture
def store(app):
    open_store(FREE)


@pytest.fixture
def me(app, store):
    return client_as(app, "publisher", publisher_id=HARBOR)


def page(answer, status=200):
    assert answer.status_code == status, answer.text[:2000]
    return unescape(re.sub(r"\s+", " ", answer.text))


def listing():
    with transaction(SYSTEM) as session:
        return session.get(Listing, derived("listing", SLUG), populate_existing=True)


@needs_sandbox
def test_from_the_form_to_the_shelf(app, me):
    assert "New listing" in page(me.get("/publisher?lang=en"))
    assert 'name="slug"' in page(me.get("/publisher/new?lang=en"))
    paid = {
        "pricing": "recurring",
        "price": "１,２００.５０ 元",
        "period": "month",
        "trial_days": "14",
        "licensed_per": "seat",
        "automates": "contact open\ncontact.merge\n",
        "minutes_saved": "30",
    }
    assert me.post("/publisher/new", data={**FORM, **paid}).location == f"/publisher/{SLUG}"
    kept = listing()
    assert (kept.state, kept.price_minor, kept.period, kept.trial_days, kept.licensed_per) == ("draft", 120_050, "month", 14, "seat")
    assert (kept.automates, kept.minutes_saved) == ({"steps": [["contact", "open"], ["contact", "merge"]]}, 30)
    html = page(me.get(f"/publisher/{SLUG}?lang=en"))
    assert "This listing is a draft" in html
    assert "Summary in Chinese needs at least 8 characters." in html
    assert "Submit it" not in html
    me.post(f"/publisher/{SLUG}/submission")
    assert "Hand in a version that passes its checks." in page(me.get(f"/publisher/{SLUG}?lang=en"))
    assert listing().state == "draft"

    filled = page(me.get(f"/publisher/{SLUG}/draft?lang=en"))
    assert 'value="1,200.50"' in filled
    assert "contact merge" in filled
    without_terms = {"period": "", "trial_days": "", "licensed_per": "member"}
    assert me.post(f"/publisher/{SLUG}/draft", data={**FORM, **WORDS, **without_terms, "slug": "other", "kind": "form_schema"}).status_code == 303
    kept = listing()
    assert (kept.slug, kept.kind, kept.pricing, kept.price_minor, kept.period) == (SLUG, "robot_task", "free", 0, None)
    me.post(f"/publisher/{SLUG}/versions", data={"bundle": (io.BytesIO(bundle()), "x.zip"), "notes_en": "First"})
    assert jobs.check_version(str(kept.id), "1.0.0") == "in_review"
    assert "Submit it" in page(me.get(f"/publisher/{SLUG}?lang=en"))
    me.post(f"/publisher/{SLUG}/submission")
    assert "This listing is in review" in page(me.get(f"/publisher/{SLUG}?lang=en"))
    assert me.get(f"/publisher/{SLUG}/draft").status_code == 409

    reviewer = client_as(app, "reviewer")
    shown = page(reviewer.get(f"/review/{SLUG}/1.0.0?lang=en"))
    assert "This listing is new" in shown
    assert WORDS["summary_en"] in shown
    assert reviewer.post(f"/review/{SLUG}/1.0.0/approval").status_code == 302
    assert listing().current_version == "1.0.0"
    buy(make_member(), SLUG)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"slug": "Tidy!"}, "Lower-case letters, digits and single hyphens"),
        ({"slug": "figures"}, "This name is kept for the store's own pages."),
        ({"slug": FREE}, "There is a listing with this name in the address already."),
        ({"kind": ""}, "Choose a kind."),
        ({"kind": "service_offering"}, "Choose a kind."),
        ({"category": ""}, "Choose a category."),
        ({"name_en": "x"}, "4 to 80 characters."),
        ({"price": "12,5x"}, "Enter an amount like 1,000.00."),
        ({"price": "10,000,000.01"}, "Enter a price from 0 to 10,000,000."),
        ({"price": "12.50"}, "What is free has the price 0."),
        ({"pricing": "one_time"}, "Enter a price above zero, or choose free."),
        ({"trial_days": "many"}, "Not a valid integer."),
        ({"trial_days": "14"}, "A trial needs a price"),
        ({"automates": "contact"}, "A step is a feature and an action."),
        ({"automates": "Contact Merge"}, "Lower-case letters and underscores only."),
        ({"required_rank": "2"}, "Say of which product line the edition is."),
        ({"required_rank": "9"}, "Choose an edition."),
        ({"summary_en": "x" * 161}, "At most 160 characters."),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_what_was_written_stays(me, sent, said):
    answer = me.post("/publisher/new?lang=en", data={**FORM, **sent})
    assert answer.status_code in (409, 422)
    html = page(answer, answer.status_code)
    assert said in html
    assert "field-error" in html
    assert 'value="整理电话"' in html
    with transaction(SYSTEM) as session:
        assert session.query(Listing).count() == 1


def test_a_foreign_publisher_finds_nothing(app, me):
    me.post("/publisher/new", data=FORM)
    other = client_as(app, "publisher", publisher_id=YUNQI)
    base = f"/publisher/{SLUG}"
    for method, url in (("GET", base), ("GET", f"{base}/draft"), ("POST", f"{base}/draft"), ("POST", f"{base}/submission")):
        assert other.open(url, method=method, data=FORM if method == "POST" else None).status_code == 404, url
    assert SLUG not in page(other.get("/publisher"))
    assert SLUG not in page(client_as(app, "buyer", make_member()).get("/store?all=1&q=tidy"))


def test_a_draft_cannot_be_approved_by_its_address(app, me):
    me.post("/publisher/new", data=FORM)
    me.post(f"/publisher/{SLUG}/versions", data={"bundle": (io.BytesIO(bundle()), "x.zip"), "notes_en": "First"})
    reviewer = client_as(app, "reviewer")
    assert reviewer.post(f"/review/{SLUG}/1.0.0/approval").status_code == 409
    assert listing().state == "draft"


def test_keys_are_made_shown_once_used_and_revoked(app, me, client):
    html = page(me.post("/publisher/keys?lang=en", data={"name": "build server"}), 201)
    secret = re.search(r'value="(jb_[^"]+)"', html).group(1)
    headers = {"Authorization": f"Bearer {secret}"}
    assert client.get("/api/v1/publisher/listings", headers=headers).status_code == 200
    assert client.get("/api/v1/api-keys", headers=headers).status_code == 403
    assert secret not in page(me.get("/publisher/keys"))
    assert "Enter a name." in page(me.post("/publisher/keys?lang=en", data={"name": ""}), 422)
    key_of(YUNQI)
    with transaction(SYSTEM) as session:
        mine, theirs = (session.scalars(select(ApiKey).where(ApiKey.publisher_id == one)).one().id for one in (HARBOR, YUNQI))
    assert me.post(f"/publisher/keys/{theirs}/revocation").status_code == 404
    assert me.post(f"/publisher/keys/{mine}/revocation").status_code == 303
    assert client.get("/api/v1/publisher/listings", headers=headers).status_code == 401
    with transaction(SYSTEM) as session:
        assert session.get(ApiKey, theirs).revoked_at is None
        assert {"api_key.create", "api_key.revoke"} <= set(session.scalars(select(AuditEntry.action)))
