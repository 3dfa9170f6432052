"""The two state machines: every walk that Hypothesis finds ends where the table says, is recorded step by step, and never resurrects anything."""

from itertools import pairwise

import pytest
from flask_babel import force_locale
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from core import outbox
from core.actor import Actor
from core.db import SYSTEM, transaction
from marketplace.license import downloads
from marketplace.release import lifecycle, publishing, stewardship
from marketplace.release.lifecycle_models import ListingTransition, VersionTransition
from marketplace.release.version_models import ListingVersion
from marketplace.store.listing_models import Listing
from membership import notices
from membership.notice_models import Notice
from tests.factories import AT, make_member
from tests.marketplace.store_world import FREE, acting_for, buy, open_store

REVIEWER = Actor(kind="staff", role="reviewer", name="Rhea")
LISTING_ACTIONS = sorted({action for _state, action in lifecycle.LISTING_STEPS})
VERSION_ACTIONS = sorted({action for _state, action in lifecycle.VERSION_STEPS})
WALKS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def get(session):
    listing = session.scalars(select(Listing).where(Listing.slug == FREE)).one()
    return listing, session.get(ListingVersion, (listing.id, "1.0.0"))


@WALKS
@given(start=st.sampled_from(["draft", "in_review", "published", "deprecated", "archived"]), walk=st.lists(st.sampled_from(LISTING_ACTIONS), max_size=8))
def test_listings_walk_as_the_table_says(app, start, walk):
    open_store(FREE)
    with transaction(SYSTEM) as session:
        listing, _version = get(session)
        listing.state, before = start, listing.revision
        state, taken = start, 0
        for action in walk:
            wanted = lifecycle.LISTING_STEPS.get((state, action))
            if wanted is None:
                with pytest.raises(lifecycle.IllegalStep, match=action):
                    lifecycle.move_listing(listing, action, at=AT, reason="because")
            else:
                lifecycle.move_listing(listing, action, at=AT, reason="because")
                taken += 1
                kept = session.scalars(select(ListingTransition).order_by(ListingTransition.id.desc())).first()
                assert (kept.from_state, kept.to_state, kept.action, kept.reason) == (state, wanted, action, "because")
            state = wanted or state
            assert listing.state == state
        assert listing.revision == before + taken
        assert state != "archived" or not [key for key in lifecycle.LISTING_STEPS if key[0] == "archived"]
        session.rollback()


@WALKS
@given(walk=st.lists(st.sampled_from([*VERSION_ACTIONS, "quarantine", "lift"]), max_size=12))
def test_versions_walk_as_the_table_says(app, walk):
    open_store(FREE)
    with transaction(SYSTEM) as session:
        listing, version = get(session)
        version.state, state, stopped, steps = "draft", "draft", False, 0
        for action in walk:
            if action in ("quarantine", "lift"):
                on = action == "quarantine"
                if on is stopped:
                    with pytest.raises(lifecycle.IllegalStep):
                        lifecycle.quarantine_version(listing, version, on=on, at=AT, reason="because")
                    continue
                lifecycle.quarantine_version(listing, version, on=on, at=AT, reason="because")
                stopped = on
            elif (state, action) in lifecycle.VERSION_STEPS:
                lifecycle.move_version(version, action, at=AT, reason="because")
                state = lifecycle.VERSION_STEPS[state, action]
                lifecycle.offer_newest(listing, AT)
            else:
                with pytest.raises(lifecycle.IllegalStep):
                    lifecycle.move_version(version, action, at=AT, reason="because")
                continue
            steps += 1
            assert (version.state, version.is_quarantined) == (state, stopped)
            assert listing.current_version == ("1.0.0" if state == "published" and not stopped else None)
        rows = session.scalars(select(VersionTransition).where(VersionTransition.action != "import").order_by(VersionTransition.id)).all()
        assert len(rows) == steps
        assert all(a.to_state == b.from_state for a, b in pairwise(rows))
        session.rollback()


def test_nothing_leads_out_of_the_ends():
    assert not [key for key in lifecycle.VERSION_STEPS if key[0] in ("rejected", "yanked")]
    assert not [key for key in lifecycle.LISTING_STEPS if key[0] == "archived"]
    assert set(lifecycle.VERSION_STEPS.values()) <= {"scanning", "in_review", "published", "yanked", "rejected", "draft"}


