"""The steps that worked examples are told in: each one is a call of the product; amounts in minor units (fen)."""

import uuid
from datetime import datetime

from sqlalchemy import text

from billing.ledger.accounts import Account as A
from billing.refund import refunds
from billing.wallet import balances, wallets
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from core.money import basis_points, tax_included
from membership.models import Member
from tests.billing.books import settled_top_up

Move = tuple[A, A, int]
COMMISSION_PARTS = (60_00, 12_00, 140_00)  # of a partner's listing for 212: ours, tax, the partner's


def top_up(
    member: Member, at: datetime, paid: int, bonus: int = 0, *, expires_at: datetime | None = None, source: A = A.STRIPE_CLEARING, fee: int = 0
) -> uuid.UUID:
    """Money has arrived, perhaps with bonus."""
    moves = ((A.PAYMENT_FEES, A.STRIPE_CLEARING, fee),) if fee else ()
    one = wallets.Credit(member.id, new_id(), request_hash("top-up"), "top_up", "CNY", at, paid, bonus, source=source, bonus_expires_at=expires_at, moves=moves)
    with transaction(SYSTEM) as session:
        session.add(settled_top_up(one))
        wallets.credit(one)
    return one.id


def spend(member: Member, at: datetime, *targets: wallets.Target, kind: str = "purchase") -> wallets.ChargeResult:
    """Something is bought."""
    with transaction(SYSTEM):
        return wallets.charge(wallets.ChargeRequest(member.id, new_id(), request_hash("spend"), kind, "CNY", at, targets))


def buy_own(member: Member, at: datetime, amount: int, bonus: int | None = None) -> wallets.ChargeResult:
    """A listing of our own, without tax; bonus may pay all of it unless said otherwise."""
    return spend(member, at, wallets.Target(A.STORE_REVENUE, amount, amount if bonus is None else bonus))


def buy_from_partner(member: Member, at: datetime) -> wallets.ChargeResult:
    """Price 200 + 12 tax, commission 30%, bonus allowed up to 50 of our own part."""
    tax, commission = tax_included(212_00, 600), basis_points(200_00, 3_000)
    assert (commission, tax, 200_00 - commission) == COMMISSION_PARTS
    return spend(
        member, at, wallets.Target(A.COMMISSION_REVENUE, commission, 50_00), wallets.Target(A.TAX_PAYABLE, tax),
        wallets.Target(A.PARTNER_PENDING, 200_00 - commission),
    )  # fmt: skip


def subscribe(member: Member, at: datetime) -> wallets.ChargeResult:
    """A year for 1,200 and 72 tax."""
    assert tax_included(1_272_00, 600) == 72_00
    return spend(member, at, wallets.Target(A.DEFERRED_REVENUE, 1_200_00, 1_200_00), wallets.Target(A.TAX_PAYABLE, 72_00), kind="subscription")


def give_back(member: Member, charge: wallets.ChargeResult, at: datetime, wanted: int | list[refunds.Part], **more: object) -> refunds.RefundResult:
    """A charge is refunded: an amount of it, spread over its parts, or the given parts."""
    with transaction(SYSTEM):
        parts = wanted if isinstance(wanted, list) else refunds.spread(refunds.shares(member.id, charge.id), wanted)
        return refunds.refund_charge(member.id, charge.id, refund_id=new_id(), request_hash=request_hash("refund"), parts=parts, at=at, **more)  # type: ignore[arg-type]


def post(book_id: uuid.UUID, at: datetime, kind: str, *moves: Move) -> None:
    """Moves that touch no wallet."""
    with transaction(SYSTEM):
        assert wallets.post_moves(book_id, new_id(), request_hash(kind), kind, "CNY", at, moves)


def wallet(member: Member, at: datetime) -> tuple[int, int]:
    """Paid money and bonus."""
    with transaction(SYSTEM):
        held = balances.balance(member.id, "CNY", at=at)
    return held.paid_minor, held.bonus_minor


def sweep(at: datetime) -> int:
    """What is due expires; returns how many grants did."""
    with transaction(SYSTEM) as session:
        return int(session.scalar(text("select expire_due(:at, 100)"), {"at": at}) or 0)
