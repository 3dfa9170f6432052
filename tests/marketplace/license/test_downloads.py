"""What is handed out is what was published, to its owner alone."""

import base64
import hashlib

import pytest

from core.db import SYSTEM, transaction
from core.errors import NotFound
from marketplace.license import downloads, licenses
from marketplace.license.license_models import Download, License
from marketplace.release import publishing, submissions
from marketplace.store.listing_models import Listing
from tests.factories import AT, make_member
from tests.marketplace.release.test_publishing import REVIEWER, submit
from tests.marketplace.store_world import FREE, PACK, acting_for, buy, open_store, set_listing


@pytest.fixture
def member(app):
    open_store(FREE, PACK)
    return make_member(paid=10_000)


def test_the_hash_handed_out_is_the_hash_of_what_is_handed_out(member):
    license_id = buy(member, FREE)
    with transaction(acting_for(member)):
        handout = downloads.hand_out(member.id, license_id, at=AT)
    digest = hashlib.sha256(handout.content)
    assert handout.sha256 == digest.hexdigest()
    assert handout.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert handout.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert handout.filename == f"{FREE}-1.0.0.zip"


def test_a_download_is_recorded_and_counts_as_installed(member):
    license_id = buy(member, FREE)
    with transaction(acting_for(member)):
        downloads.hand_out(member.id, license_id, at=AT)
        downloads.hand_out(member.id, license_id, at=AT)
    with transaction(SYSTEM) as session:
        rows = session.query(Download).all()
        assert {(row.member_id, row.license_id, row.version) for row in rows} == {(member.id, license_id, "1.0.0")}
        assert len(rows) == 2
        assert session.get(License, (member.id, license_id)).installed_version == "1.0.0"


def test_a_foreign_licence_opens_nothing(member):
    license_id = buy(make_member(), FREE)
    with pytest.raises(NotFound), transaction(acting_for(member)):
        downloads.hand_out(member.id, license_id, at=AT)
    with transaction(SYSTEM) as session:
        assert session.query(Download).count() == 0


def test_an_ended_licence_opens_nothing(member):
    license_id = buy(member, FREE)
    with transaction(SYSTEM) as session:
        session.get(License, (member.id, license_id)).state = "ended"
    with pytest.raises(licenses.LicenseEnded), transaction(acting_for(member)):
        downloads.hand_out(member.id, license_id, at=AT)


@pytest.mark.parametrize("state", ["deprecated", "archived"])
def test_owners_keep_what_the_store_gave_up(member, state):
    license_id = buy(member, FREE)
    set_listing(FREE, state=state)
    with transaction(acting_for(member)):
        assert downloads.hand_out(member.id, license_id, at=AT).version == "1.0.0"


def test_a_yanked_version_is_there_for_who_asks_for_it(member):
    license_id = buy(member, FREE)
    submit()
    with transaction(REVIEWER) as session:
        submissions.approve(FREE, "9.0.0", at=AT)
        publishing.yank(session.query(Listing).filter_by(slug=FREE).one(), "9.0.0", "wrong", AT)
    with transaction(acting_for(member)):
        assert downloads.hand_out(member.id, license_id, at=AT).version == "1.0.0"
        assert downloads.hand_out(member.id, license_id, at=AT, version="9.0.0").version == "9.0.0"


def test_a_listing_with_no_version_left_still_serves_its_owners(member):
    license_id = buy(member, FREE)
    with transaction(SYSTEM) as session:
        publishing.yank(session.query(Listing).filter_by(slug=FREE).one(), "1.0.0", "wrong", AT)
    with transaction(acting_for(member)):
        assert downloads.hand_out(member.id, license_id, at=AT).version == "1.0.0"


@pytest.mark.parametrize("version", ["9.0.0", "7.7.7", "", "../1"])
def test_unreleased_versions_are_not_handed_out(member, version):
    license_id = buy(member, FREE)
    submit()
    with transaction(acting_for(member)):
        if version:
            with pytest.raises(NotFound):
                downloads.hand_out(member.id, license_id, at=AT, version=version)
        else:
            assert downloads.hand_out(member.id, license_id, at=AT, version=version).version == "1.0.0"
