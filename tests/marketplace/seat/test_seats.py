"""Who holds a seat: never more than there are, checked wherever the licence opens something, free at once when somebody lets go or leaves."""

import threading
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.actor import Actor
from core.clock import now
from core.db import SYSTEM, transaction
from core.errors import Invalid, NotFound
from core.ids import new_id
from marketplace.copy import copies
from marketplace.license import licenses, trials
from marketplace.license.license_models import License
from marketplace.order import bundle_terms, orders
from marketplace.publisher.publisher_models import Publisher
from marketplace.seat import seat_orders, seats
from marketplace.seat.seat_models import LicenseSeat
from marketplace.seat.seats import NotPerSeat
from membership import api_keys, users
from membership.models import ApiKey
from membership.users import NoSeatFree
from tests.billing.books import as_owner, assert_books_hold
from tests.factories import AT, make_member, make_user
from tests.marketplace.store_world import CRM_ONLY, FREE, ONE_TIME, PACK, acting_for, buy, open_store, set_listing
from tests.sign_in import bearer, signed_in

PRICE = 99_00


@pytest.fixture(autouse=True)
def per_seat(app):
    """One listing at ¥99.00 a seat, once."""
    open_store(ONE_TIME, PACK, FREE, CRM_ONLY)
    set_listing(ONE_TIME, licensed_per="seat", required_rank=0, required_features=[], product_line=None)
    yield
    assert_books_hold()


def seated(member, count, at=AT):
    return buy(member, ONE_TIME, quantity=count, at=at)


def show(member, license_id):
    with transaction(acting_for(member)) as session:
        return seats.show(session.get(License, (member.id, license_id)))


def give(member, license_id, holder_id, at=AT):
    with transaction(acting_for(member)):
        seats.assign(member.id, license_id, holder_id, at=at, by=None)


def refused(member, license_id, holder_id, error):
    with transaction(acting_for(member)), pytest.raises(error):
        seats.assign(member.id, license_id, holder_id, at=AT, by=None)


def take(member, license_id, holder_id, at=AT):
    with transaction(acting_for(member)):
        seats.release(member.id, license_id, holder_id, at=at, by=None)


def names(found):
    return [one.name for one in found.holders]


def test_as_many_as_were_bought_and_no_more():
    member = make_member(paid=1000_00)
    license_id = seated(member, 2)
    people = [make_user("viewer", member, name=f"P{n}") for n in range(3)]
    for one in people[:2]:
        give(member, license_id, one.id)
    give(member, license_id, people[0].id)  # again is no other seat
    refused(member, license_id, people[2].id, NoSeatFree)
    assert names(show(member, license_id)) == ["P0", "P1"]
    take(member, license_id, people[0].id)
    take(member, license_id, people[0].id)
    give(member, license_id, people[2].id)
    assert names(show(member, license_id)) == ["P1", "P2"]


def test_what_was_is_kept():
    member = make_member(paid=1000_00)
    license_id, person = seated(member, 1), make_user("viewer", member)
    for hour in (0, 2):
        give(member, license_id, person.id, at=AT + timedelta(hours=hour))
        take(member, license_id, person.id, at=AT + timedelta(hours=hour + 1))
    with transaction(SYSTEM) as session:
        rows = session.query(LicenseSeat).filter_by(license_id=license_id).order_by(LicenseSeat.assigned_at).all()
    assert [(row.released_at - row.assigned_at) for row in rows] == [timedelta(hours=1)] * 2


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 4), asking=st.integers(2, 8))
def test_at_the_same_time_never_more_than_there_are(app, count, asking):
    member = make_member(paid=1000_00)
    license_id = seated(member, count)
    people = [make_user("viewer", member) for _n in range(asking)]
    together, outcomes = threading.Barrier(asking), []

    def ask(person):
        with app.app_context():
            together.wait()
            try:
                give(member, license_id, person.id)
                outcomes.append("given")
            except NoSeatFree:
                outcomes.append("none")

    threads = [threading.Thread(target=ask, args=(person,)) for person in people]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert outcomes.count("given") == min(count, asking) == show(member, license_id).taken
    assert len(outcomes) == asking


def test_whoever_buys_gets_the_first_seat():
    member = make_member(paid=1000_00)
    owner = make_user("owner", member, name="Buyer")
    with transaction(Actor(kind="member", role="owner", member_id=member.id, user_id=owner.id)):
        placed = orders.place(member.id, ONE_TIME, orders.Wanted(new_id(), PRICE, 3), at=AT, placed_by=owner.id)
    found = show(member, placed.license_id)
    assert (found.seats, names(found), found.free) == (3, ["Buyer"], 2)


