"""Every background job has a name in words."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from flask import Flask
from flask_babel import force_locale

from core import jobs, schedule
from membership.job_words import JOBS, QUEUES, words_of
from tests.sign_in import client_as

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "membership", "billing", "marketplace", "operations")


def put_in_line() -> Iterator[str]:
    """The functions that the sources leave to workers, wherever they call `jobs.enqueue`."""
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if "jobs.enqueue(" not in (source := path.read_text()):
                continue
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            if getattr(module, "jobs", None) is not jobs:
                continue  # a room's own jobs, which put themselves in line
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "jobs.enqueue":
                    where, _dot, name = ast.unparse(node.args[0]).rpartition(".")
                    job = getattr(getattr(module, where) if where else module, name)
                    yield f"{job.__module__}.{job.__qualname__}"


def test_every_job_has_words_in_both_languages(app: Flask) -> None:
    found = {entry.name for entry in schedule.entries(app)} | set(put_in_line())
    assert len(found) > 30
    assert found - set(JOBS) == set(), "a job needs a name in membership/job_words.py"
    assert set(JOBS) - found == set(), "no name for what is no job"
    assert set(QUEUES) == set(jobs.QUEUES)
    for language in ("en", "zh"):
        with app.test_request_context(), force_locale(language):
            told = [words_of(job) for job in JOBS]
            assert not set(told) & set(JOBS)
            assert len(set(told)) == len(told), "no two are called the same"
    with app.test_request_context(), force_locale("en"):
        assert words_of("ships.launch") == "ships.launch"


def refuse() -> None:
    """A job that fails."""
    raise ValueError("no")


def test_the_status_page_says_which_jobs_failed(app: Flask) -> None:
    for _ in range(2):
        jobs.enqueue(refuse, queue="bulk")
    jobs.AppWorker(jobs.QUEUES, connection=jobs.connection()).work(burst=True, logging_level="CRITICAL")
    page = client_as(app, "operator").get("/operator/status?lang=en").text
    assert "Renewals of subscriptions" in page
    bulk = page[page.index("Large, not urgent") :].partition("</tr>")[0]
    assert ">2</td>" in bulk
    assert bulk.count("tests.membership.test_job_words.refuse") == 1
