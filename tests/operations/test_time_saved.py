"""What apps did for a member is counted from its events, and told to it and to its CSM."""

import uuid
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from core.clock import real_now
from core.db import SYSTEM, transaction
from marketplace.license.app_runs import Runs
from marketplace.license.license_models import License
from membership.models import Member
from operations import events, time_saved
from tests.factories import AT, make_member
from tests.marketplace import store_world
from tests.marketplace.store_world import FREE, ONE_TIME
from tests.operations.factories import make_listing, make_order
from tests.sign_in import client_as


def ran(member: Member, times: int, *, at: datetime, slug: str = "robot", **more: object) -> None:
    """So many runs at one instant, as an automation reports them."""
    rows = [
        {"id": str(uuid.uuid4()), "user": "automation", "at": at.isoformat(), "feature": "app", "action": "run", "object": slug, "automated": True} | more
        for _n in range(times)
    ]
    with transaction(SYSTEM):
        assert events.ingest(rows, member.id, at=at + timedelta(minutes=1)).accepted == times


@pytest.fixture
def member(app: Flask) -> Member:
    return make_member(paid=1_000_00, name="星图科技")


def test_runs_of_apps_are_counted_and_nothing_else(member: Member) -> None:
    other = make_member(name="别家")
    ran(member, 3, at=AT - timedelta(days=1))
    ran(member, 2, at=AT - timedelta(days=31))
    ran(member, 1, at=AT - timedelta(days=1), slug="form")
    ran(other, 7, at=AT - timedelta(days=1))
    ran(member, 1, at=AT + timedelta(days=1))  # to come, where a clock was moved back
    ran(member, 1, at=AT - timedelta(days=366))
    for more in ({"automated": False}, {"feature": "report"}, {"action": "open"}, {"object": None}):
        ran(member, 1, at=AT - timedelta(days=1), **more)
    with transaction(SYSTEM):
        assert time_saved.runs_of(member.id, AT) == {"robot": Runs(month=3, year=5), "form": Runs(month=1, year=1)}
        assert time_saved.runs_of(other.id, AT) == {"robot": Runs(month=7, year=7)}


def test_a_member_sees_what_its_apps_saved_and_so_does_its_csm(app: Flask) -> None:
    store_world.open_store(FREE, ONE_TIME)
    store_world.set_listing(FREE, minutes_saved=5)
    store_world.set_listing(ONE_TIME, minutes_saved=0)
    member, at = make_member(paid=10_000_00), real_now()
    store_world.subscribe(member)
    license_id = store_world.buy(member, FREE)
    store_world.buy(member, ONE_TIME)
    owner = client_as(app, "owner", member)
    assert "It has not run in the last 12 months." in owner.get(f"/apps/{license_id}?lang=en").text
    ran(member, 37, at=at - timedelta(days=2), slug=FREE)
    ran(member, 12, at=at - timedelta(days=200), slug=FREE)
    ran(member, 4, at=at - timedelta(days=2), slug=ONE_TIME)

    listed = owner.get("/apps?lang=en").text
    assert "Your apps saved about 3.1 hours in the last 30 days." in listed  # 37 runs of 5 minutes; nobody knows what the other one saves
    shown = owner.get(f"/apps/{license_id}?lang=en").text
    for said in ("<dd>37</dd>", "<dd>3.1 hours</dd>", "<dd>49</dd>", "<dd>4.1 hours</dd>", "one saves 5 minutes"):
        assert said in shown
    assert "近 30 天，您的应用约节省了 3.1 小时。" in owner.get("/apps?lang=zh").text
    assert "3.1 hours" in client_as(app, "csm").get(f"/csm/members/{member.id}?lang=en").text


def test_runs_count_once_where_an_app_was_had_before(app: Flask, member: Member) -> None:
    robot = make_listing("robot", repeatable=True)
    for _n in range(2):
        make_order(member, robot)
    with transaction(SYSTEM) as session:
        session.execute(update(License).where(License.member_id == member.id).values(is_exclusive=True, state="ended"))
    ran(member, 2, at=AT + timedelta(hours=1))
    with transaction(SYSTEM):
        assert [minutes for _app, minutes in time_saved.apps_of(member.id, AT + timedelta(hours=2))] == [10, None]
