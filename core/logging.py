"""Structured logs: one JSON object a line, each with the id of the request or job it belongs to.

The web server, workers and the scheduler write everything to stdout, and errors to stderr as well, so that a terminal
shows them while stdout is a file. Other commands keep stdout for their answer: their warnings go to stderr.
"""

import json
import logging
import os
import re
import secrets
import sys
import threading
import time
from functools import partial
from typing import TextIO

import click
import structlog
from flask import Flask, Response, g, request, request_started

from core import clock

REQUEST_ID = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._-]{8,64}")
_QUIET = ("/healthz", "/readyz", "/static/", "/bootstrap/")  # nobody reads them
FLUSH_S = 0.1  # how late a request's line may be
_encode = json.JSONEncoder(ensure_ascii=False).encode

log = structlog.stdlib.get_logger("backoffice")


class _Handler(logging.StreamHandler[TextIO]):
    """One of ours, so that `configure` may be called again."""


def configure(*, service: bool = True) -> None:
    """Send structlog and the standard library's logging through one JSON formatter; `service` False is for commands."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer(ensure_ascii=False)],
    )
    # The real streams: what a command prints may be redirected, and a log line must not end up there.
    handlers = [_Handler(sys.__stderr__ or sys.stderr)]
    handlers[0].setLevel(logging.ERROR if service else logging.WARNING)
    if service:
        handlers.append(_Handler(sys.__stdout__ or sys.stdout))
    for handler in handlers:
        handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [*(handler for handler in root.handlers if not isinstance(handler, _Handler)), *handlers]
    root.setLevel(logging.INFO)
    for chatty in ("alembic", "httpx", "rq", "stripe"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def init_app(app: Flask) -> None:
    """Give every request an id (the caller's `X-Request-ID` where it is sane), return it, and log one line per request."""
    service = click.get_current_context(silent=True) is None
    configure(service=service)
    out = app.extensions["request_log"] = _Lines(sys.__stdout__ or sys.stdout) if service else None

    @partial(request_started.connect, sender=app, weak=False)  # earlier than any before_request, for those that are turned away there
    def begin(_app: Flask) -> None:
        g.request_id = request_id(request.headers.get(REQUEST_ID))
        g.request_started = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        if "request_id" in g:
            response.headers[REQUEST_ID] = g.request_id
            if out is not None and not request.path.startswith(_QUIET):
                out.write(_request_line(g.request_id, request.method, _path(), response.status_code, g.request_started))
        return response


def request_id(given: str | None) -> str:
    """The id a request goes by: the caller's own where it is sane."""
    return given if given and _SANE.fullmatch(given) else secrets.token_hex(16)


def note(app: Flask, its_id: str, method: str, path: str, status: int, began: float) -> None:
    """Log a request that was answered without Flask; `began` is of `time.perf_counter`."""
    out: _Lines | None = app.extensions["request_log"]
    if out is not None:
        out.write(_request_line(its_id, method, path, status, began))


def _path() -> str:
    """The request's path; where a token in it opens a door, the rule instead."""
    return request.url_rule.rule if request.url_rule is not None and "token" in (request.view_args or {}) else request.path


def _request_line(its_id: str, method: str, path: str, status: int, began: float) -> str:
    """One line as structlog makes them, made by hand: its processors cost a third of a small request."""
    took_ms = round((time.perf_counter() - began) * 1000, 1)
    return (
        f'{{"request_id": "{its_id}", "event": "request", "method": {_encode(method)}, "path": {_encode(path)}, "status": {status}, "took_ms": {took_ms},'
        f' "level": "info", "logger": "backoffice", "timestamp": "{clock.real_now().isoformat()}"}}\n'
    )


class _Lines:
    """Writes lines and flushes them a little later: a system call for each would make every request wait for the interpreter's lock once more."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting = threading.Event()
        self._flusher = -1  # the process whose thread flushes

    def write(self, line: str) -> None:
        """Written within `FLUSH_S`, and before anything that is logged after it."""
        self._out.write(line)
        if not self._waiting.is_set():
            self._waiting.set()
            if self._flusher != os.getpid():  # workers are forked after this was made
                self._flusher = os.getpid()
                threading.Thread(target=self._flush, name="log", daemon=True).start()

    def _flush(self) -> None:
        while self._waiting.wait():
            time.sleep(FLUSH_S)
            self._waiting.clear()
            self._out.flush()
