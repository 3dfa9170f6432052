"""The manifest: what a bundle says about itself, held against its schema, its files and what its kind does."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry

from core.schemas import unstorable
from marketplace.checks import schemas
from marketplace.checks.findings import Finding, Refused, refuse
from marketplace.release import bundles
from marketplace.store.listings import RESOURCES, VERBS
from membership import hosts

LARGEST, DEEPEST = 256 << 10, 32
MOST_REPEATS, LONGEST_VALUE = 2, 1_000
NEEDS = {  # kind: what it does with data, and so must declare; `any` stands for some resource
    "robot_task": "any:read", "form_schema": "any:write", "document_template": "any:read", "text_template": "message:send", "spreadsheet_template": "any:read",
}  # fmt: skip


def read(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The manifest. Raises Refused: missing, no JSON, against the schema, or naming files that are not there."""
    if "manifest.json" not in files:
        raise refuse("manifest_missing")
    manifest = load(files["manifest.json"], "manifest.json", "manifest_json")
    wrong = next(bundles.schema("manifest").iter_errors(manifest), None)
    if wrong:
        raise refuse("manifest_schema", f"{wrong.json_path}: {wrong.message[:200]}", "manifest.json")
    unreadable = unstorable(manifest)
    if unreadable is not None:
        raise refuse("manifest_text", str(unreadable), "manifest.json")
    for path in bundles.named(manifest):
        if not any(name == path or name.startswith(path.rstrip("/") + "/") for name in files):
            raise refuse("manifest_file", path, "manifest.json")
    if found := [*_permissions(manifest), *_parameters(manifest), *_host(manifest.get("host_version"))]:
        raise Refused(found)
    return dict(manifest)


def load(content: bytes, file: str, rule: str = "json_unreadable") -> Any:
    """JSON of a stranger: in UTF-8, not too large, not too deep, no key twice. Raises Refused."""
    if len(content) > LARGEST:
        raise refuse("json_large", f"{LARGEST >> 10} kB", file)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands there twice")
        return found

    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=once, parse_constant=_no_constant)
    except RecursionError as error:
        raise refuse("json_large", f"{DEEPEST} levels", file) from error
    except ValueError as error:
        raise refuse(rule, str(error)[:200], file) from error
    if _depth(value) > DEEPEST:
        raise refuse("json_large", f"{DEEPEST} levels", file)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        depth += 1
        level = [child for one in level for child in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())]
    return depth


def _permissions(manifest: Mapping[str, Any]) -> Iterator[Finding]:
    declared = manifest["permissions"]
    for code in declared:
        resource, _colon, verb = code.partition(":")
        if resource not in RESOURCES or verb not in VERBS:
            yield Finding("manifest_permission", code, "manifest.json")
    needed = NEEDS.get(manifest["kind"])
    if needed and not any(code == needed or (needed.startswith("any:") and code.endswith(needed[3:])) for code in declared):
        yield Finding("manifest_permission_missing", needed.replace("any:", "…:"), "manifest.json")


def _parameters(manifest: Mapping[str, Any]) -> Iterator[Finding]:
    schema = manifest["parameters"]
    if found := [Finding("manifest_parameters", one.what, "manifest.json") for one in schemas.findings(schema)]:
        yield from found
        return
    # These are matched outside the sandbox, here and when somebody fills in a run: short texts, and patterns that take a short time on them.
    slow = [text for text in _patterns(schema) if schemas.endless_repeats(text) > MOST_REPEATS]
    long = [text for text in _texts(manifest) if len(text) > LONGEST_VALUE]
    if slow or long:
        yield Finding("manifest_parameters", (slow or long)[0][:100], "manifest.json")
        return
    validator = Draft202012Validator(schema, registry=Registry())
    defaults = {name: one["default"] for name, one in schema["properties"].items()}
    for name, values in [("default", defaults), *((case["name"], case["parameters"]) for case in manifest.get("cases", []))]:
        if wrong := next(validator.iter_errors(values), None):
            yield Finding("manifest_parameters", f"{name}: {wrong.message[:150]}", "manifest.json")


def _patterns(schema: Any) -> Iterator[str]:
    for key, value in schemas.walk(schema):
        if key == "pattern":
            yield value
        if key == "patternProperties":
            yield from value


def _texts(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Every text that is matched against the parameters' schema."""
    values = [one["default"] for one in manifest["parameters"]["properties"].values()]
    values += [value for case in manifest.get("cases", []) for value in case["parameters"].values()]
    yield from (value for value in values if isinstance(value, str))


def _host(declared: str | None) -> Iterator[Finding]:
    if declared is not None and not hosts.is_specifier(declared):  # a service or a bundle runs nowhere
        yield Finding("manifest_host", declared, "manifest.json")
