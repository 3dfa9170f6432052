"""The supervisor, really started: own processes, own var directory, free ports."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from core.embedded.postgres import home_for
from core.embedded.process import free_port

ROOT = Path(__file__).parents[2]
CONFIGURED = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "REDIS_URL", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE", "PORT")


class Run:
    """One supervisor with its output in a file."""

    def __init__(self, var: Path, *arguments: str, **environ: str) -> None:
        kept = {key: value for key, value in os.environ.items() if key not in CONFIGURED}
        settings = {"BACKOFFICE_VAR": str(var), "BACKOFFICE_DEMO": "0", "WEB_CONCURRENCY": "1"}
        self.var = var
        self.output = Path(tempfile.mkstemp(dir=var)[1])
        with self.output.open("w") as stream:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "core.supervisor", *arguments],
                cwd=ROOT, env=kept | settings | environ, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            )  # fmt: skip

    @property
    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str, timeout_s: float = 90) -> None:
        deadline = time.monotonic() + timeout_s
        while words not in self.text:
            assert self.popen.poll() is None, f"it ended with {self.popen.returncode}: {self.text}"
            assert time.monotonic() < deadline, f"no {words!r} in: {self.text}"
            time.sleep(0.05)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.popen.pid).children(recursive=True)

    def processes(self, word: str) -> list[psutil.Process]:
        """Those of the family whose command line has this word; what a worker has forked has it too."""
        found = []
        for process in self.family():
            with contextlib.suppress(psutil.Error):  # it has just ended
                if word in process.cmdline():
                    found.append(process)
        return found

    def end(self) -> int:
        if self.popen.poll() is None:
            self.popen.terminate()
        return self.popen.wait(60)


@pytest.fixture
def var() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="backoffice-var-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(home_for(folder), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def refused(run: Run) -> str:
    """What it said on its one line before it gave up."""
    assert run.popen.wait(60) == 1
    assert "Traceback" not in run.text
    lines = [line for line in run.text.splitlines() if line.startswith("Cannot start: ")]
    assert len(lines) == 1
    return lines[0]


def nothing_left(family: list[psutil.Process]) -> bool:
    _gone, alive = psutil.wait_procs(family, timeout=20)
    return not alive


def test_a_taken_port_is_one_clear_line(var: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} is taken" in refused(Run(var, PORT=str(port)))


def test_an_unreachable_database_is_one_clear_line(var: Path) -> None:
    url = f"postgresql://me:hunter2@127.0.0.1:{free_port()}/shop"
    said = refused(Run(var, PORT=str(free_port()), DATABASE_URL=url))
    assert "DATABASE_URL: the database does not answer" in said
    assert "hunter2" not in said


def test_an_unreachable_queue_is_one_clear_line(var: Path) -> None:
    said = refused(Run(var, PORT=str(free_port()), REDIS_URL=f"redis://127.0.0.1:{free_port()}/0"))
    assert "REDIS_URL: the server does not answer" in said


def test_a_bad_setting_is_one_clear_line(var: Path) -> None:
    assert "PORT must be a whole number" in refused(Run(var, PORT="eighty"))


def test_it_begins_anew_what_was_cut_short_runs_once_keeps_its_data_and_leaves_nothing_behind(var: Path) -> None:
    """One life, as each start takes seconds: a demo world half loaded, a first run that ends as it should, a second that is killed."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    _put(var, port, "half a world")  # `exec` without a running product brings the services up by itself
    (var / "run" / "demo.loading").touch()
    first = Run(var, PORT=str(port))
    try:
        first.wait_for(f"Ready on {url}")
        assert "beginning it again" in first.text
        assert not (var / "run" / "demo.loading").exists()
        assert _sql(var, port, "select to_regclass('public.kept_by_test') is null") == "True"
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
        ready = httpx.get(f"{url}/readyz")
        assert ready.status_code == 200
        assert set(ready.json()["checks"].values()) == {"ok"}
        assert "is running already" in refused(Run(var, PORT=str(free_port())))
        joined = Run(var, "exec", "psql-free", PORT=str(port))  # a command that does not exist: no traceback either
        assert joined.popen.wait(30) == 1
        assert "Traceback" not in joined.text
        secrets = (var / "secrets.json").read_bytes()
        assert (var / "secrets.json").stat().st_mode & 0o777 == 0o600
        _put(var, port, "kept")
        family = first.family()
        assert first.processes("work")
        assert first.processes("schedule")
    finally:
        assert first.end() == 0
    assert nothing_left(family)

    second = Run(var, PORT=str(port))
    started = time.monotonic()
    try:
        second.wait_for(f"Ready on {url}")
        assert time.monotonic() - started < 30  # ten on an idle machine
        assert _get(var, port) == "kept"
        assert (var / "secrets.json").read_bytes() == secrets
        family = second.family()
        second.popen.send_signal(signal.SIGKILL)  # the worst case: nobody is left to clean up
        second.popen.wait()
        assert nothing_left(family)
    finally:
        second.end()


@pytest.mark.long
def test_what_dies_is_started_again_and_a_dead_database_ends_it(var: Path) -> None:
    port = free_port()
    run = Run(var, PORT=str(port))
    try:
        run.wait_for("Ready on ")
        for word, said in (("work", "worker stopped"), ("granian", "web stopped")):
            victim = run.processes(word)[0]
            victim.kill()
            run.wait_for(said)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.2)
        family = run.family()
        next(process for process in family if process.name() == "postgres" and "-D" in process.cmdline()).kill()
        assert run.popen.wait(60) == 1
        assert "postgres died" in run.text
        assert nothing_left(family)
    finally:
        run.end()


@pytest.mark.long
def test_a_web_server_that_dies_again_and_again_leaves_the_other_answering(var: Path) -> None:
    port = free_port()
    run = Run(var, PORT=str(port), WEB_CONCURRENCY="2")
    try:
        run.wait_for("Ready on ")
        deadline = time.monotonic() + 60
        while not all((var / "log" / f"web-{n}.log").exists() and "Started worker-1" in (var / "log" / f"web-{n}.log").read_text() for n in (1, 2)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        steady = run.processes("granian")[0]
        for life in range(1, 4):
            dying = next(process for process in run.processes("granian") if process.ppid() == run.popen.pid and process != steady)
            victim = dying.children()[0]  # the process that answers
            victim.kill()
            psutil.wait_procs([victim], timeout=10)
            for _n in range(5):
                assert httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
            while run.text.count("web-2 stopped") < life or len(run.processes("granian")) < 4:  # two of each
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert steady.is_running()
        assert "web-1 stopped" not in run.text
    finally:
        run.end()


def _sql(var: Path, port: int, statement: str) -> str:
    """Run SQL as the owner, through `exec`, which joins the running supervisor."""
    code = (
        "import os, psycopg; c = psycopg.connect(os.environ['MIGRATION_DATABASE_URL'].replace('+psycopg', ''), autocommit=True);"
        f"r = c.execute({statement!r}); print(r.fetchone()[0] if r.description else '')"
    )
    run = Run(var, "exec", sys.executable, "-c", code, PORT=str(port))
    assert run.popen.wait(60) == 0, run.text
    return run.text.strip()


def _put(var: Path, port: int, value: str) -> None:
    _sql(var, port, f"create table public.kept_by_test as select '{value}'::text as value")


def _get(var: Path, port: int) -> str:
    return _sql(var, port, "select value from public.kept_by_test")
