"""Reading the payload of each kind: what it must be, and what it may not hold.

JSON kinds are read here, where parsing runs nothing. Robot tasks, templates and office files are opened inside the sandbox only.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from marketplace.checks import manifest as manifests
from marketplace.checks import schemas
from marketplace.checks.findings import Finding, refuse
from marketplace.release import term_sheets
from marketplace.sandbox import mapping

INSPECTED = {"robot_task": "robot_policy", "document_template": "document_policy", "text_template": "text_policy", "spreadsheet_template": "spreadsheet_policy"}
SYNTAX = {  # what a parser says; all else is policy
    "robot_file", "robot_syntax", "robot_no_task", "template_syntax", "office_unreadable", "too_many_cells", "schema_invalid", "mapping_invalid",
    "pack_invalid", "offering_invalid", "manifest_variables",
}  # fmt: skip
ENDINGS = {"document_template": ".docx", "spreadsheet_template": ".xlsx", "robot_task": ".robot", "text_template": ".j2"}
DEAREST_MINOR = 10**9
MOST_FIELDS, MOST_WORDS, LONGEST_TEXT, MOST_FORMATS = 200, 2_000, 500, 12


def parse(kind: str, entry: str, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with a JSON kind's payload, policy and all. Raises Refused for what is no JSON."""
    if kind in term_sheets.KINDS:
        return list(_offer(manifest))
    payload = manifests.load(files[entry], entry)
    reader = {"form_schema": lambda schema, _manifest: schemas.findings(schema), "data_mapping": _mapping, "usage_pack": _pack}[kind]
    return [Finding(one.rule, one.what, entry, one.line) for one in reader(payload, manifest)]


def check_ending(kind: str, entry: str) -> None:
    """Raises Refused for an entry whose name is of another kind."""
    if kind not in term_sheets.KINDS and not entry.endswith(ENDINGS.get(kind, ".json")):
        raise refuse("manifest_schema", f"$.entry: {entry}", "manifest.json")


def _mapping(rules: Any, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        mapping.check(rules)
    except mapping.MappingInvalid as error:
        yield Finding("mapping_invalid", str(error)[:200])
        return
    fields = rules["fields"]
    names = [field["target"] for field in fields]
    if len(set(names)) != len(names):
        yield Finding("mapping_invalid", next(f"{name} ×2" for name in names if names.count(name) > 1))
    if len(fields) > MOST_FIELDS:
        yield Finding("mapping_large", f"fields > {MOST_FIELDS}")
    for field in fields:
        texts = [str(field.get("const", "")), field.get("source", "")]
        for transform in field.get("transforms", []):
            if isinstance(transform, dict):
                words = transform.get("lookup", {})
                texts += [*words, *words.values(), transform.get("otherwise", ""), *transform.get("date", [])]
                if len(words) > MOST_WORDS or len(transform.get("date", [])) > MOST_FORMATS:
                    yield Finding("mapping_large", f"{field['target']}: > {MOST_WORDS}")
        if len(field.get("transforms", [])) > MOST_FORMATS or any(len(text) > LONGEST_TEXT for text in texts):
            yield Finding("mapping_large", f"{field['target']}: > {LONGEST_TEXT}")
    needed = f"{rules['target']}:write"
    if needed not in manifest["permissions"]:
        yield Finding("manifest_permission_missing", needed)


def _pack(voucher: Any, _manifest: Mapping[str, Any]) -> Iterator[Finding]:
    wanted = {"meter": str, "units": int, "valid_days": int}
    for name, kind in wanted.items():
        value = voucher.get(name) if isinstance(voucher, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and not 0 < value <= 10**9):
            yield Finding("pack_invalid", name)


def _offer(manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """The terms of its own kind, at a price that can be paid."""
    sheet = manifest["offer"]
    if ("milestones" in sheet) != (manifest["kind"] == term_sheets.SERVICE):
        yield Finding("offering_invalid", "milestones / parts", "manifest.json")
    elif term_sheets.price_minor(sheet) > DEAREST_MINOR:
        yield Finding("offering_invalid", str(term_sheets.price_minor(sheet)), "manifest.json")


def split(findings: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """(what the parser says, what the policy says) of an inspection's findings."""
    return [one for one in findings if one.rule in SYNTAX], [one for one in findings if one.rule not in SYNTAX]


def check_robot(report: Mapping[str, Any], manifest: Mapping[str, Any], entry: str) -> list[Finding]:
    """One task, and the manifest's parameters as its variables."""
    tasks, variables = report.get("tasks", []), report.get("variables", {})
    if not isinstance(tasks, list) or not isinstance(variables, dict):
        raise refuse("robot_syntax", "", entry)
    found = [] if len(tasks) == 1 else [Finding("robot_no_task", str(len(tasks)), entry)]
    told = {name: str(value).replace("${EMPTY}", "") for name, value in variables.items() if name not in ("INPUT", "OUTPUT")}
    declared = {name: str(one["default"]) for name, one in manifest["parameters"]["properties"].items()}
    for name in sorted(set(told) ^ set(declared)) or sorted(name for name in told if told[name] != declared[name]):
        found.append(Finding("manifest_variables", name, entry))
    return found
