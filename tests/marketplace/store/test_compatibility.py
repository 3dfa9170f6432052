"""Edition, features, product line and host version are judged in one place: search hides, the page says why, purchase, trial and install refuse."""

from types import SimpleNamespace

import pytest
from sqlalchemy import text

from core import memory
from core.db import SYSTEM, transaction
from core.ids import new_id
from marketplace.license import choosing, downloads, installs, licenses
from marketplace.order import orders, pricing
from marketplace.release import lifecycle
from marketplace.release.version_models import ListingVersion
from marketplace.store import compatibility
from marketplace.store.compatibility import HostUnfit
from marketplace.store.listing_models import Listing
from membership import api_keys, entitlements, hosts
from tests.factories import AT, make_member
from tests.marketplace.store_world import CRM_ONLY, FREE, PACK, acting_for, buy, open_store, price_of, set_listing, subscribe
from tests.sign_in import bearer, client_as

NEWER = ">=2.0,<3.0"


@pytest.fixture
def member(app, monkeypatch):
    monkeypatch.setattr(hosts._memory, "lasts_s", 600.0)  # on a slow machine too, nothing is looked up again during a test
    open_store(FREE, PACK, CRM_ONLY)
    pricing._offered.clear()
    hosts.forget_all()
    owner = make_member(paid=10_000_00)
    return SimpleNamespace(id=owner.id)


def runs(member, version, line="crm"):
    """The member's host has said which version it runs."""
    with transaction(acting_for(member)):
        hosts.record(member.id, line, version, "reported", at=AT)


def release(slug, number, host_version):
    """Another version of a listing, for these versions of the host, on offer."""
    with transaction(SYSTEM) as session:
        listing = session.query(Listing).filter_by(slug=slug).one()
        first = session.get_one(ListingVersion, (listing.id, "1.0.0"))
        told = {column.name: getattr(first, column.name) for column in ListingVersion.__table__.columns}
        session.add(ListingVersion(**told | {"number": number, "manifest": {**first.manifest, "version": number, "host_version": host_version}}))
        session.flush()
        lifecycle.offer_newest(listing, AT)
        assert (listing.current_version, listing.host_version) == (number, host_version)


def order(member, slug):
    wanted = orders.Wanted(new_id(), price_of(slug))
    with transaction(acting_for(member)):
        return orders.place(member.id, slug, wanted, at=AT)


def test_a_purchase_is_refused_and_charges_nothing(member):
    set_listing(PACK, host_version=NEWER)
    with pytest.raises(HostUnfit) as refused:
        order(member, PACK)
    assert refused.value.extra == {"needed_line": "crm", "needed_version": NEWER, "version": "1.0"}
    assert refused.value.detail
    with transaction(SYSTEM) as session:
        assert session.scalar(text("select count(*) from store_order")) == 0
    subscribe(member, "ops")
    runs(member, "2.5", "ops")  # of no particular line, so one of its own that fits will do
    assert order(member, PACK)


def wanted():
    return {"id": str(new_id()), "price_minor": price_of(PACK)}


@pytest.mark.parametrize("way", ["own host", "release"])
def test_the_hot_path_over_the_api_compares_too(app, member, way, monkeypatch):
    key, client = bearer("buyer", member), app.test_client()
    path = f"/api/v1/listings/{PACK}/orders"
    assert client.post(path, json=wanted(), headers=key).status_code == 201
    calls, place = [], orders.place
    monkeypatch.setattr(orders, "place", lambda *given, **more: calls.append(given) or place(*given, **more))
    assert client.post(path, json=wanted(), headers=key).status_code == 201
    assert calls == []  # served from memory
    if way == "release":
        with transaction(SYSTEM):
            hosts.release("crm", "2.0")
            hosts.release("ops", "2.0")
        hosts.forget_all()  # as after `TTL_S`
    else:
        for line in ("crm", "ops"):
            runs(member, "0.9", line)
        api_keys.forget_all()  # as after `api_keys.TTL_S`
    refused = client.post(path, json=wanted(), headers=key)
    assert (refused.status_code, refused.json["code"]) == (403, "host_version_unfit")
    assert len(calls) == 1


def test_memory_is_believed_for_a_while_only(member, monkeypatch):
    assert not hosts.fits_releases(None, ">=1.0")
    with transaction(SYSTEM):
        hosts.refresh()
    assert hosts.fits_releases(None, ">=1.0")
    assert hosts.fits_releases("crm", ">=1.0")
    assert not hosts.fits_releases("crm", NEWER)
    assert not hosts.fits_releases("tel", ">=1.0")
    assert hosts.fits_releases("crm", None)
    monkeypatch.setattr(memory, "monotonic", lambda: 10**12)
    assert not hosts.fits_releases(None, ">=1.0")


