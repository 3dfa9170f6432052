"""Prepaid wallets: read them, charge them, credit them. The rules live in the SQL functions of migrations/sql/0003_ledger.sql."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import text

from billing.ledger.accounts import Account
from core.db import db
from core.errors import AppError, Conflict, IdReused
from core.settings import CONSUMPTION_ORDERS, Settings


class InsufficientFunds(AppError):
    """The wallet lacks `missing_minor`."""

    status, code = 402, "insufficient_funds"


class WalletFrozen(AppError):
    """Nothing leaves this wallet while a payment is disputed."""

    status, code = 409, "wallet_frozen"


class HoldExceeded(Conflict):
    """The hold has less left than is asked of it; `missing_minor` says how much."""

    code = "hold_exceeded"


class HoldClosed(Conflict):
    """There is no such hold, or it was used up, released or has expired."""

    code = "hold_closed"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a part of a charge goes; at most `bonus_minor` of it may be paid from bonus (never tax or a partner's share)."""

    account: Account
    amount_minor: int
    bonus_minor: int = 0


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """One charge of a member's wallet. `id` is the client's idempotency key, `request_hash` covers what decides the outcome."""

    member_id: uuid.UUID
    id: uuid.UUID
    request_hash: bytes
    kind: str  # purchase | subscription
    currency: str
    at: datetime
    targets: tuple[Target, ...]
    memo: str | None = None
    hold_id: uuid.UUID | None = None  # draw from what this hold reserves


@dataclass(frozen=True, slots=True)
class ChargeResult:
    """What became of one request: new, replayed, id_reused, insufficient_funds, frozen, hold_exceeded or hold_closed."""

    member_id: uuid.UUID
    id: uuid.UUID
    status: str
    missing_minor: int
    paid_minor: int
    bonus_minor: int
    balance_after_minor: int
    credit_minor: int = 0  # of a charge: owed under the credit limit; of a credit: what it settled of that


@dataclass(frozen=True, slots=True)
class Credit:
    """Money put into a wallet at once: paid money from `source`, bonus beside it, and moves of the same instant (a card fee)."""

    member_id: uuid.UUID
    id: uuid.UUID
    request_hash: bytes
    kind: str  # top_up | goodwill | opening_balance
    currency: str
    at: datetime
    paid_minor: int
    bonus_minor: int = 0
    source: Account = Account.STRIPE_CLEARING
    bonus_source: Account = Account.BONUS_DISCOUNT
    bonus_expires_at: datetime | None = None
    priority: int = 0
    moves: tuple[tuple[Account, Account, int], ...] = field(default=())
    memo: str | None = None


_REQUESTS = (
    "array(select row(r.*)::charge_request from jsonb_to_recordset(cast(:requests as jsonb))"
    " as r(book_id uuid, id uuid, request_hash bytea, kind text, currency text, at timestamptz, memo text,"
    " targets smallint[], amounts bigint[], bonus_limits bigint[], hold_id uuid, consumption_order text))"
)
_CHARGE = text(f"select * from charge_many({_REQUESTS})")  # noqa: S608 (made of constants)
_FORESEE = text(f"select * from foresee_charges({_REQUESTS})")  # noqa: S608
_CREDIT = text(
    "select * from credit_many(array(select row(r.*)::credit_request from jsonb_to_recordset(cast(:requests as jsonb))"
    " as r(book_id uuid, id uuid, request_hash bytea, kind text, currency text, at timestamptz, memo text, paid_source smallint, paid_minor bigint,"
    " bonus_source smallint, bonus_minor bigint, bonus_expires_at timestamptz, priority int, sources smallint[], targets smallint[], amounts bigint[])))"
)

_POST = text(
    "select post_moves(:book, :id, :hash, :kind, :currency, :at, cast(:sources as smallint[]), cast(:targets as smallint[]), cast(:amounts as bigint[]), :memo)"
)


def charge_many(requests: Sequence[ChargeRequest]) -> list[ChargeResult]:
    """Charge wallets in one SQL call; each request gets its own status, in order, and one failure does not undo its neighbours."""
    return [ChargeResult(*row) for row in db.session.execute(_CHARGE, {"requests": _plain(requests)})]


def foresee(requests: Sequence[ChargeRequest]) -> list[ChargeResult]:
    """What charges to come will draw, each once all before it are paid: the ledger itself does them, and it is undone.

    So the consumption order holds, what expires or is held by then, the credit limit, and nothing leaves a frozen wallet. What one is `missing`, a
    top-up has to bring; it leaves nothing for those after it.
    """
    tried = db.session.begin_nested()
    try:
        return [ChargeResult(*row) for row in db.session.execute(_FORESEE, {"requests": _plain(requests)})]
    finally:
        tried.rollback()


