"""Activity figures by hand, causes by the boundary, and what the CSM's pages show."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import select, update

from core.audit import AuditEntry
from core.clock import now
from core.db import SYSTEM, db, transaction
from core.ids import new_id
from membership.models import Member, User
from operations import activity, directory, events, jobs, rollups, worklist
from operations.models import Activity, Offer, Routine
from tests.factories import AT, make_member, make_user
from tests.memories import remember_for_long
from tests.operations.factories import make_listing, make_motion, make_offer, make_order, make_subscription
from tests.sign_in import bearer, client_as, signed_in


def use(member: Member, days_ago: list[int], user: str = "ann", feature: str = "contact", automated: bool = False, at: Any = AT) -> None:
    rows = [
        {
            "id": f"{user}-{feature}-{n}",
            "user": user,
            "at": (at - timedelta(days=n)).isoformat(),
            "feature": feature,
            "action": "open",
            "duration_ms": 60_000,
            "automated": automated,
        }
        for n in days_ago
    ]
    with transaction(SYSTEM):
        events.ingest([{**row, "member": member.number} for row in rows], None, at=at)


def rolled(at: Any = AT) -> None:
    with transaction(SYSTEM):
        rollups.refresh(at=at)


def test_activity_is_what_one_counts_by_hand(app: Flask) -> None:
    member, idle = make_member(), make_member()
    use(member, [0, 1, 2, 8, 27, 28, 55, 56])
    use(member, [0, 6, 7, 30, 31, 32], "bob", "order")
    use(member, [3, 4], "automation", "app", automated=True)
    rolled()
    with transaction(SYSTEM) as session:
        activity.refresh([idle.id], at=AT)
        row, nothing = session.get_one(Activity, member.id), session.get_one(Activity, idle.id)
    assert (row.active_7, row.active_28, row.active_prev_28) == (2, 2, 2)
    assert (row.user_days_28, row.user_days_prev_28, row.active_days_28) == (8, 5, 7)
    assert row.weeks == [1, 0, 0, 4, 1, 0, 2, 5]
    assert (row.events_28, row.automated_28, row.features_28, row.top_feature, row.duration_ms_28) == (8, 2, 2, "contact", 480_000)
    assert row.trend_bp == 6000
    figures = activity.figures(row, 4)
    assert figures is not None
    assert (figures.activation, figures.per_day, figures.stickiness, figures.minutes, figures.depth) == (0.5, 8 / 28, 4 / 28, 8, 1.0)
    assert figures.trend is None  # five user-days before are too few to speak of a trend
    assert (nothing.active_28, nothing.weeks, nothing.trend_bp) == (0, [0] * 8, None)
    with transaction(SYSTEM):
        uses = activity.uses(member.id, row.day)
    assert [(one.name, one.events, one.automated, one.user_days, one.users) for one in uses.features] == [
        ("contact", 5, 0, 5, 1),
        ("order", 3, 0, 3, 1),
        ("app", 0, 2, 0, 0),
    ]
    assert [one.name for one in uses.people] == ["ann", "bob", "automation"]
    assert sum(week.user_days for week in uses.weeks if week) == 14


def test_windows_move_on_without_events(app: Flask) -> None:
    member = make_member()
    use(member, [0], at=now())
    rolled(now())
    with transaction(SYSTEM):
        activity.refresh(at=now() + timedelta(days=28))
    with transaction(SYSTEM) as session:
        row = session.get_one(Activity, member.id)
        assert (row.active_28, row.active_prev_28, row.trend_bp) == (0, 1, -10_000)
    assert jobs.refresh_activity() == 1
    with transaction(SYSTEM) as session:
        session.expire_all()
        assert session.get_one(Activity, member.id).active_28 == 1


@pytest.fixture
def csm(app: Flask) -> uuid.UUID:
    return make_user("csm", name="陈静").id


def mine(csm: uuid.UUID, **given: Any) -> Member:
    member = make_member(**given)
    with transaction(SYSTEM) as session:
        session.execute(update(Member).where(Member.id == member.id).values(csm_id=csm))
    db.session.expunge_all()
    return member


def listed(csm: uuid.UUID | None = None) -> worklist.Worklist:
    with transaction(SYSTEM):
        return worklist.build(csm, grace_days=14, at=AT)


def test_a_renewal_is_a_cause_when_near_and_not_covered(csm: uuid.UUID) -> None:
    short, covered, far, leaving = (mine(csm, paid=paid) for paid in (119_999, 120_000, 1, 500_000))
    make_subscription(short, ends_in_days=60)
    make_subscription(covered, ends_in_days=5)
    make_subscription(far, ends_in_days=61)
    make_subscription(leaving, ends_in_days=90, cancel=True)
    found = listed(csm)
    assert [(item.member.id, item.first.kind, item.risk_minor) for item in found.items] == sorted(
        [(short.id, "short", 120_000), (leaving.id, "leaving", 120_000)], key=lambda row: worklist.KINDS.index(row[1])
    )
    assert found.risk_minor == 240_000
    assert listed(uuid.uuid4()).items == []


def test_falling_use_toil_and_silence_are_causes_and_one_row_holds_them_all(csm: uuid.UUID) -> None:
    member, listing = mine(csm), make_listing(price_minor=30_000)
    make_subscription(member, price_minor=99_000)
    use(member, list(range(28, 48)) + list(range(5)))
    rolled()
    routine = {"member_id": member.id, "steps": [["contact", "open"]], "runs": 40, "users": 2, "minutes_a_month": 90, "listing_id": listing.id, "found_at": AT}
    with transaction(SYSTEM) as session:
        session.add(Routine(id=new_id(), minutes_saved_a_month=60, **routine))
        session.add(Routine(id=new_id(), minutes_saved_a_month=59, **routine))
    make_offer(member, make_listing("quiet", price_minor=5_000), at=AT - timedelta(days=8))
    make_offer(member, make_listing("fresh", price_minor=7_000), at=AT - timedelta(days=6))
    (item,) = listed(csm).items
    assert [cause.kind for cause in item.causes] == ["falling", "toil", "quiet"]
    assert (item.risk_minor, item.chance_minor) == (99_000, 30_000)
    assert item.member.offers == 1
    make_order(member, listing)  # what is owned is no toil any more
    (item,) = listed(csm).items
    assert [cause.kind for cause in item.causes] == ["falling", "quiet"]


@pytest.mark.parametrize(("before", "present", "falling"), [(20, 14, False), (28, 19, False), (20, 5, True), (9, 0, True), (3, 0, False)])
def test_chance_is_no_cause(csm: uuid.UUID, before: int, present: int, falling: bool) -> None:
    member = mine(csm)
    use(member, list(range(28, 28 + before)) + list(range(present)))
    rolled()
    assert [item.first.kind for item in listed(csm).items] == (["falling"] if falling else [])


def test_most_money_at_risk_comes_first(csm: uuid.UUID) -> None:
    for price in (10_000, 90_000, 50_000):
        make_subscription(mine(csm), price_minor=price, ends_in_days=10)
    assert [item.risk_minor for item in listed(csm).items] == [90_000, 50_000, 10_000]


def test_the_directory_pages_through_every_order(app: Flask) -> None:
    members = [make_member(paid=n * 100) for n in range(7)]
    for n, member in enumerate(members):
        use(member, list(range(n)))
        if n % 2:
            make_subscription(member, ends_in_days=n)
    rolled()
    with transaction(SYSTEM):
        for sort in directory.SORTS:
            seen, after = [], None
            while True:
                rows, after, total = directory.find(directory.Wanted(sort=sort), after, limit=3)
                seen += [row.id for row in rows]
                assert total == 7
                if after is None:
                    break
            assert sorted(seen) == sorted(member.id for member in members)
            assert len(set(seen)) == 7
        by_wallet, _after, _total = directory.find(directory.Wanted(sort="wallet"), None)
        assert [row.available_minor for row in by_wallet] == [n * 100 for n in range(7)]
        idle, _after, total = directory.find(directory.Wanted(trend="idle"), None)
        assert (total, idle[0].id) == (1, members[0].id)
        assert directory.find(directory.Wanted(search="100%_"), None)[2] == 0
        assert directory.find(directory.Wanted(search=members[3].number.lower()), None)[2] == 1


@contextmanager
def counting() -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    sqlalchemy_event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sqlalchemy_event.remove(db.engine, "before_cursor_execute", note)


def busy(csm: uuid.UUID, count: int) -> list[Member]:
    """Members with everything a page can show."""
    at, made = now(), []
    for _ in range(count):
        member = mine(csm, paid=500)
        subscription = make_subscription(member, ends_in_days=20, at=at)
        make_motion(subscription, "new", at=at, amount=100, after=100)
        make_order(member, make_listing(f"bought-{member.number}"), at=at)
        use(member, [0, 1, 2], at=at)
        listing = make_listing(f"offered-{member.number}")
        make_offer(member, listing, csm_id=csm, at=at - timedelta(days=9))
        made.append(member)
    rolled(at)
    return made


def pages(client: FlaskClient, member: Member) -> dict[str, int]:
    taken = {}
    for path in ("/csm/", "/csm/members", f"/csm/members/{member.id}", f"/csm/members/{member.id}/offers/new", "/csm/offers", "/csm/revenue"):
        with counting() as statements:
            answer = client.get(path)
        assert answer.status_code == 200, path
        taken[path.replace(str(member.id), "x")] = len(statements)
    return taken


def test_pages_take_few_queries_however_many_rows(app: Flask, csm: uuid.UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    remember_for_long(app, monkeypatch)
    with transaction(SYSTEM) as session:
        user = session.get_one(User, csm)
    client = signed_in(app, user)
    few = pages(client, busy(csm, 2)[0])
    many = pages(client, busy(csm, 10)[0])
    assert few == many
    assert max(many.values()) <= 12, many


def test_the_customers_page_takes_as_many_queries_for_one_offer_as_for_five(app: Flask, csm: uuid.UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    remember_for_long(app, monkeypatch)
    member, at = mine(csm, paid=500_000), now()
    client = client_as(app, "buyer", member)
    make_offer(member, make_listing("first"), at=at)
    client.get("/offers/")  # so that what a process remembers is known to it from the first count on
    taken = []
    for n in range(5):
        make_offer(member, make_listing(f"robot-{n}", required_rank=0 if 0 < n < 4 else 2), at=at)
        with counting() as statements:
            assert client.get("/offers/").status_code == 200
        taken.append(len(statements))
    assert len(set(taken)) == 1
    assert taken[0] <= 12


def test_recommending_on_the_page_keeps_the_words_when_it_fails(app: Flask, csm: uuid.UUID) -> None:
    member, _listing = mine(csm), make_listing()
    client = client_as(app, "csm", name="李雷")
    assert client.get(f"/csm/members/{member.id}/offers/new?listing=robot").status_code == 200
    form = {"id": str(new_id()), "listing": "robot", "reason": "很适合你们"}
    assert client.post(f"/csm/members/{member.id}/offers", data={}).status_code == 422
    wrong = client.post(f"/csm/members/{member.id}/offers", data={**form, "listing": "nothing"})
    assert wrong.status_code == 422
    assert "很适合你们" in wrong.text
    for _ in range(2):
        assert client.post(f"/csm/members/{member.id}/offers", data=form).status_code == 302
    again = client.post(f"/csm/members/{member.id}/offers", data={**form, "id": str(new_id())})
    assert again.status_code == 409
    with transaction(SYSTEM) as session:
        offer = session.scalars(select(Offer)).one()
    assert client.post(f"/csm/members/{member.id}/offers/{offer.id}/withdrawal").status_code == 302
    with transaction(SYSTEM) as session:
        assert [entry.action for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.at))] == ["offer.send", "offer.withdraw"]
    assert client.get(f"/csm/members/{uuid.uuid4()}").status_code == 404


def test_empty_pages_explain_themselves(app: Flask, csm: uuid.UUID) -> None:
    member = mine(csm)
    client = client_as(app, "csm")
    assert "All done" in client.get("/csm/?lang=en").text
    assert "No routine found" in client.get(f"/csm/members/{member.id}?lang=en").text
    assert "No offers yet" in client.get("/csm/offers?lang=en&whose=all").text
    assert "Nothing was billed" in client.get("/csm/revenue?lang=en").text
    assert "No recommendation right now" in client_as(app, "viewer", member).get("/offers/?lang=en").text
    assert client.get("/csm/members?sort=nonsense").status_code == 302


def test_jobs_run_again_without_harm(app: Flask) -> None:
    member, at = make_member(), now()
    use(member, [0, 1], at=at)
    assert jobs.refresh_usage() == 2
    assert jobs.refresh_usage() == 0
    assert jobs.find_routines() == jobs.find_routines() == 0
    assert jobs.expire_offers() == 0


def test_activity_as_json(app: Flask) -> None:
    member, at = make_member(), now()
    client, key = app.test_client(), bearer("operator")
    before = client.get(f"/api/v1/members/{member.number}/activity", headers=key)
    assert (before.status_code, before.json["active_28"], before.json["weeks"]) == (200, 0, [0] * 8)
    use(member, [0, 1, 2], at=at)
    rolled(at)
    after = client.get(f"/api/v1/members/{member.id}/activity", headers=key).json
    assert (after["active_28"], after["people"], after["activation"], after["minutes_28"], after["trend"]) == (1, 1, 1.0, 3, None)
    assert client.get("/api/v1/members/M-none/activity", headers=key).status_code == 404
    assert client.get(f"/api/v1/members/{member.id}/activity", headers=bearer("buyer", member)).status_code == 403
