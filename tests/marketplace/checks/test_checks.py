"""The check pipeline on good bundles: records, signatures, what needs a person, and what happens where there is no sandbox."""

import base64
import dataclasses
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rq import Queue
from sqlalchemy import select

from core.db import SYSTEM, transaction
from core.jobs import connection
from marketplace.checks import jobs, pipeline, records, shipped, signing
from marketplace.release import approvals, bundles, lifecycle
from marketplace.release.lifecycle_models import SigningKey, VersionCheck
from marketplace.release.version_models import Artifact, ListingVersion
from marketplace.sandbox import box
from marketplace.sandbox.limits import Limits
from marketplace.store.listing_models import Listing
from membership import mailboxes
from tests.factories import AT
from tests.marketplace.release.test_publishing import MORE, content_of, hand_in, needs_sandbox, submit
from tests.marketplace.store_world import FREE, open_store, repack, unzip, zip_of

SHOWCASE = {listing.slug: listing for listing in bundles.load_showcase()}
MAIL = "payment-reminder-mail"  # a quick one


@needs_sandbox
@pytest.mark.parametrize("slug", SHOWCASE)
def test_every_listing_of_the_showcase_passes_every_check(slug):
    listing = SHOWCASE[slug]
    done = pipeline.Check(bundles.build(listing.folder).content, listing.kind, Limits()).run()
    assert [(one.name, one.state, one.findings) for one in done if one.state != "passed"] == []
    assert [one.name for one in done] == list(pipeline.names(listing.kind))[:-1]
    assert all(one.started_at and one.finished_at for one in done)


@pytest.mark.parametrize("slug", SHOWCASE)
def test_the_records_that_travel_with_the_showcase_fit(slug):
    told = shipped.read(SHOWCASE[slug].folder, bundles.build(SHOWCASE[slug].folder))
    assert {one["state"] for one in told["checks"]} == {"passed"}


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"checks": []}, {"signature": base64.b64encode(bytes(64)).decode()}, {"key_id": "0" * 16}])
def test_records_that_do_not_fit_publish_nothing(change, tmp_path):
    folder = SHOWCASE[MAIL].folder
    (tmp_path / "checks.json").write_text(json.dumps({**json.loads((folder / "checks.json").read_text()), **change}))
    with pytest.raises(bundles.BundleInvalid, match="check-showcase"):
        shipped.read(tmp_path, bundles.build(folder))


def test_a_forged_record_of_a_failed_check_is_not_taken(tmp_path):
    folder = SHOWCASE[MAIL].folder
    told = json.loads((folder / "checks.json").read_text())
    told["checks"][0]["state"] = "failed"
    (tmp_path / "checks.json").write_text(json.dumps(told))
    with pytest.raises(bundles.BundleInvalid):
        shipped.read(tmp_path, bundles.build(folder))


def checks_of(version):
    with transaction(SYSTEM) as session:
        return records.of(session.get(ListingVersion, (version.listing_id, version.number)))


@needs_sandbox
def test_each_check_leaves_a_record_and_the_version_is_signed(app):
    open_store(FREE)
    version = submit()
    rows = checks_of(version)
    assert [row.name for row in rows] == list(pipeline.ROBOT)
    assert records.all_passed(rows)
    assert all(row.started_at <= row.finished_at for row in rows)
    expected = next(row for row in rows if row.name == "expected")
    assert {(one["file"], one["same"]) for one in expected.detail["files"]} == {("clean.csv", True), ("rejected.csv", True)}
    assert next(row for row in rows if row.name == "policy").detail["libraries"] == ["Collections", "OperatingSystem", "String"]
    with transaction(SYSTEM) as session:
        kept = session.get(SigningKey, version.key_id)
        told = [{"name": row.name, "state": row.state} for row in rows[:-1]]
        message = signing.message(version.sha256, FREE, "9.0.0", told)
        Ed25519PublicKey.from_public_bytes(kept.public).verify(base64.b64decode(version.signature), message)
        records.verify(version, FREE, rows)


