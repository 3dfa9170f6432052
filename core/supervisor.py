"""`make run`: start everything, watch it, and leave nothing behind.

    python -m core.supervisor                 run the product in the foreground
    python -m core.supervisor exec COMMAND    run one command with the services of this checkout up

Order: lock → leftovers of a crashed run → services → `flask prepare` (migrations, demo, logins) → web → ready → workers.
Every process it starts gets a signal from the kernel should the supervisor itself be killed.
"""

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

import httpx
import psutil

from core.embedded.process import Child, ServiceError, adopt_orphans, die_with_parent, end_descendants, end_leftovers, port_is_free
from core.embedded.services import Services, write_private
from core.settings import Settings, SettingsError, port_of, var_dir_of

ROOT = Path(__file__).parents[1]
READY_TIMEOUT_S = 90
STEADY_S = 30  # a child that lived this long starts its next life without delay
LONGEST_WAIT_S = 8  # before another start: nobody is kept waiting much longer than a start takes, and dying again and again costs little


class Stopped(BaseException):
    """Ctrl-C or SIGTERM: not an error, and nothing on the way may swallow it."""


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, flush=True)


def main() -> NoReturn:
    """The command line."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--with-parent"]:  # make is our parent; should it be killed, we go too
        die_with_parent()
        arguments = arguments[1:]
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _stop)
    try:
        if arguments[:1] == ["exec"] and len(arguments) > 1:
            status = execute(arguments[1:], os.environ)
        elif not arguments:
            status = run(os.environ)
        else:
            say(__doc__ or "")
            status = 2
    except (ServiceError, SettingsError) as error:
        print(f"Cannot start: {error}", file=sys.stderr, flush=True)
        status = 1
    except Stopped:
        status = 0
    sys.exit(status)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)  # one is enough, the way down must not be interrupted
    raise Stopped


def run(environ: Mapping[str, str]) -> int:
    """Run the product until it is told to stop; the exit status."""
    port = port_of(environ)
    host = environ.get("BACKOFFICE_HOST") or "127.0.0.1"
    with checkout(environ) as state:
        if not port_is_free(host, port):
            raise ServiceError(f"port {port} is taken by another program; choose another one with PORT=…")
        services = Services(environ, state.var_dir, say)
        with state.stopping(services):
            say("Starting …")
            services.start()
            settings = Settings.from_env(services.environment)
            state.remember(services)
            return Product(settings, services, state).serve()


def execute(command: list[str], environ: Mapping[str, str]) -> int:
    """Run one command with this checkout's services: those of a running supervisor, or ours for as long as it takes."""
    var_dir = var_dir_of(environ)
    try:
        with checkout(environ) as state:
            services = Services(environ, state.var_dir, say)
            with state.stopping(services):
                services.start()
                state.remember(services)
                return _foreground(command, services.environment, state)
    except AlreadyRunning:
        try:
            known = json.loads((var_dir / "run" / "environment.json").read_text())
        except FileNotFoundError:
            raise ServiceError("this checkout is just starting or stopping; try again in a moment") from None
        try:
            os.execvpe(command[0], command, dict(environ) | known)  # noqa: S606
        except OSError as error:
            raise ServiceError(f"{command[0]} cannot be started: {error.strerror}") from None


def _foreground(command: list[str], environment: Mapping[str, str], state: "State") -> int:
    child = Child(command[0], command, env=environment, show_errors=True)
    state.others.append(child)
    return child.wait()


class AlreadyRunning(ServiceError):
    """This checkout's lock is held."""