@pytest.mark.parametrize("table", ["listing_transition", "version_transition"])
@pytest.mark.parametrize("verb", ["update {} set reason = 'x'", "delete from {}"])
@pytest.mark.parametrize("role", [SYSTEM, REVIEWER])
def test_steps_are_never_changed(app, table, verb, role):
    open_store(FREE)
    with pytest.raises(ProgrammingError, match="permission denied"), transaction(role) as session:
        session.execute(text(verb.format(table)))


def test_owners_keep_what_is_deprecated_archived_or_yanked(app):
    open_store(FREE)
    member = make_member()
    license_id = buy(member, FREE)
    with transaction(REVIEWER):
        stewardship.act_on_version(FREE, "1.0.0", "yank", "wrong totals", at=AT)
        stewardship.act_on_listing(FREE, "deprecate", "no longer kept", "", at=AT)
        stewardship.act_on_listing(FREE, "archive", "no longer kept", "", at=AT)
    with transaction(acting_for(member)):
        assert downloads.hand_out(member.id, license_id, at=AT).version == "1.0.0"


def test_quarantine_stops_owners_until_it_is_lifted(app):
    open_store(FREE)
    member = make_member()
    license_id, member_id, buyer = buy(member, FREE), member.id, acting_for(member)
    for act in (
        lambda action: stewardship.act_on_version(FREE, "1.0.0", action, "it may leak data", at=AT),
        lambda action: stewardship.act_on_listing(FREE, action, "it may leak data", "", at=AT),
    ):
        with transaction(REVIEWER):
            act("quarantine")
        with pytest.raises(lifecycle.Quarantined), transaction(buyer):
            downloads.hand_out(member_id, license_id, at=AT)
        with transaction(SYSTEM) as session:
            assert get(session)[0].current_version is None
        with transaction(REVIEWER):
            act("lift")
        with transaction(buyer):
            assert downloads.hand_out(member_id, license_id, at=AT).version == "1.0.0"


def test_holders_are_told_what_became_of_their_app(app):
    open_store(FREE)
    member, other = make_member(), make_member()
    member_id, other_id = member.id, other.id
    buy(member, FREE)
    with transaction(REVIEWER):
        stewardship.act_on_version(FREE, "1.0.0", "quarantine", "it may leak data", at=AT)
        stewardship.act_on_version(FREE, "1.0.0", "lift", "a false alarm", at=AT)
        stewardship.act_on_version(FREE, "1.0.0", "yank", "wrong totals", at=AT)
        stewardship.act_on_listing(FREE, "deprecate", "no longer kept", "", at=AT)
    for _ in range(2):
        assert outbox.deliver(AT) >= 0
    with transaction(SYSTEM) as session:
        told = session.scalars(select(Notice).where(Notice.member_id == member_id)).all()
        assert sorted(one.kind for one in told) == ["app_deprecated", "app_lifted", "app_quarantined", "app_withdrawn"]
        assert session.scalars(select(Notice).where(Notice.member_id == other_id)).all() == []
        with force_locale("en"):
            assert "wrong totals" in next(notices.sentence(one) for one in told if one.kind == "app_withdrawn")


def test_a_step_names_who_and_why(app):
    open_store(FREE)
    with app.test_request_context("/"):
        from core.actor import set_actor

        set_actor(REVIEWER)
        with transaction(REVIEWER):
            stewardship.act_on_version(FREE, "1.0.0", "yank", "wrong totals", at=AT)
    with transaction(SYSTEM) as session:
        _listing, version = get(session)
        imported, yanked = lifecycle.history(version)
        assert (imported.action, imported.actor_role, imported.from_state) == ("import", "system", None)
        assert (yanked.action, yanked.actor_name, yanked.actor_role, yanked.reason) == ("yank", "Rhea", "reviewer", "wrong totals")


def test_the_same_showcase_again_adds_no_step(app):
    open_store(FREE)
    open_store(FREE)
    with transaction(SYSTEM) as session:
        assert len(session.scalars(select(VersionTransition)).all()) == 1


def test_a_version_is_withdrawn_once(app):
    open_store(FREE)
    with transaction(SYSTEM) as session:
        publishing.yank(get(session)[0], "1.0.0", "x", AT)
        with pytest.raises(lifecycle.IllegalStep):
            publishing.yank(get(session)[0], "1.0.0", "x", AT)
