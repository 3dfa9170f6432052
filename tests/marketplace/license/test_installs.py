"""Installs, updates and uninstalls are separate events with version and hash; the publisher counts them without learning who."""

import pytest
from sqlalchemy import text

from core.actor import Actor
from core.db import SYSTEM, transaction
from marketplace.license import downloads, installs
from marketplace.license.license_models import License
from marketplace.publisher.publisher_models import Publisher
from marketplace.release.version_models import ListingVersion
from marketplace.store.compatibility import EditionTooLow
from tests.factories import AT, make_member
from tests.marketplace.license.test_downloads import member  # noqa: F401 (a fixture)
from tests.marketplace.store_world import FREE, ONE_TIME, acting_for, buy, open_store, set_listing
from tests.sign_in import bearer, client_as


def fetch(owner, license_id, version=None):
    with transaction(acting_for(owner)):
        return downloads.hand_out(owner.id, license_id, at=AT, version=version)


def events(owner, license_id):
    with transaction(acting_for(owner)):
        return [(one.kind, one.version, one.sha256) for one in reversed(installs.history(owner.id, license_id))]


def second_version(slug):
    """The same content under a later number, on offer."""
    with transaction(SYSTEM) as session:
        listing_id = session.scalar(text("select id from listing where slug = :slug"), {"slug": slug})
        first = session.get(ListingVersion, (listing_id, "1.0.0"))
        row = {column.name: getattr(first, column.name) for column in ListingVersion.__table__.columns} | {"number": "1.1.0"}
        session.add(ListingVersion(**row))
    set_listing(slug, current_version="1.1.0")


def test_put_in_brought_up_to_date_and_taken_out_are_events_of_their_own(member):  # noqa: F811
    license_id = buy(member, FREE)
    sha256 = fetch(member, license_id).sha256
    fetch(member, license_id)  # the same again is no event
    second_version(FREE)
    fetch(member, license_id)
    with transaction(acting_for(member)):
        installs.uninstall(member.id, license_id, at=AT, user_id=None)
    assert events(member, license_id) == [("install", "1.0.0", sha256), ("update", "1.1.0", sha256), ("uninstall", "1.1.0", sha256)]
    fetch(member, license_id)
    assert events(member, license_id)[-1][0] == "install"


def test_what_is_not_there_cannot_be_taken_out(member):  # noqa: F811
    license_id = buy(member, FREE)
    with pytest.raises(installs.NotInstalled), transaction(acting_for(member)):
        installs.uninstall(member.id, license_id, at=AT, user_id=None)


def test_an_edition_that_no_longer_admits_it_keeps_what_is_there_and_gets_no_other_version(member):  # noqa: F811
    license_id = buy(member, FREE)
    fetch(member, license_id)
    second_version(FREE)
    set_listing(FREE, required_rank=4, product_line="crm")
    fetch(member, license_id, "1.0.0")
    with pytest.raises(EditionTooLow):
        fetch(member, license_id)
    with transaction(SYSTEM) as session:
        license = session.query(License).filter_by(id=license_id).one()
        assert license.installed_version == "1.0.0"


def test_the_publisher_counts_without_learning_who(app):
    open_store(ONE_TIME)
    set_listing(ONE_TIME, required_rank=0, required_features=[], product_line=None)
    for n in range(3):
        owner = make_member(paid=10_000_00)
        license_id = buy(owner, ONE_TIME)
        fetch(owner, license_id)
        if n == 0:
            with transaction(acting_for(owner)):
                installs.uninstall(owner.id, license_id, at=AT, user_id=None)
    with transaction(SYSTEM) as session:
        publisher_id = session.scalar(text("select publisher_id from listing where slug = :slug"), {"slug": ONE_TIME})
        code = session.get(Publisher, publisher_id).code
    assert code
    page = client_as(app, "publisher", publisher_id=publisher_id).get(f"/publisher/{ONE_TIME}?lang=en").text
    assert "installs: 3, updates: 0, uninstalls: 1" in page
    acting = Actor(kind="publisher", role="publisher", publisher_id=publisher_id)
    with pytest.raises(Exception, match="permission denied"), transaction(acting) as session:
        session.execute(text("select member_id from install_event"))


def test_on_the_page_and_over_the_api(app, member):  # noqa: F811
    license_id = buy(member, FREE)
    client = client_as(app, "owner", member)
    assert client.get(f"/apps/{license_id}/artifact").status_code == 200
    assert "/uninstall" in client.get(f"/apps/{license_id}").text
    assert client.post(f"/apps/{license_id}/uninstall").status_code == 302
    assert client.post(f"/apps/{license_id}/uninstall").status_code == 409
    fetch(member, license_id)
    path = f"/api/v1/licenses/{license_id}/uninstall"
    assert app.test_client().post(path, headers=bearer("buyer", member)).status_code == 200
    assert client_as(app, "viewer", member).post(f"/apps/{license_id}/uninstall").status_code == 403