def test_other_members_people_get_none():
    member, other = make_member(paid=1000_00), make_member(paid=1000_00)
    license_id, theirs = seated(member, 2), seated(other, 2)
    stranger, mine = make_user("viewer", other), make_user("viewer", member)
    for license_wanted, holder in ((license_id, stranger.id), (license_id, new_id()), (theirs, mine.id)):
        refused(member, license_wanted, holder, NotFound)
    with pytest.raises(Exception, match=r"row-level security|license_seat_user_fkey"), transaction(acting_for(member)) as session:
        session.add(LicenseSeat(member_id=member.id, id=new_id(), license_id=license_id, user_id=stranger.id, assigned_at=AT))


def test_a_licence_of_the_whole_member_has_no_seats():
    member = make_member(paid=1000_00)
    license_id = buy(member, FREE)
    refused(member, license_id, make_user("viewer", member).id, NotPerSeat)
    with transaction(acting_for(member)) as session, pytest.raises(NotPerSeat):
        seats.show(session.get(License, (member.id, license_id)))


def test_who_is_shut_out_loses_the_seat_at_once():
    member = make_member(paid=1000_00)
    license_id, person = seated(member, 1), make_user("viewer", member)
    give(member, license_id, person.id)
    with transaction(Actor(kind="member", role="owner", member_id=member.id)):
        users.disable(member.id, person.id, at=AT)
    assert show(member, license_id).free == 1
    refused(member, license_id, person.id, Invalid)
    with transaction(Actor(kind="member", role="owner", member_id=member.id)):
        users.enable(member.id, person.id, at=AT)
    assert show(member, license_id).free == 1  # coming back is not getting it back


def test_a_revoked_key_loses_its_seat():
    member = make_member(paid=1000_00)
    license_id = seated(member, 1)
    bearer("buyer", member)
    with transaction(SYSTEM) as session:
        key_id = session.query(ApiKey).filter_by(member_id=member.id).one().id
    give(member, license_id, key_id)
    assert [(one.kind, one.name) for one in show(member, license_id).holders] == [("api_key", "test key")]
    with transaction(Actor(kind="staff", role="operator")):
        api_keys.revoke(key_id, at=AT)
    assert show(member, license_id).free == 1


def test_download_and_run_ask_for_a_seat_on_pages(app):
    member = make_member(paid=1000_00)
    license_id = seated(member, 2, at=now())
    people = {role: make_user(role, member) for role in ("owner", "viewer")}
    for role, person in people.items():
        browser = signed_in(app, person)
        page = browser.get(f"/apps/{license_id}?lang=en")
        assert page.status_code == 200
        assert "You hold no seat" in page.text
        assert "/artifact" not in page.text
        assert browser.get(f"/apps/{license_id}/artifact").status_code == 403
        assert "you hold none" in browser.get(f"/apps/{license_id}/runs?lang=en").text
        refused = browser.post(f"/apps/{license_id}/runs", data={"id": str(new_id())})
        assert refused.status_code == 403, role
        give(member, license_id, person.id)
        assert browser.get(f"/apps/{license_id}/artifact").status_code == 200
        assert "You hold no seat" not in browser.get(f"/apps/{license_id}?lang=en").text
        started = browser.post(f"/apps/{license_id}/runs", data={"id": str(new_id())})
        assert started.status_code != 403, role
    take(member, license_id, people["viewer"].id)
    assert signed_in(app, people["viewer"]).get(f"/apps/{license_id}/artifact").status_code == 403


def test_the_files_of_a_copy_are_shown_with_a_seat_only(app):
    member = make_member(paid=1000_00)
    license_id, owner = seated(member, 1, at=now()), make_user("owner", member)
    browser, key = signed_in(app, owner), bearer("owner", member)
    with transaction(acting_for(member)):
        owned = licenses.owned(member.id, license_id)
        path = copies.editable(owned, copies.of(owned))[0]
    pages = [f"/apps/{license_id}/copy/file?path={path}", f"/apps/{license_id}/copy/download?path={path}"]
    for page in (*pages, f"/apps/{license_id}/update"):
        assert browser.get(page).status_code == 403, page
    assert browser.post(f"/apps/{license_id}/copy/file", data={"path": path, "content": "x"}).status_code == 403
    assert app.test_client().get(f"/api/v1/licenses/{license_id}/copy/file?path={path}", headers=key).json["code"] == "no_seat"
    give(member, license_id, owner.id)
    for page in pages:
        assert browser.get(page).status_code == 200, page


