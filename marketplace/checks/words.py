"""Checks, states and steps in words; and how far a version's checks have come."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from marketplace.checks import pipeline
from marketplace.release.lifecycle_models import VersionCheck


def _l(text: str) -> str:
    """Mark a sentence for the catalogue; it is translated when it is said."""
    return text


CHECKS = {
    "unpack": (_l("Unpacked safely"), _l("Names, links, sizes, check sums and kinds of files")),
    "manifest": (_l("Manifest"), _l("Schema, files, parameters, permissions, host version")),
    "parse": (_l("Payload read"), _l("By the parser of its kind")),
    "policy": (_l("Policy"), _l("Libraries, keywords, expressions, macros, links, formulas")),
    "secrets": (_l("No secrets"), _l("Keys and passwords of well-known shapes")),
    "lint": (_l("Linted"), _l("By Robocop")),
    "dry_run": (_l("Dry run"), _l("Every keyword and argument resolved, nothing run")),
    "replay": (_l("Replayed"), _l("On each of its own samples, in the sandbox")),
    "expected": (_l("Output as promised"), _l("File by file, byte by byte")),
    "signature": (_l("Signed"), _l("Ed25519 over the hash and these checks")),
}
STATES = {  # words and tone
    "waiting": (_l("waiting"), ""),
    "running": (_l("running"), "info"),
    "passed": (_l("passed"), "ok"),
    "failed": (_l("failed"), "danger"),
    "refused": (_l("refused"), "warn"),
    "not_reached": (_l("not reached"), ""),
}
VERSION_STATES = {
    "draft": (_l("Waits for its checks"), "info"),
    "scanning": (_l("Being checked"), "info"),
    "in_review": (_l("In review"), "info"),
    "published": (_l("Released"), "ok"),
    "yanked": (_l("Withdrawn"), "danger"),
    "rejected": (_l("Rejected"), "warn"),
}
LISTING_STATES = {
    "draft": (_l("Draft"), ""),
    "in_review": (_l("In review"), "info"),
    "published": (_l("On sale"), "ok"),
    "deprecated": (_l("Deprecated"), "warn"),
    "archived": (_l("Archived"), ""),
}
STEPS = {
    "hand_in": _l("Handed in by its publisher"),
    "import": _l("Published with the records that came with it"),
    "scan": _l("Checks begun"),
    "pass": _l("Checks ended"),
    "fail": _l("A check failed"),
    "lose": _l("The worker was lost; checked again"),
    "approve": _l("Approved"),
    "reject": _l("Rejected"),
    "withdraw": _l("Taken back by the publisher"),
    "yank": _l("Withdrawn"),
    "quarantine": _l("Put into quarantine"),
    "lift": _l("Quarantine lifted"),
    "create": _l("Begun as a draft"),
    "submit": _l("Handed in by its publisher"),
    "publish": _l("Put on sale"),
    "send_back": _l("Sent back"),
    "deprecate": _l("Deprecated"),
    "reinstate": _l("Put on sale again"),
    "archive": _l("Archived"),
}
LOOK_AT = {
    "first": _l("first version"),
    "permissions": _l("more permissions"),
    "libraries": _l("more libraries"),
    "terms": _l("other terms of use"),
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far checks have come; `percent` of those that will still be reached."""

    text: str
    percent: int
    done: bool


def said(text: str) -> str:
    """A marked sentence in the reader's language."""
    return str(_(text))


def progress(state: str, checks: Sequence[VersionCheck]) -> Progress:
    """The state of a version's checks in one sentence."""
    if state == "draft":
        return Progress(_("Waits for a worker"), 0, False)
    over = sum(one.state not in (pipeline.WAITING, pipeline.RUNNING) for one in checks)
    running = next((one for one in checks if one.state == pipeline.RUNNING), None)
    text = said(CHECKS[running.name][0]) if running else _("Checks: %(n)s of %(m)s", n=over, m=len(checks))
    return Progress(text, 100 * over // len(checks) if checks else 0, state != "scanning")


def for_templates() -> dict[str, object]:
    """The tables of words, for pages that show checks."""
    return {
        "check_words": CHECKS, "check_states": STATES, "version_states": VERSION_STATES, "listing_states": LISTING_STATES, "step_words": STEPS,
        "look_at_words": LOOK_AT,
    }  # fmt: skip
