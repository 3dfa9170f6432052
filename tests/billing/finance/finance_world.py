"""A small history for the tests of the finance console: three members, two months, every kind of movement."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from billing.finance import finance_api, finance_pages, statement_pages
from billing.ledger.accounts import Account as A
from billing.wallet import wallets
from core.db import SYSTEM, db, transaction
from core.ids import new_id, request_hash
from membership.models import Member
from tests.billing.books import settled_top_up
from tests.factories import make_member

MAY = datetime(2026, 5, 10, 4, tzinfo=UTC)
LAST_OF_MAY = datetime(2026, 5, 31, 15, 59, 30, tzinfo=UTC)  # 23:59:30 in Shanghai: still May there
JUNE = datetime(2026, 6, 10, 4, tzinfo=UTC)
PRESENT = datetime(2026, 6, 20, 9, tzinfo=UTC)  # 17:00 in Shanghai


def stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is PRESENT, wherever the finance console asks."""
    for edge in (finance_pages, finance_api, statement_pages):
        monkeypatch.setattr(edge, "now", lambda: PRESENT)


@dataclass
class World:
    """Members by letter: `a` has paid and bonus money, `b` bonus that lapses, `c` nothing, with a name that looks like a formula."""

    a: Member
    b: Member
    c: Member


def credit(member: Member, at: datetime, paid: int, bonus: int = 0, *, kind: str = "top_up", expires_at: datetime | None = None) -> None:
    source = A.GOODWILL if kind == "goodwill" else A.BONUS_DISCOUNT
    one = wallets.Credit(member.id, new_id(), request_hash(kind), kind, "CNY", at, paid, bonus, bonus_source=source, bonus_expires_at=expires_at)
    with transaction(SYSTEM) as session:
        if kind == "top_up":
            session.add(settled_top_up(one))
        wallets.credit(one)


def spend(member: Member, at: datetime, amount: int, bonus: int = 0, memo: str | None = None) -> None:
    with transaction(SYSTEM):
        wallets.charge(
            wallets.ChargeRequest(member.id, new_id(), request_hash("buy"), "purchase", "CNY", at, (wallets.Target(A.STORE_REVENUE, amount, bonus),), memo)
        )


def make_world() -> World:
    """May: a tops up 1,000 + 100 and spends 300; b gets 50 of goodwill. June: a spends 40 of paid money, b's bonus lapses, b tops up 20."""
    a, b, c = make_member(name="甲公司"), make_member(name="乙公司"), make_member(name="=cmd()+丙")
    for member in (a, b, c):
        db.session.expunge(member)
    credit(a, MAY, 1_000_00, 100_00, expires_at=JUNE + timedelta(days=90))
    credit(b, MAY, 0, 50_00, kind="goodwill", expires_at=JUNE)
    spend(a, LAST_OF_MAY, 300_00, 60_00, memo="=2+3")
    spend(a, JUNE, 40_00)
    credit(b, JUNE + timedelta(hours=1), 20_00)  # and what is due lapses first
    return World(a, b, c)
