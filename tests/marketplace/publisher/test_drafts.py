"""Publishers' own listings: written by machine as drafts, checked, submitted, put on sale by a reviewer; nobody else's."""

import io
import json
import threading

import pytest
from flask_babel import force_locale
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from core.actor import Actor
from core.audit import AuditEntry
from core.db import SYSTEM, transaction
from core.ids import derived
from marketplace.checks import jobs
from marketplace.publisher import drafts
from marketplace.release import approvals, lifecycle, submissions
from marketplace.release.version_models import ListingVersion
from marketplace.store.listing_models import Listing
from membership import api_keys
from tests.factories import AT, make_member
from tests.marketplace.release.test_publishing import content_of, needs_sandbox
from tests.marketplace.store_world import FREE, buy, open_store, repack, unzip, zip_of

HARBOR, YUNQI = (derived("publisher", code) for code in ("harbor-automation", "yunqi-services"))
SLUG = "tidy-phone-numbers"
NEW = {"slug": SLUG, "kind": "robot_task", "category": "data_quality", "name_zh": "整理电话", "name_en": "Tidy phone numbers"}
WORDS = {
    "summary_zh": "把电话号码整理成一种写法。",
    "summary_en": "Brings phone numbers into one form.",
    "description_zh": "电话" * 40,
    "description_en": "Phone numbers. " * 10,
}


@pytest.fixture
def store(app):
    with force_locale("en"):
        yield open_store(FREE)


def key_of(publisher_id=HARBOR):
    with transaction(SYSTEM):
        _key, secret = api_keys.create("build server", "publisher", None, at=AT, publisher_id=publisher_id)
    return {"Authorization": f"Bearer {secret}", "Accept-Language": "en"}


@pytest.fixture
def me(store):
    return key_of()


def bundle(version="1.0.0", slug=SLUG, **manifest):
    return repack(content_of(), version, slug=slug, **manifest)


def upload(client, headers, content, slug=SLUG, **notes):
    return client.post(f"/api/v1/publisher/listings/{slug}/versions", query_string=notes, data=content, content_type="application/zip", headers=headers)


def check(number="1.0.0", slug=SLUG):
    return jobs.check_version(str(derived("listing", slug)), number)


def create(client, headers, **more):
    return client.post("/api/v1/publisher/listings", json={**NEW, **more}, headers=headers)


def wrong(answer):
    assert answer.content_type == "application/problem+json"
    return answer.status_code, {one["field"] for one in answer.json.get("errors", [])}


@needs_sandbox
def test_the_whole_way_by_machine(client, me):
    made = create(client, me)
    assert (made.status_code, made.json["state"], made.json["currency"]) == (201, "draft", "CNY")
    told = client.get(f"/api/v1/publisher/listings/{SLUG}", headers=me).json
    assert set(told["missing"]) == {"summary_zh", "summary_en", "description_zh", "description_en", "version"}
    assert wrong(client.post(f"/api/v1/publisher/listings/{SLUG}/submission", headers=me)) == (422, set(told["missing"]))
    changed = client.patch(f"/api/v1/publisher/listings/{SLUG}", json=WORDS | {"automates": [["contact", "save"]]}, headers=me)
    assert (changed.status_code, changed.json["automates"], changed.json["revision"]) == (200, [["contact", "save"]], 2)

    handed = upload(client, me, bundle(), notes_en="First")
    assert (handed.status_code, handed.json["version"]["state"], handed.json["progress"]["done"]) == (202, "draft", False)
    assert wrong(client.post(f"/api/v1/publisher/listings/{SLUG}/submission", headers=me)) == (422, {"version"})
    assert check() == "in_review"
    shown = client.get(f"/api/v1/publisher/listings/{SLUG}/versions/1.0.0", headers=me).json
    assert {one["state"] for one in shown["checks"]} == {"passed"}
    assert (shown["progress"]["done"], shown["version"]["notes_en"]) == (True, "First")
    with transaction(SYSTEM):
        assert submissions.queue() == []
        with pytest.raises(approvals.NotSubmitted):
            submissions.approve(SLUG, "1.0.0", at=AT)

    assert client.post(f"/api/v1/publisher/listings/{SLUG}/submission", headers=me).json["state"] == "in_review"
    assert client.post(f"/api/v1/publisher/listings/{SLUG}/submission", headers=me).json["code"] == "not_a_draft"
    with transaction(SYSTEM):
        assert [one.listing.slug for one in submissions.queue()] == [SLUG]
    with transaction(Actor(kind="staff", role="reviewer", name="Rhea")):
        submissions.approve(SLUG, "1.0.0", at=AT)
    with transaction(SYSTEM) as session:
        listing = session.get(Listing, derived("listing", SLUG))
        assert (listing.state, listing.current_version, listing.bonus_limit_bp) == ("published", "1.0.0", 3000)
        assert {one.action for one in lifecycle.listing_history(listing)} == {"create", "submit", "publish"}
        assert {"listing.created", "listing.changed", "listing.submitted"} <= set(session.scalars(select(AuditEntry.action)))
    buy(make_member(), SLUG)


