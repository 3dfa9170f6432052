"""A member's own copy: checked before it is kept, used by runs and downloads, carried through updates as the member chooses; nothing it wrote is lost."""

import re
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from core.db import SYSTEM, transaction
from core.errors import Invalid
from core.settings import Settings
from marketplace.checks.findings import Finding
from marketplace.copy import checking, copies, editing, payload, updates
from marketplace.copy.copies import Writer
from marketplace.copy.update_pages import field_of
from marketplace.license import downloads, installs, licenses
from marketplace.license.license_models import License
from marketplace.release.version_models import Artifact, ListingVersion
from marketplace.sandbox import box
from marketplace.sandbox.limits import Limits
from marketplace.store.listing_models import Listing
from tests.factories import AT, make_member
from tests.marketplace.store_world import acting_for, buy, open_store, repack, set_listing, subscribe, unzip, zip_of
from tests.sign_in import bearer, client_as

MAIL, FORM, TASK, SHEET = "payment-reminder-mail", "nps-survey-form", "clean-phone-numbers", "stock-count-sheet"
ENTRY = "mail.txt.j2"
BY = Writer(AT, None, "Ann")
needs_sandbox = pytest.mark.skipif(box.unavailable() is not None, reason=str(box.unavailable()))


@pytest.fixture
def member(app, shelf):
    shelf.take("listings to edit", lambda: open_store(MAIL, FORM, TASK, SHEET))
    owner = make_member(paid=10_000_00)
    subscribe(owner, "crm", 4)
    return SimpleNamespace(id=owner.id)  # what a rollback leaves alone


def original(slug):
    with transaction(SYSTEM) as session:
        version = (
            session.query(ListingVersion).join(Listing, Listing.id == ListingVersion.listing_id).filter(Listing.slug == slug, ListingVersion.number == "1.0.0")
        )
        return session.get_one(Artifact, version.one().sha256).content


def release(slug, number, changes, **manifest):
    """Another version on offer, some of its files changed (None: taken out)."""
    files = {**unzip(original(slug)), **changes}
    content = repack(zip_of({name: data for name, data in files.items() if data is not None}), number, **manifest)
    made = payload.packed({"slug": slug, "version": number}, unzip(content))
    with transaction(SYSTEM) as session:
        listing = session.query(Listing).filter_by(slug=slug).one()
        first = session.get_one(ListingVersion, (listing.id, "1.0.0"))
        session.add(Artifact(sha256=made.sha256, filename=f"{slug}-{number}.zip", size=len(made.content), content=made.content))
        session.flush()
        told = {column.name: getattr(first, column.name) for column in ListingVersion.__table__.columns}
        told |= {"number": number, "sha256": made.sha256, "manifest": {**first.manifest, "version": number, **manifest}}
        session.add(ListingVersion(**told))
    set_listing(slug, current_version=number)
    return made


def install(member, slug):
    license_id = buy(member, slug)
    with transaction(acting_for(member)):
        downloads.hand_out(member.id, license_id, at=AT)
    return license_id


def fetched(member, license_id, **asked):
    with transaction(acting_for(member)):
        return downloads.hand_out(member.id, license_id, at=AT, **asked)


def save(member, license_id, path, content, seen=None, found=()):
    """Save without the checks, which have tests of their own."""
    with transaction(acting_for(member)):
        draft = editing.begin(licenses.owned(member.id, license_id), path, content, seen, settings_of(), BY)
    with transaction(acting_for(member)):
        return editing.keep(member.id, draft, list(found), "edit", BY).is_edited


def settings_of():
    from flask import current_app

    found: Settings = current_app.extensions["settings"]
    return found


def plan(member, license_id, wanted=None):
    with transaction(acting_for(member)):
        return updates.plan(licenses.owned(member.id, license_id), wanted)


def update(member, license_id, choices=None, wanted=None, found=()):
    with transaction(acting_for(member)):
        draft = updates.begin(licenses.owned(member.id, license_id), wanted, choices or {}, BY)
    with transaction(acting_for(member)):
        updates.finish(member.id, draft, list(found), BY)


