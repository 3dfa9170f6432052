"""One browser and one running demo world for all browser tests of a run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from core.embedded.process import free_port
from tests.browser import checks
from tests.browser.world import World
from tests.core.test_supervisor import Run


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    with checks.browser() as running:
        yield running


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """What `make run` starts, with the demo world in it."""
    with tempfile.TemporaryDirectory(prefix="backoffice-pages-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        var, port = Path(folder), free_port()
        run = Run(var, BACKOFFICE_DEMO="1", PORT=str(port), WEB_CONCURRENCY="2")
        try:
            run.wait_for("Ready on", timeout_s=300)
            yield World(run, var, port)
            assert run.popen.poll() is None, f"the product stopped by itself: {run.text}"
        finally:
            run.end()


@pytest.fixture(scope="session")
def fallen_due(world: World) -> tuple[str, int]:
    """A subscription of the demo's first member whose term has just ended, and which term that was. The scheduler looks once a minute."""
    member = "(select id from member where number = 'M00001')"
    ((subscription_id, term),) = world.sql(f"select id, term from subscription where member_id = {member} and state = 'active' limit 1")
    world.sql(f"update subscription set term_end = clock_timestamp(), next_attempt_at = clock_timestamp() where id = '{subscription_id}'")
    assert isinstance(term, int)
    return str(subscription_id), term


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything that needs the started world runs in one test process, so that it is started once."""
    for item in items:
        if "world" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("world"))
