"""Child processes that never outlive us, whatever happens to us."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LOG_MAX = 20 * 2**20  # bytes; a longer log is put aside when its process starts


class ServiceError(Exception):
    """A service cannot start; one line for the person at the terminal."""


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # Linux only; elsewhere the ordinary stop has to do
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent(sign: int = signal.SIGTERM) -> None:
    """Ask the kernel to send us `sign` when our parent dies."""
    _prctl(_PR_SET_PDEATHSIG, sign)


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose own parent dies, so that they can be found and ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def free_port() -> int:
    """A loopback TCP port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def port_is_free(host: str, port: int) -> bool:
    """Whether we could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError:
            return False
    return True


class Child:
    """One child process in a session of its own, with its output in a log file."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
        stop_signal: int = signal.SIGTERM,
        show_errors: bool = False,
        cwd: Path | None = None,
    ) -> None:
        """Start it. Without a `log` it writes to our terminal; `show_errors` lets its stderr through to the terminal."""
        self.name = name
        self.log = log
        self.stop_signal = stop_signal

        def prepare() -> None:
            die_with_parent(stop_signal)

        if log and log.exists() and log.stat().st_size > _LOG_MAX:
            log.replace(log.with_suffix(".old"))
        output: IO[bytes] | None = log.open("ab") if log else None
        try:
            self.popen = subprocess.Popen(  # noqa: S603
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if show_errors else output,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509 (we have one thread)
                user=user[0] if user else None,
                group=user[1] if user else None,
                extra_groups=[] if user else None,
            )
        except OSError as error:
            raise ServiceError(f"{name} cannot be started: {error.strerror or error}") from None
        finally:
            if output:
                output.close()

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its session."""
        return self.popen.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end; the exit status."""
        return self.popen.wait(timeout_s)

    def stop(self, timeout_s: float = 10) -> None:
        """Ask it to stop, wait, then end it and everything it started."""
        family = _family(self.pid)
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.popen.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout_s)
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # its session's first group has its pid
        self.popen.wait()

    def last_words(self, lines: int = 8) -> str:
        """The end of its log, for the message about its death."""
        if not self.log or not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _family(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def end_descendants() -> None:
    """End whatever still runs below us; the last step of a shutdown."""
    left = _family(os.getpid())
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5)


def end_leftovers(processes: Mapping[int, float], *, timeout_s: float = 15) -> int:
    """End processes of an earlier run, given as pid → creation time so that a reused pid is left alone. Returns how many."""
    found = []
    for pid, created in processes.items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE:
                found += [process, *process.children(recursive=True)]
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _gone, alive = psutil.wait_procs(found, timeout=timeout_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    return len(found)


def wait_until(what: str, ready: Callable[[], bool], child: Child, timeout_s: float) -> None:
    """Poll until `ready()`; raises ServiceError when the child dies or the time is up."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if not child.alive:
            raise ServiceError(f"{what} stopped while starting:\n{child.last_words()}")
        if time.monotonic() > deadline:
            raise ServiceError(f"{what} did not answer within {timeout_s:.0f} s:\n{child.last_words()}")
        time.sleep(0.03)
