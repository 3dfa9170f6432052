"""Every action that the sources record has words."""

import ast
from collections.abc import Iterator
from pathlib import Path

from flask import Flask
from flask_babel import force_locale

from billing.approval import approvals
from marketplace.release import stewardship
from membership.audit_words import ACTIONS, SUBJECTS, words_of

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "membership", "billing", "marketplace", "operations")


def composed() -> dict[str, list[str]]:
    """Where an action is put together: what comes of it."""
    kinds = approvals.KINDS
    return {
        "f\"{wanted.kind}.{('propose' if one.needs_second else 'post')}\"": [f"{kind}.{step}" for kind in kinds for step in ("propose", "post")],
        "f'{one.kind}.approve'": [f"{kind}.approve" for kind in kinds],
        "f'{one.kind}.reject'": [f"{kind}.reject" for kind in kinds],
        "f'listing.{action}'": [f"listing.{action}" for action in stewardship.LISTING_ACTIONS],
        "f'version.{action}'": [f"version.{action}" for action in stewardship.VERSION_ACTIONS],
    }


def recorded() -> Iterator[str]:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "audit.record":
                    given = node.args[0]
                    for one in [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]:
                        if isinstance(one, ast.Constant):
                            yield str(one.value)
                        else:
                            yield from composed()[ast.unparse(one)]


def test_every_recorded_action_has_words_in_both_languages(app: Flask) -> None:
    found = set(recorded())
    assert len(found) > 80
    for language in ("en", "zh"):
        with app.test_request_context(), force_locale(language):
            assert not [action for action in found if words_of(action) == action or "." in words_of(action)]
    assert {action.partition(".")[0] for action in found} == set(SUBJECTS), "each kind of subject can be filtered by, and none that there is not"
    assert not set(ACTIONS) - found, "no words for what nobody records"


def test_decisions_name_their_subject_and_old_actions_stay_as_they_are(app: Flask) -> None:
    with app.test_request_context(), force_locale("en"):
        assert words_of("goodwill.propose") == "Goodwill: proposed"
        assert words_of("ship.launch") == "ship.launch"
