"""Ingest and rollups: any order, any batching, any repetition gives the same figures."""

import random
import threading
import time
import uuid
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from core.actor import Actor
from core.db import SYSTEM, transaction
from membership.models import Member
from operations import events, rollups
from tests.factories import AT, make_member
from tests.sign_in import bearer

ZONE = ZoneInfo("Asia/Shanghai")


def as_member(member: Member) -> Actor:
    return Actor(kind="member", role="buyer", member_id=member.id)


def one(n: int = 1, **changes: object) -> dict[str, object]:
    event = {"id": f"e{n}", "user": "u1", "at": (AT - timedelta(minutes=n)).isoformat(), "feature": "contact", "action": "open", "duration_ms": 100}
    return {**event, **changes}


def stored(owner: Engine) -> list[tuple[object, ...]]:
    with owner.connect() as connection:
        return [
            tuple(row)
            for row in connection.execute(
                text("select day, user_ref, feature, is_automated, events, duration_ms, first_at, last_at from usage_daily order by 1, 2, 3, 4")
            )
        ]


def refreshed(at: datetime = AT) -> None:
    while True:
        with transaction(SYSTEM):
            if not rollups.refresh(2, at=at):
                return


def naive(sent: list[dict[str, object]]) -> list[tuple[object, ...]]:
    """The rollup as one would do it by hand."""
    cells: dict[tuple[date, str, str, bool], list[tuple[datetime, int]]] = defaultdict(list)
    for event in {e["id"]: e for e in sent}.values():
        at = datetime.fromisoformat(str(event["at"]))
        cells[(at.astimezone(ZONE).date(), str(event["user"]), str(event["feature"]), bool(event.get("automated")))].append(
            (at, int(str(event.get("duration_ms", 0))))
        )
    return [(*key, len(hits), sum(d for _at, d in hits), min(a for a, _d in hits), max(a for a, _d in hits)) for key, hits in sorted(cells.items())]


