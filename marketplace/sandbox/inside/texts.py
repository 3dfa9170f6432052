"""Fills text templates for mail and print."""

from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError

from marketplace.sandbox.inside import jinja
from marketplace.sandbox.inside.results import sample


def run(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """`options`: entry, input, variables. Writes `mail.txt`."""
    try:
        template = jinja.environment().from_string(Path("work", options["entry"]).read_text("utf-8"))
        text = template.render({**sample(options), **options["variables"]})
    except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
        return {"passed": False, "reason": f"{type(error).__name__}: {error}"[:500]}
    Path("result/mail.txt").write_bytes(text.encode())
    return {"passed": True}


def inspect(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """What the template may not hold."""
    return {"findings": list(jinja.findings(Path("work", options["entry"]).read_text("utf-8"), options["entry"]))}