def test_a_trial_is_a_purchase_in_this(app, member):
    set_listing(CRM_ONLY, trial_days=14, required_rank=0, required_features=[], host_version=NEWER)
    answer = app.test_client().post(f"/api/v1/listings/{CRM_ONLY}/trials", json={"id": str(new_id())}, headers=bearer("buyer", member))
    assert (answer.status_code, answer.json["code"], answer.json["needed_line"]) == (403, "host_version_unfit", "crm")


def test_the_newest_that_fits_is_handed_out_and_the_rest_says_why(app, member):
    license_id = buy(member, FREE)
    release(FREE, "2.0.0", NEWER)
    with transaction(acting_for(member)):
        assert downloads.hand_out(member.id, license_id, at=AT).version == "1.0.0"
        owned = licenses.owned(member.id, license_id)
        standing = entitlements.standing_of(member.id)
        assert choosing.update_of(owned, standing) is None
        assert choosing.held_back(owned, standing).reason == "host_too_old"
    with pytest.raises(HostUnfit), transaction(acting_for(member)):
        downloads.hand_out(member.id, license_id, at=AT, version="2.0.0")
    with pytest.raises(HostUnfit), transaction(acting_for(member)):
        downloads.hand_out(member.id, license_id, at=AT, version="2.0.0", original=True)
    page = client_as(app, "owner", member).get(f"/apps/{license_id}?lang=en").text
    assert "but not for you yet" in page
    assert "/host-versions" in page
    refused = client_as(app, "owner", member).get(f"/apps/{license_id}/artifact?version=2.0.0&lang=en")
    assert refused.status_code == 403
    assert "Nothing was charged or installed." in refused.text
    assert "/host-versions" in refused.text
    for line in ("crm", "ops"):
        runs(member, "2.1", line)
    with transaction(acting_for(member)):
        assert downloads.hand_out(member.id, license_id, at=AT).version == "2.0.0"
        assert [one.kind for one in installs.history(member.id, license_id)] == ["update", "install"]
    for line in ("crm", "ops"):
        runs(member, "1.9", line)  # rolled back: what is there can be fetched again
    with transaction(acting_for(member)):
        assert downloads.hand_out(member.id, license_id, at=AT).version == "2.0.0"


def test_a_renewal_asks_no_newer_host(member):
    set_listing(FREE, host_version=NEWER)
    with transaction(SYSTEM) as session:
        listing = session.query(Listing).filter_by(slug=FREE).one()
        standing = entitlements.standing_of(member.id)
        assert not compatibility.judge(listing, standing).allowed
        assert compatibility.judge(compatibility.of_edition(listing), standing).allowed


def test_search_hides_it_until_asked_for_and_the_listing_says_why(app, member):
    client = client_as(app, "owner", member)
    assert FREE in client.get("/store?lang=en").text
    set_listing(FREE, host_version=NEWER)
    front = client.get("/store?lang=en").text
    assert f"/store/{FREE}" not in front
    assert "need another edition or version" in front
    everything = client.get("/store?all=1&lang=en").text
    assert f"/store/{FREE}" in everything
    assert "Not for your version" in everything
    listing = client.get(f"/store/{FREE}?lang=en").text
    assert "Needs version 2.0 or newer, below 3.0 of CRM; yours is 1.0, which is too old." in listing
    assert 'href="/host-versions"' in listing
    assert f"/store/{FREE}/buy" not in listing
    assert client.get(f"/store/{FREE}/buy").status_code == 302
    told = app.test_client().get(f"/api/v1/listings/{FREE}", headers=bearer("viewer", member)).json
    assert told["compatible"] is False
    usable = app.test_client().get("/api/v1/listings?usable=true", headers=bearer("viewer", member)).json["items"]
    assert FREE not in {one["slug"] for one in usable}
    for line in ("crm", "ops"):
        runs(member, "2.0", line)
    assert f"/store/{FREE}" in client.get("/store?lang=en").text
    assert "Works with your edition and your version" in client.get(f"/store/{FREE}?lang=en").text


def test_the_index_follows_the_version_on_sale(member):
    release(FREE, "2.0.0", NEWER)
    asked = text("select q.host_version from listing_index i join listing_grade g on g.id = i.grade_id join listing_requirement q on q.id = g.requirement_id"
                 " where i.slug = :slug")  # fmt: skip
    with transaction(SYSTEM) as session:
        assert session.scalar(asked, {"slug": FREE}) == NEWER
        listing = session.query(Listing).filter_by(slug=FREE).one()
        version = session.get_one(ListingVersion, (listing.id, "2.0.0"))
        lifecycle.move_version(version, "yank", at=AT, reason="a fault")
        lifecycle.offer_newest(listing, AT)
        session.flush()
        assert listing.host_version == ">=1.0,<2.0"
        assert session.scalar(asked, {"slug": FREE}) == ">=1.0,<2.0"
