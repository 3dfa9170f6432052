"""The checks of one bundle, in order, without a database: bytes in, records out.

`unpack` and `manifest` need no sandbox and are cheap: uploads are refused by them at once. The rest runs in a job. A check that fails ends
what depends on it; a machine without a sandbox refuses the checks that need one, and says so. Nothing of a bundle is ever run outside.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core import clock
from marketplace.checks import kinds, manifest, replay, secrets, unpack
from marketplace.checks.findings import Finding, Refused, read, refuse
from marketplace.release import term_sheets
from marketplace.sandbox import box
from marketplace.sandbox.limits import Limits

PASSED, FAILED, REFUSED, WAITING, RUNNING, NOT_REACHED = "passed", "failed", "refused", "waiting", "running", "not_reached"
EVERY = ("unpack", "manifest", "parse", "policy", "secrets", "replay", "expected", "signature")
ROBOT = ("unpack", "manifest", "parse", "policy", "secrets", "lint", "dry_run", "replay", "expected", "signature")
TERMS = ("unpack", "manifest", "parse", "secrets", "signature")  # of what is nothing but its terms
NEEDED_BY = {  # a check is reached when these have passed
    "manifest": ("unpack",), "parse": ("manifest",), "policy": ("parse",), "secrets": ("unpack",), "lint": ("policy",), "dry_run": ("policy", "lint"),
    "replay": ("policy", "secrets", "lint", "dry_run"), "expected": ("replay",), "signature": (*ROBOT[:-1],),
}  # fmt: skip
LOG_KEPT = 20_000


def names(kind: str) -> tuple[str, ...]:
    """The checks of a kind, in order."""
    return {"robot_task": ROBOT, **dict.fromkeys(term_sheets.KINDS, TERMS)}.get(kind, EVERY)


@dataclass(slots=True)
class Record:
    """One check: how it ended, and why. `detail` is for people: advice of the linter, the replay's log, expected beside actual."""

    name: str
    state: str = WAITING
    findings: list[Finding] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    started_at: datetime | None = None
    finished_at: datetime | None = None


OnRecord = Callable[[Record], None]


