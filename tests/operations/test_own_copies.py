"""The demo's edited mail would pass the checks that an edit passes, and the update that waits for it is checked and signed like the rest of the showcase."""

import pytest

from marketplace.checks import shipped
from marketplace.copy import checking, merging, payload
from marketplace.release import bundles
from marketplace.sandbox import box
from marketplace.sandbox.limits import Limits
from operations.demo import own_copies

FOLDER = bundles.SHOWCASE / own_copies.SLUG


def test_the_updates_of_the_showcase_are_signed_and_later_than_what_they_follow():
    known = {one.slug: one for one in bundles.load_showcase()}
    updates = bundles.load_updates()
    assert own_copies.SLUG in {one.slug for one in updates}
    for update in updates:
        built = bundles.build(update.folder)
        assert {one["state"] for one in shipped.read(update.folder, built)["checks"]} == {"passed"}
        assert tuple(map(int, update.version.split("."))) > tuple(map(int, known[update.slug].version.split(".")))
        assert (update.kind, update.publisher, update.permissions) == (known[update.slug].kind, known[update.slug].publisher, known[update.slug].permissions)


def test_the_page_of_the_choice_has_something_to_show():
    old, new = bundles.files_of(FOLDER), bundles.files_of(bundles.SHOWCASE / "updates" / own_copies.SLUG)
    mine = own_copies.edited(old[own_copies.ENTRY].decode()).encode()
    (change,) = merging.changes(old, {own_copies.ENTRY: mine}, new)
    assert change.needs_choice
    assert change.merged is None  # both changed the same line


@pytest.mark.skipif(box.unavailable() is not None, reason=str(box.unavailable()))
def test_the_edited_mail_passes_the_checks():
    built = bundles.build(FOLDER)
    files = bundles.files_of(FOLDER)
    mine = own_copies.edited(files[own_copies.ENTRY].decode()).encode()
    made = payload.packed(built.manifest, {**files, own_copies.ENTRY: mine})
    assert checking.findings(built.manifest["kind"], made.content, Limits()) == []
    given, failure = checking.preview(built.manifest["kind"], made.content, Limits())
    assert failure is None
    assert "400-820-0000" in given["mail.txt"].decode()
