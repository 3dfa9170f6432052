"""Running a bought app on one's own input: what goes in, what comes out, what counts, and what stops it."""

import dataclasses
import io
import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from core import outbox
from core.db import SYSTEM, db, transaction
from core.errors import IdReused, Invalid, NotFound
from core.ids import new_id
from marketplace.license import licenses
from marketplace.license.license_models import License
from marketplace.release import lifecycle, stewardship
from marketplace.release.version_models import Artifact
from marketplace.run import run_jobs, runs
from marketplace.run.run_models import Run, RunFile
from marketplace.sandbox import box
from marketplace.store.listing_models import Listing
from operations.models import Event
from tests.factories import AT, make_member
from tests.marketplace.release.test_publishing import needs_sandbox
from tests.marketplace.store_world import FREE, PACK, acting_for, buy, open_store, subscribe
from tests.sign_in import client_as

MAIL, SHEET, MAPPING = "payment-reminder-mail", "stock-count-sheet", "shop-leads-mapping"
CUSTOMERS = "客户,电话\n兰月,+86 138-0013-8000\n海港,没有\n".encode()


@pytest.fixture
def member(app):
    open_store(FREE, PACK, MAIL, SHEET, MAPPING)
    found = make_member(paid=1_000_000)
    for line in ("crm", "ops"):
        subscribe(found, line)
    db.session.expunge(found)  # a refusal later in a test must not make it forget who it is
    return found


def ask(app, member, license_id, content=CUSTOMERS, run_id=None, at=AT, **parameters):
    settings = app.extensions["settings"]
    with transaction(acting_for(member)):
        manifest = runs.runnable(licenses.owned(member.id, license_id)).version.manifest
        wanted = runs.Wanted(run_id or new_id(), runs.parameters_of(manifest, parameters), "customers.csv", content)
        made = runs.request(member.id, license_id, wanted, settings, at=at, by=None, by_name="Bo")
    db.session.expunge(made)
    return made


def perform(run):
    return run_jobs.perform(str(run.member_id), str(run.id))


def outputs(run):
    with transaction(SYSTEM) as session:
        rows = session.scalars(select(RunFile).where(RunFile.run_id == run.id, RunFile.direction == "output"))
        return {row.name: row.content for row in rows}


def again(run):
    with transaction(SYSTEM) as session:
        return session.get(Run, (run.member_id, run.id))


@needs_sandbox
def test_a_robot_task_runs_on_ones_own_input(app, member):
    run = ask(app, member, buy(member, FREE))
    assert perform(run) == "succeeded"
    made = outputs(run)
    assert "13800138000" in made["clean.csv"].decode("utf-8-sig")
    assert "海港" in made["rejected.csv"].decode("utf-8-sig")
    run = again(run)
    assert (run.state, run.version, run.failure) == ("succeeded", "1.0.0", None)
    assert "Write Table" in run.log
    assert run.took_ms > 0
    assert perform(run) is None, "a job that comes twice runs once"


@needs_sandbox
def test_a_run_that_succeeds_counts_as_use_once(app, member):
    run = ask(app, member, buy(member, FREE))
    perform(run)
    outbox.deliver(AT + timedelta(days=3650))
    with transaction(SYSTEM) as session:
        message = session.scalars(select(outbox.OutboxMessage).where(outbox.OutboxMessage.topic == runs.TOPIC)).one()
        assert message.last_error is None
        from operations import run_use

        run_use.record(message)
    with transaction(SYSTEM) as session:
        event = session.scalars(select(Event).where(Event.member_id == member.id)).one()
        assert (event.user_ref, event.feature, event.action, event.object, event.is_automated) == ("automation", "app", "run", FREE, True)


@needs_sandbox
def test_a_run_that_fails_says_why_and_counts_as_nothing(app, member):
    run = ask(app, member, buy(member, FREE), b"a,b\n1,2\n")
    assert perform(run) == "failed"
    run = again(run)
    failure = runs.failure_of(run)
    assert failure.rule == "run_failed"
    assert failure.file == "task.robot"
    assert failure.line
    assert "电话" in failure.what or "电话" in run.log
    with transaction(SYSTEM) as session:
        assert not session.scalars(select(outbox.OutboxMessage).where(outbox.OutboxMessage.topic == runs.TOPIC)).all()


@needs_sandbox
def test_without_a_file_the_sample_is_run(app, member):
    run = ask(app, member, buy(member, FREE), None)
    assert perform(run) == "succeeded"
    assert set(outputs(run)) == {"clean.csv", "rejected.csv"}


