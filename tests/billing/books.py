"""Reading books in tests: every account's balance, straight from the postings, and what must always hold."""

import uuid

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from billing.ledger import verify
from billing.ledger.accounts import Account
from billing.top_up.top_up_models import TopUp
from billing.wallet.wallets import Credit
from core.db import SYSTEM, transaction

_BALANCES = text(
    "select account, sum(amount)::bigint as amount from ("
    " select p.book_id, p.target as account, p.amount_minor as amount from posting p"
    " union all select p.book_id, p.source, -p.amount_minor from posting p) moves"
    " where book_id = :book group by account having sum(amount) <> 0"
)

_CHECKS = list(verify.CHECKS)
_AT_ONCE = text(
    " union all ".join(
        f"(select {n}, subject::text, what::text, recorded::text, derived::text from ({statement}) d(subject, what, recorded, derived) limit 1)"
        for n, statement in enumerate(verify.CHECKS.values())
    )
)


def accounts(book_id: uuid.UUID) -> dict[Account, int]:
    """Credits − debits of every account of a book that is not zero, in minor units."""
    with transaction(SYSTEM) as session:
        return {Account(account): amount for account, amount in session.execute(_BALANCES, {"book": book_id})}


def first_difference(session: Session | Connection) -> verify.Difference | None:
    """What `verify.first_difference` finds, in one statement for all checks: a large one would need much memory, a test's takes a fourth of the time."""
    found = sorted(session.execute(_AT_ONCE).all(), key=lambda row: int(row[0]))
    return verify.Difference(_CHECKS[found[0][0]], *found[0][1:]) if found else None


def assert_books_hold() -> None:
    """Conservation within and between books, and every cached figure equal to its postings."""
    with transaction(SYSTEM) as session:
        difference = first_difference(session)
    assert difference is None, str(difference)


def as_owner(owner: Engine, statement: str, **values: object) -> None:
    """Run statements (separated by `;`) that nobody else may, so that the proof has something to find."""
    with owner.begin() as connection:
        for one in statement.split(";"):
            connection.execute(text(one), values)


def settled_top_up(one: Credit) -> TopUp:
    """The row that stands for a top-up whose money has arrived."""
    return TopUp(
        member_id=one.member_id, id=one.id, request_hash=one.request_hash, currency=one.currency, amount_minor=one.paid_minor, bonus_minor=one.bonus_minor,
        method="card", state="settled", created_at=one.at, settled_at=one.at,
    )  # fmt: skip
