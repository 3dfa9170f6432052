"""Purchases that wait at the same time go to the database together: one call, one transaction, one commit (decision 0010).

What comes while a call is under way gathers for the next one. Nobody ever waits for a batch to fill.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from core.composites import array
from core.db import member_call
from core.logging import log

MOST = 64  # in one transaction, so that no wallet stays locked for long
PLACE = "select p.* from place_orders(%s::order_request[]) p"
# The same, and whoever waits for a wallet that somebody else holds is soon told to go by itself (the reference to `t` has it set first).
GATHERED = "select p.* from set_config('lock_timeout', '250ms', true) t, lateral place_orders(case when t is not null then %s::order_request[] end) p"


def place(requests: Sequence[str]) -> list[Any]:
    """The rows of `place_orders` for the fields of each `order_request`; all of them or, where it raises, none."""
    return member_call(PLACE, [array(requests)])


class Gatherer:
    """Gathers the purchases of one event loop and makes their calls in a thread, one after the other."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._thread = ThreadPoolExecutor(1, "orders")
        self._waiting: list[tuple[str, asyncio.Future[Any]]] = []
        self._calling: asyncio.Task[None] | None = None

    async def place(self, request: str) -> Any:
        """The row of `place_orders`; None where the call failed for this request or for one it went with, and nothing of them stands."""
        loop = asyncio.get_running_loop()
        own: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((request, own))
        if self._calling is None:
            self._calling = loop.create_task(self._call_while_any_wait())
        return await own

    async def _call_while_any_wait(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                for (_request, own), row in zip(batch, await self._rows([request for request, _own in batch]), strict=True):
                    if not own.cancelled():
                        own.set_result(row)
        finally:
            self._calling = None

    async def _rows(self, requests: list[str]) -> list[Any]:
        try:
            rows = await asyncio.get_running_loop().run_in_executor(self._thread, self._place, requests)
            assert len(rows) == len(requests), "a row for each request"
        except Exception as error:  # noqa: BLE001 (whatever it is, nobody may be left waiting)
            log.warning("purchases that went together go one by one", count=len(requests), error=str(error))
            return [None] * len(requests)  # and those that cannot be fail on their own account
        return rows

    def _place(self, requests: list[str]) -> list[Any]:
        with self._app.app_context():
            return member_call(GATHERED, [array(requests)])
