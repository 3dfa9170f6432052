"""Keyset paging over a small table in memory: every row once, in order, and no foreign cursor."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from core import paging
from tests.browser.gallery import create_gallery


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "row"
    id: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int]


@pytest.fixture
def session() -> Iterator[Session]:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as opened:
        opened.add_all(Row(id=i, rank=i // 3) for i in range(25))
        opened.flush()
        yield opened


@pytest.mark.parametrize("descending", [True, False])
def test_every_row_once_and_in_order(session: Session, descending: bool) -> None:
    seen: list[int] = []
    after: str | None = None
    while True:
        page: paging.Page[Row] = paging.keyset(session, select(Row), [Row.rank, Row.id], after, 4, descending=descending)
        assert len(page.items) <= 4
        seen += [row.id for row in page.items]
        if page.next is None:
            break
        after = page.next
    assert seen == sorted(range(25), reverse=descending)


def test_values_survive() -> None:
    values = [dt.datetime(2026, 6, 30, tzinfo=dt.UTC), dt.date(2026, 1, 2), uuid.uuid4(), 7, "名", None]
    assert paging.decode(paging.encode(values), [dt.datetime, dt.date, uuid.UUID, int, str, int | None]) == values


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "W10", "bnVsbA", "WzFd", paging.encode([1])])
def test_a_foreign_cursor_is_refused(cursor: str) -> None:
    with create_gallery().test_request_context(), pytest.raises(paging.BadCursor) as caught:
        paging.decode(cursor, [int, int])
    assert caught.value.status == 400


def test_page_size_is_bounded() -> None:
    assert [paging.bounded(n) for n in (None, 0, -1, 5, 999)] == [20, 20, 1, 5, 200]
