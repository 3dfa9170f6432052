"""Who may see which listing, and in which order versions come."""

import pytest

from core.db import SYSTEM, transaction
from core.errors import NotFound
from marketplace.release import bundles
from marketplace.store import listings
from membership.entitlements import Standing
from tests.marketplace.store_world import CRM_ONLY, FREE, open_store, set_listing


@pytest.mark.parametrize(("state", "seen"), [("published", True), ("deprecated", True), ("draft", False), ("in_review", False), ("archived", False)])
def test_what_is_not_on_show_does_not_exist(app, state, seen):
    open_store(FREE)
    set_listing(FREE, state=state)
    with transaction(SYSTEM):
        if seen:
            assert listings.find_on_show(FREE).listing.slug == FREE
        else:
            with pytest.raises(NotFound):
                listings.find_on_show(FREE)


def test_the_verdict_is_of_who_asks(app):
    open_store(CRM_ONLY)
    with transaction(SYSTEM):
        assert listings.find_on_show(CRM_ONLY).verdict is None
        assert not listings.find_on_show(CRM_ONLY, Standing()).is_usable
        assert listings.find_on_show(CRM_ONLY, Standing({"crm": 1})).is_usable


@pytest.mark.parametrize(
    ("new", "old", "newer"), [("1.10.0", "1.9.0", True), ("1.0.0", "1.0.0", False), ("1.0.0", "2.0.0", False), ("1.0.0", None, False), (None, "1.0.0", False)]
)
def test_versions_are_numbers(new, old, newer):
    assert listings.is_newer(new, old) is newer


def test_what_is_no_version_is_said():
    with pytest.raises(ValueError, match=r"1\.0"):
        listings.version_key("1.0")


def test_every_word_of_the_showcase_has_its_name():
    for one in bundles.load_showcase():
        assert one.kind in listings.KINDS
        assert one.category in listings.CATEGORIES
        for code in one.permissions:
            assert code.partition(":")[0] in listings.RESOURCES, code
            assert listings.permission(code)["name_zh"]
