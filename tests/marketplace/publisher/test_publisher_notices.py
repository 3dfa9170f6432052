"""What a publisher is told: once for each event, in both languages, to itself alone; counted in the shell and marked as read."""

from datetime import timedelta

import pytest
from flask import Flask
from flask_babel import force_locale
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from core import outbox
from core.actor import Actor
from core.clock import now
from core.db import SYSTEM, transaction
from core.ids import new_id
from marketplace.checks import jobs
from marketplace.partner import claims
from marketplace.publisher import publisher_notices
from marketplace.service import service_decisions, services
from marketplace.store import reviews
from marketplace.store.listing_models import Listing
from membership import mailboxes
from membership.mailboxes import Facts
from membership.notice_models import Notice
from tests.factories import make_member, make_user
from tests.marketplace.publisher.test_service_terms import FORM, HARBOR, SLUG, YUNQI
from tests.marketplace.services_world import PRICE, accept, deliver, dispute, offer_service, order_service
from tests.marketplace.services_world import SLUG as SERVICE
from tests.marketplace.store_world import FREE, acting_for, open_store
from tests.sign_in import signed_in

DETAILS = {
    "name_zh": "客户云上线", "name_en": "CRM rollout", "slug": "crm-rollout", "version": "1.0.0", "reason": "reason", "milestone_zh": "调研",
    "milestone_en": "Survey", "amount_minor": 1_00, "decided_minor": 50, "currency": "CNY", "until": "2026-07-01T00:00:00+00:00", "author": "Ann", "stars": 4,
    "member_id": str(new_id()), "service_id": str(new_id()), "bundle_zh": "套装",
    "bundle_en": "Set", "bundle_minor": 2_00, "claim_id": str(new_id()), "reference": "OUT-1",
    "finding": {"rule": "secret", "what": "AWS key", "file": "task.robot", "line": 3},
}  # fmt: skip


def told(publisher_id, *, deliver_at=None):
    outbox.deliver(deliver_at or now())
    with transaction(SYSTEM):
        return [one.kind for one in sorted(mailboxes.of_publisher(publisher_id).newest(), key=lambda one: (one.at, one.kind))]


@pytest.mark.parametrize("kind", publisher_notices.SENTENCES)
def test_every_kind_reads_well_in_both_languages_and_leads_somewhere(app: Flask, kind: str) -> None:
    for details in (DETAILS, {**DETAILS, "is_draft": True, "is_first": True, "silent": True}, {}):
        said = {}
        for lang in ("en", "zh"):
            with app.test_request_context(), force_locale(lang):
                said[lang] = publisher_notices.SENTENCES[kind](Facts(details))
            assert "%(" not in said[lang]
            assert "None" not in said[lang]
        assert said["en"] != said["zh"]
        assert any("\u4e00" <= c <= "\u9fff" for c in said["zh"])
        assert not any("\u4e00" <= c <= "\u9fff" for c in said["en"])
    endpoint, values = publisher_notices.place(kind, DETAILS)
    with app.test_request_context():
        assert app.url_map.bind("localhost").build(endpoint, {name: value for name, value in values.items() if name != "_anchor"}).startswith("/publisher")


def test_of_a_service_the_partner_is_told_what_it_did_not_do_itself(app: Flask) -> None:
    partner_id, at = offer_service(now()), now()
    member = make_member(paid=3 * PRICE)
    order_id = order_service(member, at)
    assert told(partner_id) == ["service_ordered"]
    for position in (1, 2):
        deliver(member, order_id, position, at)
    accept(member, order_id, 1, at)
    dispute(member, order_id, 2, at)
    assert sorted(told(partner_id)) == ["service_accepted", "service_dispute", "service_ordered"]
    with transaction(Actor(kind="staff", role="finance", name="F")):
        service_decisions.decide(member.id, order_id, 2, 100_00, "half of it is there", at=at)
    with transaction(acting_for(member)):
        services.cancel(member.id, order_id, "we do the rest", at=at)
    assert sorted(told(partner_id)) == ["service_accepted", "service_decide", "service_dispute", "service_ordered", "service_release"]
    late = order_service(member, at)
    deliver(member, late, 1, at)
    service_decisions.run_due(at + timedelta(days=61))
    assert sorted(told(partner_id, deliver_at=at + timedelta(days=61)))[-7:].count("service_lapse") == 2
    outbox.deliver(at + timedelta(days=62))
    with transaction(SYSTEM) as session:
        total = len(mailboxes.of_publisher(partner_id).newest())
        for message in session.query(outbox.OutboxMessage).filter_by(topic=publisher_notices.SERVICE_TOPIC):
            publisher_notices.service_stepped(message)
        assert len(mailboxes.of_publisher(partner_id).newest()) == total, "a message that comes twice tells nothing new"