def test_without_seats_viewers_look_only_as_before(app):
    member = make_member(paid=1000_00)
    license_id = buy(member, FREE, at=now())
    viewer = signed_in(app, make_user("viewer", member))
    assert viewer.get(f"/apps/{license_id}/artifact").status_code == 200
    refused = viewer.post(f"/apps/{license_id}/runs?lang=en", data={"id": str(new_id())})
    assert refused.status_code == 403
    assert signed_in(app, make_user("buyer", member)).get(f"/apps/{license_id}/artifact").status_code == 200


def test_a_machine_needs_a_seat_of_its_own(client):
    member = make_member(paid=1000_00)
    license_id = seated(member, 1, at=now())
    key = bearer("buyer", member)
    refused = client.get(f"/api/v1/licenses/{license_id}/artifact", headers=key)
    assert (refused.status_code, refused.json["code"]) == (403, "no_seat")
    with transaction(SYSTEM) as session:
        key_id = session.query(ApiKey).filter_by(member_id=member.id).one().id
    assert client.put(f"/api/v1/licenses/{license_id}/seats/{key_id}", headers=key).status_code == 200
    assert client.get(f"/api/v1/licenses/{license_id}/artifact", headers=key).status_code == 200


def test_over_the_api(client):
    member = make_member(paid=1000_00)
    key = bearer("owner", member)
    bought = client.post(f"/api/v1/listings/{ONE_TIME}/orders", json={"id": str(new_id()), "price_minor": PRICE, "quantity": 1}, headers=key)
    assert bought.status_code == 201, bought.json
    place = f"/api/v1/licenses/{bought.json['license_id']}"
    assert client.get(f"/api/v1/listings/{ONE_TIME}", headers=key).json["licensed_per"] == "seat"
    one, other = make_user("viewer", member, name="One"), make_user("viewer", member, name="Other")
    given_one = client.put(f"{place}/seats/{one.id}", headers=key)
    assert (given_one.json["taken"], given_one.json["free"], given_one.json["holders"][0]["name"]) == (1, 0, "One")
    full = client.put(f"{place}/seats/{other.id}", headers=key)
    assert (full.status_code, full.json["code"]) == (409, "no_seat_free")
    preview = client.post(f"{place}/seat-previews", json={"seats": 2}, headers=key).json
    assert (preview["price_minor"], preview["seats_after"], preview["days_left"], preview["next_term_minor"]) == (2 * PRICE, 3, None, None)
    wanted = {"id": str(new_id()), "seats": 2, "price_minor": preview["price_minor"]}
    assert client.post(f"{place}/seat-orders", json=wanted | {"price_minor": 1}, headers=key).json["code"] == "price_changed"
    more = client.post(f"{place}/seat-orders", json=wanted, headers=key)
    assert (more.status_code, more.json["total_minor"], more.json["quantity"]) == (201, 2 * PRICE, 2)
    assert client.post(f"{place}/seat-orders", json=wanted, headers=key).json == more.json
    assert client.post(f"{place}/seat-orders", json=wanted | {"seats": 1}, headers=key).json["code"] in ("id_reused", "price_changed")
    assert client.put(f"{place}/seats/{other.id}", headers=key).json["taken"] == 2
    assert client.delete(f"{place}/seats/{one.id}", headers=key).json["free"] == 2
    assert client.get(f"{place}/seats", headers=key).json["seats"] == 3
    assert client.post(f"{place}/seat-reduction", json={"seats": 1}, headers=key).json["code"] == "not_renewing"
    listed = client.get("/api/v1/licenses", headers=key).json["items"][0]
    assert (listed["seats"], listed["quantity"]) == (3, 1)
    for path, body in (("seat-previews", {"seats": 0}), ("seat-orders", {"id": str(new_id()), "seats": 10_001, "price_minor": 0}), ("seat-reduction", {})):
        assert client.post(f"{place}/{path}", json=body, headers=key).status_code == 422
    assert client.get(f"{place}/seats", headers=bearer("viewer", member)).status_code == 403


