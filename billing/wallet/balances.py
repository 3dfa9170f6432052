"""What is in a wallet at an instant: its balance, and the grants that it consists of in the order they are spent."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import and_, select, text

from billing.wallet.wallet_models import Grant, Wallet
from core.db import db
from core.errors import NotFound


@dataclass(frozen=True, slots=True)
class Balance:
    """A wallet at a glance, in minor units. `available_minor` is what can be spent now."""

    currency: str
    paid_minor: int
    bonus_minor: int
    held_minor: int
    state: str
    credit_limit_minor: int = 0  # what the member may owe us beyond its money
    receivable_minor: int = 0  # what it owes us

    @property
    def available_minor(self) -> int:
        """Balance less what is held; a credit limit is not money."""
        return self.paid_minor + self.bonus_minor - self.held_minor

    @property
    def credit_minor(self) -> int:
        """What may still be bought on the member's account."""
        return max(0, self.credit_limit_minor - self.receivable_minor)


_AT = text("select paid_minor, bonus_minor, held_minor from wallet_at(:member, :currency, :at)")


def balance(member_id: uuid.UUID, currency: str, *, at: datetime) -> Balance:
    """What the wallet holds at `at`: without money that has expired by then, and free of holds that have ended. Raises NotFound for a member without one."""
    wallet = db.session.get(Wallet, (member_id, currency), populate_existing=True)
    if wallet is None:
        raise _no_wallet()
    return _balance_of(wallet, at)


def _no_wallet() -> NotFound:
    return NotFound(_("There is no wallet in this currency."))


def _balance_of(wallet: Wallet, at: datetime) -> Balance:
    paid, bonus, held = wallet.paid_minor, wallet.bonus_minor, wallet.held_minor
    if wallet.next_expiry_at is not None and wallet.next_expiry_at <= at:  # the sweep has not been here yet
        paid, bonus, held = db.session.execute(_AT, {"member": wallet.member_id, "currency": wallet.currency, "at": at}).one()
    return Balance(wallet.currency, paid, bonus, held, wallet.state, wallet.credit_limit_minor, wallet.receivable_minor)


_SPENT_FIRST = (Grant.kind, Grant.priority, Grant.expires_at.nulls_last(), Grant.granted_at, Grant.id)


def open_grants(member_id: uuid.UUID, currency: str, *, at: datetime, expired: bool = False) -> Sequence[Grant]:
    """Open grants in the order they are spent: bonus before paid, then priority, expiry, age. `expired`: those already past their date instead."""
    is_past = Grant.expires_at <= at
    return db.session.scalars(
        select(Grant)
        .where(Grant.member_id == member_id, Grant.currency == currency, Grant.is_open, is_past if expired else (Grant.expires_at.is_(None) | ~is_past))
        .order_by(*_SPENT_FIRST)
    ).all()


def contents(member_id: uuid.UUID, currency: str, *, at: datetime) -> tuple[Balance, list[Grant]]:
    """The balance, and the open grants that it consists of, read at once. Raises NotFound for a member without a wallet."""
    grants = and_(Grant.member_id == Wallet.member_id, Grant.currency == Wallet.currency, Grant.is_open, Grant.expires_at.is_(None) | (Grant.expires_at > at))
    asked = select(Wallet, Grant).outerjoin(Grant, grants).where(Wallet.member_id == member_id, Wallet.currency == currency).order_by(*_SPENT_FIRST)
    rows = db.session.execute(asked, execution_options={"populate_existing": True}).all()
    if not rows:
        raise _no_wallet()
    return _balance_of(rows[0][0], at), [grant for _wallet, grant in rows if grant is not None]
