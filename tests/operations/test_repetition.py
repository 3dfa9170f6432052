"""Planted routines are found, shuffled noise yields none, and toil meets the listing that does it."""

import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from core.db import SYSTEM, transaction
from operations import events, repetition
from operations.models import Routine
from tests.factories import AT, make_member
from tests.operations.factories import make_listing

MAKE_WORLD = Path(__file__).parents[2] / "benchmarks" / "make_world.py"
Seen = repetition.Seen


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world with planted routines."""
    out = tmp_path_factory.mktemp("world")
    subprocess.run(
        [sys.executable, str(MAKE_WORLD), "--members", "12", "--months", "2", "--seed", "5", "--users", "6", "--out", str(out)], check=True, capture_output=True
    )
    return out


def seen_in(world: Path) -> tuple[dict[str, list[Seen]], datetime]:
    by_member: dict[str, list[Seen]] = defaultdict(list)
    last = 0.0
    for line in (world / "events.jsonl").open():
        event = json.loads(line)
        if event["user"] == "automation":
            continue
        at = datetime.fromisoformat(event["at"])
        last = max(last, at.timestamp())
        by_member[event["member"]].append((event["user"], at.timestamp(), event["feature"], event["action"], event["duration_ms"]))
    for rows in by_member.values():
        rows.sort(key=lambda row: row[:2])
    return by_member, datetime.fromtimestamp(last, tz=AT.tzinfo)


def transitions(steps: list[list[str]] | tuple[tuple[str, str], ...]) -> set[tuple[tuple[str, ...], tuple[str, ...]]]:
    return {(tuple(a), tuple(b)) for a, b in pairwise(steps)}


def test_planted_routines_are_found(world: Path) -> None:
    by_member, at = seen_in(world)
    truth = json.loads((world / "truth.json").read_text())["routines"]
    hit = wanted = right = told = 0
    for member, seen in by_member.items():
        planted = [r["steps"] for r in truth if member in r["members"]]
        found = repetition.find(seen, at=at)
        wanted += len(planted)
        hit += sum(any(len(transitions(f.steps) & transitions(p)) * 2 >= len(f.steps) for f in found) for p in planted)
        told += len(found)
        right += sum(any(transitions(f.steps) <= transitions(p) for p in planted) for f in found)
    assert wanted >= 8
    assert hit / wanted >= 0.9
    assert right / told >= 0.8


def test_shuffled_noise_yields_nothing(world: Path) -> None:
    by_member, at = seen_in(world)
    chance, told = random.Random(1), 0
    for seen in by_member.values():
        steps = [row[2:4] for row in seen]
        chance.shuffle(steps)
        noise: list[Seen] = [(user, when, *step, ms) for (user, when, _f, _a, ms), step in zip(seen, steps, strict=True)]
        found = repetition.find(noise, at=at)
        told += len(found)
        assert all(len(f.steps) == 3 and f.runs < 10 for f in found)
    assert told <= len(by_member) / 4


def routine(user: str, start: datetime, steps: str, seconds: float = 10) -> list[Seen]:
    return [(user, (start + timedelta(seconds=seconds * n)).timestamp(), letter, "do", 2000) for n, letter in enumerate(steps)]


def test_counts_people_and_minutes_are_those_of_the_routine() -> None:
    start, seen = AT - timedelta(days=30), []
    for day in range(30):
        for user in ("ann", "bob"):
            seen += routine(user, start + timedelta(days=day), "xabcdy"[day % 2 : 6 - day % 3 // 2], 20)
    seen.sort(key=lambda row: row[:2])
    (best, *_rest) = repetition.find(seen, at=AT)
    assert set("abcd") <= {feature for feature, _action in best.steps}
    assert best.users == 2
    assert best.runs >= 20
    assert best.minutes_a_month == pytest.approx(best.runs * (20 * (len(best.steps) - 1) + 2) / 60, abs=1)
    assert best.per_week == pytest.approx(best.runs / 30 * 7)


def test_a_pause_ends_a_session_and_one_step_over_and_over_is_no_routine() -> None:
    paused = [row for day in range(20) for row in routine("ann", AT - timedelta(days=day + 1), "abc", 31 * 60)]
    same = [row for day in range(20) for row in routine("ann", AT - timedelta(days=day + 1), "aaaaaa")]
    assert repetition.find(sorted(paused), at=AT) == []
    assert repetition.find(sorted(same), at=AT) == []
    assert repetition.find([], at=AT) == []


def test_toil_meets_the_listing_whose_steps_overlap_most(app: Flask) -> None:
    member = make_member()
    best = make_listing("copy-robot", automates=[["contact", "copy"], ["contact", "paste"], ["contact", "save"]])
    make_listing("other", automates=[["lead", "open"], ["contact", "copy"], ["order", "send"], ["order", "print"]])
    start, batch = AT - timedelta(days=20), []
    for day in range(15):
        for n, (feature, action) in enumerate([("lead", f"open{day}"), ("contact", "copy"), ("contact", "paste"), ("contact", "save"), ("order", f"x{day}")]):
            at = start + timedelta(days=day, minutes=4 * n)
            batch.append({"id": f"{day}-{n}", "user": "ann", "at": at.isoformat(), "feature": feature, "action": action, "duration_ms": 60_000})
    with transaction(SYSTEM):
        events.ingest([{**e, "member": member.number} for e in batch], None, at=AT)
    with transaction(SYSTEM):
        (toil,) = repetition.match(repetition.of_member(member.id, at=AT), repetition.listings_for_toil())
    assert toil.listing is not None
    assert toil.listing.id == best.id
    assert toil.found.runs == 15
    assert toil.minutes_saved_a_month == toil.found.minutes_a_month == round(15 * 9 * 30 / 20)
    with transaction(SYSTEM) as session:
        assert repetition.remember([member.id], at=AT) == 1
        assert repetition.remember([member.id], at=AT) == 1  # again: the same row
        kept = session.scalars(select(Routine)).one()
    assert (kept.listing_id, kept.runs, kept.minutes_saved_a_month) == (best.id, 15, toil.minutes_saved_a_month)


def test_ten_thousand_events_take_a_tenth_of_a_second() -> None:
    chance = random.Random(3)
    seen = sorted((f"u{n % 12}", AT.timestamp() - n * 40, chance.choice("abcdefghijklm"), chance.choice("xyz"), 1000) for n in range(10_000))
    took = []
    for _ in range(3):
        started = time.perf_counter()
        repetition.find(seen, at=AT)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.4  # about 0.1 s alone on a machine; others may be working beside us
