"""Every listing of the demo store does on its sample exactly what it promises."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from docx.table import Table
from docxtpl import DocxTemplate
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from jsonschema import Draft202012Validator
from openpyxl import load_workbook

from marketplace.release import bundles
from marketplace.sandbox import mapping
from marketplace.showcase import office_files

LISTINGS = {listing.slug: listing for listing in bundles.load_showcase()}
CASES = [(slug, case) for slug, listing in LISTINGS.items() for case in bundles.build(listing.folder).manifest["cases"]]

# What users of the product can be seen to do; a listing may only claim to replace such steps.
STEPS = {
    "lead": "open create edit_phone assign close", "public_pool": "open claim return", "opportunity": "open create edit_stage edit_amount win",
    "joint_follow_up": "open invite note", "contact": "open search copy_field paste_field merge save", "order": "open create edit_status print export",
    "invoice": "open create copy_field send", "report": "open filter export share", "message": "open send", "import": "open map_column run",
    "calendar": "open add", "settings": "open edit",
}  # fmt: skip


def of_kind(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(slug, case) for slug, case in CASES if LISTINGS[slug].kind == kind]


def named(cases: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [f"{slug}-{case['name']}" for slug, case in cases]


def expected(slug: str, case: dict[str, Any]) -> dict[str, bytes]:
    folder = LISTINGS[slug].folder / case["expected"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def payload(slug: str) -> Path:
    listing = LISTINGS[slug]
    return listing.folder / json.loads((listing.folder / "manifest.json").read_text("utf-8"))["entry"]


def sample(slug: str, case: dict[str, Any]) -> Any:
    return json.loads((LISTINGS[slug].folder / case["input"]).read_text("utf-8"))


def sandbox() -> SandboxedEnvironment:
    return SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


# What each kind makes of its sample: the names and bytes of the files.


def run_robot(slug: str, case: dict[str, Any], tmp: Path) -> dict[str, bytes]:
    """Unpack the bundle and run its task as a member's machine would."""
    unpacked, output = tmp / "bundle", tmp / "output"
    output.mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(bundles.build(LISTINGS[slug].folder).content)) as archive:
        archive.extractall(unpacked)
    variables = {"INPUT": str(unpacked / case["input"]), "OUTPUT": str(output), **case["parameters"]}
    words = [word for name, value in variables.items() for word in ("--variable", f"{name}:{value}")]
    command = [sys.executable, "-m", "robot", "--output", "NONE", "--log", "NONE", "--report", "NONE", *words, str(unpacked / payload(slug).name)]
    done = subprocess.run(command, cwd=tmp, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*")}


def check_form(slug: str, case: dict[str, Any]) -> dict[str, bytes]:
    schema = json.loads(payload(slug).read_text("utf-8"))
    wrong = sorted({error.json_path for error in Draft202012Validator(schema).iter_errors(sample(slug, case))})
    return {"result.json": in_json({"valid": not wrong, "wrong": wrong})}


def words_of(content: bytes) -> str:
    """The text of a Word file in reading order; the cells of a row joined by bars."""

    def lines() -> Iterator[str]:
        for block in Document(io.BytesIO(content)).iter_inner_content():
            if isinstance(block, Table):
                yield from (" | ".join(cell.text for cell in row.cells) for row in block.rows)
            else:
                yield block.text

    return "\n".join(lines()) + "\n"


def fill_document(slug: str, case: dict[str, Any]) -> dict[str, bytes]:
    template = DocxTemplate(payload(slug))
    template.render({**sample(slug, case), **case["parameters"]}, jinja_env=sandbox(), autoescape=True)
    buffer = io.BytesIO()
    template.save(buffer)
    return {"text.txt": words_of(buffer.getvalue()).encode()}


def render_mail(slug: str, case: dict[str, Any]) -> dict[str, bytes]:
    template = sandbox().from_string(payload(slug).read_text("utf-8"))
    return {"mail.txt": template.render({**sample(slug, case), **case["parameters"]}).encode()}


def fill_workbook(slug: str, case: dict[str, Any]) -> dict[str, bytes]:
    """Put the sample into the named cells and the rows from `first_row` on; read back each named cell and each filled row."""
    book, data = load_workbook(payload(slug)), sample(slug, case)

    def place(name: str) -> Any:
        title, address = next(book.defined_names[name].destinations)
        return book[title][address]

    for name, value in data["cells"].items():
        place(name).value = value
    first, rows = place("first_row"), []
    for offset, row in enumerate(data["rows"]):
        cells = [first.offset(offset, column) for column in range(len(row))]
        for cell, value in zip(cells, row, strict=True):
            if value is not None:
                cell.value = value
        rows.append([cell.value for cell in cells])
    return {"cells.json": in_json({"named": {name: place(name).value for name in sorted(book.defined_names)}, "rows": rows})}


def map_data(slug: str, case: dict[str, Any]) -> dict[str, bytes]:
    rules = json.loads(payload(slug).read_text("utf-8"))
    mapped = mapping.apply(rules, mapping.read_table((LISTINGS[slug].folder / case["input"]).read_bytes()))
    return {"records.json": in_json(mapped.records), "rejected.json": in_json(mapped.rejected)}


def grant_usage(slug: str, case: dict[str, Any]) -> dict[str, bytes]:
    voucher, bought = json.loads(payload(slug).read_text("utf-8")), sample(slug, case)
    until = date.fromisoformat(bought["bought_on"]) + timedelta(days=voucher["valid_days"])
    return {"grant.json": in_json({"meter": voucher["meter"], "units": voucher["units"] * bought["quantity"], "valid_until": until.isoformat()})}


REPLAYS = {
    "form_schema": check_form, "document_template": fill_document, "text_template": render_mail, "spreadsheet_template": fill_workbook,
    "data_mapping": map_data, "usage_pack": grant_usage,
}  # fmt: skip


# The store as a whole


def test_the_store_is_well_filled() -> None:
    kinds = [listing.kind for listing in LISTINGS.values()]
    least = {"robot_task": 8, "form_schema": 4, "document_template": 4, "text_template": 3, "spreadsheet_template": 2, "data_mapping": 2, "usage_pack": 1}
    assert all(kinds.count(kind) >= count for kind, count in least.items())
    assert {listing.publisher for listing in LISTINGS.values()} == {"vendor", "harbor-automation", "yunqi-services"}
    assert {listing.required_rank for listing in LISTINGS.values()} == {0, 1, 2, 3, 4}
    for field in ("name_zh", "name_en", "summary_zh", "summary_en"):
        assert len({getattr(listing, field) for listing in LISTINGS.values()}) == len(LISTINGS)


@pytest.mark.parametrize("slug", LISTINGS)
def test_listing_and_manifest_agree(slug: str) -> None:
    listing, manifest = LISTINGS[slug], bundles.build(LISTINGS[slug].folder).manifest
    assert listing.folder.name == listing.slug == manifest["slug"]
    assert (listing.version, listing.kind, listing.product_line, listing.required_rank) == (
        manifest["version"], manifest["kind"], manifest["product_line"], manifest["required_edition_rank"])  # fmt: skip
    assert list(listing.permissions) == manifest["permissions"]
    parameters = Draft202012Validator(manifest["parameters"])
    Draft202012Validator.check_schema(manifest["parameters"])
    parameters.validate({name: schema["default"] for name, schema in manifest["parameters"]["properties"].items()})
    for case in manifest["cases"]:
        parameters.validate(case["parameters"])
        assert expected(slug, case)


@pytest.mark.parametrize("slug", LISTINGS)
def test_listing_speaks_both_languages(slug: str) -> None:
    listing = LISTINGS[slug]
    for field in ("name", "summary", "description", "release_notes"):
        assert re.search(r"[\u4e00-\u9fff]", getattr(listing, f"{field}_zh"))
        assert not re.search(r"[\u4e00-\u9fff]", getattr(listing, f"{field}_en"))
    assert 2 <= len(re.findall(r"[。！？]", listing.description_zh)) <= 5
    readme = (listing.folder / "README.md").read_text("utf-8")
    assert listing.name_zh in readme
    assert listing.name_en in readme


@pytest.mark.parametrize("slug", LISTINGS)
def test_listing_replaces_steps_that_exist(slug: str) -> None:
    assert all(action in STEPS[feature].split() for feature, action in LISTINGS[slug].automates)
    assert bool(LISTINGS[slug].automates) == (LISTINGS[slug].minutes_saved_per_run > 0)


def test_usage_pack_may_be_bought_again_and_again() -> None:
    pack = LISTINGS["usage-pack"]
    assert (pack.price_minor, pack.pricing, pack.repeatable, pack.required_rank, pack.publisher, pack.tax_rate_bp) == (100, "one_time", True, 0, "vendor", 0)
    assert [listing.slug for listing in LISTINGS.values() if listing.repeatable] == ["usage-pack"]


# The payloads


@pytest.fixture(scope="module")
def robot_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All robot runs side by side; a failed one is kept as its error."""
    cases = of_kind("robot_task")
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(run_robot, slug, case, tmp_path_factory.mktemp(slug) / "run") for slug, case in cases]
    return {name: run.exception() or run.result() for name, run in zip(named(cases), runs, strict=True)}


@pytest.mark.parametrize(("slug", "case"), of_kind("robot_task"), ids=named(of_kind("robot_task")))
def test_robot_task_gives_the_expected_files(slug: str, case: dict[str, Any], robot_results: dict[str, Any]) -> None:
    result = robot_results[f"{slug}-{case['name']}"]
    if isinstance(result, BaseException):
        raise result
    assert result == expected(slug, case)


OTHERS = [(slug, case) for slug, case in CASES if LISTINGS[slug].kind != "robot_task"]


@pytest.mark.parametrize(("slug", "case"), OTHERS, ids=named(OTHERS))
def test_payload_gives_the_expected_files(slug: str, case: dict[str, Any]) -> None:
    assert REPLAYS[LISTINGS[slug].kind](slug, case) == expected(slug, case)


@pytest.mark.parametrize("slug", [slug for slug, _ in of_kind("robot_task")])
def test_robot_task_and_manifest_have_the_same_defaults(slug: str) -> None:
    variables = re.search(r"\*\*\* Variables \*\*\*\n(.*?)\n\n", payload(slug).read_text("utf-8"), re.DOTALL)
    assert variables
    told = {name: value.replace("${EMPTY}", "") for name, value in re.findall(r"^\$\{(\w+)\} +(.*)$", variables[1], re.MULTILINE)}
    declared = bundles.build(LISTINGS[slug].folder).manifest["parameters"]["properties"]
    assert {name: value for name, value in told.items() if name not in ("INPUT", "OUTPUT")} == {name: spec["default"] for name, spec in declared.items()}


@pytest.mark.parametrize("slug", sorted({slug for slug, _ in of_kind("form_schema")}))
def test_form_is_a_schema_with_hints_for_every_field(slug: str) -> None:
    schema = json.loads(payload(slug).read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    hints = [field["x-ui"] for field in schema["properties"].values()]
    assert [hint["order"] for hint in hints] == list(range(1, len(hints) + 1))
    assert all(hint["widget"] and hint["label_en"] for hint in hints)
    assert all(field["title"] for field in schema["properties"].values())
    judged = [check_form(slug, case) for listing, case in of_kind("form_schema") if listing == slug]
    assert {json.loads(result["result.json"])["valid"] for result in judged} == {True, False}


def test_office_templates_are_what_the_script_makes() -> None:
    for path, content in office_files.make().items():
        with zipfile.ZipFile(io.BytesIO(content)) as made, zipfile.ZipFile(path) as committed:
            assert {name: made.read(name) for name in made.namelist()} == {name: committed.read(name) for name in committed.namelist()}, path.name


@pytest.mark.parametrize("slug", ["sales-funnel-sheet", "stock-count-sheet"])
def test_workbook_names_point_at_inputs_and_formulas(slug: str) -> None:
    book = load_workbook(payload(slug))
    for name, defined in book.defined_names.items():
        title, address = next(defined.destinations)
        value = book[title][address].value
        assert value is None or str(value).startswith("="), name
    assert all(sheet.data_validations.dataValidation for sheet in book.worksheets if "first_row" in book.defined_names and sheet.title in ("商机", "盘点表"))
