"""Keyset paging for lists and API answers: a page starts after a row, not at a number, so that it costs the same at any depth."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flask_babel import gettext as _
from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.errors import Invalid
from core.texts import is_storable

T = TypeVar("T")
LIMIT_DEFAULT = 20
LIMIT_MAX = 200
BIGINT = 2**63


class BadCursor(Invalid):
    """The cursor was not made by us, or for another list."""

    status, code = 400, "bad_cursor"


@dataclass(frozen=True)
class Page(Generic[T]):
    """Rows, and the cursor of the next page, or `None` at the end."""

    items: list[T]
    next: str | None


def encode(values: Sequence[object]) -> str:
    """An opaque cursor of the last row's sort values (instants, ids, integers, text)."""

    def plain(value: object) -> list[object]:
        if isinstance(value, dt.datetime):
            return ["t", value.isoformat()]
        if isinstance(value, dt.date):
            return ["d", value.isoformat()]
        if isinstance(value, uuid.UUID):
            return ["u", str(value)]
        assert value is None or isinstance(value, str | int), f"cannot page by {type(value).__name__}"
        return ["v", value]

    text = json.dumps([plain(value) for value in values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, kinds: Sequence[Any]) -> list[Any]:
    """The sort values of a cursor, one of each kind (a type, or several as `int | None`). Raises BadCursor."""
    read: dict[str, Callable[[Any], Any]] = {"t": dt.datetime.fromisoformat, "d": dt.date.fromisoformat, "u": uuid.UUID, "v": lambda value: value}
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        values = [read[kind](value) for kind, value in json.loads(raw)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise bad_cursor() from error
    if len(values) != len(kinds) or not all(_is_a(kind, value) for kind, value in zip(kinds, values, strict=True)):
        raise bad_cursor()
    return values


def bad_cursor() -> BadCursor:
    """What a cursor is answered that no list of ours has made, or another one."""
    return BadCursor(_("This page link is not valid. Start again from the first page."), field="after")


def _is_a(kind: Any, value: object) -> bool:
    """Can a column of this kind be compared with the value? Else the database would fail, and a made-up cursor be our mistake."""
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    if isinstance(value, int):
        return -BIGINT <= value < BIGINT
    if isinstance(value, dt.datetime):
        return value.tzinfo is not None
    return not isinstance(value, str) or is_storable(value)


def bounded(limit: int | None) -> int:
    """A page size between 1 and 200, 20 by default."""
    return max(1, min(LIMIT_MAX, limit or LIMIT_DEFAULT))


def keyset(
    session: Session,
    statement: Select[Any],
    columns: Sequence[InstrumentedAttribute[Any]],
    after: str | None = None,
    limit: int | None = None,
    *,
    descending: bool = True,
) -> Page[T]:
    """One page of entities ordered by `columns`, all in one direction; the last column must make the order unique.

    The columns must be attributes of the selected entity and not null. Raises BadCursor.
    """
    size = bounded(limit)
    if after:
        bound = tuple_(*decode(after, [column.type.python_type for column in columns]))
        row = tuple_(*columns)
        statement = statement.where(row < bound if descending else row > bound)
    ordered = statement.order_by(*(c.desc() if descending else c.asc() for c in columns)).limit(size + 1)
    found: list[T] = list(session.scalars(ordered))
    items = found[:size]
    more = encode([getattr(items[-1], column.key) for column in columns]) if len(found) > size else None
    return Page(items, more)