def test_on_the_apps_page(app):
    member = make_member(paid=1000_00)
    owner, colleague = make_user("owner", member, name="Olga"), make_user("viewer", member, name="Vic")
    browser = signed_in(app, owner)
    assert "per seat" in browser.get(f"/store/{ONE_TIME}?lang=en").text
    confirmation = browser.get(f"/store/{ONE_TIME}/buy?quantity=2&lang=en").text
    assert "How many seats" in confirmation
    assert "for 2 seats" in confirmation
    assert "¥198.00" in confirmation
    order = browser.post(f"/store/{ONE_TIME}/buy", data={"id": str(new_id()), "price_minor": PRICE, "quantity": 2}).location
    license_id = order.rpartition("/")[2]
    page = f"/apps/{license_id}"
    assert "1 of 2 taken" in browser.get(f"{page}?lang=en").text
    assert "1 of 2 seats taken" in browser.get("/apps?lang=en").text
    assert "No seat for you" in signed_in(app, colleague).get("/apps?lang=en").text
    given_one = browser.post(f"{page}/seats", data={"holder": str(colleague.id)})
    assert given_one.location.endswith(f"{page}#seats")
    assert "No seat for you" not in signed_in(app, colleague).get("/apps?lang=en").text
    full = browser.post(f"{page}/seats?lang=en", data={"holder": str(make_user("viewer", member).id)})
    assert full.status_code == 409
    assert "All 2 seats are taken" in full.text
    assert browser.post(f"{page}/seats", data={"holder": "x"}).status_code == 422
    confirm = browser.get(f"{page}/seats/more?seats=3&lang=en").text
    assert "¥297.00" in confirm
    assert "The licence then has 5 seats" in confirm
    assert browser.post(f"{page}/seats/more", data={"id": str(new_id()), "seats": 3, "price_minor": 29700}).status_code == 303
    assert "2 of 5 taken" in browser.get(f"{page}?lang=en").text
    stale = browser.post(f"{page}/seats/more?lang=en", data={"id": str(new_id()), "seats": 1, "price_minor": 1})
    assert stale.status_code == 409
    assert "It was ¥0.01 and is now ¥99.00" in stale.text
    short = browser.get(f"{page}/seats/more?seats=50&lang=en").text
    assert "missing" in short
    assert browser.get(f"{page}/seats/more?seats=0").status_code == 422
    assert browser.post(f"{page}/seats/{colleague.id}/release").status_code == 303
    once = browser.post(f"{page}/seats/fewer?lang=en", data={"fewer": "1"})
    assert once.status_code == 409
    assert "does not renew" in once.text
    assert browser.post(f"{page}/seats/fewer", data={"fewer": "many"}).status_code == 422
    assert "1 of 5 taken" in browser.get(f"{page}?lang=en").text
    assert signed_in(app, colleague).post(f"{page}/seats", data={"holder": str(colleague.id)}).status_code == 403


def test_a_trial_has_its_seats_and_the_purchase_keeps_their_holders():
    set_listing(ONE_TIME, trial_days=14)
    member = make_member(paid=1000_00)
    owner, others = make_user("owner", member, name="Own"), [make_user("viewer", member, name=f"T{n}") for n in range(3)]
    with transaction(acting_for(member)):
        trial = trials.start(member.id, ONE_TIME, new_id(), at=AT, placed_by=owner.id)
    for n, one in enumerate(others[:2], 1):
        give(member, trial.id, one.id, at=AT + timedelta(minutes=n))
    refused(member, trial.id, others[2].id, NoSeatFree)
    with transaction(acting_for(member)), pytest.raises(seat_orders.SeatsNotChangeable):
        seat_orders.preview(member.id, trial.id, 1, at=AT)
    license_id = seated(member, 2, at=AT + timedelta(days=1))
    assert names(show(member, license_id)) == ["Own", "T0"]
    assert show(member, trial.id).taken == 0


def test_free_and_repeatable_listings_have_no_seats_in_the_database_either(owner):
    for slug in (FREE, PACK):
        with pytest.raises(Exception, match="listing_licensed_per_check"):
            set_listing(slug, licensed_per="seat")


def test_a_bundle_takes_no_listing_per_seat():
    with transaction(SYSTEM) as session:
        vendor = session.query(Publisher).filter_by(code="vendor").one()
        with pytest.raises(Invalid, match=ONE_TIME):
            bundle_terms.check([ONE_TIME, CRM_ONLY], 1_00, vendor, "CNY", at=AT)


def test_quantities_are_for_seats_and_packs_alone():
    member = make_member(paid=1000_00)
    with pytest.raises(Invalid):
        buy(member, CRM_ONLY, quantity=2)


def test_the_proof_finds_more_holders_than_seats(owner):
    from billing.ledger import verify

    member = make_member(paid=1000_00)
    license_id = seated(member, 2)
    for _n in range(2):
        give(member, license_id, make_user("viewer", member).id)
    as_owner(owner, "update license set seats = 1 where id = :id", id=license_id)
    with transaction(SYSTEM) as session:
        found = verify.first_difference(session)
    assert found is not None
    assert (found.check, found.recorded, found.derived) == ("seats of a licence", "2", "at most 1")
    as_owner(owner, "update license set seats = 2 where id = :id", id=license_id)
