"""Maps a foreign table to records of ours."""

import json
from pathlib import Path
from typing import Any

from marketplace.sandbox import mapping
from marketplace.sandbox.inside.results import write_json


def run(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """`options`: entry, input. Writes `records.json` and `rejected.json`."""
    rules = json.loads(Path("work", options["entry"]).read_text("utf-8"))
    try:
        mapped = mapping.apply(rules, mapping.read_table(Path("work", options["input"]).read_bytes()))
    except mapping.MappingInvalid as error:
        return {"passed": False, "reason": str(error)}
    write_json("records.json", mapped.records)
    write_json("rejected.json", mapped.rejected)
    return {"passed": True}
