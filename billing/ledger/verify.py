"""Proof of the books: recompute every cached figure from the postings, in set-based SQL, and name the first difference.

Each check is one statement of verify.sql, so it sees one snapshot. Tables of rooms above are read by name only: this room does not know
their code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session


def _read() -> dict[str, str]:
    """The statements of verify.sql by name, ready to run."""
    _head, *parts = (Path(__file__).parent / "verify.sql").read_text().split("-- check: ")
    named = dict(part.split("\n", 1) for part in parts)
    effects, supplies = named.pop("effects"), named.pop("supplies")
    return {name: statement.replace("{effects}", effects).replace("{supplies}", supplies) for name, statement in named.items()}


CHECKS = _read()
_SUMMARY = text(
    "select (select count(*) from book) as books, (select count(*) from wallet) as wallets, (select count(*) from ledger_transaction) as transactions,"
    " (select count(*) from posting) as postings"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that does not follow from the postings; amounts in minor units."""

    check: str
    subject: str
    what: str
    recorded: str
    derived: str

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: {self.what}: recorded {self.recorded}, the ledger says {self.derived}"


def differences(session: Session | Connection) -> Iterator[Difference]:
    """The first difference of each check that finds one, in the order of CHECKS. Reads only; the caller may see every book."""
    session.execute(text("select set_config('work_mem', '128MB', true)"))
    for name, statement in CHECKS.items():
        row = session.execute(text(f"{statement} limit 1")).first()
        if row is not None:
            yield Difference(name, *row)


def first_difference(session: Session | Connection) -> Difference | None:
    """The first difference, or None when the books hold."""
    return next(differences(session), None)


def summary(session: Session | Connection) -> dict[str, int]:
    """How much was checked: books, wallets, transactions, postings."""
    return dict(session.execute(_SUMMARY).mappings().one())