some_events = st.lists(
    st.builds(
        lambda n, user, feature, minutes, duration, automated: one(
            n, user=user, feature=feature, at=(AT - timedelta(minutes=minutes)).isoformat(), duration_ms=duration, automated=automated
        ),
        st.integers(0, 10_000), st.sampled_from("abc"), st.sampled_from(["lead", "order"]), st.integers(0, 4 * 24 * 60), st.integers(0, 1000), st.booleans(),
    ),
    max_size=25, unique_by=lambda e: e["id"],
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=some_events, chance=st.randoms(use_true_random=False), refresh_between=st.booleans())
def test_any_order_repetition_and_batching_gives_the_naive_rollup(
    app: Flask, owner: Engine, sent: list[dict[str, object]], chance: random.Random, refresh_between: bool
) -> None:
    with owner.begin() as connection:
        connection.execute(text("truncate usage_daily, usage_stale, event"))
    member = make_member()
    shuffled = sent + chance.sample(sent, len(sent) // 2)
    chance.shuffle(shuffled)
    while shuffled:
        cut = chance.randint(1, len(shuffled))
        with transaction(as_member(member)):
            events.ingest(shuffled[:cut], member.id, at=AT)
        shuffled = shuffled[cut:]
        if refresh_between:
            refreshed()
    refreshed()
    assert stored(owner) == naive(sent)


def test_good_rows_are_stored_and_bad_ones_named(app: Flask, owner: Engine) -> None:
    member, other = make_member(), make_member()
    batch = [
        one(1), "nonsense", one(2, id=""), one(3, at="yesterday"), one(4, at="2026-06-15T10:00:00"), one(5, at=(AT + timedelta(hours=2)).isoformat()),
        one(6, at=(AT + timedelta(minutes=59)).isoformat()), one(7, duration_ms=-1), one(8, duration_ms=True), one(9, automated="yes"),
        one(10, feature="a\x00b"), one(11, user="\ud800"), one(12, member=other.number), one(13, member=member.number), one(14, member=str(member.id)),
        one(15, object="x" * 501), one(16, object="合同 12"), one(1), one(17, at=20260615), one(18, at="0001-01-01T00:00:00+14:00"), {},
    ]  # fmt: skip
    with transaction(as_member(member)):
        receipt = events.ingest(batch, member.id, at=AT)
    assert (receipt.accepted, receipt.duplicates) == (5, 1)
    assert [(r.index, r.field) for r in receipt.rejected] == [
        (1, "event"), (2, "id"), (3, "at"), (4, "at"), (5, "at"), (7, "duration_ms"), (8, "duration_ms"), (9, "automated"), (10, "feature"),
        (11, "user"), (12, "member"), (15, "object"), (18, "at"), (19, "at"), (20, "id"),
    ]  # fmt: skip
    with owner.connect() as connection:
        assert set(connection.scalars(text("select member_id from event"))) == {member.id}


def test_a_late_event_changes_the_day_it_belongs_to(app: Flask, owner: Engine) -> None:
    member = make_member()
    with transaction(as_member(member)):
        events.ingest([one(1, at="2026-06-10T15:59:00Z"), one(2, at="2026-06-10T16:01:00Z")], member.id, at=AT)
    refreshed()
    assert [row[0] for row in stored(owner)] == [date(2026, 6, 10), date(2026, 6, 11)]
    with transaction(as_member(member)):
        events.ingest([one(3, at="2026-06-10T08:00:00Z")], member.id, at=AT)
    refreshed()
    assert [(row[0].day, row[4]) for row in stored(owner)] == [(10, 2), (11, 1)]  # type: ignore[attr-defined]


def test_a_rollup_misses_nothing_that_is_committed_while_it_runs(app: Flask, owner: Engine) -> None:
    """Senders and the rollup race; at the end one more rollup must have counted every event."""
    member, failures = make_member(), []

    def send(sender: int) -> None:
        with app.app_context():
            try:
                for n in range(15):
                    with transaction(as_member(member)):
                        events.ingest([one(1000 * sender + n), one(7777)], member.id, at=AT)
            except Exception as error:
                failures.append(error)

    def roll() -> None:
        with app.app_context():
            for _ in range(30):
                with transaction(SYSTEM):
                    rollups.refresh(at=AT)

    threads = [threading.Thread(target=send, args=(n,)) for n in (1, 2, 3)] + [threading.Thread(target=roll) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refreshed()
    assert failures == []
    assert sum(row[4] for row in stored(owner)) == 46  # type: ignore[misc]


def test_the_api_takes_a_batch_once(app: Flask) -> None:
    member = make_member()
    client, key = app.test_client(), bearer("buyer", member)
    first = client.post("/api/v1/events", json={"events": [one(1), one(2), one(3, at=None)]}, headers=key)
    again = client.post("/api/v1/events", json={"events": [one(1), one(2)]}, headers=key)
    assert first.status_code == again.status_code == 200
    assert (first.json["accepted"], first.json["duplicates"]) == (2, 0)
    assert [(r["index"], r["field"]) for r in first.json["rejected"]] == [(2, "at")]
    assert (again.json["accepted"], again.json["duplicates"], again.json["rejected"]) == (0, 2, [])


def test_the_vendor_writes_for_members_it_names(app: Flask, owner: Engine) -> None:
    first, second = make_member(), make_member()
    sent = [one(1, member=first.number), one(1, member=str(second.id)), one(2), one(3, member="M-none"), one(4, member=str(uuid.uuid4()))]
    answer = app.test_client().post("/api/v1/events", json={"events": sent}, headers=bearer("operator"))
    assert answer.json["accepted"] == 2
    assert [(r["index"], r["field"]) for r in answer.json["rejected"]] == [(2, "member"), (3, "member"), (4, "member")]
    with owner.connect() as connection:
        assert set(connection.scalars(text("select member_id from event"))) == {first.id, second.id}


@pytest.mark.parametrize(
    ("body", "status"), [({}, 422), ({"events": "x"}, 422), ({"events": [], "more": 1}, 422), ({"events": [{}] * 5001}, 413), ({"events": []}, 200)]
)
def test_a_wrong_envelope_is_refused(app: Flask, body: dict[str, object], status: int) -> None:
    answer = app.test_client().post("/api/v1/events", json=body, headers=bearer("buyer", make_member()))
    assert answer.status_code == status
    assert answer.json.get("status", 200) == status


def test_others_are_not_let_in(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/api/v1/events", json={"events": []}).status_code == 401
    assert client.post("/api/v1/events", json={"events": []}, headers=bearer("viewer", make_member())).status_code == 403
    assert client.post("/api/v1/events", json={"events": []}, headers=bearer("csm")).status_code == 403


def test_five_thousand_events_take_a_moment(app: Flask) -> None:
    """Some 0.1 s on a free machine; the best of three, as others may be working beside us."""
    member, took = make_member(), []
    for batch_no in range(3):
        batch = [one(n, id=f"{batch_no}-{n}", user=f"u{n % 9}", at=(AT - timedelta(minutes=13 * n)).astimezone(UTC).isoformat()) for n in range(5000)]
        started = time.perf_counter()
        with transaction(as_member(member)):
            assert events.ingest(batch, member.id, at=AT).accepted == 5000
        took.append(time.perf_counter() - started)
    assert min(took) < 1