def state(member, license_id):
    """(installed version, the member's own files)."""
    with transaction(acting_for(member)):
        owned = licenses.owned(member.id, license_id)
        return owned.license.installed_version, copies.mine(copies.of(owned))


def written(member, license_id):
    """Every content that the history still gives back."""
    with transaction(acting_for(member)):
        license = licenses.owned(member.id, license_id).license
        return {copies.earlier(license, step.id)[1] for step in copies.history(license, limit=500) if step.sha256}


# --- editing ---------------------------------------------------------------------------------------------------------


def test_an_edited_copy_is_what_downloads_give_and_the_original_stays_to_be_had(member):
    license_id = install(member, MAIL)
    theirs = fetched(member, license_id)
    assert save(member, license_id, ENTRY, b"Hello {{ customer }}")
    mine = fetched(member, license_id)
    assert unzip(mine.content)[ENTRY] == b"Hello {{ customer }}"
    assert mine.sha256 != theirs.sha256
    assert mine.filename == f"{MAIL}-1.0.0-edited.zip"
    assert {name: data for name, data in unzip(mine.content).items() if name != ENTRY} == {k: v for k, v in unzip(theirs.content).items() if k != ENTRY}
    assert fetched(member, license_id, original=True).sha256 == theirs.sha256
    with transaction(SYSTEM) as session:
        handed = session.scalars(text("select sha256 from download order by at, id")).all()
    assert sorted(handed) == sorted([theirs.sha256, theirs.sha256, mine.sha256, theirs.sha256])


def test_the_publishers_text_again_is_no_edit(member):
    license_id = install(member, MAIL)
    theirs = unzip(original(MAIL))[ENTRY]
    assert not save(member, license_id, ENTRY, theirs)
    assert save(member, license_id, ENTRY, b"mine")
    assert not save(member, license_id, ENTRY, theirs)
    assert state(member, license_id) == ("1.0.0", {})
    assert written(member, license_id) == {b"mine"}


def test_only_what_does_the_work_is_edited(member):
    license_id = install(member, MAIL)
    for path in ("manifest.json", "README.md", "sample/late.json", "no-such-file", "../x"):
        with pytest.raises(copies.NotEditable):
            save(member, license_id, path, b"x")


def test_a_form_that_says_something_else_in_the_meantime_is_not_overwritten(member):
    license_id = install(member, MAIL)
    seen = payload.digest(unzip(original(MAIL))[ENTRY])
    save(member, license_id, ENTRY, b"Ann's", seen)
    with pytest.raises(editing.ChangedMeanwhile):
        save(member, license_id, ENTRY, b"Ben's", seen)
    assert state(member, license_id)[1] == {ENTRY: b"Ann's"}
    save(member, license_id, ENTRY, b"Ben's", payload.digest(b"Ann's"))
    assert written(member, license_id) == {b"Ann's", b"Ben's"}


def test_the_first_edit_installs_what_is_edited(member):
    license_id = buy(member, MAIL)
    save(member, license_id, ENTRY, b"mine")
    with transaction(acting_for(member)):
        assert [one.kind for one in installs.history(member.id, license_id)] == ["install"]
    assert state(member, license_id) == ("1.0.0", {ENTRY: b"mine"})


def test_a_licence_that_ended_keeps_what_was_written_and_takes_nothing_new(member):
    license_id = install(member, MAIL)
    save(member, license_id, ENTRY, b"mine")
    with transaction(SYSTEM) as session:
        license = session.get_one(License, (member.id, license_id))
        license.state = "ended"
    with pytest.raises(licenses.LicenseEnded):
        save(member, license_id, ENTRY, b"more")
    assert written(member, license_id) == {b"mine"}
    page = client_as(member_app(), "owner", member).get(f"/apps/{license_id}/copy?lang=en")
    assert "Your files stay yours" in page.text


def member_app():
    from flask import current_app

    return current_app._get_current_object()


def test_there_is_a_limit_a_day(member):
    license_id = install(member, MAIL)
    with pytest.raises(copies.TooManyEdits), transaction(acting_for(member)):
        copies.check_pace(member.id, 0, AT)
    save(member, license_id, ENTRY, b"mine")
    with transaction(acting_for(member)):
        copies.check_pace(member.id, 2, AT)


