"""A term that ends renews by itself, from the wallet, on what `make run` starts. The scheduler has had the time of the other pages for it."""

import os
import time

import pytest
from playwright.sync_api import Browser

from tests.browser import checks
from tests.browser.world import Person, World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420), pytest.mark.skipif(not os.path.exists(checks.CHROMIUM), reason="no Chromium here")]


def test_a_term_that_has_ended_renews_by_itself(world: World, chromium: Browser, fallen_due: tuple[str, int]) -> None:
    subscription_id, term = fallen_due
    deadline = time.monotonic() + 150
    while world.one(f"select term from subscription where id = '{subscription_id}'") == term:
        assert time.monotonic() < deadline, "the scheduler did not renew it"
        time.sleep(1)
    owner = Person(world, chromium, "owner")
    owner.go("/subscriptions")
    owner.shot("11-renewed")
    assert world.one(f"select motion from subscription_history where subscription_id = '{subscription_id}' order by at desc limit 1") == "renewal"
    assert owner.faults == []
    owner.page.context.close()

    verified = world.flask("ledger", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
