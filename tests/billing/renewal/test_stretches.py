"""What is due, cut into parts."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from flask import Flask

from billing.renewal import renewals, stretches
from billing.renewal.stretches import Place, Stretch
from core.actor import SYSTEM
from core.db import transaction
from tests.billing import subscription_world as world
from tests.billing.books import assert_books_hold

AT = world.AT
END = datetime(2026, 7, 14, 16, tzinfo=UTC)  # July 15, midnight in Shanghai


def test_a_stretch_is_renewed_whole_and_nothing_else_is(app: Flask) -> None:
    world.sell()
    days = [world.subscribe(world.member_with(paid=700_00), at=AT + timedelta(days=n)) for n in range(5)]
    places = [Place(one.next_attempt_at or END, one.member_id) for one in map(world.now_of, days)]
    with transaction(SYSTEM):
        assert renewals.renew_due(END + timedelta(days=4), stretch=Stretch(places[0], places[2])) == renewals.RunResult(2, renewed=2)
    assert [world.now_of(one).term for one in days] == [1, 2, 2, 1, 1]
    assert world.renew_all(END + timedelta(days=4)).renewed == 3
    assert [world.now_of(one).term for one in days] == [2] * 5


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_stretches_hold_everything_that_is_due_once(app: Flask, size: int) -> None:
    """Also where subscriptions share a place: two of one member, due at the same instant."""
    world.sell()
    world.sell("ops")
    members = [world.member_with(paid=900_00) for _n in range(3)]
    due = [world.subscribe(member, line=line, at=AT + timedelta(days=n // 2)) for n, member in enumerate(members) for line in ("crm", "ops")]
    later = world.subscribe(world.member_with(paid=900_00), at=AT + timedelta(days=9))
    at = END + timedelta(days=1)
    with transaction(SYSTEM):
        parts = list(stretches.cut(at, size))
        assert (parts[0].after, parts[-1].until) == (None, None)
        assert all(one.until == other.after for one, other in pairwise(parts))
        found = [stretches.due_members(at, part, None) for part in parts]
        assert sorted(member for part in found for member in part) == sorted(member.id for member in members)
        renewed = [renewals.renew_due(at, stretch=part).settled for part in parts]
    assert sum(renewed) == len(due)
    assert all(part.size <= held <= part.size + 1 for part, held in zip(parts, renewed, strict=True))  # one more where two of a member would be parted
    if size % 2 == 0:
        assert [part.size for part in parts] == renewed
    assert world.now_of(later).term == 1
    assert_books_hold()
