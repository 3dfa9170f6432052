"""Running a bundle on its own samples, inside the sandbox, and comparing what comes out with what it promises."""

import difflib
from collections.abc import Mapping
from typing import Any

from marketplace.checks.findings import Finding
from marketplace.sandbox import box
from marketplace.sandbox.limits import Limits

MOST_DIFF, WINDOW, LONGEST_LINE = 40, 20, 300
STOPS = {"time": "replay_time", "cpu": "replay_time", "memory": "replay_memory", "output": "replay_output", "crashed": "replay_crashed"}


def run_case(
    kind: str, manifest: Mapping[str, Any], case: Mapping[str, Any], files: Mapping[str, bytes], limits: Limits, on_progress: box.Progress | None = None,
) -> box.Outcome:  # fmt: skip
    """Run one sample. The task sees its own files, but not what is expected of it. Raises SandboxMissing."""
    hidden = tuple(one["expected"].rstrip("/") + "/" for one in manifest["cases"])
    seen = {name: content for name, content in files.items() if not name.startswith(hidden)}
    options = {"entry": manifest["entry"], "input": case["input"], "variables": variables(manifest, case["parameters"])}
    return box.run(kind, options, seen, limits, on_progress)


def variables(manifest: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given parameters over the declared defaults."""
    return {**{name: one["default"] for name, one in manifest["parameters"]["properties"].items()}, **given}


def failure(case: str, outcome: box.Outcome, entry: str) -> Finding | None:
    """Why a run did not end well; `None` where it did."""
    if outcome.stopped:
        return Finding(STOPS[outcome.stopped], f"{case}: {outcome.complaint.splitlines()[-1] if outcome.complaint else outcome.stopped}"[:250], entry)
    if not outcome.passed:
        at = str(outcome.report.get("at", ""))
        line = at.rpartition(":")[2]
        return Finding("replay_failed", f"{case}: {outcome.report.get('reason', '')}"[:250], entry, int(line) if line.isdigit() else None)
    return None


def expected_of(case: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that a sample must give, by their names in its output."""
    folder = case["expected"].rstrip("/") + "/"
    return {name.removeprefix(folder): content for name, content in files.items() if name.startswith(folder)}


def compare(case: Mapping[str, Any], made: Mapping[str, bytes], files: Mapping[str, bytes]) -> list[Finding]:
    """Each file that is missing, unexpected or different; for texts with the first line that differs."""
    promised = expected_of(case, files)
    found = [Finding("expected_missing", f"{case['name']}: {name}", f"{case['expected']}/{name}") for name in sorted(set(promised) - set(made))]
    found += [Finding("expected_extra", f"{case['name']}: {name}") for name in sorted(set(made) - set(promised))]
    for name in sorted(set(made) & set(promised)):
        if made[name] != promised[name]:
            line = first_difference(promised[name], made[name])
            found.append(Finding("expected_differs", f"{case['name']}: {name}", f"{case['expected']}/{name}", line))
    return found


def first_difference(expected: bytes, actual: bytes) -> int | None:
    """The number of the first line that two texts do not share; `None` for what is no text."""
    try:
        ours, theirs = (side.decode("utf-8").splitlines() for side in (expected, actual))
    except UnicodeDecodeError:
        return None
    return next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False), start=1) if a != b), min(len(ours), len(theirs)) + 1)


def difference(expected: bytes | None, actual: bytes | None) -> list[str]:
    """A unified diff of the lines around the first that differs, for the reviewer; empty for what is no text.

    Only there: a diff of large files that were made to be hard to compare would take for ever.
    """
    try:
        ours, theirs = ((side or b"").decode("utf-8-sig").splitlines() for side in (expected, actual))
    except UnicodeDecodeError:
        return []
    first = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    before, after = (side[max(0, first - 2) : first + WINDOW] for side in (ours, theirs))
    lines = difflib.unified_diff([line[:LONGEST_LINE] for line in before], [line[:LONGEST_LINE] for line in after], n=1, lineterm="")
    return [f"@@ {first + 1} @@", *[line for line in list(lines)[2:] if not line.startswith("@@")]][:MOST_DIFF]
