"""Purchases that wait at the same time go to the database together: one call, one transaction, one commit.

The first thread to come leads: it takes whatever has gathered, makes the one call, and hands every thread its own result. What comes meanwhile
gathers for the next call, which the longest waiting thread leads. Nobody ever waits for a batch to fill (decision 0010).
"""

import threading
from collections.abc import Sequence
from typing import Any

from flask import current_app

from core.composites import array
from core.db import member_call

MOST = 64  # in one transaction, so that no wallet stays locked for long
PLACE = "select p.* from place_orders(%s::order_request[]) p"


class _Waiting:
    """One request, and what became of it: a row, or none where it has to be placed by itself."""

    __slots__ = ("leads", "request", "row", "turn")

    def __init__(self, request: str) -> None:
        self.request = request
        self.row: Any = None
        self.leads = False
        self.turn = threading.Lock()  # open once the result is there, or the lead has been handed over
        self.turn.acquire()


class Gatherer:
    """Gathers the purchases of one process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._is_led = False

    def place(self, request: str) -> Any:
        """The row of `place_orders` for these fields of an `order_request`; raises what it raises for this request alone."""
        own = _Waiting(request)
        with self._guard:
            if self._is_led:
                self._waiting.append(own)
            else:
                self._is_led = own.leads = True
        if not own.leads:
            own.turn.acquire()
        if own.leads:
            self._lead(own)
        return own.row if own.row is not None else _call([own])[0]

    def _lead(self, own: _Waiting) -> None:
        """Make the call for everybody who waits, then hand over the lead."""
        with self._guard:
            batch = [own, *self._waiting[: MOST - 1]]
            del self._waiting[: MOST - 1]
        try:
            for waiting, row in zip(batch, _call(batch), strict=True):
                waiting.row = row
        except Exception:
            # One of them cannot be, so nothing of the batch stands: each goes by itself now, in its own thread, and fails on its own account.
            if len(batch) == 1:
                raise
        finally:
            self._hand_over()
            for waiting in batch:
                if waiting is not own:
                    waiting.turn.release()

    def _hand_over(self) -> None:
        with self._guard:
            following = self._waiting.pop(0) if self._waiting else None
            self._is_led = following is not None
        if following is not None:
            following.leads = True
            following.turn.release()


def _call(batch: Sequence[_Waiting]) -> list[Any]:
    return member_call(PLACE, [array([waiting.request for waiting in batch])])


def place(request: str) -> Any:
    """The row of `place_orders` for these fields of an `order_request`, in a transaction shared with whoever waits at the same time."""
    gatherer: Gatherer = current_app.extensions.setdefault("order_batches", Gatherer())
    return gatherer.place(request)