# --- the checks ------------------------------------------------------------------------------------------------------


def checked(slug, path, content):
    files = unzip(original(slug))
    made = payload.packed({"slug": slug, "version": "1.0.0"}, {**files, path: content})
    with transaction(SYSTEM) as session:
        kind = session.query(Listing).filter_by(slug=slug).one().kind
    return [one.rule for one in checking.findings(kind, made.content, Limits.of(settings_of()))]


@needs_sandbox
@pytest.mark.parametrize(
    ("slug", "path", "content", "rules"),
    [
        (MAIL, ENTRY, b"Dear {{ customer }}", []),
        (MAIL, ENTRY, b"{{ customer", ["template_syntax"]),
        (MAIL, ENTRY, b"{{ ''.__class__.__mro__ }}", ["template_reaches_inside"]),
        (MAIL, ENTRY, b"{% include '/etc/passwd' %}", ["template_loads_files"]),
        (FORM, "form.schema.json", b'{"type": "object", "properties": {"a": {"type": "string"}}}', []),
        (FORM, "form.schema.json", b'{"type": "objekt"}', ["schema_invalid"]),
        (FORM, "form.schema.json", b'{"$ref": "https://example.com/x"}', ["schema_reference"]),
        (FORM, "form.schema.json", b"{", ["json_unreadable"]),
        (TASK, "task.robot", b"*** Settings ***\nLibrary    Process\n*** Tasks ***\nA\n    Log    x\n", ["robot_library"]),
        (TASK, "task.robot", b"nonsense", ["copy_variables", "robot_no_task"]),
        (SHEET, "stock.xlsx", b"PK", None),
    ],
)
def test_a_copy_is_held_against_the_stores_own_checks(member, slug, path, content, rules):
    found = checked(slug, path, content)
    assert bool(found) if rules is None else sorted(set(found)) == rules


@needs_sandbox
def test_values_of_variables_belong_to_the_run_and_that_is_said(member):
    task = unzip(original(TASK))["task.robot"].decode()
    assert checked(TASK, "task.robot", task.encode()) == []
    changed = re.sub(r"^(\$\{(?!INPUT|OUTPUT)\w+\}\s{2,})\S+", r"\1another", task, count=1, flags=re.MULTILINE)
    assert changed != task
    assert "copy_variables" in checked(TASK, "task.robot", changed.encode())
    assert Finding("copy_variables", "X").fix


def test_without_a_sandbox_nothing_is_let_through(member, monkeypatch):
    monkeypatch.setattr(box, "unavailable", lambda: "no bubblewrap")
    assert checked(MAIL, ENTRY, b"Dear {{ customer }}") == ["sandbox_missing"]


def test_what_the_checks_find_refuses_the_copy(member):
    license_id = install(member, MAIL)
    with pytest.raises(editing.CopyRefused) as refused:
        save(member, license_id, ENTRY, b"{{", found=[Finding("template_syntax", "unexpected end", ENTRY, 1)])
    assert refused.value.fields["content"].startswith(f"{ENTRY}:1: ")
    assert state(member, license_id)[1] == {}


# --- updates ---------------------------------------------------------------------------------------------------------


def test_an_untouched_copy_goes_along(member):
    license_id = install(member, MAIL)
    made = release(MAIL, "1.1.0", {ENTRY: b"new"})
    assert plan(member, license_id).changes == []
    update(member, license_id)
    assert state(member, license_id) == ("1.1.0", {})
    assert fetched(member, license_id).sha256 == made.sha256
    with transaction(acting_for(member)):
        assert [one.kind for one in installs.history(member.id, license_id)] == ["update", "install"]


