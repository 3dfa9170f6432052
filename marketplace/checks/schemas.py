"""JSON Schemas (draft 2020-12) of strangers: valid, self-contained, and without patterns that backtrack for ever."""

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from marketplace.checks.findings import Finding

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_parser, _constants = re._parser, re._constants  # type: ignore[attr-defined] # the standard library's own reading of patterns
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
LONGEST_PATTERN = 500


def findings(schema: Any) -> Iterator[Finding]:
    """What is wrong with a schema: invalid, reaching out of itself, or with a pattern that can take forever."""
    if not isinstance(schema, dict):
        yield Finding("schema_invalid", "$")
        return
    if schema.get("$schema", DIALECT) != DIALECT:
        yield Finding("schema_invalid", f"$schema: {schema['$schema']}")
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield Finding("schema_invalid", f"{error.json_path}: {error.message[:150]}")
        return
    for key, value in walk(schema):
        if key in REFERENCES and not str(value).startswith("#"):
            yield Finding("schema_reference", str(value))
        if key in ("$id", "$vocabulary") and isinstance(value, (str, dict)):
            yield Finding("schema_reference", f"{key}: {value}")
        if key == "pattern" and isinstance(value, str):
            yield from _pattern(value)
        if key == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                yield from _pattern(pattern)


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield key, child
            yield from walk(child)
    elif isinstance(value, list):
        for child in value:
            yield from walk(child)


def _pattern(pattern: str) -> Iterator[Finding]:
    """A pattern that backtracking makes slow: a repetition without end inside another, or of alternatives."""
    try:
        tree = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        yield Finding("schema_invalid", f"{pattern}: {error}")
        return
    if len(pattern) > LONGEST_PATTERN or _explodes(tree, repeated=False):
        yield Finding("schema_pattern", pattern)


def _explodes(tree: Any, *, repeated: bool) -> bool:
    for code, argument in tree:
        if code in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            _least, most, inner = argument
            if most > 20 and repeated:
                return True
            if _explodes(inner, repeated=repeated or most > 20):
                return True
        elif code is _constants.BRANCH:
            if repeated or any(_explodes(branch, repeated=repeated) for branch in argument[1]):
                return True
        elif code is _constants.SUBPATTERN:
            if _explodes(argument[3], repeated=repeated):
                return True
        elif code in (_constants.ASSERT, _constants.ASSERT_NOT) and _explodes(argument[1], repeated=repeated):
            return True
    return False


def endless_repeats(pattern: str) -> int:
    """How many parts of a pattern repeat without a bound: matching takes the text's length to that power at worst."""

    def count(tree: Any) -> int:
        found = 0
        for code, argument in tree:
            if code in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
                found += (argument[1] > 20) + count(argument[2])
            elif code is _constants.SUBPATTERN:
                found += count(argument[3])
            elif code is _constants.BRANCH:
                found += sum(count(branch) for branch in argument[1])
            elif code in (_constants.ASSERT, _constants.ASSERT_NOT):
                found += count(argument[1])
        return found

    return count(_parser.parse(pattern))