@dataclass
class State:
    """What this run has started, also written down for the next run, should this one crash."""

    var_dir: Path
    others: list[Child] = field(default_factory=list)

    @property
    def run_dir(self) -> Path:
        """Files that mean something only while we run."""
        return self.var_dir / "run"

    def remember(self, services: Services) -> None:
        """Write down our processes, and what `exec` needs to join us."""
        children = [*services.children, *self.others]
        created = {}
        for child in children:
            with contextlib.suppress(psutil.Error):
                created[child.pid] = psutil.Process(child.pid).create_time()
        write_private(self.run_dir / "children.json", json.dumps(created))
        ours = {name: value for name, value in services.environment.items() if name not in os.environ or os.environ[name] != value}
        write_private(self.run_dir / "environment.json", json.dumps(ours))

    def clean_up_after_crash(self) -> None:
        """End what a crashed run left behind."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            left = {int(pid): float(at) for pid, at in json.loads((self.run_dir / "children.json").read_text()).items()}
            if count := end_leftovers(left):
                say(f"Ended {count} processes that an earlier run had left.")

    @contextlib.contextmanager
    def stopping(self, services: Services) -> Iterator[None]:
        """Whatever happens inside, nothing runs on afterwards."""
        try:
            yield
        except Stopped:
            say("Stopping …")
            raise
        finally:
            for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(sign, signal.SIG_IGN)
            for child in self.others:
                with contextlib.suppress(ProcessLookupError):
                    child.popen.send_signal(child.stop_signal)
            for child in self.others:
                child.stop()
            services.stop()
            end_descendants()
            for name in ("children.json", "environment.json", "logins.txt"):
                (self.run_dir / name).unlink(missing_ok=True)


@contextlib.contextmanager
def checkout(environ: Mapping[str, str]) -> Iterator[State]:
    """Hold this checkout's lock; the kernel lets go of it when we die. Raises AlreadyRunning."""
    state = State(var_dir_of(environ))
    try:
        state.var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.run_dir.mkdir(exist_ok=True)
        lock = (state.run_dir / "supervisor.lock").open("a+")
    except OSError as error:
        raise ServiceError(f"{state.run_dir} cannot be written: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise AlreadyRunning(f"this checkout is running already (process {lock.read().strip()}); stop it first") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        adopt_orphans()
        state.clean_up_after_crash()
        yield state


@dataclass
class Watched:
    """One process that is started again when it dies, ever more slowly."""

    name: str
    start: Callable[[], Child]
    child: Child
    started_at: float
    failures: int = 0
    due_at: float | None = None


class Product:
    """The processes of the product itself: one `prepare`, then web, workers and the scheduler."""

    def __init__(self, settings: Settings, services: Services, state: State) -> None:
        self.settings = settings
        self.services = services
        self.state = state
        self.watched: list[Watched] = []
        self.url = f"http://127.0.0.1:{settings.port}"
        self.environment = services.environment | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}

    def serve(self) -> int:
        """Bring everything up, say so, and watch it until a signal ends us."""
        logins = self._prepare()
        web = [self._watch(name, partial(self._web, name)) for name in _numbered("web", self.settings.web_concurrency)]
        self._wait_ready(web)
        for name in _numbered("worker", self.settings.workers):
            self._watch(name, partial(self._flask, name, "work"))
        self._watch("schedule", partial(self._flask, "schedule", "schedule"))
        if logins:
            say(logins)
        say(f"Ready on {self.url}")
        while True:
            time.sleep(0.5)
            for child in self.services.children:
                if not child.alive:
                    print(f"{child.name} died; see {child.log}. Stopping.\n{child.last_words()}", file=sys.stderr, flush=True)
                    return 1
            for watched in self.watched:
                self._look_after(watched)

    def _prepare(self) -> str:
        loading = self.state.run_dir / "demo.loading"
        if loading.exists() and self.services.postgres:
            say("The last start ended while the demo world was being loaded; beginning it again.")
            self.services.renew_database()
        loading.unlink(missing_ok=True)
        logins = self.state.run_dir / "logins.txt"
        write_private(logins, "")
        command = [sys.executable, "-m", "flask", "--app", "app", "prepare", "--logins", str(logins), "--loading", str(loading)]
        child = Child("prepare", command, env=self.environment, show_errors=True, cwd=ROOT)
        self.state.others.append(child)
        status = child.wait()
        self.state.others.remove(child)
        if status:
            raise ServiceError("the database could not be prepared (see above)")
        text = logins.read_text().strip()
        logins.unlink()
        return text

    def _web(self, name: str) -> Child:
        """One of the web servers. They share the port (SO_REUSEPORT) and nothing else: Granian, when one of several workers of its own dies
        twice within seconds, ends all of them."""
        settings = self.settings
        command = [
            sys.executable, "-m", "granian", "--interface", "rsgi", "--loop", "uvloop", "--http", "1", "--factory",
            "--host", settings.host, "--port", str(settings.port),
            "--workers", "1", "--runtime-mode", "st", "--backlog", "1024", "--backpressure", "128",
            "--no-ws", "--workers-kill-timeout", "8", "app:create_server",
        ]  # fmt: skip
        return Child(name, command, log=self._log(name), env=self.environment, cwd=ROOT, show_errors=True)

    def _flask(self, name: str, command: str) -> Child:
        words = [sys.executable, "-m", "flask", "--app", "app", command]
        return Child(name, words, log=self._log(name), env=self.environment, cwd=ROOT)

    def _log(self, name: str) -> Path:
        return self.settings.var_dir / "log" / f"{name}.log"

    def _watch(self, name: str, start: Callable[[], Child]) -> Watched:
        watched = Watched(name, start, start(), time.monotonic())
        self.watched.append(watched)
        self.state.others.append(watched.child)
        self.state.remember(self.services)
        return watched

    def _wait_ready(self, web: Sequence[Watched]) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        answer = "no answer"
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                response = httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False)
                if response.status_code == 200:
                    return
                answer = response.text.strip()
            for child in (watched.child for watched in web):
                if not child.alive:
                    raise ServiceError(f"the web server stopped while starting; see {child.log}\n{child.last_words()}")
            time.sleep(0.1)
        raise ServiceError(f"the web server was not ready within {READY_TIMEOUT_S} s: {answer}; see {web[0].child.log}")

    def _look_after(self, watched: Watched) -> None:
        """Start a dead child again: at once the first time, then after 1, 2, 4, 8, 8 … seconds."""
        now = time.monotonic()
        if watched.due_at is None:
            if watched.child.alive:
                return
            watched.failures = 0 if now - watched.started_at > STEADY_S else watched.failures + 1
            wait_s = min(LONGEST_WAIT_S, 2 ** (watched.failures - 1)) if watched.failures else 0
            watched.due_at = now + wait_s
            print(f"{watched.name} stopped; starting it again in {wait_s} s (see {watched.child.log})", file=sys.stderr, flush=True)
            watched.child.stop(timeout_s=1)  # ends what it left of its own
        if now >= watched.due_at:
            self.state.others.remove(watched.child)
            watched.child, watched.started_at, watched.due_at = watched.start(), now, None
            self.state.others.append(watched.child)
            self.state.remember(self.services)


def _numbered(name: str, count: int) -> list[str]:
    """Names for so many processes of a kind; the only one needs no number."""
    return [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]


if __name__ == "__main__":
    main()