@needs_sandbox
@pytest.mark.parametrize(("slug", "made"), [(SHEET, "workbook.xlsx"), (MAIL, "mail.txt"), (MAPPING, "records.json")])
def test_templates_and_mappings_run_too(app, member, slug, made):
    run = ask(app, member, buy(member, slug), None)
    assert perform(run) == "succeeded", again(run).failure
    assert outputs(run)[made]


def test_an_id_twice_is_one_run_and_other_content_is_refused(app, member):
    if box.unavailable():
        pytest.skip(f"no sandbox here: {box.unavailable()}")
    license_id, run_id = buy(member, FREE), new_id()
    first = ask(app, member, license_id, run_id=run_id)
    assert ask(app, member, license_id, run_id=run_id).id == first.id
    with pytest.raises(IdReused):
        ask(app, member, license_id, b"other", run_id=run_id)


@needs_sandbox
def test_runs_are_limited_at_once_and_by_day(app, member):
    license_id = buy(member, FREE)
    before = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(before, runs_at_once=2, runs_per_day=3)
    try:
        made = [ask(app, member, license_id) for _ in range(2)]
        with pytest.raises(runs.TooManyRuns, match="2"):
            ask(app, member, license_id)
        for run in made:
            perform(run)
        perform(ask(app, member, license_id))
        with pytest.raises(runs.TooManyRuns, match="24"):
            ask(app, member, license_id)
        ask(app, member, license_id, at=AT + timedelta(days=1, seconds=1))
        other = make_member()
        ask(app, other, buy(other, FREE))
    finally:
        app.extensions["settings"] = before


def test_what_can_not_run_is_told(app, member, monkeypatch):
    pack, task = buy(member, PACK), buy(member, FREE)
    settings = app.extensions["settings"]
    with transaction(acting_for(member)), pytest.raises(runs.CannotRun):
        runs.request(member.id, pack, runs.Wanted(new_id(), {}), settings, at=AT, by=None, by_name="Bo")
    monkeypatch.setattr(box, "unavailable", lambda: "there is none")
    with pytest.raises(runs.CannotRun, match="there is none"):
        ask(app, member, task)
    monkeypatch.undo()
    with transaction(SYSTEM) as session:
        session.get(License, (member.id, task)).starts_at = AT + timedelta(days=1)
    with pytest.raises(licenses.LicenseEnded):
        ask(app, member, task)


def test_quarantine_stops_runs_and_a_changed_bundle_does_not_run(app, member):
    task, member_id, buyer = buy(member, FREE), member.id, acting_for(member)
    if box.unavailable() is None:
        run = ask(app, member, task)
        with transaction(SYSTEM) as session:
            session.get(Artifact, run.sha256).content += b"x"
        with pytest.raises(AssertionError, match="was changed"):
            perform(run)
    with transaction(SYSTEM):
        stewardship.act_on_listing(FREE, "quarantine", "it may leak data", "", at=AT)
    with pytest.raises(lifecycle.Quarantined), transaction(buyer):
        runs.request(member_id, task, runs.Wanted(new_id(), {}), app.extensions["settings"], at=AT, by=None, by_name="Bo")


def test_owners_of_a_yanked_and_deprecated_app_still_run_it(app, member):
    if box.unavailable():
        pytest.skip(f"no sandbox here: {box.unavailable()}")
    task = buy(member, FREE)
    with transaction(SYSTEM):
        stewardship.act_on_version(FREE, "1.0.0", "yank", "old totals", at=AT)
        stewardship.act_on_listing(FREE, "deprecate", "no longer kept", "", at=AT)
    assert perform(ask(app, member, task)) == "succeeded"


def test_parameters_are_judged_by_the_manifest():
    manifest = {"parameters": {"type": "object", "properties": {
        "N": {"type": "integer", "description": "n", "default": 3, "minimum": 1}, "W": {"type": "string", "description": "w", "default": "a"}}}}  # fmt: skip
    assert runs.parameters_of(manifest, {"N": "5", "X": "ignored"}) == {"N": 5, "W": "a"}
    for given in ({"N": "0"}, {"N": "many"}, {"W": "a\x00b"}):
        with pytest.raises(Invalid) as caught:
            runs.parameters_of(manifest, given)
        assert set(caught.value.fields) <= {"p-N", "p-W"}


