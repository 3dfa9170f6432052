"""A corpus of bundles that mean harm: each is refused by the check that is there for it, in words that help, and leaves no trace on the host."""

import json
import os
import time
from pathlib import Path

import pytest
from flask_babel import force_locale

from marketplace.checks import pipeline, replay
from marketplace.checks.findings import RULES
from marketplace.checks.pipeline import FAILED, NOT_REACHED, PASSED
from marketplace.release import bundles
from marketplace.sandbox import box
from marketplace.sandbox.limits import Limits
from tests.marketplace.checks.hostile import robots, templates, zips
from tests.marketplace.store_world import unzip, zip_of

needs_sandbox = pytest.mark.skipif(box.unavailable() is not None, reason=f"no sandbox here: {box.unavailable()}")
QUICK = Limits(cpu_s=4, wall_s=6, memory_mb=400, scratch_mb=8, output_mb=4)
GOOD = unzip(bundles.build(bundles.SHOWCASE / "clean-phone-numbers").content)
ZIPS = list(zips.corpus())
SECRETS = [
    ("a private key", "-----BEGIN RSA PRIVATE KEY-----"), ("a cloud key", "key = AKIAABCDEFGHIJKLMNOP"),
    ("a token", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("a payment key", "sk_live_" + "abcdefghijklmnop1234"), ("a password", 'password = "hunter2hunter2"'), ("an address", "postgresql://app:s3cr3t@db.example/x"),
    ("a robot's address", "https://oapi.dingtalk.com/robot/send?access_token=0123456789abcdef"),
]  # fmt: skip


def checked(content: bytes, kind: str, limits: Limits = QUICK) -> dict[str, pipeline.Record]:
    return {one.name: one for one in pipeline.Check(content, kind, limits).run()}


def assert_refused(records: dict[str, pipeline.Record], check: str, rule: str) -> None:
    """Refused by this check for this reason, in words with a fix, in both languages; and nothing after it was run."""
    failed = [one for one in records.values() if one.state == FAILED]
    assert [one.name for one in failed] == [check], {one.name: (one.state, one.findings) for one in records.values()}
    assert rule in {one.rule for one in failed[0].findings}, failed[0].findings
    names = list(records)
    assert all(one.state != PASSED or names.index(one.name) < names.index(check) or one.name in ("secrets", "lint") for one in records.values())
    if check != "replay":
        assert "replay" not in records or records["replay"].state == NOT_REACHED
    assert all(RULES[rule])
    assert "expected" not in records or records["expected"].state == NOT_REACHED


def bundle(slug: str, payload: bytes, **manifest: object) -> tuple[bytes, str]:
    """A good bundle with another payload."""
    files = unzip(bundles.build(bundles.SHOWCASE / slug).content)
    declared = {**json.loads(files["manifest.json"]), **manifest}
    return zip_of({**files, "manifest.json": json.dumps(declared).encode(), declared["entry"]: payload}), declared["kind"]


@pytest.mark.parametrize(("change", "rule"), [row[1:] for row in ZIPS], ids=[row[0] for row in ZIPS])
def test_zips(change, rule):
    began = time.monotonic()
    assert_refused(checked(change(dict(GOOD)), "robot_task"), "unpack", rule)
    assert time.monotonic() - began < 5


@needs_sandbox
@pytest.mark.parametrize(("source", "rule"), [row[1:] for row in robots.POLICY], ids=[row[0] for row in robots.POLICY])
def test_robot_tasks_that_policy_refuses(source, rule):
    content, kind = bundle("clean-phone-numbers", source, parameters={"type": "object", "properties": {}})
    assert_refused(checked(content, kind), "policy", rule)


@needs_sandbox
@pytest.mark.parametrize(("source", "rule"), [row[1:] for row in robots.RUNS], ids=[row[0] for row in robots.RUNS])
def test_robot_tasks_that_the_sandbox_ends(source, rule):
    before = set(os.listdir("/tmp"))
    content, kind = bundle("clean-phone-numbers", source, parameters={"type": "object", "properties": {}}, cases=[
        {"name": "sample", "input": "sample/customers.csv", "parameters": {}, "expected": "expected"}])  # fmt: skip
    records = checked(content, kind)
    assert_refused(records, "replay", rule if rule in {one.rule for one in records["replay"].findings} else "replay_time")
    assert not [name for name in set(os.listdir("/tmp")) - before if name in ("work", "result", "big.txt")]


@needs_sandbox
@pytest.mark.parametrize(("payload", "rule"), [row[1:] for row in templates.texts()], ids=[row[0] for row in templates.texts()])
def test_text_templates(payload, rule):
    content, kind = bundle("payment-reminder-mail", payload)
    assert_refused(checked(content, kind), "parse" if rule == "template_syntax" else "policy", rule)


@needs_sandbox
@pytest.mark.parametrize(("payload", "rule"), [row[1:] for row in templates.documents()], ids=[row[0] for row in templates.documents()])
def test_word_templates(payload, rule):
    content, kind = bundle("quote-document", payload)
    assert_refused(checked(content, kind), "parse" if rule == "office_unreadable" else "policy", rule)


@needs_sandbox
@pytest.mark.parametrize(("payload", "rule"), [row[1:] for row in templates.workbooks()], ids=[row[0] for row in templates.workbooks()])
def test_excel_templates(payload, rule):
    content, kind = bundle("stock-count-sheet", payload)
    assert_refused(checked(content, kind), "policy", rule)


@pytest.mark.parametrize(("payload", "rule"), [row[1:] for row in templates.forms()], ids=[row[0] for row in templates.forms()])
def test_forms(payload, rule):
    content, kind = bundle("nps-survey-form", payload)
    assert_refused(checked(content, kind), "policy" if rule in ("schema_reference", "schema_pattern") else "parse", rule)


@pytest.mark.parametrize(("payload", "rule"), [row[1:] for row in templates.mappings()], ids=[row[0] for row in templates.mappings()])
def test_mappings(payload, rule):
    content, kind = bundle("shop-leads-mapping", payload)
    assert_refused(checked(content, kind), "parse" if rule in ("mapping_invalid", "json_large") else "policy", rule)


@pytest.mark.parametrize("text", [text for _name, text in SECRETS], ids=[name for name, _text in SECRETS])
def test_secrets(text):
    records = checked(zip_of({**GOOD, "sample/notes.txt": f"first line\n{text}\n".encode()}), "robot_task")
    (found,) = records["secrets"].findings
    assert (found.rule, found.file, found.line) == ("secret", "sample/notes.txt", 2)
    assert text not in found.what, "the record does not repeat the secret"
    assert records["replay"].state in (NOT_REACHED, pipeline.REFUSED)


def parameter(**more):
    return {"parameters": {"type": "object", "properties": {"A": {"type": "string", "description": "x", "default": "", **more}}}}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"permissions": []}, "manifest_permission_missing"),
        ({"permissions": ["everything:read"]}, "manifest_permission"),
        ({"kind": "form_schema"}, "manifest_other"),
        ({"host_version": ">=2.0,<1.0"}, "manifest_host"),
        ({"surprise": 1}, "manifest_schema"),
        ({"entry": "../task.robot"}, "manifest_schema"),
        ({"entry": "gone.robot"}, "manifest_file"),
        ({"cases": [{"name": "a", "input": "sample/gone.csv", "parameters": {}, "expected": "expected"}]}, "manifest_file"),
        ({"cases": [{"name": "a", "input": "sample/customers.csv", "parameters": {"PHONE_COLUMN": 7}, "expected": "expected"}]}, "manifest_parameters"),
        (parameter(default=7), "manifest_parameters"),
        (parameter(**{"$ref": "http://x.example"}), "manifest_parameters"),
        (parameter(pattern="(a+)+"), "manifest_parameters"),
        (parameter(pattern="^a*a*a*a*b$"), "manifest_parameters"),
        (parameter(default="a" * 5000), "manifest_parameters"),
        ({"name": "a\x00b"}, "manifest_schema"),
    ],
)  # fmt: skip
def test_manifests_that_lie(change, rule):
    manifest = {**json.loads(GOOD["manifest.json"]), **change}
    assert_refused(checked(zip_of({**GOOD, "manifest.json": json.dumps(manifest).encode()}), "robot_task"), "manifest", rule)