@pytest.mark.parametrize(
    ("choice", "own"),
    [
        ("mine", {ENTRY: b"mine\n"}),
        ("new", {}),
        ("both", {"mail.mine-1.0.0.txt.j2": b"mine\n"}),
    ],
)
def test_every_choice_of_a_file_that_both_sides_changed(member, choice, own):
    license_id = install(member, MAIL)
    save(member, license_id, ENTRY, b"mine\n")
    release(MAIL, "1.1.0", {ENTRY: b"new\n"})
    (change,) = plan(member, license_id).open_changes
    assert (change.path, change.mine, change.new) == (ENTRY, b"mine\n", b"new\n")
    with pytest.raises(updates.ChoiceNeeded) as needed:
        update(member, license_id)
    assert needed.value.extra["choices_needed"] == [{"path": ENTRY, "options": ["mine", "new", "both"]}]
    update(member, license_id, {ENTRY: choice})
    assert state(member, license_id) == ("1.1.0", own)
    files = unzip(fetched(member, license_id).content)
    assert files[ENTRY] == (b"mine\n" if choice == "mine" else b"new\n")
    assert files.get("mail.mine-1.0.0.txt.j2") == (b"mine\n" if choice == "both" else None)
    assert b"mine\n" in written(member, license_id)


def test_both_changes_in_one_file_where_they_do_not_touch(member):
    license_id = install(member, MAIL)
    lines = unzip(original(MAIL))[ENTRY].decode().splitlines(keepends=True)
    ours, theirs = [*lines], [*lines]
    ours[-2], theirs[0] = "Your {{ sender.name }}\n", "{# 1.1 #}" + lines[0]
    save(member, license_id, ENTRY, "".join(ours).encode())
    release(MAIL, "1.1.0", {ENTRY: "".join(theirs).encode()})
    (change,) = plan(member, license_id).open_changes
    assert change.options[0] == "merged"
    update(member, license_id, {ENTRY: "merged"})
    merged = state(member, license_id)[1][ENTRY].decode()
    assert merged.startswith("{# 1.1 #}")
    assert "Your {{ sender.name }}\n" in merged


def test_what_the_publisher_left_alone_stays_mine_without_a_question(member):
    license_id = install(member, MAIL)
    save(member, license_id, ENTRY, b"mine\n")
    release(MAIL, "1.1.0", {"README.md": b"# New words\n"})
    assert plan(member, license_id).open_changes == []
    update(member, license_id)
    assert state(member, license_id) == ("1.1.0", {ENTRY: b"mine\n"})


def test_what_the_publisher_took_over_is_no_edit_any_more(member):
    license_id = install(member, MAIL)
    save(member, license_id, ENTRY, b"better\n")
    made = release(MAIL, "1.1.0", {ENTRY: b"better\n"})
    update(member, license_id)
    assert state(member, license_id) == ("1.1.0", {})
    assert fetched(member, license_id).sha256 == made.sha256


def test_a_file_that_is_gone_is_kept_beside_or_let_go(member):
    license_id = install(member, MAIL)
    save(member, license_id, ENTRY, b"mine\n")
    release(MAIL, "2.0.0", {ENTRY: None, "letter.txt.j2": b"new\n"}, entry="letter.txt.j2")
    with pytest.raises(updates.ChoiceNeeded):
        update(member, license_id, {ENTRY: "mine"})
    update(member, license_id, {ENTRY: "both"})
    assert state(member, license_id) == ("2.0.0", {"mail.mine-1.0.0.txt.j2": b"mine\n"})
    release(MAIL, "2.1.0", {ENTRY: None, "letter.txt.j2": b"newer\n"}, entry="letter.txt.j2")
    update(member, license_id)  # what is beside goes along
    assert state(member, license_id) == ("2.1.0", {"mail.mine-1.0.0.txt.j2": b"mine\n"})


def test_an_edited_copy_is_never_overwritten_by_a_download(member):
    license_id = install(member, MAIL)
    save(member, license_id, ENTRY, b"mine\n")
    release(MAIL, "1.1.0", {ENTRY: b"new\n"})
    assert fetched(member, license_id).version == "1.0.0"
    with pytest.raises(downloads.CopyEdited):
        fetched(member, license_id, version="1.1.0")
    assert unzip(fetched(member, license_id, version="1.1.0", original=True).content)[ENTRY] == b"new\n"
    assert state(member, license_id) == ("1.0.0", {ENTRY: b"mine\n"})


