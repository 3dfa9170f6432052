"""Robocop reads a robot task: what it calls an error fails the check, what it warns about is kept as advice."""

import os
from pathlib import Path
from typing import Any

from robocop.run import check_files

MOST = 40


def run(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """`options`: entry. The rules are Robocop's own, its configuration files are ignored."""
    os.environ["HOME"] = "/tmp"  # noqa: S108 (the sandbox's own)
    found = check_files(
        sources=[Path("work", options["entry"])], return_result=True, silent=True, cache=False, ignore_file_config=True, reports=["None"], root=Path("work")
    )  # fmt: skip
    findings = [
        {"file": options["entry"], "line": one.range.start.line, "rule": f"{one.rule.rule_id} {one.rule.name}", "what": str(one.message)[:200],
         "severity": one.severity.value}
        for one in found or ()
    ]  # fmt: skip
    findings.sort(key=lambda one: ("EWI".find(one["severity"]), one["line"]))
    return {"findings": findings[:MOST], "warnings": sum(one["severity"] == "W" for one in findings)}
