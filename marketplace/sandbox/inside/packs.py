"""Works out what a usage pack grants."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from marketplace.sandbox.inside.results import sample, write_json


def run(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """`options`: entry, input. Writes `grant.json`."""
    voucher, bought = json.loads(Path("work", options["entry"]).read_text("utf-8")), sample(options)
    until = date.fromisoformat(bought["bought_on"]) + timedelta(days=voucher["valid_days"])
    write_json("grant.json", {"meter": voucher["meter"], "units": voucher["units"] * bought["quantity"], "valid_until": until.isoformat()})
    return {"passed": True}
