"""What is written as text is what the server reads."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from core import composites

AT = datetime(2026, 6, 15, 4, 0, 0, 7, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


Row = tuple[Any, ...]
Read = Callable[..., list[Row]]


@pytest.fixture
def read(owner: Engine) -> Iterator[Read]:
    """The rows as PostgreSQL understands them."""
    with owner.connect() as connection:
        connection.execute(text("create type pg_temp.sample as (a uuid, b text, c bytea, d bigint, e boolean, f smallint[], g timestamptz)"))
        statement = text("select s.* from unnest(cast(:rows as pg_temp.sample[])) with ordinality s order by s.ordinality")

        def through(*rows: Row) -> list[Row]:
            found = connection.execute(statement, {"rows": composites.array(composites.fields(*row) for row in rows)})
            return [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row[:-1]) for row in found]

        yield through


def test_every_kind_of_field_and_nothing(read: Read) -> None:
    rows = [(uuid.UUID(int=5), "CNY", b"\x00\xff\\", -7, True, [41, 27], AT), (None,) * 7, (uuid.UUID(int=6), "", b"", 0, False, [], AT)]
    assert read(*rows) == rows


@pytest.mark.parametrize("wicked", ['a"b', "a\\b", "(a,b)", "{a}", " a ", "null", "NULL", "a,b", "'; drop", "\n\t", "人民币\\\\\"'"])
def test_no_text_breaks_out(read: Read, wicked: str) -> None:
    row = (uuid.UUID(int=1), wicked, wicked.encode(), 1, True, [1], AT)
    assert read(row, row) == [row, row]


def test_any_text_comes_through(read: Read) -> None:
    @given(st.lists(TEXT, min_size=1, max_size=5))
    def check(texts: list[str]) -> None:
        rows = [(None, one, None, None, None, None, None) for one in texts]
        assert read(*rows) == rows

    check()


def test_columns_of_plain_values(owner: Engine) -> None:
    values = [uuid.UUID(int=5), AT, -7, True, False, 'a"b\\', "{a,b}", " null ", "", "人民币"]
    with owner.connect() as connection:
        for value in values:
            kind = {uuid.UUID: "uuid", datetime: "timestamptz", int: "bigint", bool: "boolean", str: "text"}[type(value)]
            assert connection.scalar(text(f"select cast(:column as {kind}[])"), {"column": composites.column([value, value])}) == [value, value]
