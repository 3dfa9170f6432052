"""What the web server runs (RSGI, Granian's own interface): Flask in threads, and in front of it an event loop that answers the hottest
requests itself (decision 0066).

An `ExpressLane` may answer a request it understands completely; whatever it does not, the view behind it in Flask does.
"""

import asyncio
import io
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from flask import Flask
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined]

from core import logging, security_headers
from core.settings import Settings

BODY_S = 60.0  # a body that takes longer is given up
AT_ONCE = 1 << 20  # bytes: longer answers, and those of unknown length, are streamed

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ExpressLane:
    """Answers of one route that need no thread. `answer` gets the path's match, the bearer key and the body; None leaves the request to Flask.

    It must not wait for anything but what it has handed on, and must have changed nothing where it returns None.
    """

    method: str
    path: re.Pattern[str]
    longest_body: int
    answer: Callable[[re.Match[str], str, bytes], Awaitable[tuple[int, str] | None]]


class Server:
    """The application as Granian calls it."""

    def __init__(self, app: Flask, lanes: Sequence[ExpressLane] = ()) -> None:
        settings: Settings = app.extensions["settings"]
        self._app = app
        self._lanes = lanes
        self._threads = ThreadPoolExecutor(settings.threads, "request")
        self._longest_body: int = app.config["MAX_CONTENT_LENGTH"]
        self._always = [(name.lower(), value) for name, value in security_headers.always(app)]

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        try:
            body = await self._body(scope, protocol)
        except TimeoutError:
            protocol.response_empty(408, self._always)
            return
        except ProtocolClosed:
            logging.log.info("a client went away while it sent a request", path=scope.path)
            return
        if self._lanes and await self._express(scope, protocol, body):
            return
        in_thread = asyncio.get_running_loop().run_in_executor
        status, headers, chunks = await in_thread(self._threads, self._flask, _environ(scope, body))
        if isinstance(chunks, bytes):
            protocol.response_bytes(status, headers, chunks)
            return
        stream = protocol.response_stream(status, headers)
        try:
            while (chunk := await in_thread(self._threads, next, chunks, None)) is not None:
                await stream.send_bytes(chunk)
        except ProtocolClosed:
            logging.log.info("a client went away while it was sent an answer", path=scope.path)
        finally:
            await in_thread(self._threads, chunks.close)

    async def _body(self, scope: Scope, protocol: HTTPProtocol) -> bytes:
        """The request's body; of one that is too long only as much as it takes for Flask to refuse it. Raises TimeoutError."""
        length = scope.headers.get("content-length")
        if (length is None and "transfer-encoding" not in scope.headers) or (length is not None and not 0 < int(length) <= self._longest_body):
            return b""  # there is nothing to wait for
        async with asyncio.timeout(BODY_S):
            if length is not None:
                return await protocol()
            parts = bytearray()
            async for part in protocol:
                parts += part
                if len(parts) > self._longest_body:
                    break
            return bytes(parts)

    async def _express(self, scope: Scope, protocol: HTTPProtocol, body: bytes) -> bool:
        """Has a lane answered?"""
        for lane in self._lanes:
            matched = lane.path.fullmatch(scope.path) if scope.method == lane.method and len(body) <= lane.longest_body else None
            if matched is None:
                continue
            began, headers = time.perf_counter(), scope.headers
            scheme, _space, key = headers.get("authorization", "").partition(" ")
            if scheme != "Bearer" or headers.get("content-type") != "application/json" or scope.query_string or scope.scheme != "http":
                return False
            try:
                answer = await lane.answer(matched, key, body)
            except Exception:  # noqa: BLE001 (whatever it is, the view behind it says what is wrong)
                logging.log.exception("an express lane failed", path=scope.path)
                return False
            if answer is None:
                return False
            status, text = answer
            request_id = logging.request_id(headers.get("x-request-id"))
            logging.note(self._app, request_id, scope.method, scope.path, status, began)
            own = [("content-type", "application/json"), ("content-length", str(len(text))), ("x-request-id", request_id)]  # JSON of ours is ASCII
            protocol.response_bytes(status, own + self._always, text.encode())
            return True
        return False

    def _flask(self, environ: dict[str, Any]) -> tuple[int, Headers, "bytes | _Chunks"]:
        """Flask's answer: whole, or as a stream."""
        started: list[tuple[str, Headers]] = []

        def start_response(status: str, headers: Headers, _failed: object = None) -> Callable[[bytes], object]:
            started.append((status, headers))
            return _no_write

        chunks = _Chunks(self._app.wsgi_app(environ, start_response))
        status, headers = started[-1]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), None)
        given = [(name.lower(), value) for name, value in headers]
        if length is None or length > AT_ONCE:
            return int(status[:3]), given, chunks
        try:
            return int(status[:3]), given, b"".join(chunks)
        finally:
            chunks.close()


class _Chunks(Iterator[bytes]):
    """The parts of a WSGI answer."""

    def __init__(self, given: Iterable[bytes]) -> None:
        self._given = given
        self._parts = iter(given)

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Let the application give back what it holds (PEP 3333)."""
        close = getattr(self._given, "close", None)
        if close is not None:
            close()


def _no_write(_part: bytes) -> object:
    raise NotImplementedError("write() of PEP 3333 is for applications older than Flask")


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """The request as a WSGI application takes it (PEP 3333)."""
    host, _colon, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string.encode().decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        key = _KEYS.get(name) or "HTTP_" + name.upper().replace("-", "_")
        before = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") if key in environ else ""  # the same header again
        environ[key] = before + value
    if environ.pop("HTTP_TRANSFER_ENCODING", None):  # by now its length is known, and Flask may refuse it
        environ["CONTENT_LENGTH"] = f"{len(body)}"
    return environ


_KEYS = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