@needs_sandbox
def test_what_a_reviewer_sends_back_is_a_draft_again(client, me):
    create(client, me, **WORDS)
    upload(client, me, bundle())
    check()
    client.post(f"/api/v1/publisher/listings/{SLUG}/submission", headers=me)
    with transaction(Actor(kind="staff", role="reviewer", name="Rhea")):
        submissions.reject(SLUG, "1.0.0", "The summary promises too much.", at=AT)
    told = client.get(f"/api/v1/publisher/listings/{SLUG}", headers=me).json
    assert (told["listing"]["state"], told["versions"][0]["state"]) == ("draft", "rejected")
    assert told["listing"]["state_reason"] == "The summary promises too much."
    assert client.patch(f"/api/v1/publisher/listings/{SLUG}", json={"summary_en": "Brings numbers into form."}, headers=me).status_code == 200


def test_the_same_files_are_the_same_version_and_a_number_is_never_used_twice(client, me):
    create(client, me)
    first = upload(client, me, bundle())
    again = upload(client, me, zip_of(dict(reversed(unzip(bundle()).items()))))
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json["version"]["sha256"] == again.json["version"]["sha256"]
    other = upload(client, me, bundle(languages=["zh"]))
    assert (wrong(other), other.json["code"]) == ((409, {"bundle"}), "version_reused")
    with transaction(SYSTEM) as session:
        assert session.query(ListingVersion).filter_by(listing_id=derived("listing", SLUG)).count() == 1


def test_a_form_with_a_file_is_taken_as_well(client, me):
    create(client, me)
    data = {"bundle": (io.BytesIO(bundle()), "x.zip"), "notes_zh": "第一版"}
    answer = client.post(f"/api/v1/publisher/listings/{SLUG}/versions", data=data, headers=me)
    assert (answer.status_code, answer.json["version"]["notes_zh"]) == (202, "第一版")
    for sent, status, fields in (
        ({"notes_zh": "x"}, 422, {"bundle"}),
        ({**data, "bundle": (io.BytesIO(b"x"), "x"), "notes_zh": "x" * 2001}, 422, {"notes_zh"}),
    ):
        answer = client.post(f"/api/v1/publisher/listings/{SLUG}/versions", data=sent, content_type="multipart/form-data", headers=me)
        assert wrong(answer) == (status, fields)
    assert client.post(f"/api/v1/publisher/listings/{SLUG}/versions", json={}, headers=me).status_code == 415


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b"no zip", "This is not a zip file."),
        (lambda: zip_of({**unzip(bundle()), "../x.txt": b"x"}), "a file must stay inside the bundle"),
        (lambda: zip_of({**unzip(bundle()), "run.sh": b"#!/bin/sh"}), "not allowed in a bundle: run.sh"),
        (lambda: bundle(slug=FREE), "does not fit this listing"),
        (lambda: bundle(permissions=["moon:read"]), "There is no such permission: moon:read"),
        (lambda: bundle(kind="data_mapping"), "does not fit this listing"),
    ],
)
def test_a_plainly_wrong_bundle_is_refused_in_words(client, me, content, said):
    create(client, me)
    answer = upload(client, me, content())
    assert wrong(answer) == (422, {"bundle"})
    assert said in answer.json["detail"]
    with transaction(SYSTEM) as session:
        assert session.query(ListingVersion).filter_by(listing_id=derived("listing", SLUG)).count() == 0


