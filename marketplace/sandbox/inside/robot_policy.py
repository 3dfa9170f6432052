"""What a robot task may hold. Everything not named here is refused: new keywords of a new Robot Framework are refused until they are read.

The file is parsed, which runs none of it: the one thing a header could import, a language file, is refused before.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robot.api import get_model
from robot.api.parsing import ModelVisitor, Token
from robot.libraries import XML, BuiltIn, Collections, OperatingSystem, String
from robot.libraries import DateTime as date_time

LIBRARIES = {"BuiltIn": BuiltIn.BuiltIn, "Collections": Collections.Collections, "DateTime": date_time, "OperatingSystem": OperatingSystem.OperatingSystem,
             "String": String.String, "XML": XML.XML}  # fmt: skip
LANGUAGES = frozenset({"en", "english", "zh-cn", "zhcn", "chinese simplified", "zh-tw", "zhtw", "chinese traditional"})
HEADER = re.compile(r"^\s*language\s*:\s*(.*?)\s*$", re.IGNORECASE | re.MULTILINE)
VARIABLE = re.compile(r"([$@&%])\{([^{}]*)(\}|\{|$)")
NAME = re.compile(r"[^\W\d][\w ]*|-?\d+(?:\.\d+)?")
LITERAL_PATH = re.compile(r"^(?:[/~\\]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)")
SMALL = 1 << 20


def _names(text: str) -> frozenset[str]:
    return frozenset(normal(name) for name in text.split(","))


def normal(name: str) -> str:
    """A keyword's name as Robot Framework compares it: without case, spaces and underscores."""
    return re.sub(r"[\s_]", "", name).lower()


ALLOWED = {  # of each library, the keywords that neither evaluate Python nor call another keyword by name nor leave the task's own folders
    "BuiltIn": _names(
        "Catenate,Comment,Convert To Binary,Convert To Boolean,Convert To Hex,Convert To Integer,Convert To Number,Convert To Octal,Convert To String,"
        "Create Dictionary,Create List,Fail,Fatal Error,Get Count,Get Length,Length Should Be,Log,Log Many,Log To Console,No Operation,Pass Execution,"
        "Regexp Escape,Set Local Variable,Set Task Variable,Set Test Variable,Set Suite Variable,Set Variable,Should Be Empty,Should Be Equal,"
        "Should Be Equal As Integers,Should Be Equal As Numbers,Should Be Equal As Strings,Should Contain,Should Contain Any,Should Contain X Times,"
        "Should End With,Should Match,Should Match Regexp,Should Not Be Empty,Should Not Be Equal,Should Not Be Equal As Integers,"
        "Should Not Be Equal As Numbers,Should Not Be Equal As Strings,Should Not Contain,Should Not Contain Any,Should Not End With,Should Not Match,"
        "Should Not Match Regexp,Should Not Start With,Should Start With,Skip,Sleep,Variable Should Exist,Variable Should Not Exist"
    ),
    "OperatingSystem": _names(
        "Append To File,Count Directories In Directory,Count Files In Directory,Count Items In Directory,Create Binary File,Create Directory,Create File,"
        "Directory Should Be Empty,Directory Should Exist,Directory Should Not Be Empty,Directory Should Not Exist,File Should Be Empty,File Should Exist,"
        "File Should Not Be Empty,File Should Not Exist,Get Binary File,Get File,Get File Size,Grep File,Join Path,Join Paths,List Directories In Directory,"
        "List Directory,List Files In Directory,Normalize Path,Should Exist,Should Not Exist,Split Extension,Split Path"
    ),
    "XML": _names(
        "Add Element,Clear Element,Copy Element,Element Attribute Should Be,Element Attribute Should Match,Element Should Exist,Element Should Not Exist,"
        "Element Text Should Be,Element Text Should Match,Element To String,Elements Should Be Equal,Elements Should Match,Evaluate Xpath,Get Child Elements,"
        "Get Element,Get Element Attribute,Get Element Attributes,Get Element Count,Get Element Text,Get Elements,Get Elements Texts,Log Element,Parse XML,"
        "Remove Element,Remove Element Attribute,Remove Element Attributes,Remove Elements,Save XML,Set Element Attribute,Set Element Tag,Set Element Text"
    ),
}  # fmt: skip
EXCEPT = {"String": _names("Format String"), "Collections": frozenset(), "DateTime": frozenset()}  # all but these; Format String walks attributes


def _offered(library: str) -> frozenset[str]:
    return frozenset(normal(name) for name in dir(LIBRARIES[library]) if not name.startswith("_"))


for _library, _without in EXCEPT.items():
    ALLOWED[_library] = _offered(_library) - _without
REFUSED = frozenset().union(*(_offered(library) - ALLOWED[library] for library in LIBRARIES)) - frozenset().union(*ALLOWED.values())


