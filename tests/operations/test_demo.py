"""The demo world hangs together, and is the same for the same seed."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from billing.ledger import verify
from core import clock
from core.db import db
from operations.demo import world

NOW = datetime(2026, 6, 15, 4, 30, tzinfo=UTC)


class Silent:
    """Nobody watches."""

    def begin(self, what: str, total: int) -> None:
        pass

    def advance(self, units: int) -> None:
        pass

    def end(self) -> None:
        pass


def fingerprint(owner: Engine) -> dict[str, object]:
    questions = {
        "postings": "select md5(string_agg(p::text, ',' order by book_id, transaction_id, n)) from posting p",
        "orders": "select md5(string_agg(member_id::text || id || total_minor, ',' order by member_id, id)) from store_order",
        "subscriptions": "select md5(string_agg(s::text, ',' order by member_id, id)) from subscription s",
        "events": "select md5(string_agg(id || at || action, ',' order by member_id, id)) from event",
        "rollups": "select md5(string_agg(u::text, ',' order by u::text)) from usage_daily u",
        "reviews": "select md5(string_agg(r::text, ',' order by member_id, listing_id)) from review r",
    }
    with owner.connect() as connection:
        return {name: connection.scalar(text(question)) for name, question in questions.items()}


def test_the_same_seed_gives_the_same_world_and_its_books_hold(
    app: Flask,
    owner: Engine,
    _emptying: Callable[[], None],  # noqa: PT019 (called between the loads)
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    seen = []
    for _ in range(2):
        _emptying()
        db.session.expunge_all()
        written = world.load(16, 2_000, Silent())
        with owner.connect() as connection:
            assert verify.first_difference(connection) is None
            counts = {name: connection.scalar(text(f"select count(*) from {name}")) for name in ("member", "listing", "event", "subscription", "store_order")}
        assert counts["member"] == 16
        assert counts["listing"] >= 20
        assert counts["event"] == written
        assert 1_000 < written < 3_000
        assert counts["subscription"] > 8
        assert counts["store_order"] > 5
        seen.append(fingerprint(owner))
    assert seen[0] == seen[1]


def test_money_ties_to_what_it_was_for(app: Flask, owner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    world.load(12, 500, Silent())
    with owner.connect() as connection:
        wallets = connection.scalar(text("select sum(paid_minor + bonus_minor) from wallet"))
        topped = connection.scalar(text("select sum(amount_minor + bonus_minor) from top_up where state = 'settled'"))
        bought = connection.scalar(text("select sum(total_minor - refunded_minor) from store_order"))
        subscribed = connection.scalar(text("select sum(amount_minor) from subscription_charge where state = 'paid'"))
        expired = connection.scalar(text("select coalesce(-sum(amount_minor), 0) from ledger_transaction where kind = 'expiry'"))
    assert wallets == topped - bought - subscribed - expired