def test_of_claims_and_reviews(app: Flask) -> None:
    partner_id, at = offer_service(now()), now()
    member = make_member(paid=PRICE)
    order_id = order_service(member, at)
    deliver(member, order_id, 1, at)
    accept(member, order_id, 1, at)
    with transaction(acting_for(member)):
        reviews.write_of_order(services.show(member.id, order_id), 2, "slow", "甲公司", at=at)
    with transaction(SYSTEM):
        charge = services.show(member.id, order_id).milestones[0].charge_id
    with transaction(acting_for(member)):
        claims.file(member.id, charge, claims.Wanted(new_id(), 1_00, "it does not work"), at=at, filed_by=None)
    assert {"review_written", "claim_opened"} <= set(told(partner_id))
    claims.escalate_due(at + timedelta(days=30))
    assert "claim_overdue" in told(partner_id, deliver_at=at + timedelta(days=30))
    with transaction(Actor(kind="publisher", role="publisher", publisher_id=partner_id)) as session:
        listing = session.query(Listing).filter_by(slug=SERVICE).one()
        reviews.answer(listing, reviews.of_listing(listing.id)[0].id, "we were ill", at=at)
    outbox.deliver(at)
    with transaction(SYSTEM) as session:
        assert session.query(Notice).filter_by(member_id=member.id, kind="review_answered").count() == 1


def test_of_versions_from_the_check_to_the_quarantine(app: Flask) -> None:
    open_store(FREE)
    partner, reviewer = signed_in(app, make_user("publisher", publisher_id=HARBOR)), signed_in(app, make_user("reviewer"))
    partner.post("/publisher/new/service", data=FORM)
    partner.post(f"/publisher/{SLUG}/submission")
    with transaction(SYSTEM) as session:
        listing_id = str(session.query(Listing.id).filter_by(slug=SLUG).scalar())
    jobs.check_version(listing_id, "1.0.0")
    assert told(HARBOR) == ["checks_passed"]
    reviewer.post(f"/review/{SLUG}/1.0.0/rejection", data={"reason": "the report is not described", "fix": "say what is in it"})
    partner.post(f"/publisher/{SLUG}/submission")
    jobs.check_version(listing_id, "1.1.0")
    reviewer.post(f"/review/{SLUG}/1.1.0/approval")
    for action in ("quarantine", "lift"):
        reviewer.post(f"/review/listings/{SLUG}/steps", data={"action": action, "reason": "a question came up", "replacement": ""})
    assert sorted(told(HARBOR)) == ["checks_passed", "checks_passed", "step_lift", "step_quarantine", "version_approved", "version_rejected"]
    secret = {"description_en": FORM["description_en"] + " password = 'hunter2hunter2'"}
    partner.post(f"/publisher/{SLUG}/service", data=FORM | secret)
    assert jobs.check_version(listing_id, "1.2.0") == "rejected"
    page = partner.get("/publisher/notices?lang=en").text
    assert "has not passed its checks." in page
    assert "This looks like a secret" in page
    assert '<span class="count">7' in partner.get("/publisher").text
    assert "the report is not described" in page
    place = page.split('action="/publisher/notices/')[2].split('"')[0]
    assert partner.post(f"/publisher/notices/{place}").status_code == 303
    assert '<span class="count">6' in partner.get("/publisher").text
    partner.post("/publisher/notices/reading")
    assert "Nothing new." in partner.get("/publisher/notices?lang=en").text
    other = signed_in(app, make_user("publisher", publisher_id=YUNQI))
    assert "No notices yet" in other.get("/publisher/notices?lang=en").text
    assert other.post(f"/publisher/notices/{place}").status_code == 404


def test_the_database_itself_keeps_notices_apart(app: Flask) -> None:
    open_store(FREE)
    with transaction(SYSTEM):
        publisher_notices.tell(HARBOR, "payout_paid", {"amount_minor": 1}, at=now(), key="k")
        assert not publisher_notices.tell(HARBOR, "payout_paid", {"amount_minor": 2}, at=now(), key="k")
    mine, theirs = (Actor(kind="publisher", role="publisher", publisher_id=one) for one in (HARBOR, YUNQI))
    count, read = text("select count(*) from publisher_notice"), text("update publisher_notice set read_at = at")
    with transaction(theirs) as session:
        assert session.scalar(count) == 0
        assert session.execute(read).rowcount == 0
    with transaction(mine) as session:
        assert session.scalar(count) == 1
    for who, statement in (
        (mine, "update publisher_notice set kind = 'x'"),
        (mine, "insert into publisher_notice select publisher_id, gen_random_uuid(), kind, details, at from publisher_notice"),
        (acting_for(make_member()), "select * from publisher_notice"),
        (mine, "delete from publisher_notice"),
    ):
        with pytest.raises(ProgrammingError), transaction(who) as session:
            session.execute(text(statement))