def run(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """`options`: entry, parameters (names that the manifest declares). Reports findings: file, line, rule, what."""
    path, entry = Path("work", options["entry"]), options["entry"]
    if path.suffix != ".robot" or path.stat().st_size > SMALL:
        return {"findings": [_finding(entry, None, "robot_file", entry)]}
    source = path.read_text("utf-8", "replace")
    if found := next((one for one in HEADER.finditer(source) if one[1].lower() not in LANGUAGES), None):
        return {"findings": [_finding(entry, source[: found.start()].count("\n") + 1, "robot_language", found[1])]}
    policy = Policy(entry)
    model = get_model(source)
    policy.own = {normal(node.name) for section in model.sections for node in section.body if type(node).__name__ == "Keyword"}
    policy.visit(model)
    return {"findings": policy.found[:100], "tasks": policy.tasks, "variables": policy.variables, "libraries": sorted(policy.libraries)}


def _finding(file: str, line: int | None, rule: str, what: str) -> dict[str, Any]:
    return {"file": file, "line": line, "rule": rule, "what": what[:200]}


class Policy(ModelVisitor):  # type: ignore[misc]
    """Reads a model and keeps what it may not hold."""

    def __init__(self, entry: str = "task.robot") -> None:
        self.entry = entry
        self.own: set[str] = set()
        self.found: list[dict[str, Any]] = []
        self.tasks: list[str] = []
        self.variables: dict[str, str] = {}
        self.libraries: set[str] = set()

    def _find(self, node: Any, rule: str, what: str) -> None:
        self.found.append(_finding(self.entry, node.lineno, rule, what))

    def visit_LibraryImport(self, node: Any) -> None:
        """The safe libraries, under their own names."""
        self.libraries.add(node.name or "")
        if node.name not in LIBRARIES or node.args or node.alias:
            self._find(node, "robot_library", " ".join([node.name or "", *node.args]))
        self.visit_Statement(node)

    def visit_ResourceImport(self, node: Any) -> None:
        """One file says all that a task does."""
        self._find(node, "robot_import", node.name or "")

    visit_VariablesImport = visit_ResourceImport

    def visit_Error(self, node: Any) -> None:
        """What Robot Framework itself does not understand."""
        self._find(node, "robot_syntax", "; ".join(node.errors))

    def visit_TestCase(self, node: Any) -> None:
        """A task."""
        self.tasks.append(node.name)
        self.generic_visit(node)

    def visit_Variable(self, node: Any) -> None:
        """A default that the manifest should declare too."""
        self.variables[node.name.strip("$@&={} ")] = " ".join(node.value)
        self.visit_Statement(node)

    def visit_IfHeader(self, node: Any) -> None:
        """A condition is Python: names and comparisons only."""
        if not is_plain_condition(node.condition or ""):
            self._find(node, "robot_condition", node.condition or "")
        self.visit_Statement(node, conditions=True)

    visit_ElseIfHeader = visit_InlineIfHeader = visit_WhileHeader = visit_IfHeader

    def visit_KeywordCall(self, node: Any) -> None:
        """A step."""
        self._keyword(node, node.keyword or "", list(node.args))
        self.visit_Statement(node)

    def visit_Setup(self, node: Any) -> None:
        """A setting that names a keyword."""
        if (node.name or "").upper() != "NONE":
            self._keyword(node, node.name or "", list(node.args))
        self.visit_Statement(node)

    visit_Teardown = visit_SuiteSetup = visit_SuiteTeardown = visit_TestSetup = visit_TestTeardown = visit_Setup

    def visit_Template(self, node: Any) -> None:
        """A template calls its keyword with whatever the rows say."""
        self._find(node, "robot_keyword", node.value or "")

    visit_TestTemplate = visit_Template

    def _keyword(self, node: Any, name: str, arguments: list[str]) -> None:
        prefix, dot, rest = name.rpartition(".")
        library = prefix if dot and prefix in LIBRARIES else None
        plain = normal(rest if library else name)
        if plain in self.own and not library:
            return
        allowed = ALLOWED[library] if library else frozenset().union(*ALLOWED.values())
        if plain in REFUSED or plain not in allowed:
            self._find(node, "robot_keyword", name)
        for argument in arguments:
            if LITERAL_PATH.search(argument) and plain in ALLOWED["OperatingSystem"] | {"parsexml", "savexml"}:
                self._find(node, "robot_path", argument)

    def visit_Statement(self, node: Any, *, conditions: bool = False) -> None:
        """Every word of every statement: variables may be named, not computed."""
        if getattr(node, "errors", ()):
            self._find(node, "robot_syntax", "; ".join(node.errors))
        for token in node.tokens:
            if token.type in (Token.COMMENT, Token.SEPARATOR, Token.EOL, Token.EOS, Token.DOCUMENTATION):
                continue
            for what in computed(token.value):
                if not conditions or what.startswith("%"):
                    self._find(node, "robot_inline_python", what)


def computed(text: str) -> Iterator[str]:
    """Variables that evaluate Python or reach out: `${{…}}`, `${a.b}`, `${a + 1}`, `%{ENVIRONMENT}`."""
    for sigil, name, end in VARIABLE.findall(text):
        if sigil == "%" or end != "}" or not NAME.fullmatch(name):
            yield f"{sigil}{{{name}{end}"


def is_plain_condition(condition: str) -> bool:
    """Names like `$name`, constants, comparisons, and, or, not. Text that is put in (`${name}`) would be evaluated as Python."""
    if re.search(r"[$@&%]\{", condition):
        return False
    try:
        tree = ast.parse(re.sub(r"\$(\w+)", r"\1", condition), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    plain = (ast.Expression, ast.BoolOp, ast.boolop, ast.UnaryOp, ast.Not, ast.Compare, ast.cmpop, ast.Name, ast.Load, ast.Constant)
    dollar = set(re.findall(r"\$(\w+)", condition))
    return all(isinstance(node, plain) and (not isinstance(node, ast.Name) or node.id in dollar) for node in ast.walk(tree))
