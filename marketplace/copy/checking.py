"""Holding an edited copy against what the store asks of every bundle: parsed, judged by policy, linted, all of it where the store does that.

Not asked: that its samples give what the publisher promised. An edited copy is meant to give something else.
"""

from marketplace.checks import pipeline, replay
from marketplace.checks.findings import Finding, Refused
from marketplace.checks.manifest import read
from marketplace.checks.unpack import unpack
from marketplace.sandbox import box
from marketplace.sandbox.limits import Limits

NOT_ASKED = ("replay", "expected")
WORDS = {"manifest_variables": "copy_variables"}  # what is said to publishers in other words


def findings(kind: str, content: bytes, limits: Limits) -> list[Finding]:
    """What is wrong with an edited bundle; nothing where it may be used. Without a sandbox that is said, and nothing is let through."""
    records = pipeline.Check(content, kind, limits, without=NOT_ASKED).run()
    found = [finding for record in records for finding in record.findings]
    assert found or all(record.state == pipeline.PASSED for record in records), "a check that has not passed says why"
    return [Finding(WORDS.get(one.rule, one.rule), one.what, one.file, one.line) for one in dict.fromkeys(found)]


def preview(kind: str, content: bytes, limits: Limits) -> tuple[dict[str, bytes], Finding | None]:
    """Run the first sample of a bundle whose checks have passed: what it gives, or why it gave nothing."""
    try:
        files = unpack(content)
        manifest = read(files)
        outcome = replay.run_case(kind, manifest, manifest["cases"][0], files, limits)
    except Refused as error:
        return {}, error.findings[0]
    except box.SandboxMissing as error:
        return {}, Finding("sandbox_missing", str(error))
    stopped = replay.failure("", outcome, str(manifest["entry"]))
    return outcome.files, stopped