@needs_sandbox
def test_a_hostile_task_is_refused_with_file_line_rule_and_fix(client, me):
    create(client, me)
    files = unzip(bundle())
    files["task.robot"] = files["task.robot"].replace(b"Library          String", b"Library          Process")
    upload(client, me, zip_of(files))
    assert check() == "rejected"
    shown = client.get(f"/api/v1/publisher/listings/{SLUG}/versions/1.0.0", headers=me).json
    (finding, *_) = next(one for one in shown["checks"] if one["name"] == "policy")["findings"]
    assert (finding["rule"], finding["file"]) == ("robot_library", "task.robot")
    assert finding["line"] > 0
    assert "Process" in finding["message"]
    assert finding["fix"].startswith("Use BuiltIn")


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({"slug": "Tidy Numbers"}, {"slug"}),
        ({"slug": "ab"}, {"slug"}),
        ({"kind": "program"}, {"kind"}),
        ({"kind": "bundle"}, {"kind"}),
        ({"kind": "service_offering"}, {"kind"}),
        ({"category": "moon"}, {"category"}),
        ({"name_zh": "x"}, {"name_zh"}),
        ({"price_minor": -1}, {"price_minor"}),
        ({"price_minor": 100}, {"price_minor"}),
        ({"pricing": "one_time"}, {"price_minor"}),
        ({"pricing": "recurring", "price_minor": 100}, {"period"}),
        ({"pricing": "one_time", "price_minor": 100, "period": "month"}, {"period"}),
        ({"trial_days": 14}, {"trial_days"}),
        ({"licensed_per": "seat"}, {"licensed_per"}),
        ({"licensed_per": "seat", "pricing": "one_time", "price_minor": 1, "is_repeatable": True}, {"licensed_per"}),
        ({"licensed_per": "floor"}, {"licensed_per"}),
        ({"pricing": "recurring", "period": "month", "price_minor": 1, "is_repeatable": True}, {"is_repeatable"}),
        ({"product_line": "moon"}, {"product_line"}),
        ({"required_rank": 2}, {"product_line"}),
        ({"automates": [["contact"]]}, {"automates.0"}),
        ({"automates": [["contact", "x; drop"]]}, {"automates.0.1"}),
        ({"state": "published"}, {"state"}),
        ({"bonus_limit_bp": 10_000}, {"bonus_limit_bp"}),
        ({"publisher_id": str(YUNQI)}, {"publisher_id"}),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_kept(client, me, sent, fields):
    assert wrong(create(client, me, **sent)) == (422, fields)
    with transaction(SYSTEM) as session:
        assert session.query(Listing).count() == 1


def test_a_licence_is_per_seat_where_its_publisher_says_so(client, me):
    made = create(client, me, pricing="recurring", period="month", price_minor=19_00, licensed_per="seat")
    assert (made.status_code, made.json["licensed_per"]) == (201, "seat")
    with transaction(SYSTEM) as session:
        assert session.query(Listing).filter_by(slug=SLUG).one().licensed_per == "seat"


def test_a_name_in_the_address_is_given_once(client, me):
    assert create(client, me).status_code == 201
    for headers in (me, key_of(YUNQI)):
        assert (wrong(create(client, headers)), create(client, headers).json["code"]) == ((409, {"slug"}), "slug_taken")
    assert wrong(create(client, me, slug=FREE)) == (409, {"slug"})


