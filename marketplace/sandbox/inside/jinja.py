"""Jinja for templates of strangers: an environment that reaches nothing, and a reading of the template before it is ever rendered."""

from collections.abc import Iterator
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

GLOBALS = ("range", "dict", "namespace")
METHODS = {
    *("items", "keys", "values", "get", "strftime", "isoformat", "date", "time", "strip", "lstrip", "rstrip", "lower", "upper", "title", "capitalize"),
    *("replace", "split", "splitlines", "join", "startswith", "endswith", "format", "cycle", "count", "index", "zfill", "ljust", "rjust", "center"),
}
BY_NAME = frozenset({"map", "selectattr", "rejectattr"})  # take the name of an attribute as text
SOMETIMES_BY_NAME = frozenset({"sum", "sort", "groupby", "unique", "min", "max", "join"})
Finding = dict[str, Any]


def environment() -> ImmutableSandboxedEnvironment:
    """Strict, without loader, extension or the globals that hand out objects."""
    found = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    found.globals = {name: found.globals[name] for name in GLOBALS}
    return found


def findings(source: str, file: str) -> Iterator[Finding]:
    """What a template may not hold. It is parsed, never rendered."""
    try:
        tree = environment().parse(source)
    except TemplateSyntaxError as error:
        yield {"file": file, "line": error.lineno, "rule": "template_syntax", "what": (error.message or "")[:200]}
        return
    callable_names = {*GLOBALS, "caller", *(macro.name for macro in tree.find_all(nodes.Macro))}
    for node in tree.find_all(nodes.Node):
        what = _call(node, callable_names) if isinstance(node, nodes.Call) else _wrong(node)
        if what:
            yield {"file": file, "line": node.lineno, "rule": what[0], "what": what[1][:200]}


def _wrong(node: nodes.Node) -> tuple[str, str] | None:
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        return "template_reaches_inside", f".{node.attr}"
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and str(node.arg.value).startswith("_"):
        return "template_reaches_inside", f"[{node.arg.value!r}]"
    if isinstance(node, (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        return "template_loads_files", type(node).__name__.lower()
    if isinstance(node, (nodes.Filter, nodes.Test)):
        return _filter(node)
    return None


def _filter(node: nodes.Filter | nodes.Test) -> tuple[str, str] | None:
    """An attribute's name given as text must be a constant without underscores in front."""
    if node.name == "attr":
        return "template_reaches_inside", "attr"
    if node.name in BY_NAME | SOMETIMES_BY_NAME:
        for word in [*node.args, *(keyword.value for keyword in node.kwargs)]:
            if isinstance(word, nodes.Const) and any(part.startswith("_") for part in str(word.value).split(".")):
                return "template_reaches_inside", str(word.value)
            if not isinstance(word, nodes.Const) and node.name in BY_NAME:
                return "template_reaches_inside", node.name
    return None


def _call(node: nodes.Call, known: set[str]) -> tuple[str, str] | None:
    callee = node.node
    if isinstance(callee, nodes.Getattr):
        return None if callee.attr in METHODS else ("template_calls", f".{callee.attr}()")
    if isinstance(callee, nodes.Name):
        return None if callee.name in known else ("template_calls", f"{callee.name}()")
    return "template_calls", "()"
