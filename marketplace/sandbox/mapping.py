"""Data mappings: rules in JSON that turn the rows of a foreign table into records of ours.

A mapping is an object with `target` (what the records are, such as `lead`) and `fields`, in the order of the record. Each field has

- `target`: the record's field, and exactly one of `source` (the column it comes from) and `const` (a value for every record);
- `transforms`, applied from left to right to the text of the cell:
  `"trim"` cuts white space off both ends, `"lower"` makes lower case,
  `"phone"` brings a Chinese mobile number to its eleven digits,
  `"money"` reads an amount like `1,280.5` as minor units (128050),
  `{"date": ["%Y/%m/%d", …]}` reads a day in the first format that fits and writes it as `2026-03-31`,
  `{"lookup": {"已付款": "paid", …}}` replaces one word by another; with `"otherwise": …` beside it for every other word;
- `required`: whether an empty cell rejects the row (default false). Without it an empty cell becomes null, untransformed.

A row with an unusable cell is rejected whole, with every reason, so that it can be corrected and sent again.
This file imports nothing of ours: it also runs inside the sandbox.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

Value = str | int | float | bool | None

RULES_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["target", "fields"],
    "properties": {
        "target": {"type": "string", "minLength": 1},
        "description": {"type": "string"},
        "fields": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/field"}},
    },
    "additionalProperties": False,
    "$defs": {
        "field": {
            "type": "object",
            "required": ["target"],
            "oneOf": [{"required": ["source"]}, {"required": ["const"]}],
            "properties": {
                "target": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
                "source": {"type": "string", "minLength": 1},
                "const": {"type": ["string", "number", "boolean", "null"]},
                "required": {"type": "boolean"},
                "transforms": {"type": "array", "items": {"$ref": "#/$defs/transform"}},
            },
            "additionalProperties": False,
        },
        "transform": {
            "oneOf": [
                {"enum": ["trim", "lower", "phone", "money"]},
                {
                    "type": "object",
                    "required": ["date"],
                    "properties": {"date": {"type": "array", "minItems": 1, "items": {"type": "string"}}},
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "required": ["lookup"],
                    "properties": {"lookup": {"type": "object", "additionalProperties": {"type": "string"}}, "otherwise": {"type": "string"}},
                    "additionalProperties": False,
                },
            ]
        },
    },
}


class MappingInvalid(ValueError):
    """The rules are not a mapping, or name a column that the table does not have. `field` is where."""

    def __init__(self, sentence: str, *, field: str = "") -> None:
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True)
class Mapped:
    """`records` in the order of the rows; `rejected` as `{"row": n, "problems": [{"source", "value", "problem"}]}`, rows counted from 1."""

    records: list[dict[str, Value]]
    rejected: list[dict[str, Any]]


def _phone(text: str) -> str:
    found = re.fullmatch(r"(?:00)?(?:86)?(1[3-9]\d{9})", re.sub(r"[^0-9]", "", text))
    if not found:
        raise ValueError("not a mobile number")
    return found[1]


def _money(text: str) -> int:
    found = re.fullmatch(r"(-?)(\d+)(?:\.(\d{1,2}))?", re.sub(r"[,，¥￥\s]", "", text))
    if not found:
        raise ValueError("not an amount")
    minor = int(found[2]) * 100 + int((found[3] or "0").ljust(2, "0"))
    return -minor if found[1] else minor


def _date(text: str, formats: Iterable[str]) -> str:
    for form in formats:
        try:
            return datetime.strptime(text, form).date().isoformat()  # noqa: DTZ007 (a day has no zone)
        except ValueError:
            continue
    raise ValueError("not a date in a known format")


def _lookup(text: str, rule: Mapping[str, Any]) -> str:
    found: str | None = rule["lookup"].get(text, rule.get("otherwise"))
    if found is None:
        raise ValueError("not a known word")
    return found


PLAIN: dict[str, Callable[[str], str | int]] = {"trim": str.strip, "lower": str.lower, "phone": _phone, "money": _money}


def _transformed(text: str, transforms: Iterable[Any]) -> Value:
    value: Any = text
    for transform in transforms:
        if isinstance(transform, str):
            value = PLAIN[transform](value)
        elif "date" in transform:
            value = _date(value, transform["date"])
        else:
            value = _lookup(value, transform)
    return value if isinstance(value, int) else str(value)


@cache
def _rules_validator() -> Draft202012Validator:
    return Draft202012Validator(RULES_SCHEMA)


def check(rules: Mapping[str, Any]) -> None:
    """Raise `MappingInvalid` unless `rules` follow the format above. `money` gives a number, so nothing may follow it."""
    if wrong := next(_rules_validator().iter_errors(rules), None):
        raise MappingInvalid(f"{wrong.json_path}: {wrong.message}", field=wrong.json_path)
    for field in rules["fields"]:
        if "money" in field.get("transforms", [])[:-1]:
            raise MappingInvalid(f"{field['target']}: money must be the last transform", field=field["target"])


def read_table(content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV file in UTF-8, with or without a byte order mark. Raises `MappingInvalid` for other encodings and torn rows."""
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise MappingInvalid(f"the table can't be read: {error}") from error
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise MappingInvalid(f"row {number} has another number of cells than the header")
    return rows


def apply(rules: Mapping[str, Any], rows: Iterable[Mapping[str, str]]) -> Mapped:
    """Turn rows into records by the rules.

    Raises `MappingInvalid` when the rules are wrong or a row lacks a column that they name. Pure: the same input, the same result.
    """
    check(rules)
    result = Mapped([], [])
    for number, row in enumerate(rows, start=1):
        record: dict[str, Value] = {}
        problems: list[dict[str, str]] = []
        for field in rules["fields"]:
            if "const" in field:
                record[field["target"]] = field["const"]
                continue
            source = field["source"]
            if source not in row:
                raise MappingInvalid(f"the table has no column {source}", field=source)
            text = row[source]
            if not text.strip():
                record[field["target"]] = None
                if field.get("required", False):
                    problems.append({"source": source, "value": text, "problem": "required"})
                continue
            try:
                record[field["target"]] = _transformed(text, field.get("transforms", []))
            except ValueError as error:
                problems.append({"source": source, "value": text, "problem": str(error)})
        if problems:
            result.rejected.append({"row": number, "problems": problems})
        else:
            result.records.append(record)
    return result
