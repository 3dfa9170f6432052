"""Moves decided under a wallet's lock: corrections, refunds to a card, disputes. What follows for grants and lots is assured in SQL.

`lock` first, then look and decide, then `move`: in one transaction, so that nothing changes in between (migrations/sql/0211_wallet_moves.sql).
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import text

from billing.ledger.accounts import Account
from billing.wallet.wallet_models import Wallet
from core.db import db
from core.errors import Conflict, IdReused
from core.settings import Settings


class MoneyNotThere(Conflict):
    """The money that would have to leave the wallet is spent, held or expired."""

    code = "money_not_there"


@dataclass(frozen=True, slots=True)
class Move:
    """`source → target`, in minor units; a move of wallet money names the grant that it draws on or feeds."""

    source: Account
    target: Account
    amount_minor: int
    grant_id: uuid.UUID | None = None

    @property
    def reversed(self) -> "Move":
        """The same move the other way."""
        return Move(self.target, self.source, self.amount_minor, self.grant_id)


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction of a book. `own`: the account that earned a lot's discount, where the moves undo or redo a spend.

    `takes_back`: bonus ↔ discount here is bonus taken back or restored, not expired. `wallet_state`: the wallet becomes open or frozen.
    """

    book_id: uuid.UUID
    id: uuid.UUID
    request_hash: bytes
    kind: str
    currency: str
    at: datetime
    moves: Sequence[Move]
    memo: str | None = None
    reverses_id: uuid.UUID | None = None
    own: Account | None = None
    takes_back: bool = False
    wallet_state: str | None = None


_LOCK = text("select lock_wallet(:member, :currency, :at)")
_ADJUST = text(
    "select adjust_wallet((select row(r.*)::wallet_move from jsonb_to_record(cast(:entry as jsonb)) as r(book_id uuid, id uuid, request_hash bytea, kind text,"
    " currency text, at timestamptz, reopen_until timestamptz, memo text, reverses_id uuid, own smallint, takes_back boolean, state text,"
    " sources smallint[], targets smallint[], amounts bigint[], grants uuid[])))"
)


def lock(member_id: uuid.UUID, currency: str, *, at: datetime) -> Wallet | None:
    """Hold a wallet until the transaction ends, expire what is due, and return it as it stands now; None where the member has none."""
    db.session.execute(_LOCK, {"member": member_id, "currency": currency, "at": at})
    return wallet_of(member_id, currency)


def wallet_of(member_id: uuid.UUID, currency: str) -> Wallet | None:
    """A wallet as it stands now, or None."""
    return db.session.get(Wallet, (member_id, currency), populate_existing=True)


def post(entry: Entry) -> bool:
    """Write the entry with all that follows from it; False for a replay. Raises IdReused, MoneyNotThere (nothing is changed)."""
    settings: Settings = current_app.extensions["settings"]
    moves = [move for move in entry.moves if move.amount_minor]
    row = {
        "book_id": str(entry.book_id), "id": str(entry.id), "request_hash": "\\x" + entry.request_hash.hex(), "kind": entry.kind, "currency": entry.currency,
        "at": entry.at.isoformat(), "reopen_until": (entry.at + timedelta(days=settings.refund_grace_days)).isoformat(), "memo": entry.memo,
        "reverses_id": entry.reverses_id and str(entry.reverses_id), "own": entry.own, "takes_back": entry.takes_back, "state": entry.wallet_state,
        "sources": [int(move.source) for move in moves], "targets": [int(move.target) for move in moves],
        "amounts": [move.amount_minor for move in moves], "grants": [move.grant_id and str(move.grant_id) for move in moves],
    }  # fmt: skip
    status = db.session.scalar(_ADJUST, {"entry": json.dumps(row)})
    if status == "id_reused":
        raise IdReused(_("This id was already used for another request."), field="id")
    if status == "insufficient":
        raise MoneyNotThere(_("The money for this is no longer in the wallet."))
    return bool(status == "new")