def test_another_version_begins_with_the_publishers_files_and_the_history_has_the_rest(member):
    license_id = install(member, MAIL)
    save(member, license_id, ENTRY, b"of 1.0\n")
    release(MAIL, "1.1.0", {ENTRY: b"new\n"})
    update(member, license_id, {ENTRY: "new"})
    update(member, license_id, wanted="1.0.0")  # back again
    assert state(member, license_id) == ("1.0.0", {})
    assert written(member, license_id) == {b"of 1.0\n"}


def test_taking_it_out_and_putting_it_in_again_keeps_what_is_mine(member):
    license_id = install(member, MAIL)
    save(member, license_id, ENTRY, b"mine\n")
    with transaction(acting_for(member)):
        installs.uninstall(member.id, license_id, at=AT, user_id=None)
    with transaction(acting_for(member)):
        installs.record(licenses.owned(member.id, license_id), updates.choosing.choose(licenses.owned(member.id, license_id)), at=AT, user_id=None)
    assert state(member, license_id) == ("1.0.0", {ENTRY: b"mine\n"})


def test_an_update_that_would_not_pass_is_refused_beside_its_file(member):
    license_id = install(member, MAIL)
    save(member, license_id, ENTRY, b"mine\n")
    release(MAIL, "1.1.0", {ENTRY: b"new\n"})
    with pytest.raises(Invalid) as refused:
        update(member, license_id, {ENTRY: "mine"}, found=[Finding("template_calls", "x", ENTRY, 3)])
    assert list(refused.value.fields) == [ENTRY]
    assert state(member, license_id) == ("1.0.0", {ENTRY: b"mine\n"})


def test_two_who_decide_at_once_make_one_update(member):
    license_id = install(member, MAIL)
    save(member, license_id, ENTRY, b"mine\n")
    release(MAIL, "1.1.0", {ENTRY: b"new\n"})
    with transaction(acting_for(member)):
        draft = updates.begin(licenses.owned(member.id, license_id), None, {ENTRY: "mine"}, BY)
    save(member, license_id, ENTRY, b"meanwhile\n")
    with pytest.raises(editing.ChangedMeanwhile), transaction(acting_for(member)):
        updates.finish(member.id, draft, [], BY)
    assert state(member, license_id) == ("1.0.0", {ENTRY: b"meanwhile\n"})


# --- pages and API ---------------------------------------------------------------------------------------------------


@needs_sandbox
def test_on_the_pages_from_the_first_edit_to_the_choice(app, member):
    license_id = install(member, MAIL)
    client = client_as(app, "owner", member)
    file_page = f"/apps/{license_id}/copy/file"
    shown = client.get(f"{file_page}?path={ENTRY}&lang=en").text
    seen = re.search(r'name="seen" value="([0-9a-f]{64})"', shown)[1]
    refused = client.post(f"{file_page}?lang=en", data={"path": ENTRY, "seen": seen, "content": "{{ customer.__class__ }}"})
    assert refused.status_code == 422
    assert "reaches into Python" in refused.text
    assert "{{ customer.__class__ }}" in refused.text  # what was written is still there
    tried = client.post(f"{file_page}?lang=en", data={"path": ENTRY, "seen": seen, "content": "Dear {{ contact }}!", "preview": "1"})
    assert tried.status_code == 200
    assert "Dear " in tried.text
    assert state(member, license_id)[1] == {}
    assert client.post(file_page, data={"path": ENTRY, "seen": seen, "content": "Dear {{ contact }}!"}).status_code == 303
    assert state(member, license_id)[1] == {ENTRY: b"Dear {{ contact }}!"}
    assert "Edited by you" in client.get("/apps?lang=en").text
    release(MAIL, "1.1.0", {ENTRY: b"Hello {{ contact }}!"})
    assert "Compare and update to 1.1.0" in client.get(f"/apps/{license_id}?lang=en").text
    page = client.get(f"/apps/{license_id}/update?lang=en").text
    assert "<mark>Dear</mark>" in page
    assert "<mark>Hello</mark>" in page
    undecided = client.post(f"/apps/{license_id}/update?lang=en", data={"version": "1.1.0"})
    assert undecided.status_code == 409
    assert "Choose what becomes of this file" in undecided.text
    assert client.post(f"/apps/{license_id}/update", data={"version": "1.1.0", field_of(ENTRY): "both"}).status_code == 303
    assert state(member, license_id) == ("1.1.0", {"mail.mine-1.0.0.txt.j2": b"Dear {{ contact }}!"})
    with transaction(acting_for(member)):
        step = next(one for one in copies.history(licenses.owned(member.id, license_id).license) if one.kind == "edit")
    kept = client.get(f"/apps/{license_id}/copy/steps/{step.id}/file")
    assert kept.data == b"Dear {{ contact }}!"
    assert client.post(f"/apps/{license_id}/copy/steps/{step.id}/restoration").status_code == 303
    assert state(member, license_id)[1][ENTRY] == b"Dear {{ contact }}!"
    assert client.post(f"/apps/{license_id}/copy/original", data={"path": ENTRY}).status_code == 303
    assert ENTRY not in state(member, license_id)[1]


