"""How programs write what they made."""

import json
from pathlib import Path
from typing import Any


def write_json(name: str, value: Any) -> None:
    """A readable JSON file in UTF-8, always the same bytes for the same value."""
    Path("result", name).write_bytes((json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode())


def sample(options: dict[str, Any]) -> Any:
    """The input as JSON."""
    return json.loads(Path("work", options["input"]).read_text("utf-8"))
