"""The demo's members live on while the clock is moved; and one long move leaves the same books as many short ones."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from billing.ledger import verify
from core import clock, clock_moves
from core.db import SYSTEM, transaction
from operations.demo import history, life, world
from tests.operations.test_demo import Silent

NOW = datetime(2026, 6, 15, 4, 30, tzinfo=UTC)
DAYS = 90
# What the books say, without ids that are drawn anew each time: entries in their order with their moves, and what subscriptions have become of.
BOOKS = {
    "entries": """
        select m.number, t.seq, t.kind, t.effective_at, t.amount_minor, t.paid_after_minor, t.bonus_after_minor, t.memo,
          (select string_agg(p.source || '>' || p.target || ':' || p.amount_minor, ' ' order by p.n) from posting p
            where p.book_id = t.book_id and p.transaction_id = t.id) as moves
        from ledger_transaction t left join member m on m.id = t.book_id left join publisher on publisher.id = t.book_id
        order by m.number, publisher.code, t.currency, t.seq, t.kind""",
    "subscriptions": """
        select m.number, s.product_line, s.state, s.term, s.rank, s.seats, s.term_start, s.term_end, s.term_price_minor, s.failed_attempts, s.next_attempt_at
        from subscription s join member m on m.id = s.member_id order by m.number, s.started_at, s.product_line""",
    "grants": """
        select m.number, g.kind, g.granted_minor, g.remaining_minor, g.granted_at, g.expires_at, g.is_open
        from wallet_grant g join member m on m.id = g.member_id order by 1, 5, 2, 3""",
    "earned": "select day, amount_minor from recognition_day order by day",
    "told": "select m.number, n.kind, n.at from notice n join member m on m.id = n.member_id order by 1, 3, 2",
    "documents": "select d.number, d.gross_minor from document d order by d.number",
}  # fmt: skip


@pytest.fixture(autouse=True)
def standing_still(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Real time stands still, so that product time is what the clock was moved to, to the microsecond."""
    monkeypatch.setattr(clock, "real_now", lambda: NOW)
    monkeypatch.setattr(clock, "CACHE_S", 0.0)
    monkeypatch.setattr(history, "RICH", 3)  # or nobody would run short for months
    clock.forget()
    yield
    clock.forget()


def books(owner: Engine) -> dict[str, list[tuple[object, ...]]]:
    with owner.connect() as connection:
        return {name: [tuple(row) for row in connection.execute(text(question))] for name, question in BOOKS.items()}


def live(days: float) -> life.Life:
    """Move the clock on while the members live."""
    members = life.Life(clock.now())
    with transaction(SYSTEM):
        clock_moves.start(clock.now() + timedelta(days=days), "test")
    assert clock_moves.go_on(also=(members.step(),)) is True
    with transaction(SYSTEM) as session:
        assert verify.first_difference(session) is None
    return members


def test_members_live_on(app: Flask, owner: Engine) -> None:
    world.load(14, 0, Silent())
    live(35)
    assert clock.now() == NOW + timedelta(days=35)
    with owner.connect() as connection:
        renewed = connection.scalar(text("select count(*) from subscription_history where motion = 'renewal' and at > :at"), {"at": NOW})
        earned = connection.scalar(text("select max(day) from recognition_day"))
        overdue = connection.scalar(text("select count(*) from subscription where state in ('trialing', 'active') and term_end <= :at"), {"at": clock.now()})
    assert renewed > 0
    assert f"{earned}" == "2026-07-19"
    assert overdue == 0


@pytest.mark.long
def test_one_long_run_equals_many_short_ones(app: Flask, owner: Engine, _emptying: Callable[[], None]) -> None:  # noqa: PT019 (called between the runs)
    """Ninety days of the same world: in one go, day by day, and cut at random instants. Every entry, grant, notice and document is the same."""
    chance = random.Random(11)
    places = sorted(chance.uniform(0, DAYS) for _ in range(25))
    cuts = [b - a for a, b in zip([0.0, *places], [*places, float(DAYS)], strict=True)]
    lived = []
    for pieces in ([float(DAYS)], [1.0] * DAYS, cuts):
        _emptying()
        clock.forget()
        world.load(14, 0, Silent())
        topped_up = sum(live(piece).done["topped up"] for piece in pieces)
        assert topped_up > 0
        lived.append(books(owner))
    once, daily, at_random = lived
    assert len(once["entries"]) > 300
    for name in BOOKS:
        assert daily[name] == once[name], name
        assert at_random[name] == once[name], name