@needs_sandbox
def test_another_member_sees_nothing_of_a_run(app, member):
    run, other = ask(app, member, buy(member, FREE)), make_member()
    perform(run)
    with transaction(acting_for(other)) as session:
        with pytest.raises(NotFound):
            runs.find(other.id, run.id)
        assert session.scalars(select(Run)).all() == []
        assert session.scalars(select(RunFile)).all() == []


@needs_sandbox
def test_sweeps_find_the_lost_and_put_the_old_away(app, member, monkeypatch):
    license_id, taken = buy(member, FREE), []
    first, second = ask(app, member, license_id), ask(app, member, license_id)
    with transaction(SYSTEM):
        runs.begin(second.member_id, second.id, at=AT)
    monkeypatch.setattr(run_jobs, "enqueue", lambda _member, run_id: taken.append(run_id))
    monkeypatch.setattr(run_jobs, "now", lambda: AT + timedelta(hours=1))
    assert run_jobs.run_waiting() == 1
    assert taken == [first.id]
    assert runs.failure_of(again(second)).rule == "run_lost"
    assert run_jobs.put_away_files() == 0
    monkeypatch.setattr(run_jobs, "now", lambda: AT + timedelta(days=40))
    assert run_jobs.put_away_files() == 2
    with transaction(SYSTEM), pytest.raises(NotFound):
        runs.file(member.id, first.id, "input", 0)


# --- pages ------------------------------------------------------------------------------------------------------------------------


@needs_sandbox
def test_a_customer_runs_an_app_from_its_page(app, member):
    license_id = buy(member, FREE)
    buyer = client_as(app, "buyer", member)
    assert "Run it here" in buyer.get(f"/apps/{license_id}?lang=en").text
    html = buyer.get(f"/apps/{license_id}/runs?lang=en").text
    assert "PHONE_COLUMN" in html
    assert "the column with the number" in html
    assert "电话号码所在的列" not in html
    form = {"id": str(new_id()), "p-PHONE_COLUMN": "电话", "input": (io.BytesIO(CUSTOMERS), "my file.csv")}
    answer = buyer.post(f"/apps/{license_id}/runs", data=form, content_type="multipart/form-data")
    assert answer.status_code == 302, answer.text
    page = answer.location
    assert "Waits for a worker" in buyer.get(f"{page}?lang=en").text
    with transaction(SYSTEM) as session:
        run = session.scalars(select(Run)).one()
    perform(run)
    assert buyer.get(f"{page}/progress").json["done"] is True
    html = buyer.get(f"{page}?lang=en").text
    assert "clean.csv" in html
    assert "my file.csv" in html
    download = buyer.get(f"{page}/files/output/0")
    assert download.data == outputs(run)["clean.csv"]
    assert download.headers["Content-Disposition"].startswith("attachment")
    assert client_as(app, "viewer", member).get(page).status_code == 200
    assert client_as(app, "viewer", member).post(f"/apps/{license_id}/runs", data={"id": str(new_id())}).status_code == 403
    stranger = client_as(app, "owner", make_member())
    for address in (page, f"{page}/progress", f"{page}/files/output/0", f"/apps/{license_id}/runs"):
        assert stranger.get(address).status_code == 404
    assert buyer.post(f"{page}/again").status_code == 302
    with transaction(SYSTEM) as session:
        assert session.query(Run).count() == 2


def test_a_form_that_is_wrong_says_so(app, member):
    license_id = buy(member, FREE)
    buyer = client_as(app, "buyer", member)
    too_large = {"id": str(new_id()), "input": (io.BytesIO(bytes((8 << 20) + 1)), "big.csv")}
    answer = buyer.post(f"/apps/{license_id}/runs?lang=en", data=too_large, content_type="multipart/form-data")
    assert (answer.status_code, "larger than 8 MB" in answer.text) == (422, True)
    assert buyer.post(f"/apps/{license_id}/runs", data={}).status_code == 422
    with transaction(SYSTEM) as session:
        assert session.query(Run).count() == 0


@needs_sandbox
def test_a_publisher_sees_how_its_listing_runs_but_not_whose(app, member):
    from tests.marketplace.release.test_publishing import publisher_of

    perform(ask(app, member, buy(member, FREE)))
    acting = publisher_of(FREE)
    with transaction(SYSTEM) as session:
        listing_id = session.scalars(select(Listing.id).where(Listing.slug == FREE)).one()
    with transaction(acting):
        figures = runs.figures(listing_id, AT - timedelta(days=1))
        assert (figures.runs, figures.failed) == (1, 0)
        assert figures.median_ms > 0
    assert json.dumps(dataclasses.asdict(figures))