@needs_sandbox
def test_a_manifest_that_hides_a_parameter():
    records = checked(zip_of({**GOOD, "task.robot": GOOD["task.robot"].replace(b"*** Tasks", b"${HIDDEN}    x\n\n*** Tasks")}), "robot_task")
    assert_refused(records, "parse", "manifest_variables")


@needs_sandbox
def test_output_that_is_not_what_was_promised():
    for change, rule in (
        ({"expected/clean.csv": b"other\n"}, "expected_differs"), ({"expected/more.csv": b"x\n"}, "expected_missing"),
    ):  # fmt: skip
        records = checked(zip_of({**GOOD, **change}), "robot_task", Limits())
        assert records["expected"].state == FAILED
        assert rule in {one.rule for one in records["expected"].findings}
    fewer = {name: data for name, data in GOOD.items() if name != "expected/rejected.csv"}
    assert {one.rule for one in checked(zip_of(fewer), "robot_task", Limits())["expected"].findings} == {"expected_extra"}


@needs_sandbox
def test_a_task_can_not_copy_what_is_expected_of_it():
    cheat = robots.task("${x}=    Get File    expected/clean.csv\nCreate File    ${OUTPUT}/clean.csv    ${x}")
    content, kind = bundle("clean-phone-numbers", cheat, parameters={"type": "object", "properties": {}}, cases=[
        {"name": "sample", "input": "sample/customers.csv", "parameters": {}, "expected": "expected"}])  # fmt: skip
    assert checked(content, kind)["replay"].findings[0].rule == "replay_failed"


def test_input_that_looks_like_a_formula_stays_text():
    if box.unavailable():
        pytest.skip(f"no sandbox here: {box.unavailable()}")
    sample = {"cells": {}, "rows": [["=cmd|'/c calc'!A0"]]}
    files = {"t.xlsx": templates.xlsx(), "s.json": json.dumps(sample).encode()}
    made = box.run("spreadsheet_template", {"entry": "t.xlsx", "input": "s.json", "variables": {}, "keep": True}, files, QUICK)
    assert b"<f>" not in unzip(made.files["workbook.xlsx"])["xl/worksheets/sheet1.xml"]


def test_outputs_that_are_hard_to_compare_are_compared_quickly():
    one, other = (b"".join(b"%d\n" % (n * step % 7) for n in range(400_000)) for step in (3, 5))
    began = time.monotonic()
    assert replay.difference(one, other)[0] == "@@ 2 @@"
    assert time.monotonic() - began < 5


def test_every_rule_says_what_and_how(app):
    for rule, (wrong, fix) in RULES.items():
        assert wrong.strip(), rule
        assert fix.strip(), rule
    with force_locale("zh"):
        assert pipeline.Finding("zip_link", "a").sentence != pipeline.Finding("zip_link", "a").rule


def test_the_corpus_is_large():
    rows = [*ZIPS, *robots.POLICY, *robots.RUNS, *templates.texts(), *templates.documents(), *templates.workbooks(), *templates.forms(), *templates.mappings()]
    assert len(rows) + len(SECRETS) >= 100
    assert Path(__file__).exists()
