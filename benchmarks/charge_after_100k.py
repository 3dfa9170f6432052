"""A charge and a balance read on a wallet with 100,000 entries against one with 10: how long a member has been there must not matter."""

import time
import uuid
from datetime import datetime

from sqlalchemy import text

from benchmarks.figures import figure, tell
from benchmarks.stage import fill, stage
from billing.ledger.accounts import Account
from billing.wallet import balances, wallets
from core import clock
from core.actor import Actor
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash

MANY, FEW, PAIRS, TIMES, AT_ONCE = 100_000, 10, 7, 300, 10_000
HASH = request_hash("benchmark")
TARGETS = (wallets.Target(Account.STORE_REVENUE, 94, 47), wallets.Target(Account.TAX_PAYABLE, 6))


def _request(member_id: uuid.UUID, at: datetime) -> wallets.ChargeRequest:
    return wallets.ChargeRequest(member_id, new_id(), HASH, "purchase", "CNY", at, TARGETS)


def _grow(member_id: uuid.UUID, entries: int, at: datetime) -> None:
    """Bring a wallet from its opening entry to so many."""
    for start in range(1, entries, AT_ONCE):
        with transaction(SYSTEM):
            wallets.charge_many([_request(member_id, at) for _ in range(min(AT_ONCE, entries - start))])


def _once(member_id: uuid.UUID) -> float:
    """Seconds of a charge and a look at the balance, each in a transaction of the member's own."""
    acting = Actor(kind="member", role="buyer", member_id=member_id)
    started = time.perf_counter()
    with transaction(acting):
        result = wallets.charge(_request(member_id, clock.now()))
    with transaction(acting):
        balance = balances.balance(member_id, "CNY", at=clock.now())
    took = time.perf_counter() - started
    assert (result.status, balance.available_minor) == ("new", result.balance_after_minor)
    return took


def measure() -> None:
    """Print charge_after_100k."""
    with stage() as on:
        app = on.start()
        fill(app, PAIRS + 1, 10**12)
        with app.app_context():
            with transaction(SYSTEM) as session:
                old, *young = session.scalars(text("select member_id from wallet order by member_id"))
            tell(f"writing {MANY} entries into one wallet")
            _grow(old, MANY, clock.now())
            for member_id in young:
                _grow(member_id, FEW, clock.now())
            on.psql("-c", "vacuum analyze")
            for _ in range(20):
                _once(old), _once(young[0])
            ratios = []
            for number, member_id in enumerate(young, 1):
                times = [(_once(old), _once(member_id)) for _ in range(TIMES)]
                long, short = (sorted(each)[TIMES // 2] for each in zip(*times, strict=True))
                ratios.append(short / long)
                tell(f"{number}/{PAIRS} {MANY} entries: {long * 1000:.2f} ms, {FEW}: {short * 1000:.2f} ms")
        on.verify()
        figure("charge_after_100k", ratios, 0.90)
