"""Run one program in the sandbox, or say why not."""

import contextlib
import fcntl
import io
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from marketplace.sandbox import command, host, seccomp
from marketplace.sandbox.inside import frames
from marketplace.sandbox.limits import MB, Limits

Progress = Callable[[str, int | None], None]
PACKAGES = {  # what a program needs besides Python; all they require comes along
    "robot_task": ("robotframework",), "dry_run": ("robotframework",), "robot_policy": ("robotframework",), "robot_lint": ("robotframework-robocop",),
    "form_schema": ("jsonschema",), "data_mapping": ("jsonschema",), "document_template": ("docxtpl",), "document_policy": ("docxtpl",),
    "text_template": ("jinja2",), "text_policy": ("jinja2",), "spreadsheet_template": ("openpyxl", "lxml"), "spreadsheet_policy": ("openpyxl", "lxml"),
    "usage_pack": (), "nothing": (),
}  # fmt: skip
MOST_FILES, LONGEST_NAME = 500, 200
STDERR_KEPT = 4_000
GRACE_S = 2.0  # beyond the wall time, for the sandbox itself to come up


class SandboxMissing(Exception):
    """There is no sandbox on this machine; the sentence says why. Nothing was run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    `stopped`: None where the program ended by itself, else time | cpu | memory | output | crashed. `report` is the program's own word and
    `files` what it made: both come from foreign code and are to be believed as little as any upload. `took_s` is wall time.
    """

    report: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    stopped: str | None = None
    complaint: str = ""
    took_s: float = 0.0

    @property
    def passed(self) -> bool:
        """The program ended by itself and says that all went well."""
        return self.stopped is None and bool(self.report.get("passed", True))


TRY_AGAIN_S = 60.0
_verdict: list[tuple[float, str | None]] = []


def unavailable() -> str | None:
    """Why there is no sandbox here, in a sentence for the operator; `None` where it works. Tried once a process, and again a minute after a no."""
    if _verdict and _verdict[0][1] is not None and time.monotonic() - _verdict[0][0] > TRY_AGAIN_S:
        forget_verdict()
    if not _verdict:
        _verdict.append((time.monotonic(), host.missing() or _tried()))
    return _verdict[0][1]


def forget_verdict() -> None:
    """Try again: the machine has changed."""
    _verdict.clear()
    host.tool.cache_clear()


def _tried() -> str | None:
    outcome = _run("nothing", {}, {}, Limits(cpu_s=10, wall_s=10), None)
    if outcome.stopped:
        return f"bubblewrap cannot make a sandbox here: {outcome.complaint or outcome.stopped}"
    if outcome.report.get("uid") == 0:
        return "the sandbox would run as root"
    return None


def run(program: str, options: Mapping[str, Any], files: Mapping[str, bytes], limits: Limits, on_progress: Progress | None = None) -> Outcome:
    """Run one of the sandbox's programs on `files` (laid out under `work/`). Raises SandboxMissing; it never runs without the sandbox."""
    reason = unavailable()
    if reason is not None:
        raise SandboxMissing(reason)
    return _run(program, options, files, limits, on_progress)


def _run(program: str, options: Mapping[str, Any], files: Mapping[str, bytes], limits: Limits, on_progress: Progress | None) -> Outcome:
    work, filtered = _sealed(frames.pack({"program": program, "options": dict(options)}, files)), seccomp.descriptor()
    began = time.monotonic()
    words = command.argv(limits, host.packages(*PACKAGES[program]), filtered)
    try:
        process = subprocess.Popen(  # noqa: S603 (all words are ours)
            words, stdin=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}, pass_fds=() if filtered is None else (filtered,), start_new_session=True
        )  # fmt: skip
    finally:
        os.close(work)
        if filtered is not None:
            os.close(filtered)
    with process:
        try:
            reader = _Reader(limits, on_progress)
            stopped = reader.read(process, began + limits.wall_s + GRACE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # bubblewrap's end is the end of everything inside (--die-with-parent, its own process namespace)
        code = process.wait()
    return _outcome(reader, stopped, code, time.monotonic() - began)


def _sealed(content: bytes) -> int:
    """An anonymous file that nobody can change any more: the only thing handed in."""
    found = os.memfd_create("work", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(found, "wb", closefd=False) as stream:
        stream.write(content)
    os.lseek(found, 0, os.SEEK_SET)
    fcntl.fcntl(found, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return found


class _Reader:
    """Reads what comes out, counting, until both pipes close or time is up."""

    def __init__(self, limits: Limits, on_progress: Progress | None) -> None:
        self.limits, self.on_progress = limits, on_progress
        self.result, self.errors = bytearray(), bytearray()
        self.scanned = self.total = 0
        self.is_last = False

    def read(self, process: "subprocess.Popen[bytes]", deadline: float) -> str | None:
        """Returns why reading was stopped; `None` where the other side closed."""
        assert process.stdout is not None
        assert process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, self.result)
            selector.register(process.stderr, selectors.EVENT_READ, self.errors)
            while selector.get_map():
                left = deadline - time.monotonic()
                if left <= 0:
                    return "time"
                for key, _events in selector.select(left):
                    piece = os.read(key.fd, 1 << 16)
                    if not piece:
                        selector.unregister(key.fileobj)
                    key.data.extend(piece)
                    self.total += len(piece)
                if self.total > self.limits.output_mb * MB:  # progress and complaints count too
                    return "output"
                self._tell()
        return None

    def _tell(self) -> None:
        """Cut whole progress lines off the front; the first other line begins the result."""
        while not self.is_last and (end := self.result.find(b"\n", self.scanned)) >= 0:
            try:
                line = json.loads(self.result[:end])
                progress = str(line["progress"])[:200] if "progress" in line else None
                percent = line.get("percent")
            except (ValueError, TypeError, AttributeError, RecursionError):
                progress, percent = None, None
            if progress is None:
                self.is_last = True
                return
            del self.result[: end + 1]
            self.scanned = 0
            if self.on_progress:
                self.on_progress(progress, percent if isinstance(percent, int) and 0 <= percent <= 100 else None)
        self.scanned = len(self.result) if not self.is_last else 0


def _outcome(reader: _Reader, stopped: str | None, code: int, took_s: float) -> Outcome:
    complaint = bytes(reader.errors[-STDERR_KEPT:]).decode("utf-8", "replace").strip()
    if stopped:
        return Outcome(stopped=stopped, complaint=complaint, took_s=took_s)
    try:
        head, files = frames.read(io.BytesIO(bytes(reader.result)))
        if head.get("stopped") in ("memory", "output"):
            return Outcome(stopped=head["stopped"], took_s=took_s)
        report = head["report"]
        if not isinstance(report, dict) or len(files) > MOST_FILES or not all(_is_plain(name) for name in files):
            raise ValueError("not a result")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Outcome(stopped=_why(code, complaint), complaint=complaint, took_s=took_s)
    return Outcome(report, files, None, complaint, took_s)


def _why(code: int, complaint: str) -> str:
    """Why there is no result: bubblewrap ends with 128 + the signal that ended its child."""
    if code in (128 + signal.SIGXCPU, 128 + signal.SIGKILL, -signal.SIGXCPU):
        return "cpu"
    if code in (128 + signal.SIGXFSZ,):
        return "output"
    return "memory" if "MemoryError" in complaint else "crashed"


def _is_plain(name: object) -> bool:
    """A relative name that stays where it is put."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or "\\" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name
