"""Dunning: the plan, what is on and off on each day, what the member is told, and that the dry run says what the run then does."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask, current_app
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing.renewal import dunning, renewal_dry_run, renewal_jobs, renewals
from billing.renewal.dunning import Plan
from billing.subscription import subscription_overview
from core.db import SYSTEM, transaction
from core.settings import SettingsError, days
from membership import entitlements, notices
from membership.catalogue_models import ProductLine
from membership.models import Member
from tests.billing import subscription_world as world
from tests.billing.books import assert_books_hold
from tests.sign_in import client_as

AT, END = world.AT, datetime(2026, 7, 14, 16, tzinfo=UTC)
PLAN = Plan((0, 1, 3, 7, 14), 7, 14)


def test_the_plan_in_days() -> None:
    assert PLAN.steps == [(0, "retry"), (1, "retry"), (3, "retry"), (7, "suspend"), (14, "end")]
    assert Plan((5,), 20, 10).steps == [(0, "retry"), (5, "retry"), (10, "end")]
    assert PLAN.step_after(END, END + timedelta(days=3)) == (END + timedelta(days=7), "suspend")
    assert PLAN.step_after(END, END + timedelta(days=20)) == (END + timedelta(days=14), "end")


@pytest.mark.parametrize("wrong", ["", "1,", "3,1", "1,1", "a", "-1", "99999"])
def test_a_wrong_plan_is_told(wrong: str) -> None:
    with pytest.raises((ValueError, SettingsError)):
        days(wrong)
    assert days("0, 1,3") == (0, 1, 3)


@pytest.fixture
def member(app: Flask) -> Member:
    world.sell()
    return world.member_with(paid=300_00)


def unread(member: Member) -> list[str]:
    with transaction(SYSTEM):
        return sorted(n.kind for n in notices.list_newest(member.id) if n.read_at is None)


def may_use(member: Member) -> bool:
    with transaction(SYSTEM):
        return entitlements.may_use_feature(member.id, "crm", "feature_2")


def test_day_by_day_to_the_end(member: Member) -> None:
    """One truthful notice at any time; access ends with the suspension, the subscription with the plan."""
    subscription = world.subscribe(member)
    seen = []
    for day in range(16):
        done = world.renew_all(END + timedelta(days=day))
        seen.append((done.examined, world.now_of(subscription).state, may_use(member), unread(member)))
    past_due, suspended, lapsed = ["subscription_past_due"], ["subscription_suspended"], ["subscription_lapsed"]
    assert [(day, *row) for day, row in enumerate(seen) if row[0]] == [
        (0, 1, "past_due", True, past_due), (1, 1, "past_due", True, past_due), (3, 1, "past_due", True, past_due),
        (7, 1, "past_due", False, suspended), (14, 1, "ended", False, lapsed),
    ]  # fmt: skip
    assert all(len(row[3]) == 1 for row in seen)


def test_the_next_top_up_pays_at_once_and_brings_everything_back(member: Member) -> None:
    subscription = world.subscribe(member)
    for day in (0, 1, 3, 7):
        world.renew_all(END + timedelta(days=day))
    with transaction(SYSTEM):
        (case,) = dunning.cases(member.id)
        assert [(s.count, s.amount_minor, s.suspended) for s in dunning.sums()] == [(1, 300_00, 1)]
    assert (case.attempts, case.amount_minor, case.suspended_at, case.ends_at(PLAN)) == (4, 300_00, END + timedelta(days=7), END + timedelta(days=14))
    assert not may_use(member)
    assert world.put_in(member, 300_00, at=END + timedelta(days=9)) == 1
    held = world.now_of(subscription)
    assert (held.state, held.suspended_at, held.failed_attempts, held.term_start) == ("active", None, 0, END)
    assert may_use(member)
    assert unread(member) == []
    assert_books_hold()


def _mixed(owner) -> None:  # type: ignore[no-untyped-def]
    """Renewed, short, several of one wallet, cancelled, downgraded, behind by several terms, without a price, past due for days."""
    world.sell()
    world.sell("ops")
    for paid in (100_00, 400_00, 700_00, 2_000_00):
        one = world.member_with(paid=700_00 + paid)
        world.subscribe(one)
        world.subscribe(one, line="ops", at=AT + timedelta(hours=2))
    cancelled, fewer, behind, odd, late = (world.member_with(paid=3_000_00) for _n in range(5))
    ids = {"cancelled": world.subscribe(cancelled).id, "odd": world.subscribe(odd).id}
    world.change(fewer, world.subscribe(fewer, rank=3, seats=8), 0, rank=1, seats=2)
    world.subscribe(behind, at=AT - timedelta(days=100))
    world.subscribe(late, rank=4, seats=60, at=AT - timedelta(days=4))
    with owner.begin() as connection:
        connection.execute(text("update subscription set cancel_at_term_end = true where id = :id"), {"id": ids["cancelled"]})
        connection.execute(text("update subscription set period = 'quarter' where id = :id"), {"id": ids["odd"]})
        connection.execute(text("delete from edition_price where rank = 2 and period = 'quarter'"))
    world.renew_all(END - timedelta(days=2))


def test_a_dry_run_is_the_run_row_by_row_and_leaves_nothing(app: Flask, owner) -> None:  # type: ignore[no-untyped-def]
    _mixed(owner)
    for at in (END, END + timedelta(days=1), END + timedelta(days=6)):
        with owner.connect() as connection:
            before = (
                connection.execute(text("select count(*), max(seq) from ledger_transaction")).one(),
                connection.execute(text("select count(*) from notice")).one(),
            )
        planned = list(renewal_dry_run.outcomes(at, SYSTEM))
        assert planned == list(renewal_dry_run.outcomes(at, SYSTEM))
        with owner.connect() as connection:
            after = (
                connection.execute(text("select count(*), max(seq) from ledger_transaction")).one(),
                connection.execute(text("select count(*) from notice")).one(),
            )
        assert before == after
        done: list[renewals.Outcome] = []
        while True:
            with transaction(SYSTEM):
                batch = renewals.renew_each(at, 3)
            if not batch:
                break
            done += [one for one in batch if one.outcome != "waiting"]
        assert sorted(done, key=lambda o: (o.member_id, o.begins_at, o.subscription_id, o.term)) == planned
        assert planned
    assert_books_hold()


def test_the_command_line_says_the_same(app: Flask, owner, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    _mixed(owner)
    monkeypatch.setattr(renewal_jobs, "now", lambda: END)
    run = app.test_cli_runner().invoke
    dry = run(args=["renewals", "run", "--dry-run", "--at", END.isoformat()])
    assert dry.exit_code == 0, dry.output
    table = run(args=["renewals", "run", "--dry-run", "--at", END.isoformat(), "--csv"])
    lines = [line for line in table.output.splitlines() if line.count(",") > 8]
    real = run(args=["renewals", "run"])
    for name, count in ((line.split()[0], line.split()[1]) for line in dry.output.splitlines()):
        assert f"{count} {name.replace('_', ' ')}" in real.output, (dry.output, real.output)
        assert sum(f",{name}," in line for line in lines) == int(count)
    assert run(args=["renewals", "run", "--at", "x"]).exit_code == 2
    assert run(args=["renewals", "run", "--dry-run", "--at", "2026-07-01"]).exit_code == 2


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 20), min_size=1, max_size=5, unique=True), st.integers(0, 20), st.integers(1, 20))
def test_any_plan_ends_and_never_tries_twice_at_once(app: Flask, retry: list[int], suspend: int, end: int) -> None:
    with transaction(SYSTEM) as session:
        is_sold = session.get(ProductLine, "crm") is not None
    if not is_sold:
        world.sell()
    member = world.member_with(paid=300_00)
    subscription = world.subscribe(member)
    before = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(before, dunning_retry_days=tuple(sorted(retry)), dunning_suspend_days=suspend, past_due_grace_days=end)
    try:
        plan = Plan.of(app.extensions["settings"])
        tried = [day for day in range(22) if world.renew_all(END + timedelta(days=day)).examined]
        assert tried == [day for day, _what in plan.steps]
        assert world.now_of(subscription).state == "ended"
    finally:
        app.extensions["settings"] = before


def test_the_member_sees_the_price_that_will_be_charged_and_its_suspension(member: Member) -> None:
    subscription = world.subscribe(member)
    world.reprice("crm", AT + timedelta(days=1), factor=2)
    with transaction(world.owner_of(member)):
        shown = subscription_overview.of_member(member.id, timedelta(days=14), at=AT + timedelta(days=2))
    assert shown.running[0].next.price_minor == 300_00  # nobody was told of the increase, so it does not hold
    for day in (0, 1, 3, 7):
        world.renew_all(END + timedelta(days=day))
    client = client_as(current_app, "owner", member)  # type: ignore[arg-type]
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    page = client.get("/subscriptions").get_data(as_text=True)
    assert "Suspended since 2026-07-22" in page
    assert world.now_of(subscription).suspended_at == END + timedelta(days=7)
