"""No robot task of the showcase evaluates Python or reaches beyond its own folders."""

import re
from typing import Any

import pytest
from robot.api import get_model
from robot.api.parsing import ModelVisitor, Token

from marketplace.release import bundles

TASKS = [listing.slug for listing in bundles.load_showcase() if listing.kind == "robot_task"]


class Policy(ModelVisitor):
    """What a robot task may not do: evaluate Python, import anything but the five safe libraries, reach beyond its own folders."""

    LIBRARIES = frozenset({"Collections", "DateTime", "OperatingSystem", "String", "XML"})
    KEYWORDS = re.compile(
        r"^(Evaluate|Run.*|Call Method|Import .*|Set Variable If|Should Be True|Should Not Be True|Wait Until .*|Get Library Instance|"
        r"Start Process|.* Environment Variable.*|Remove (File|Directory).*|Move .*|Copy (File|Directory).*)$", re.IGNORECASE)  # fmt: skip
    FILES = frozenset({"Get File", "Create File", "Parse XML"})

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_LibraryImport(self, node: Any) -> None:
        if node.name not in self.LIBRARIES:
            self.found.append(f"library {node.name}")

    def visit_ResourceImport(self, node: Any) -> None:
        self.found.append(f"resource {node.name}")

    def visit_VariablesImport(self, node: Any) -> None:
        self.found.append(f"variables {node.name}")

    def visit_While(self, node: Any) -> None:
        self.found.append(f"loop with a condition in line {node.lineno}")

    def visit_IfHeader(self, node: Any) -> None:
        if not re.fullmatch(r"\$\w+", node.condition):
            self.found.append(f"expression {node.condition}")

    visit_ElseIfHeader = visit_InlineIfHeader = visit_IfHeader

    def visit_KeywordCall(self, node: Any) -> None:
        self.visit_Statement(node)
        if self.KEYWORDS.match(node.keyword or ""):
            self.found.append(f"keyword {node.keyword}")
        if node.keyword in self.FILES and not node.args[0].startswith(("${INPUT}", "${OUTPUT}/", "${path}")):
            self.found.append(f"file {node.args[0]}")

    def visit_Statement(self, node: Any) -> None:
        for token in node.get_tokens(Token.ARGUMENT):
            if re.search(r"[$@&]\{\{|\$\{[^}]*[^\w\s}{][^}]*\}", token.value):
                self.found.append(f"inline evaluation {token.value}")


def offences(source: str) -> list[str]:
    policy = Policy()
    policy.visit(get_model(source))
    return policy.found


@pytest.mark.parametrize("slug", TASKS)
def test_robot_task_keeps_to_the_policy(slug: str) -> None:
    source = (bundles.SHOWCASE / slug / "task.robot").read_text("utf-8")
    assert offences(source) == []
    assert "${{" not in source
    assert not re.search(r"\$\{\w+[.(+*/-]", source), "extended variable syntax evaluates Python"


@pytest.mark.parametrize("line", [
    "Evaluate    1 + 1", "Run    ls", "IF    ${a} > 1    Log    x", "Log    ${{1 + 1}}", "Get File    /etc/hosts",
    "FOR    ${a}    IN    1\n        Log    ${a.upper()}\n    END",
    "Run Keyword If    1    Log    x"])  # fmt: skip
def test_the_policy_finds_offences(line: str) -> None:
    assert offences(f"*** Tasks ***\nBad\n    {line}\n")