def test_slug_and_kind_never_change_and_published_listings_do_not_either(client, me):
    create(client, me)
    assert wrong(client.patch(f"/api/v1/publisher/listings/{SLUG}", json={"slug": "other"}, headers=me)) == (422, {"slug"})
    vendor = key_of(derived("publisher", "vendor"))
    answer = client.patch(f"/api/v1/publisher/listings/{FREE}", json={"name_en": "Other name"}, headers=vendor)
    assert (answer.status_code, answer.json["code"]) == (409, "not_a_draft")


def test_another_publisher_finds_nothing(client, me):
    create(client, me)
    upload(client, me, bundle())
    theirs, base = key_of(YUNQI), f"/api/v1/publisher/listings/{SLUG}"
    assert client.get("/api/v1/publisher/listings", headers=theirs).json == {"items": [], "next": None}
    assert [one["slug"] for one in client.get("/api/v1/publisher/listings", headers=me).json["items"]] == [SLUG]
    asked = [("GET", base), ("PATCH", base), ("POST", f"{base}/submission"), ("GET", f"{base}/versions/1.0.0")]
    assert [client.open(url, method=method, headers=theirs, json={}).status_code for method, url in asked] == [404] * 4
    assert upload(client, theirs, bundle("2.0.0")).status_code == 404
    assert client.get(f"{base}/versions/9.9.9", headers=me).status_code == 404


def test_the_database_itself_keeps_publishers_apart(client, me):
    """The application's filters forgotten: what a publisher's own SQL can see and do."""
    create(client, me)
    mine, theirs = (Actor(kind="publisher", role="publisher", publisher_id=one) for one in (HARBOR, YUNQI))
    with transaction(theirs) as session:
        assert session.scalars(text("select slug from listing where state = 'draft'")).all() == []
        assert session.execute(text("update listing set name_en = 'x' where slug = :slug"), {"slug": SLUG}).rowcount == 0
        assert session.execute(text("update listing set name_en = 'x' where slug = :slug"), {"slug": FREE}).rowcount == 0
    with transaction(Actor(kind="publisher", role="publisher", publisher_id=derived("publisher", "vendor"))) as session:
        own = session.execute(text("update listing set price_minor = 1, pricing = 'one_time' where slug = :slug"), {"slug": FREE})
        assert own.rowcount == 0, "its own, but on sale"
    for statement in (
        "update listing set state = 'published'",
        "update listing set current_version = '1.0.0'",
        "update listing set rating_sum = 500",
        f"update listing set publisher_id = '{YUNQI}'",
        "update listing set bonus_limit_bp = 10000",
        "delete from listing",
    ):
        with pytest.raises(ProgrammingError), transaction(mine) as session:
            session.execute(text(statement))


def test_keys_of_publishers_are_their_own(client, me):
    with transaction(Actor(kind="publisher", role="publisher", publisher_id=YUNQI)) as session:
        assert session.scalars(text("select name from api_key")).all() == []
    with pytest.raises(ProgrammingError), transaction(Actor(kind="publisher", role="publisher", publisher_id=YUNQI)):
        api_keys.create("theirs", "publisher", None, at=AT, publisher_id=HARBOR)


def test_two_submissions_at_once_are_one(app, client, me):
    create(client, me, **WORDS)
    upload(client, me, bundle())
    with transaction(SYSTEM) as session:
        session.get(ListingVersion, (derived("listing", SLUG), "1.0.0")).state = "in_review"
    answers, gate = [], threading.Barrier(2)

    def ask():
        gate.wait()
        answers.append(app.test_client().post(f"/api/v1/publisher/listings/{SLUG}/submission", headers=me).status_code)

    both = [threading.Thread(target=ask) for _ in range(2)]
    [one.start() for one in both]
    [one.join() for one in both]
    assert sorted(answers) == [200, 409]


def test_the_draft_has_a_default_for_every_field(app, store):
    acting = Actor(kind="publisher", role="publisher", publisher_id=HARBOR)
    with transaction(acting):
        listing = drafts.create(HARBOR, json.loads(json.dumps(NEW)), at=AT)
    assert {name: getattr(listing, name) for name in drafts.DEFAULTS if name != "automates"} == {k: v for k, v in drafts.DEFAULTS.items() if k != "automates"}
