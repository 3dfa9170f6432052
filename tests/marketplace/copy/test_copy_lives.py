"""Made-up lives of a copy against a simple model: every byte a member wrote can be fetched, and an untouched copy is the publisher's."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from core.db import transaction
from marketplace.copy import copies, editing
from marketplace.license import installs, licenses
from marketplace.store import listings
from tests.factories import AT
from tests.marketplace.copy.test_copies import BY, ENTRY, MAIL, fetched, install, member, plan, release, save, state, update, written  # noqa: F401 (a fixture)
from tests.marketplace.store_world import acting_for, unzip

TEXTS = st.sampled_from([b"a\n", b"b\n", b"a\nb\n", "甲\n".encode(), b"a\nb\nc\nd\n", b"A\nb\nc\nd\n", b"a\nb\nc\nD\n"])


def test_a_copy_lives_as_its_model(member):  # noqa: F811
    machine = type("Machine", (Lives,), {"who": member})
    run_state_machine_as_test(machine, settings=settings(max_examples=6, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)))


class Lives(RuleBasedStateMachine):
    """One licence; the model is the publisher's text of each version and the member's own files."""

    who = None
    minor = 0

    @initialize()
    def begin(self):
        if not hasattr(type(self), "license_id"):
            type(self).license_id = install(self.who, MAIL)
            type(self).theirs = {"1.0.0": unzip(fetched(self.who, self.license_id).content)[ENTRY]}
            type(self).ever = set()
        self.installed, self.own = state(self.who, self.license_id)

    @rule(text=TEXTS)
    def edit(self, text):
        save(self.who, self.license_id, ENTRY, text)
        type(self).ever |= {text} if text != self.theirs[self.installed] else set()
        self.own = {**self.own, ENTRY: text} if text != self.theirs[self.installed] else {path: own for path, own in self.own.items() if path != ENTRY}

    @rule(data=st.data())
    @precondition(lambda self: self.own)
    def back_to_the_publishers(self, data):
        path = data.draw(st.sampled_from(sorted(self.own)))
        with transaction(acting_for(self.who)):
            editing.drop(licenses.owned(self.who.id, self.license_id), path, BY)
        self.own = {name: own for name, own in self.own.items() if name != path}

    @rule(text=TEXTS)
    @precondition(lambda self: type(self).minor < 12)
    def a_new_version(self, text):
        type(self).minor += 1
        number = f"1.{type(self).minor}.0"
        release(MAIL, number, {ENTRY: text})
        type(self).theirs[number] = text

    @rule(data=st.data())
    @precondition(lambda self: len(self.theirs) > 1)
    def go_to_another_version(self, data):
        number = data.draw(st.sampled_from(sorted(set(self.theirs) - {self.installed})))
        asked = plan(self.who, self.license_id, number)
        assert [(one.path, one.mine) for one in asked.changes] == sorted(self.own.items())
        choices = {one.path: data.draw(st.sampled_from(one.options)) for one in asked.open_changes}
        update(self.who, self.license_id, choices, number)
        own = {}
        for one in asked.changes:
            chosen = choices.get(one.path, one.options[0])
            if chosen == "mine":
                own[one.path] = one.mine
            elif chosen == "merged":
                own[one.path] = one.merged
                type(self).ever |= {one.merged}
        kept, self.own = state(self.who, self.license_id)[1], own
        beside = {path: content for path, content in kept.items() if path not in own}
        assert sorted(beside.values()) == sorted(one.mine for one in asked.changes if choices.get(one.path) == "both")
        self.installed, self.own = number, {**own, **beside}

    @rule()
    def out_and_in_again(self):
        with transaction(acting_for(self.who)):
            installs.uninstall(self.who.id, self.license_id, at=AT, user_id=None)
        with transaction(acting_for(self.who)):
            owned = licenses.owned(self.who.id, self.license_id)
            version = next(one for one in listings.public_versions(owned.listing.id) if one.number == self.installed)
            installs.record(owned, version, at=AT, user_id=None)

    @invariant()
    def nothing_is_lost_and_the_copy_is_as_the_model_says(self):
        if not hasattr(self, "own"):
            return
        assert state(self.who, self.license_id) == (self.installed, self.own)
        assert self.ever <= written(self.who, self.license_id)
        with transaction(acting_for(self.who)):
            copy = copies.of(licenses.owned(self.who.id, self.license_id))
            made = unzip(copies.bundle(copy).content)
            assert made[ENTRY] == self.own.get(ENTRY, self.theirs[self.installed])
            assert copy.is_edited == bool(self.own)
            if not copy.is_edited:
                assert copies.theirs(copy.version) == made
