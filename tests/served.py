"""The web server's side of the application without the web server: requests are handed to it as Granian does."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace, TracebackType
from typing import Any

from core.server import Server


class Headers:
    """RSGI's headers: names in lower case, the first of several by `get`, all of them by `items`."""

    def __init__(self, given: list[tuple[str, str]]) -> None:
        self._given = [(name.lower(), value) for name, value in given]

    def __contains__(self, name: str) -> bool:
        return any(name == there for there, _value in self._given)

    def get(self, name: str, default: str | None = None) -> str | None:
        return next((value for there, value in self._given if there == name), default)

    def items(self) -> list[tuple[str, str]]:
        return list(self._given)


@dataclass
class Answer:
    """What came back."""

    status_code: int
    headers: dict[str, str]
    data: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class _Protocol:
    body: bytes
    answer: Answer | None = None
    sent: bytearray = field(default_factory=bytearray)

    async def __call__(self) -> bytes:
        return self.body

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answer = Answer(status, dict(headers), body)

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> "_Protocol":
        self.answer = Answer(status, dict(headers))
        return self

    async def send_bytes(self, part: bytes) -> None:
        assert self.answer is not None
        self.answer.data += part


class Served:
    """A server on an event loop in a thread of its own; `ask` it from any other thread."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="event loop")

    def __enter__(self) -> "Served":
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What this work on the loop gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, query: str = "") -> Answer:
        """Send one request; JSON unless it says otherwise."""
        given = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        scope: Any = SimpleNamespace(
            proto="http", http_version="1.1", server="127.0.0.1:80", client="127.0.0.1:50000", scheme="http", method=method, path=path,
            query_string=query, authority=None, headers=Headers(list(given.items())),
        )  # fmt: skip
        protocol: Any = _Protocol(body)
        handled: Awaitable[None] = self.server.__rsgi__(scope, protocol)
        self.wait_for(_whole(handled))
        assert protocol.answer is not None
        return protocol.answer  # type: ignore[no-any-return]


async def _whole(handled: Awaitable[None]) -> None:
    await handled
