"""Judges an answer by a form: a JSON Schema of the draft 2020-12."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry

from marketplace.sandbox.inside.results import write_json


def run(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """`options`: entry, input. Writes `result.json`: whether the answer is valid, and the paths of what is wrong."""
    schema = json.loads(Path("work", options["entry"]).read_text("utf-8"))
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return {"passed": False, "reason": f"{error.json_path}: {error.message}"[:500]}
    answer = json.loads(Path("work", options["input"]).read_text("utf-8"))
    validator = Draft202012Validator(schema, registry=Registry())  # an empty registry: nothing is fetched
    wrong = sorted({error.json_path for error in validator.iter_errors(answer)})
    write_json("result.json", {"valid": not wrong, "wrong": wrong})
    return {"passed": True}