@needs_sandbox
def test_a_changed_record_breaks_the_signature(app):
    open_store(FREE)
    version = submit()
    with transaction(SYSTEM) as session:
        again = session.get(ListingVersion, (version.listing_id, "9.0.0"))
        again.sha256 = session.scalars(select(Artifact.sha256).where(Artifact.sha256 != again.sha256)).first()
        with pytest.raises(signing.BadSignature):
            approvals.approve(session.get(Listing, version.listing_id), again, at=AT)
        session.rollback()


def test_keys_rotate_and_old_signatures_stay_good(tmp_path):
    first = signing.key_in(tmp_path)
    assert signing.public_bytes(signing.key_in(tmp_path)) == signing.public_bytes(first)
    key_id, signature = signing.sign(first, b"x")
    second = signing.new_key(tmp_path)
    assert signing.public_bytes(signing.key_in(tmp_path)) == signing.public_bytes(second)
    assert signing.id_of(signing.public_bytes(second)) != key_id
    signing.verify(signing.public_bytes(first), signature, b"x")
    with pytest.raises(signing.BadSignature):
        signing.verify(signing.public_bytes(second), signature, b"x")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.key")} == {0o600}


def test_public_keys_are_published(app, client):
    open_store(FREE)
    (key,) = client.get("/api/v1/signing-keys").json
    assert signing.id_of(base64.b64decode(key["public_key"])) == key["id"]
    assert key["algorithm"] == "Ed25519"


def test_the_same_files_make_the_same_bundle_however_they_were_zipped(app):
    open_store(FREE)
    files = unzip(repack(content_of(FREE), "9.0.0"))
    version = hand_in(content=zip_of(dict(reversed(files.items()))))
    assert version.sha256 == bundles.pack(version.manifest, files).sha256


@needs_sandbox
@pytest.mark.parametrize(
    ("change", "person"),
    [
        ({}, None),
        ({"permissions": MORE}, "permissions"),
        ({"permissions": ["contact:read"]}, None),
        ({"required_edition_rank": 2}, "terms"),
        ({"host_version": ">=1.5,<2.0"}, "terms"),
        ({"languages": ["zh"]}, None),
    ],
)
def test_routine_updates_need_no_person(app, change, person):
    open_store(FREE)
    handed = hand_in(**change)
    assert jobs.check_version(str(handed.listing_id), "9.0.0") == ("in_review" if person else "published")


@needs_sandbox
def test_another_library_needs_a_person(app):
    open_store(FREE)
    files = unzip(repack(content_of(FREE), "9.0.0"))
    more = files["task.robot"].replace(b"Library          String", b"Library          String\nLibrary          XML")
    handed = hand_in(content=zip_of({**files, "task.robot": more}))
    assert jobs.check_version(str(handed.listing_id), "9.0.0") == "in_review"
    with transaction(SYSTEM) as session:
        version = session.get(ListingVersion, (handed.listing_id, "9.0.0"))
        before = session.get(ListingVersion, (handed.listing_id, "1.0.0"))
        assert approvals.needs_person(version, before, records.of(version), records.of(before)) == ["libraries"]


@needs_sandbox
def test_a_listing_in_quarantine_gets_no_update_without_a_person(app):
    open_store(FREE)
    handed = hand_in()
    with transaction(SYSTEM) as session:
        lifecycle.quarantine_listing(session.get(Listing, handed.listing_id), on=True, at=AT, reason="a question")
    assert jobs.check_version(str(handed.listing_id), "9.0.0") == "in_review"


def test_a_job_twice_checks_once(app):
    open_store(FREE)
    handed = hand_in()
    first = jobs.check_version(str(handed.listing_id), "9.0.0")
    if first == "published":
        assert jobs.check_version(str(handed.listing_id), "9.0.0") is None
    with transaction(SYSTEM) as session:
        assert {row.attempt for row in session.scalars(select(VersionCheck).where(VersionCheck.number == "9.0.0"))} == {1}


