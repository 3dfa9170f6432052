"""Runs a Robot Framework task: its input under `work/`, its output in `result/`, a plain log beside them."""

import re
import time
from pathlib import Path
from typing import Any

from robot.run import run as robot_run

LOG_LINES, LOG_LINE = 5_000, 1_000


class Watcher:
    """Listens to a run: tells progress, keeps a log of bounded length."""

    ROBOT_LISTENER_API_VERSION = 2

    def __init__(self, tell: Any) -> None:
        self.tell = tell
        self.lines: list[str] = []
        self.steps = 0
        self.depth = 0
        self.told_at = 0.0
        self.failure = ""

    def _keep(self, text: str) -> None:
        if len(self.lines) < LOG_LINES:
            self.lines.append("  " * min(self.depth, 12) + text[:LOG_LINE])
        elif len(self.lines) == LOG_LINES:
            self.lines.append("…")

    def start_keyword(self, name: str, attributes: dict[str, Any]) -> None:
        """A step begins; progress is told four times a second at most."""
        self.depth += 1
        if attributes["status"] == "NOT RUN":  # after a failure, or in a branch that is not taken
            return
        self.steps += 1
        if attributes["type"] == "KEYWORD":
            self._keep(f"{attributes['kwname']}  (line {attributes['lineno']})")
        if time.monotonic() - self.told_at > 0.25:
            self.told_at = time.monotonic()
            self.tell(attributes["kwname"] or name)

    def end_keyword(self, _name: str, attributes: dict[str, Any]) -> None:
        """A step ends; a failed one is named with its line."""
        if attributes["status"] == "FAIL" and not self.failure:
            self.failure = f"{Path(attributes['source'] or '').name}:{attributes['lineno']}"
        self.depth -= 1

    def log_message(self, message: dict[str, Any]) -> None:
        """What a step says about itself."""
        if message["level"] in ("INFO", "WARN", "ERROR", "FAIL"):
            text = re.sub(r"<[^>]*>", "", message["message"]) if message["html"] == "yes" else message["message"]
            self._keep(f"{message['level']}: {text}")

    def message(self, message: dict[str, Any]) -> None:
        """Warnings and errors outside steps: an import that failed, a setting that is unknown."""
        if message["level"] in ("WARN", "ERROR"):
            self.log_message(message)


def run(options: dict[str, Any], tell: Any) -> dict[str, Any]:
    """`options`: entry, input, variables. Reports whether it passed, the reason where it did not, the log and the number of steps."""
    return _robot(
        options, tell, {"INPUT": str(Path("work", options["input"]).resolve()), "OUTPUT": str(Path("result").resolve()), **options["variables"]}, dry_run=False
    )


def dry_run(options: dict[str, Any], tell: Any) -> dict[str, Any]:
    """Resolve every keyword and argument of the task without running it."""
    return _robot(options, tell, {}, dry_run=True)


def _robot(options: dict[str, Any], tell: Any, variables: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    watcher = Watcher(tell)
    reasons: list[str] = []

    class Reasons:
        ROBOT_LISTENER_API_VERSION = 3

        def end_test(self, _data: Any, result: Any) -> None:
            if not result.passed:
                reasons.append(str(result.message))

    console = Path("console").open("w")  # noqa: SIM115 (lives as long as the process)
    code = robot_run(
        f"work/{options['entry']}", variable=[f"{name}:{value}" for name, value in variables.items()], output=None, log=None, report=None,
        console="none", stdout=console, stderr=console, dryrun=dry_run, listener=[watcher, Reasons()], rpa=True,
    )  # fmt: skip
    reason = reasons[0] if reasons else "" if code == 0 else "\n".join(watcher.lines[-3:])
    return {"passed": code == 0, "reason": reason[:LOG_LINE], "at": watcher.failure, "steps": watcher.steps, "log": "\n".join(watcher.lines)}
