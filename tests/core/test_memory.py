"""What is remembered is believed for its time, looked up again by one thread, and settled for nobody who would not look."""

import threading
from collections.abc import Callable

import pytest

from core import memory
from core.memory import Memory

Clock = Callable[[float], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets what the memory takes for now."""
    now = [100.0]
    monkeypatch.setattr(memory, "monotonic", lambda: now[0])

    def move(to: float) -> None:
        now[0] = to

    return move


@pytest.fixture
def kept(clock: Clock) -> Memory[str]:
    made = Memory[str](4.0, str)
    made.keep("old", 100.0)
    return made


def test_nothing_is_believed_before_somebody_looked(clock: Clock) -> None:
    fresh = Memory[str](4.0, str)
    assert (fresh.believed(), fresh.settled(), fresh.is_due(), fresh.is_old(100.0), fresh.last) == (None, None, True, True, "")


def test_half_its_time_it_is_settled_and_all_of_it_believed(kept: Memory[str], clock: Clock) -> None:
    for at, settled, believed, due in ((100.0, "old", "old", False), (101.9, "old", "old", False), (102.0, None, "old", True), (103.9, None, "old", True)):
        clock(at)
        assert (kept.settled(), kept.believed(), kept.is_due()) == (settled, believed, due)
    clock(104.0)
    assert (kept.settled(), kept.believed(), kept.last) == (None, None, "old")


def test_one_thread_takes_the_turn_and_the_others_go_on(kept: Memory[str], clock: Clock) -> None:
    assert not kept.takes_turn()
    clock(102.5)
    together, took = threading.Barrier(8), []

    def ask() -> None:
        together.wait()
        took.append(kept.takes_turn())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(took) == [False] * 7 + [True]
    assert (kept.settled(), kept.believed(), kept.is_due(), kept.turns) == ("old", "old", False, 1)
    kept.keep("new", 102.5)
    assert (kept.settled(), kept.is_old(104.5), kept.is_old(104.6)) == ("new", False, True)


def test_a_turn_that_came_to_nothing_is_taken_again_and_nothing_is_believed_longer(kept: Memory[str], clock: Clock) -> None:
    clock(102.5)
    assert kept.takes_turn()
    clock(104.0)
    assert (kept.settled(), kept.believed(), kept.takes_turn()) == (None, None, False)
    clock(104.5)
    assert kept.takes_turn()
    assert kept.settled() is None


def test_forgetting_lets_the_next_one_look(kept: Memory[str]) -> None:
    kept.forget()
    assert (kept.believed(), kept.settled(), kept.last) == (None, None, "")
    assert kept.takes_turn()