def test_without_a_sandbox_checks_are_refused_and_nothing_is_run(app, monkeypatch):
    open_store(FREE)
    monkeypatch.setattr(box, "unavailable", lambda: "there is none")
    monkeypatch.setattr(box, "_run", lambda *_args: pytest.fail("it was run without a sandbox"))
    handed = hand_in()
    assert jobs.check_version(str(handed.listing_id), "9.0.0") == "in_review"
    states = {row.name: row.state for row in checks_of(handed)}
    assert {states[name] for name in ("unpack", "manifest", "secrets")} == {"passed"}
    assert {states[name] for name in ("parse", "policy", "lint", "dry_run", "replay", "expected", "signature")} == {"refused"}
    with transaction(SYSTEM) as session:
        version, listing = session.get(ListingVersion, (handed.listing_id, "9.0.0")), session.get(Listing, handed.listing_id)
        with pytest.raises(approvals.NotChecked, match="there is none"):
            approvals.approve(listing, version, at=AT)


def test_the_sweep_finds_what_no_worker_took_and_what_one_lost(app, monkeypatch):
    open_store(FREE)
    handed, taken = hand_in(), []
    monkeypatch.setattr(jobs, "enqueue", lambda listing_id, number: taken.append(number))
    monkeypatch.setattr(jobs, "now", lambda: AT + timedelta(seconds=5))
    assert jobs.check_waiting() == 0, "its job is on the way"
    monkeypatch.setattr(jobs, "now", lambda: AT + timedelta(minutes=2))
    assert jobs.check_waiting() == 1
    with transaction(SYSTEM) as session:
        lifecycle.move_version(session.get(ListingVersion, (handed.listing_id, "9.0.0")), "scan", at=AT)
    assert jobs.check_waiting() == 0, "somebody is at it"
    monkeypatch.setattr(jobs, "now", lambda: AT + timedelta(hours=1))
    jobs.check_waiting()
    with transaction(SYSTEM) as session:
        version = session.get(ListingVersion, (handed.listing_id, "9.0.0"))
        assert [step.action for step in lifecycle.history(version)][-1] == "lose"


@needs_sandbox
def test_what_is_on_sale_is_replayed_and_what_no_longer_passes_is_shown(app):
    (listing_id,) = open_store(MAIL).values()
    assert jobs.replay_published() == 1
    assert Queue("bulk", connection=connection()).count == 1, "it stands behind all that somebody waits for"
    assert jobs.replay_one(str(listing_id), "1.0.0") is True
    with transaction(SYSTEM) as session:
        assert approvals.no_longer_pass() == []
        artifact = session.scalars(select(Artifact)).one()
        files = unzip(artifact.content)
        artifact.content = zip_of({**files, "expected/late/mail.txt": b"other\n"})
    assert jobs.replay_one(str(listing_id), "1.0.0") is False
    with transaction(SYSTEM):
        ((listing, number, findings),) = approvals.no_longer_pass()
        assert (listing.slug, number, findings[0].rule) == (MAIL, "1.0.0", "expected_differs")


@needs_sandbox
def test_a_publisher_is_told_of_a_failing_replay_once_until_it_passes_again_or_fails_otherwise(app, monkeypatch):
    (listing_id,) = open_store(MAIL).values()
    with transaction(SYSTEM) as session:
        publisher_id = session.get(Listing, listing_id).publisher_id
        good = session.scalars(select(Artifact)).one().content
    other = zip_of({**unzip(good), "expected/late/mail.txt": b"other\n"})
    more = zip_of({**unzip(good), "expected/late/mail.txt": b"other\n", "expected/late/more.txt": b"more\n"})
    told = []
    for day, content in enumerate((good, other, other, more, more, other, good, other)):
        monkeypatch.setattr(jobs, "now", lambda day=day: AT + timedelta(days=day))
        with transaction(SYSTEM) as session:
            session.scalars(select(Artifact)).one().content = content
        assert jobs.replay_one(str(listing_id), "1.0.0") is (content == good)
        with transaction(SYSTEM):
            told.append([one.details["finding"]["rule"] for one in mailboxes.of_publisher(publisher_id).newest() if one.kind == "replay_failed"])
    assert [len(one) for one in told] == [0, 1, 1, 2, 2, 2, 2, 3]
    assert told[3] == ["expected_missing", "expected_differs"]


