"""Statements: they open where the last one closed, every movement is there once, and a member sees its own only."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from billing.finance import statements
from core.db import SYSTEM, transaction
from tests.billing.finance.finance_world import JUNE, LAST_OF_MAY, MAY, PRESENT, World, make_world, spend, stop_the_clock
from tests.sign_in import bearer, client_as

MAY_FIRST, JUNE_FIRST, JULY_FIRST = (datetime(2026, month, 30 + (month == 5), 16, tzinfo=UTC) for month in (4, 5, 6))


@pytest.fixture
def world(app: Flask, monkeypatch: pytest.MonkeyPatch) -> World:
    stop_the_clock(monkeypatch)
    return make_world()


def read(member_id, since: datetime, until: datetime, **more) -> statements.Statement:  # type: ignore[no-untyped-def]
    with transaction(SYSTEM):
        return statements.statement(member_id, "CNY", since, until, at=PRESENT, **more)


def test_a_month_has_opening_movements_and_closing(world: World) -> None:
    may = read(world.a.id, MAY_FIRST, JUNE_FIRST)
    assert (may.opening_minor, may.closing_paid_minor, may.closing_bonus_minor) == (0, 760_00, 40_00)
    assert [(m.at, m.kind, m.amount_minor, m.balance_after_minor) for m in may.movements] == [
        (MAY, "top_up", 1_100_00, 1_100_00), (LAST_OF_MAY, "purchase", -300_00, 800_00),
    ]  # fmt: skip
    assert (may.came_in_minor, may.went_out_minor, may.difference_minor, may.count) == (1_100_00, -300_00, 0, 2)
    assert not may.is_provisional
    june = read(world.a.id, JUNE_FIRST, JULY_FIRST)
    assert (june.opening_minor, june.closing_minor, june.is_provisional) == (800_00, 760_00, True)


def test_consecutive_periods_of_any_length_chain(world: World) -> None:
    for member in (world.a, world.b, world.c):
        closing, at, movements = 0, MAY_FIRST, 0
        while at < JULY_FIRST:
            one = read(member.id, at, at + timedelta(days=3))
            assert one.opening_minor == closing
            assert one.difference_minor == 0
            closing, at, movements = one.closing_minor, at + timedelta(days=3), movements + len(one.movements)
        whole = read(member.id, MAY_FIRST, at)
        assert (whole.closing_minor, whole.count) == (closing, movements)


def test_what_ends_when_is_that_of_the_closing_balance(world: World) -> None:
    assert [(e.kind, e.expires_at, e.amount_minor) for e in read(world.b.id, MAY_FIRST, JUNE_FIRST).expiring] == [("bonus", JUNE, 50_00)]
    assert read(world.b.id, JUNE_FIRST, JULY_FIRST).expiring == []
    assert [e.amount_minor for e in read(world.a.id, MAY_FIRST, JUNE_FIRST - timedelta(days=1)).expiring] == [100_00]
    assert [e.amount_minor for e in read(world.a.id, MAY_FIRST, JUNE_FIRST).expiring] == [40_00]


def test_an_empty_period_knows_its_neighbours(world: World) -> None:
    gap = read(world.a.id, MAY + timedelta(days=1), MAY + timedelta(days=2))
    assert (gap.movements, gap.opening_minor, gap.closing_minor) == ([], 1_100_00, 1_100_00)
    assert (gap.last_before, gap.first_after) == (MAY, LAST_OF_MAY)


def test_pages_of_movements_follow_one_another(world: World) -> None:
    for minute in range(9):
        spend(world.a, JUNE + timedelta(hours=1), 1_00 + minute)
    whole = read(world.a.id, MAY_FIRST, JULY_FIRST)
    seen: list[statements.Movement] = []
    after = None
    while True:
        page = read(world.a.id, MAY_FIRST, JULY_FIRST, after=after, limit=4)
        seen += page.movements
        if (after := page.next) is None:
            break
    assert seen == list(whole.movements)
    assert len(seen) == whole.count == 12


def test_finance_reads_a_statement_and_an_empty_one_says_so(app: Flask, world: World) -> None:
    client = client_as(app, "finance")
    page = client.get(f"/finance/members/{world.a.id}/statement?lang=en").text
    assert "provisional: the period is not over" in page
    assert "Opening balance and movements give the closing balance, difference 0.00" in page
    assert "−40.00" in page
    assert page.count("btn-primary") == 1
    may = client.get(f"/finance/members/{world.a.id}/statement?lang=en&from=2026-05-01&until=2026-05-31").text
    assert "provisional" not in may
    assert re.search(r"2026-05-31 23:59:30.*?−300\.00.*?760\.00.*?40\.00.*?800\.00", may, re.S)
    gap = client.get(f"/finance/members/{world.a.id}/statement?lang=en&from=2026-05-12&until=2026-05-13").text
    assert "No movement in this period" in gap
    assert "The balance stayed at ¥1,100.00." in gap
    assert "Last movement before: 2026-05-10" in gap
    assert "Next movement after: 2026-05-31" in gap
    assert client.get("/finance/members/00000000-0000-0000-0000-000000000009/statement").status_code == 404


@pytest.mark.parametrize(("query", "words"), [("from=2026-05-32", "Write the day and time"), ("from=2026-05-03&until=2026-05-02", "must begin before its end")])
def test_a_wrong_period_is_said_beside_the_field(app: Flask, world: World, query: str, words: str) -> None:
    answer = client_as(app, "finance").get(f"/finance/members/{world.a.id}/statement?lang=en&{query}")
    assert answer.status_code == 422
    assert words in answer.text


def test_finance_finds_members_and_months(app: Flask, world: World) -> None:
    client = client_as(app, "finance")
    assert "Whose statement?" in client.get("/finance/statements?lang=en").text
    page = client.get("/finance/statements?lang=en&member=甲&from=2026-05-01&until=2026-05-31").text
    assert f"/finance/members/{world.a.id}/statement?from=2026-05-01&amp;until=2026-05-31" in page
    assert str(world.b.id) not in page
    assert "Nothing matches these filters" in client.get("/finance/statements?lang=en&member=nobody").text


def test_a_member_reads_its_own_statement_only(app: Flask, world: World) -> None:
    for role in ("owner", "buyer", "viewer"):
        page = client_as(app, role, world.a).get("/wallet/statement?lang=en&from=2026-05-01&until=2026-05-31")
        assert page.status_code == 200
        assert "¥800.00" in page.text
    assert "No movement in this period" in client_as(app, "owner", world.c).get("/wallet/statement?lang=en").text
    stranger = client_as(app, "owner", world.b)
    assert "−300.00" not in stranger.get("/wallet/statement?lang=en&from=2026-05-01&until=2026-05-31").text
    assert stranger.get(f"/finance/members/{world.a.id}/statement").status_code == 403
    assert client_as(app, "finance").get("/wallet/statement").status_code == 403


def test_the_api_gives_the_same_statement(app: Flask, world: World) -> None:
    client, url = app.test_client(), f"/api/v1/finance/members/{world.a.id}/statement"
    period = {"from": "2026-05-01T00:00:00+08:00", "until": "2026-06-01T00:00:00+08:00"}
    found = client.get(url, query_string=period | {"limit": 1}, headers=bearer("operator")).json
    assert (found["opening_minor"], found["closing_minor"], found["count"], found["difference_minor"], found["is_provisional"]) == (0, 800_00, 2, 0, False)
    following = client.get(url, query_string=period | {"after": found["next"]}, headers=bearer("finance")).json
    assert [one["amount_minor"] for one in found["items"] + following["items"]] == [1_100_00, -300_00]
    assert found["expiring"] == [{"kind": "bonus", "expires_at": (JUNE + timedelta(days=90)).isoformat(), "amount_minor": 40_00}]
    assert client.get(url, headers=bearer("buyer", world.a)).status_code == 403
    assert client.get(url, query_string={"from": period["until"], "until": period["from"]}, headers=bearer("finance")).status_code == 422
    assert client.get(url.replace(str(world.a.id), str(world.a.entity_id)), headers=bearer("finance")).status_code == 404