class Check:
    """The state of one bundle's way through the checks."""

    def __init__(self, content: bytes, kind: str, limits: Limits, on_record: OnRecord | None = None, without: Collection[str] = ()) -> None:
        self.content, self.kind, self.limits, self.on_record = content, kind, limits, on_record
        self.files: dict[str, bytes] = {}
        self.manifest: dict[str, Any] = {}
        self.policy: list[Finding] = []
        self.libraries: list[str] = []
        self.outcomes: list[tuple[Mapping[str, Any], box.Outcome]] = []
        self.records = {name: Record(name) for name in names(kind) if name not in ("signature", *without)}

    def run(self) -> list[Record]:
        """All checks but the signature, which is made over these records."""
        for name, record in self.records.items():
            before = [self.records[needed] for needed in NEEDED_BY.get(name, ()) if needed in self.records]
            if any(one.state != PASSED for one in before):
                # without a sandbox the same holds for all that follows: refused, not unreached
                record.state = REFUSED if any(one.state == REFUSED for one in before) else NOT_REACHED
                record.findings = next((one.findings for one in before if one.state == REFUSED), [])
            else:
                self._run_one(record)
            self._tell(record)
        return list(self.records.values())

    def _tell(self, record: Record) -> None:
        if self.on_record:
            self.on_record(record)

    def _run_one(self, record: Record) -> None:
        record.state, record.started_at = RUNNING, clock.now()
        self._tell(record)
        try:
            record.findings = list(getattr(self, f"_{record.name}")(record))
            record.state = FAILED if record.findings else PASSED
        except Refused as error:
            record.state, record.findings = FAILED, error.findings
        except box.SandboxMissing as error:
            record.state, record.findings = REFUSED, [Finding("sandbox_missing", str(error))]
        record.finished_at = clock.now()

    @property
    def entry(self) -> str:
        """The payload's main file."""
        return str(self.manifest.get("entry", ""))

    def _unpack(self, _record: Record) -> Iterable[Finding]:
        self.files = unpack.unpack(self.content)
        return ()

    def _manifest(self, _record: Record) -> Iterable[Finding]:
        self.manifest = manifest.read(self.files)
        if self.manifest["kind"] != self.kind:
            return [Finding("manifest_other", f"kind: {self.manifest['kind']}", "manifest.json")]
        return ()

    def _parse(self, _record: Record) -> Iterable[Finding]:
        kinds.check_ending(self.kind, self.entry)
        if self.kind not in kinds.INSPECTED:
            parsed, self.policy = kinds.split(kinds.parse(self.kind, self.entry, self.files, self.manifest))
            return parsed
        outcome = box.run(kinds.INSPECTED[self.kind], {"entry": self.entry}, {self.entry: self.files[self.entry]}, self.limits)
        if stopped := replay.failure("", outcome, self.entry):
            return [stopped]
        parsed, self.policy = kinds.split([read(one) for one in _reported(outcome)])
        self.libraries = [str(name)[:80] for name in outcome.report.get("libraries", [])][:20]
        if self.kind == "robot_task" and not parsed and not self.policy:
            parsed = kinds.check_robot(outcome.report, self.manifest, self.entry)
        return parsed

    def _policy(self, record: Record) -> Iterable[Finding]:
        record.detail["libraries"] = self.libraries
        return self.policy

    def _secrets(self, _record: Record) -> Iterable[Finding]:
        return secrets.findings(self.files)

    def _lint(self, record: Record) -> Iterable[Finding]:
        outcome = box.run("robot_lint", {"entry": self.entry}, {self.entry: self.files[self.entry]}, self.limits)
        if stopped := replay.failure("", outcome, self.entry):
            return [stopped]
        found = _reported(outcome)
        record.detail["advice"] = [read(one).stored() for one in found if one.get("severity") != "E"][:10]
        return [read(one) for one in found if one.get("severity") == "E"]

    def _dry_run(self, _record: Record) -> Iterable[Finding]:
        outcome = box.run("dry_run", {"entry": self.entry}, {self.entry: self.files[self.entry]}, self.limits)
        stopped = replay.failure("", outcome, self.entry)
        return [Finding("robot_dry_run", stopped.what.removeprefix(": "), stopped.file, stopped.line)] if stopped else ()

    def _replay(self, record: Record) -> Iterable[Finding]:
        found, logs = [], []
        for case in self.manifest["cases"]:
            outcome = replay.run_case(self.kind, self.manifest, case, self.files, self.limits)
            self.outcomes.append((case, outcome))
            logs.append({"case": case["name"], "took_ms": round(outcome.took_s * 1000), "log": str(outcome.report.get("log", ""))[:LOG_KEPT]})
            if stopped := replay.failure(case["name"], outcome, self.entry):
                found.append(stopped)
        record.detail["logs"] = logs
        return found

    def _expected(self, record: Record) -> Iterable[Finding]:
        found, shown = [], []
        for case, outcome in self.outcomes:
            promised = replay.expected_of(case, self.files)
            found += replay.compare(case, outcome.files, self.files)
            for name in sorted({*promised, *outcome.files}):
                same = promised.get(name) == outcome.files.get(name)
                lines = [] if same else replay.difference(promised.get(name), outcome.files.get(name))
                shown.append({"case": case["name"], "file": name, "same": same, "size": len(outcome.files.get(name, b"")), "diff": lines})
        record.detail["files"] = shown
        return found


def _reported(outcome: box.Outcome) -> list[dict[str, Any]]:
    """The findings of an inspection: what comes from inside is foreign, so only its shape is trusted. No list is no verdict, and so no pass."""
    found = outcome.report.get("findings")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise refuse("replay_crashed", "no findings")
    return found