def test_a_replay_that_lost_its_sandbox_says_nothing_about_the_version(app, monkeypatch):
    (listing_id,) = open_store(MAIL).values()
    monkeypatch.setattr(jobs.box, "unavailable", lambda: None)

    def gone(*_args):
        raise jobs.box.SandboxMissing("gone")

    monkeypatch.setattr(jobs.pipeline.replay, "run_case", gone)
    monkeypatch.setattr(jobs.pipeline.box, "run", gone)
    assert jobs.replay_one(str(listing_id), "1.0.0") is None
    with transaction(SYSTEM):
        assert approvals.no_longer_pass() == []


def test_a_service_is_its_terms(app):
    step = {"name_zh": "启动", "name_en": "Kick-off", "amount_minor": 4_000_00, "days": 10}
    offer = {
        "category": "onboarding", "name_zh": "上线", "name_en": "Rollout", "summary_zh": "四周内让团队上线使用", "summary_en": "Your team live in four weeks",
        "description_zh": "上线" * 40, "description_en": "Rollout. " * 20, "product_line": None, "required_rank": 0, "required_features": [], "currency": "CNY",
        "milestones": [step],
    }  # fmt: skip
    manifest = {
        "slug": "rollout", "version": "1.0.0", "kind": "service_offering", "parameters": {"type": "object", "properties": {}}, "permissions": [],
        "required_edition_rank": 0, "product_line": None, "offer": offer,
    }  # fmt: skip
    content = bundles.pack(manifest, {"manifest.json": json.dumps(manifest).encode(), "README.md": b"# Rollout\n"}).content
    assert {one.state for one in pipeline.Check(content, "service_offering", Limits()).run()} == {"passed"}
    for wrong, check, rule in (
        ({"milestones": [step | {"amount_minor": 10**9}, step]}, "parse", "offering_invalid"),
        ({"milestones": [step | {"amount_minor": 0}]}, "manifest", "manifest_schema"),
        ({"milestones": []}, "manifest", "manifest_schema"),
        ({"description_en": "Rollout. " * 20 + "password = 'hunter2hunter2'"}, "secrets", "secret"),
    ):
        told = manifest | {"offer": offer | wrong}
        content = bundles.pack(told, {"manifest.json": json.dumps(told).encode()}).content
        done = {one.name: one for one in pipeline.Check(content, "service_offering", Limits()).run()}
        assert done[check].findings[0].rule == rule, wrong


def test_an_installation_without_a_key_makes_one(settings, tmp_path):
    fresh = dataclasses.replace(settings, artifact_signing_key="", var_dir=tmp_path)
    assert signing.public_bytes(records.key_of(fresh)) == signing.public_bytes(records.key_of(fresh))


@needs_sandbox
def test_a_folder_is_checked_from_the_command_line_by_the_same_code(app, tmp_path):
    files = unzip(bundles.build(SHOWCASE[FREE].folder).content)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    runner = app.test_cli_runner()
    good = runner.invoke(args=["store", "check", str(tmp_path)])
    assert good.exit_code == 0, good.output
    assert "all checks have passed" in good.output
    (tmp_path / "task.robot").write_bytes(files["task.robot"] + b"\nMore\n    Evaluate    1\n")
    bad = runner.invoke(args=["store", "check", str(tmp_path)])
    assert bad.exit_code == 1
    assert "Evaluate" in bad.output
    assert "task.robot:" in bad.output
