"""The product's clock: real by default, movable in a demo, forward only, and lived through."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from core import clock, clock_jobs, clock_moves, passage
from core.audit import AuditEntry
from core.clock_cli import clock_group
from core.clock_moves import ClockIsMoving, ClockIsReal, NotForward, ProductClock, TooFar
from core.db import SYSTEM, db, transaction
from core.passage import Step
from tests.factories import make_member
from tests.sign_in import bearer, client_as

YEAR = timedelta(days=365)
NEAR = timedelta(seconds=20)
System = Callable[[], AbstractContextManager[Session]]


@pytest.fixture(autouse=True)
def forgetful(app: Flask) -> Iterator[None]:
    """What this process knew of the clock belongs to another test's database."""
    clock.forget()
    yield
    clock.forget()


@pytest.fixture
def nothing_due(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product in which time brings about nothing."""
    monkeypatch.setitem(app.extensions, "passage", [])


@pytest.fixture
def real(app: Flask) -> Iterator[Flask]:
    """The application outside a demo."""
    before, movable = app.extensions["settings"], app.extensions.pop("movable_clock")
    app.extensions["settings"] = dataclasses.replace(before, demo=False)
    yield app
    app.extensions["settings"], app.extensions["movable_clock"] = before, movable


def send(days: int | None = None, to: datetime | None = None) -> clock_moves.Standing:
    with transaction(SYSTEM):
        return clock_moves.start(clock_moves.target(to, days), "test")


def stands() -> clock_moves.Standing:
    with transaction(SYSTEM):
        return clock_moves.show()


def test_product_time_is_real_time_until_it_is_moved(app: Flask) -> None:
    assert abs(clock.now() - datetime.now(UTC)) < NEAR
    assert clock.ahead() == timedelta()
    assert stands().ahead_seconds == 0


def test_a_real_clock_asks_nobody_and_cannot_be_moved(real: Flask, system: System) -> None:
    with system() as session:
        session.add(ProductClock(id=1, ahead_us=3_600_000_000, moving_from=None, moving_to=None, moved_by=None))  # somebody's demo, once
    asked: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert abs(clock.now() - datetime.now(UTC)) < NEAR
    assert asked == []
    assert "member_engine" not in real.extensions or clock.ahead() == timedelta()
    with pytest.raises(ClockIsReal, match="BACKOFFICE_DEMO"):
        send(days=1)
    assert stands().ahead_seconds == 0
    assert clock_moves.go_on() is False


def test_it_goes_where_it_was_sent_and_ticks_on_from_there(app: Flask, nothing_due: None) -> None:
    before = clock.now()
    standing = send(days=365)
    assert (standing.is_moving, standing.percent) == (True, 0)
    assert clock_moves.go_on() is True
    assert timedelta() <= clock.now() - before - YEAR < NEAR
    assert abs(clock.real_now() - datetime.now(UTC)) < NEAR
    seen = clock.now()
    time.sleep(0.01)
    assert clock.now() > seen
    assert not stands().is_moving
    assert clock_moves.go_on() is False  # it was not sent anywhere


def test_every_process_knows_when_the_move_is_told_to_be_over(app: Flask, nothing_due: None) -> None:
    other = clock.MovableClock()  # as another process has it
    assert other.ahead() == timedelta()
    send(days=30)
    clock_moves.go_on()
    assert abs(other.ahead() - timedelta(days=30)) < NEAR


def test_days_count_from_where_the_clock_is_though_this_process_has_not_heard_of_it(app: Flask, nothing_due: None, monkeypatch: pytest.MonkeyPatch) -> None:
    send(days=10)
    clock_moves.go_on()
    there = stands().now
    monkeypatch.setattr(clock, "now", clock.real_now)  # what the process remembers
    to = send(days=8).moving_to
    assert to is not None
    assert timedelta() <= to - there - timedelta(days=8) < NEAR


def test_it_never_goes_back_nor_too_far_nor_two_ways_at_once(app: Flask, nothing_due: None) -> None:
    with pytest.raises(NotForward):
        send(to=clock.now() - timedelta(seconds=1))
    with pytest.raises(TooFar, match="3660"):
        send(days=3_700)
    to = send(days=10).moving_to
    assert to is not None
    assert send(to=to).moving_to == to  # the same again
    with pytest.raises(ClockIsMoving):
        send(days=20)
    clock_moves.go_on()
    clock_moves._put(clock.real_now())
    assert abs(clock.ahead() - timedelta(days=10)) < NEAR


def test_what_is_due_runs_at_its_own_instant_in_order(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps: one has something to do each 10 days, and so makes something due for the other at the same instant."""
    start = clock.now()
    pending: dict[str, datetime | None] = {"first": start + timedelta(days=10), "second": None}
    ran: list[tuple[str, int]] = []

    def first(at: datetime) -> None:
        ran.append(("first", (at - start).days))
        pending["first"], pending["second"] = at + timedelta(days=10), at

    def second(at: datetime) -> None:
        ran.append(("second", (at - start).days))
        assert abs(clock.now() - at) < NEAR  # the clock shows the instant at which it runs
        pending["second"] = None

    names = ("second", "first")  # in this order
    monkeypatch.setattr(passage, "_dues", lambda taking_part: [pending[step.name] for step in taking_part])
    monkeypatch.setitem(app.extensions, "passage", [Step(name, "", {"first": first, "second": second}[name]) for name in names])
    send(days=25)
    clock_moves.go_on()
    assert ran == [("first", 10), ("second", 10), ("first", 20), ("second", 20)]


def test_what_is_due_is_asked_for_again_only_where_something_was_done(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    due = [clock.now() + timedelta(days=day) for day in range(1, 11)]
    asked: list[int] = []

    def dues(_taking_part: list[Step]) -> list[datetime | None]:
        asked.append(len(due))
        return [due[0] if due else None]

    monkeypatch.setattr(passage, "_dues", dues)
    monkeypatch.setitem(app.extensions, "passage", [Step("daily", "", lambda _at: due.pop(0))])
    send(days=20)
    clock_moves.go_on()
    assert asked == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_a_move_awaits_no_disk_and_what_comes_after_does(app: Flask, nothing_due: None) -> None:
    said: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        said.append(statement)

    send(days=1)
    event.listen(db.engine, "before_cursor_execute", hear)
    try:
        clock_moves.go_on()
        assert "set local synchronous_commit to off" in said
        said.clear()
        assert not stands().is_moving
        assert said
        assert not [statement for statement in said if "synchronous_commit" in statement]
    finally:
        event.remove(db.engine, "before_cursor_execute", hear)


def test_what_stays_due_does_not_stop_the_clock(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[datetime] = []
    stuck = Step("stuck", "select timestamptz '2020-01-01'", tried.append)
    monkeypatch.setitem(app.extensions, "passage", [stuck])
    send(days=3)
    assert clock_moves.go_on() is True
    assert 1 <= len(tried) <= 4


class Killed(BaseException):
    """The process ends: nobody catches it."""


def test_a_move_that_was_interrupted_goes_on(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    start, ran = clock.now(), []
    due = [start + timedelta(days=day) for day in (1, 2, 3)]

    def run(at: datetime) -> None:
        if len(ran) == 1 and not died:
            died.append(at)
            raise Killed
        ran.append(due.pop(0))

    died: list[datetime] = []
    monkeypatch.setattr(passage, "_dues", lambda taking_part: [due[0] if due else None])
    monkeypatch.setitem(app.extensions, "passage", [Step("daily", "", run)])
    send(days=10)
    with pytest.raises(Killed):
        clock_moves.go_on()
    assert (stands().is_moving, round(clock.ahead() / timedelta(days=1))) == (True, 2)
    assert clock_jobs.go_on() is True
    assert (len(ran), len(died), stands().is_moving) == (3, 1, False)
    assert abs(clock.ahead() - timedelta(days=10)) < NEAR


def test_a_step_that_fails_does_not_stop_time_and_is_not_hushed_up(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    start, ran = clock.now(), []
    due = [start + timedelta(days=day) for day in (1, 2)]

    def broken(_at: datetime) -> None:
        raise ZeroDivisionError

    def works(at: datetime) -> None:
        ran.append(at)
        due.pop(0)

    monkeypatch.setattr(passage, "_dues", lambda taking_part: [due[0], due[0]] if due else [None, None])
    monkeypatch.setitem(app.extensions, "passage", [Step("broken", "", broken), Step("works", "", works)])
    send(days=5)
    with pytest.raises(clock_moves.StepsFailed, match="broken failed 2 times"):
        clock_moves.go_on()
    assert len(ran) == 2
    assert not stands().is_moving
    assert abs(clock.ahead() - timedelta(days=5)) < NEAR


def test_only_one_process_moves_it(app: Flask, nothing_due: None) -> None:
    send(days=5)
    with clock_moves._alone() as is_alone:
        assert is_alone
        assert clock_moves.go_on() is False
    assert clock_moves.go_on() is True


def test_the_steps_of_the_product_can_be_asked(app: Flask) -> None:
    """Every `due` is valid SQL, finds nothing in an empty product, and its job then does nothing."""
    steps = passage.steps(app)
    assert [step.name for step in steps][1:3] == ["recognition of revenue", "expiry of money"]
    assert passage._dues(steps) == [None] * len(steps)
    for step in steps:
        step.run(clock.now())


# --- API, pages, command line ------------------------------------------------------------------------------------


def test_the_api_moves_it_and_tells(app: Flask, client: FlaskClient, system: System, nothing_due: None) -> None:
    operator = bearer("operator")
    assert client.get("/api/v1/clock", headers=operator).json["is_movable"] is True
    answer = client.post("/api/v1/clock", json={"days": 90}, headers=operator)
    assert (answer.status_code, answer.json["is_moving"], answer.json["percent"]) == (202, True, 0)
    clock_jobs.go_on()
    told = client.get("/api/v1/clock", headers=operator).json
    assert (told["is_moving"], told["percent"], round(told["ahead_seconds"] / 86_400)) == (False, 100, 90)
    with system() as session:
        (entry,) = session.scalars(select(AuditEntry).where(AuditEntry.action == "clock.advance"))
    assert entry.after["to"] > entry.before["now"]
    assert entry.actor_role == "operator"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({}, 422, "invalid"),
        ({"days": 0}, 422, "invalid"),
        ({"days": 1, "to": "2999-01-01T00:00:00Z"}, 422, "invalid"),
        ({"to": "2020-01-01T00:00:00Z"}, 422, "not_forward"),
        ({"to": "9999-12-31T23:59:59Z"}, 422, "too_far"),
        ({"to": "2999-01-01T00:00:00"}, 422, "invalid"),
        ({"days": 36_600}, 422, "too_far"),
    ],
)
def test_the_api_refuses_in_words(app: Flask, client: FlaskClient, sent: dict[str, Any], status: int, code: str) -> None:
    answer = client.post("/api/v1/clock", json=sent, headers=bearer("operator"))
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert not stands().is_moving


def test_outside_a_demo_the_api_says_why_not(real: Flask) -> None:
    answer = real.test_client().post("/api/v1/clock", json={"days": 1}, headers=bearer("operator"))
    assert (answer.status_code, answer.json["code"]) == (409, "clock_is_real")
    assert "真实时间" in client_as(real, "operator").get("/operator/clock?lang=zh").text


def test_the_page_moves_it_and_every_page_says_so(app: Flask, nothing_due: None) -> None:
    operator = client_as(app, "operator")
    assert "clock-banner" not in operator.get("/operator/clock?lang=en").text
    assert operator.post("/operator/clock", data={"days": "30", "to": ""}).status_code == 303
    waiting = operator.get("/operator/clock?lang=en").text
    assert "data-poll" in waiting
    assert operator.get("/operator/clock/progress").json["done"] is False
    clock_jobs.go_on()
    assert operator.get("/operator/clock/progress").json["done"] is True
    moved = clock.now() + timedelta(hours=8)
    for page in (
        operator.get("/operator/clock?lang=en"),
        app.test_client().get("/sign-in?lang=en"),
        client_as(app, "owner", make_member()).get("/team?lang=en"),
    ):
        assert f"it is {moved:%Y-%m-%d}" in page.text
    assert operator.post("/operator/clock", data={"days": "30", "to": f"{moved + timedelta(days=2):%Y-%m-%d %H:%M}"}).status_code == 303
    clock_jobs.go_on()
    assert round(clock.ahead() / timedelta(days=1)) == 32


@pytest.mark.parametrize(
    ("form", "words"),
    [({"days": ""}, "Choose how far"), ({"days": "30", "to": "soon"}, "Write the day and time"), ({"to": "2020-01-01"}, "forward only")],
)
def test_the_page_refuses_in_words(app: Flask, form: dict[str, str], words: str) -> None:
    answer = client_as(app, "operator").post("/operator/clock?lang=en", data=form)
    assert answer.status_code == 422
    assert words in answer.text


def test_a_signed_in_browser_does_not_notice(app: Flask, nothing_due: None) -> None:
    """Sessions live in real time: a year on, nobody is signed out, and a new sign-in is not older than the old one."""
    operator = client_as(app, "operator")
    send(days=365)
    clock_moves.go_on()
    assert operator.get("/operator/clock").status_code == 200
    assert client_as(app, "operator").get("/operator/clock").status_code == 200


def test_the_command_line_moves_it(app: Flask, nothing_due: None) -> None:
    runner = app.test_cli_runner()
    assert "product time" in runner.invoke(clock_group, ["show"]).output
    moved = runner.invoke(clock_group, ["advance", "--days", "7"])
    assert moved.exit_code == 0, moved.output
    assert round(clock.ahead() / timedelta(days=1)) == 7
    assert runner.invoke(clock_group, ["advance", "--to", "2020-01-01"]).exit_code == 1
    assert runner.invoke(clock_group, ["advance"]).exit_code == 2
