"""What a process remembers of the database for a few seconds, so that a hot path need not ask: one value, looked up again in good time by one thread.

looked at ──────────── half its time ──────────── its time is over
    settled, for everybody  │  one thread takes the turn to look again;  │  nobody believes it
                            │  to the others it is settled until the next │
"""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """A value that is believed for `lasts_s` seconds of real time after somebody looked. It is read without a lock."""

    __slots__ = ("_believed_until", "_due_at", "_empty", "_lock", "_looked_at", "_settled_until", "last", "lasts_s", "turns")

    def __init__(self, lasts_s: float, empty: Callable[[], Value]) -> None:
        self.lasts_s, self._empty, self._lock = lasts_s, empty, threading.Lock()
        self.last = empty()  # whether believed or not
        self.turns = 0  # how often somebody took it to look again
        self._forget_when()

    def believed(self) -> Value | None:
        """The value while its time lasts, else None."""
        return self.last if monotonic() < self._believed_until else None

    def settled(self) -> Value | None:
        """The value, but None as soon as it is time to look again: for those who would not look themselves."""
        return self.last if monotonic() < self._settled_until else None

    def is_due(self) -> bool:
        """Is it time to look again?"""
        return monotonic() >= self._due_at

    def takes_turn(self) -> bool:
        """Is it time to look again, and this thread the one that does? If it fails to, the next one does half the time later."""
        if monotonic() < self._due_at:
            return False
        with self._lock:
            at = monotonic()
            if at < self._due_at:
                return False
            self._set_due(at + self.lasts_s / 2)
            self.turns += 1
            return True

    def is_old(self, at: float) -> bool:
        """Did somebody look last more than half its time before this instant of the monotonic clock?"""
        return at > self._looked_at + self.lasts_s / 2

    def keep(self, value: Value, looked_at: float) -> None:
        """Remember what was found by a look that began at this instant of the monotonic clock."""
        with self._lock:
            self.last = value  # first the value, then how long it holds: whoever reads in between believes the new one for the old one's time
            self._looked_at, self._believed_until = looked_at, looked_at + self.lasts_s
            self._set_due(looked_at + self.lasts_s / 2)

    def forget(self) -> None:
        """Let the next reader look."""
        with self._lock:
            self._forget_when()
            self.last = self._empty()

    def _set_due(self, at: float) -> None:
        self._due_at, self._settled_until = at, min(at, self._believed_until)

    def _forget_when(self) -> None:
        self._looked_at = self._believed_until = self._due_at = self._settled_until = float("-inf")
