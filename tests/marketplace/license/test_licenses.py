"""Licences: whose they are, when they hold, and what is bought twice."""

from datetime import timedelta

import pytest

from core.db import SYSTEM, transaction
from core.errors import NotFound
from marketplace.license import licenses
from marketplace.license.license_models import License
from tests.factories import AT, make_member
from tests.marketplace.store_world import FREE, PACK, acting_for, buy, open_store


@pytest.fixture
def store(app):
    return open_store(FREE, PACK)


def test_a_foreign_licence_does_not_exist(store):
    mine, theirs = make_member(), make_member()
    license_id = buy(theirs, FREE)
    with transaction(acting_for(mine)):
        with pytest.raises(NotFound):
            licenses.owned(mine.id, license_id)
        with pytest.raises(NotFound):
            licenses.owned(theirs.id, license_id)  # row-level security, when the code forgets whose it is
        assert licenses.list_owned(theirs.id) == []


def test_packs_are_added_up(store):
    member = make_member(paid=100_000)
    ids = [buy(member, PACK, at=AT + timedelta(minutes=n), quantity=n + 1) for n in range(3)]
    with transaction(acting_for(member)):
        (packs,) = licenses.list_packs(member.id)
        assert (packs.orders, packs.pieces, packs.total_minor, packs.latest_id) == (3, 6, 600, ids[-1])
        assert licenses.list_owned(member.id) == []
        assert licenses.owned_listings(member.id) == {}


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"state": "suspended", "suspended_at": AT}, False),
        ({"state": "ended"}, False),
        ({"ends_at": AT, "next_attempt_at": AT}, False),
        ({"ends_at": AT + timedelta(seconds=1), "next_attempt_at": AT}, True),
        ({"state": "trial", "ends_at": AT + timedelta(days=1), "next_attempt_at": AT}, True),
        ({"starts_at": AT + timedelta(seconds=1)}, False),
    ],
)
def test_when_a_licence_holds(store, changes, holds):
    member = make_member()
    license_id = buy(member, FREE)
    with transaction(SYSTEM) as session:
        license = session.get(License, (member.id, license_id))
        for name, value in changes.items():
            setattr(license, name, value)
        assert licenses.is_valid(license, AT) is holds
        if not holds:
            with pytest.raises(licenses.LicenseEnded):
                licenses.check(license, AT)