@needs_sandbox
def test_over_the_api(app, member):
    license_id = install(member, MAIL)
    client, key = app.test_client(), bearer("buyer", member)
    path = f"/api/v1/licenses/{license_id}"
    told = client.get(f"{path}/copy", headers=key).json
    assert (told["state"], told["sha256"], [one["path"] for one in told["files"]]) == ("untouched", told["installed_sha256"], [ENTRY])
    refused = client.post(f"{path}/copy/file", json={"path": ENTRY, "text": "{% import 'x' as y %}"}, headers=key)
    assert (refused.status_code, refused.json["code"]) == (422, "copy_refused")
    assert client.post(f"{path}/copy/file", json={"path": ENTRY}, headers=key).status_code == 422
    saved = client.post(f"{path}/copy/file", json={"path": ENTRY, "text": "Dear {{ contact }}"}, headers=key).json
    assert saved["state"] == "edited"
    assert saved["files"][0]["sha256"] == payload.digest(b"Dear {{ contact }}")
    assert saved["files"][0]["installed_sha256"] == payload.digest(unzip(original(MAIL))[ENTRY])
    assert client.get(f"{path}/artifact", headers=key).headers["ETag"].strip('"') == saved["sha256"]
    assert client.get(f"{path}/copy/file?path={ENTRY}", headers=key).data == b"Dear {{ contact }}"
    release(MAIL, "1.1.0", {ENTRY: b"Hello {{ contact }}"})
    assert client.get(f"{path}/copy", headers=key).json["update_version"] == "1.1.0"
    asked = client.get(f"{path}/update", headers=key).json
    assert (asked["from_version"], asked["to_version"], asked["files"][0]["options"]) == ("1.0.0", "1.1.0", ["mine", "new", "both"])
    needed = client.post(f"{path}/update", json={}, headers=key)
    assert (needed.status_code, needed.json["code"], needed.json["choices_needed"][0]["path"]) == (409, "choice_needed", ENTRY)
    assert client.get(f"{path}/artifact?version=1.1.0", headers=key).json["code"] == "copy_edited"
    done = client.post(f"{path}/update", json={"choices": [{"path": ENTRY, "choice": "mine"}]}, headers=key).json
    assert (done["version"], done["state"], done["update_version"]) == ("1.1.0", "edited", None)
    again = client.post(f"{path}/update", json={}, headers=key)
    assert (again.status_code, again.json["code"]) == (409, "nothing_to_update")
    steps = client.get(f"{path}/copy/steps", headers=key).json["items"]
    assert [one["kind"] for one in steps] == ["carry", "edit"]
    assert client.get(f"{path}/copy/steps/{steps[1]['id']}/file", headers=key).data == b"Dear {{ contact }}"
    assert client.post(f"{path}/copy/file/original", json={"path": ENTRY}, headers=key).json["state"] == "untouched"
    assert client.post(f"{path}/copy/file/original", json={"path": ENTRY}, headers=key).status_code == 409
    assert client.post(f"{path}/update", json={}, headers=bearer("viewer", member)).status_code == 403