def _plain(requests: Sequence[ChargeRequest]) -> str:
    order = consumption_order()
    rows = [
        {
            "book_id": str(r.member_id),
            "id": str(r.id),
            "request_hash": "\\x" + r.request_hash.hex(),
            "kind": r.kind,
            "currency": r.currency,
            "at": r.at.isoformat(),
            "memo": r.memo,
            "targets": [int(t.account) for t in r.targets],
            "amounts": [t.amount_minor for t in r.targets],
            "bonus_limits": [t.bonus_minor for t in r.targets],
            "hold_id": r.hold_id and str(r.hold_id),
            "consumption_order": CONSUMPTION_ORDERS[0] if r.hold_id else order,  # what a hold has drawn, it captures bonus first: then nothing is left over
        }
        for r in requests
    ]
    return json.dumps(rows)


def consumption_order() -> str:
    """Which money a charge draws on first: the vendor's setting."""
    settings: Settings | None = current_app.extensions.get("settings")
    return settings.consumption_order if settings else CONSUMPTION_ORDERS[0]


def charge(request: ChargeRequest) -> ChargeResult:
    """Charge one wallet, once.

    A replay of the same id and hash returns the first balance with status `replayed`.
    Raises InsufficientFunds (with `missing_minor`), WalletFrozen, or IdReused when the id was used for something else.
    """
    (result,) = charge_many([request])
    raise_for(result)
    return result


def raise_for(result: ChargeResult) -> None:
    """Turn a failed result into the error that people and machines are told."""
    if result.status == "insufficient_funds":
        raise InsufficientFunds(_("There is not enough money in the wallet."), missing_minor=result.missing_minor)
    if result.status == "frozen":
        raise WalletFrozen(_("This wallet is frozen while a payment is disputed."))
    if result.status == "hold_exceeded":
        raise HoldExceeded(_("The hold does not cover this amount. Nothing was charged."), missing_minor=result.missing_minor)
    if result.status == "hold_closed":
        raise HoldClosed(_("This hold is no longer open. Nothing was charged."))
    if result.status == "id_reused":
        raise IdReused(_("This id was already used for another request."), field="id")


def credit_many(credits: Sequence[Credit]) -> list[ChargeResult]:
    """Put money into wallets in one SQL call (books, moves 1, 2 and 13); statuses are new, replayed and id_reused."""
    rows = [
        {
            "book_id": str(c.member_id),
            "id": str(c.id),
            "request_hash": "\\x" + c.request_hash.hex(),
            "kind": c.kind,
            "currency": c.currency,
            "at": c.at.isoformat(),
            "memo": c.memo,
            "paid_source": int(c.source),
            "paid_minor": c.paid_minor,
            "bonus_source": int(c.bonus_source),
            "bonus_minor": c.bonus_minor,
            "bonus_expires_at": c.bonus_expires_at and c.bonus_expires_at.isoformat(),
            "priority": c.priority,
            "sources": [int(m[0]) for m in c.moves],
            "targets": [int(m[1]) for m in c.moves],
            "amounts": [m[2] for m in c.moves],
        }
        for c in credits
    ]
    return [ChargeResult(*row) for row in db.session.execute(_CREDIT, {"requests": json.dumps(rows)})]


def credit(one: Credit) -> ChargeResult:
    """Put money into one wallet, once. Raises IdReused when the id was used for something else."""
    (result,) = credit_many([one])
    raise_for(result)
    return result


def post_moves(
    book_id: uuid.UUID, tx_id: uuid.UUID, request_hash: bytes, kind: str, currency: str, at: datetime,
    moves: Sequence[tuple[Account, Account, int]], memo: str | None = None,
) -> bool:  # fmt: skip
    """Record moves that touch no wallet (between books, fees, recognition); returns False for a replay."""
    status = db.session.scalar(
        _POST,
        {
            "book": book_id,
            "id": tx_id,
            "hash": request_hash,
            "kind": kind,
            "currency": currency,
            "at": at,
            "memo": memo,
            "sources": [int(m[0]) for m in moves],
            "targets": [int(m[1]) for m in moves],
            "amounts": [m[2] for m in moves],
        },
    )
    return bool(status == "new")


def open_book(book_id: uuid.UUID, kind: str, entity_id: uuid.UUID, currency: str, at: datetime) -> None:
    """Open a member's, partner's or house book; a member's comes with an empty wallet."""
    db.session.execute(
        text("select open_book(:book, :kind, :entity, :currency, :at)"),
        {"book": book_id, "kind": kind, "entity": entity_id, "currency": currency, "at": at},
    )
