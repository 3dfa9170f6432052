"""Partners' shares become due once the refund window of their order is over and nobody claims money back (books, move 5, first part)."""

import uuid
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import select, text

from billing.ledger.accounts import Account
from billing.refund import refunds
from billing.revenue import partner_shares
from billing.wallet import wallet_moves
from core import clock
from core.db import SYSTEM, db, transaction
from core.passage import Step
from core.settings import Settings
from marketplace.models import Order
from marketplace.partner.partner_models import OPEN, PartnerRelease, RefundClaim

BATCH = 200  # orders a transaction
_READY = """
select o.member_id, o.id, l.publisher_id, o.at from store_order o join listing l on l.id = o.listing_id
join publisher p on p.id = l.publisher_id and p.kind = 'partner'
where o.total_minor > 0 and not exists (select from partner_release r where r.member_id = o.member_id and r.order_id = o.id)
  and not exists (select from refund_claim c where c.member_id = o.member_id and c.order_id = o.id and c.state in ('open', 'escalated', 'approving'))
"""
_DUE = text(f"{_READY} and o.at <= :before order by o.member_id, o.id limit {BATCH}")
_OLDEST = text(f"select min(x.at) from ({_READY}) x")  # noqa: S608


def window() -> timedelta:
    """How long after its order a buyer can claim money back."""
    settings: Settings = current_app.extensions["settings"]
    return timedelta(days=settings.refund_window_days)


def release_due(at: datetime) -> int:
    """Let every share become due whose window is over by `at`; returns how many. Each batch is found by one query and is one transaction."""
    done = 0
    while True:
        with transaction(SYSTEM):
            found = db.session.execute(_DUE, {"before": at - window()}).all()
            done += sum(_release(row.member_id, row.id, row.publisher_id, at) for row in found)
        if len(found) < BATCH:
            return done


def _release(member_id: uuid.UUID, order_id: uuid.UUID, publisher_id: uuid.UUID, at: datetime) -> bool:
    """One order, under its wallet's lock, so that neither a refund nor a claim comes in between."""
    order = db.session.get_one(Order, (member_id, order_id))
    wallet_moves.lock(member_id, order.currency, at=at)
    if db.session.get(PartnerRelease, (member_id, order_id)) or _is_claimed(member_id, order_id):
        return False
    was_released = partner_shares.is_released(member_id, order_id)
    share = partner_shares.release(member_id, order_id, publisher_id, order.currency, at=at)
    shares = {one.account: one for one in refunds.shares(member_id, order_id)}
    if was_released and Account.PARTNER_PENDING in shares:
        share = shares[Account.PARTNER_PENDING].open_minor
    open_minor = sum(one.open_minor for one in shares.values())
    tax = shares[Account.TAX_PAYABLE].open_minor if Account.TAX_PAYABLE in shares else 0
    total = sum(one.charged_minor for one in shares.values())
    db.session.add(
        PartnerRelease(
            member_id=member_id, order_id=order_id, publisher_id=publisher_id, listing_id=order.listing_id, currency=order.currency, sold_at=order.at,
            total_minor=total, refunded_minor=total - open_minor, tax_minor=tax, commission_minor=open_minor - tax - share, share_minor=share,
            released_at=at, entry_id=partner_shares.release_id(member_id, order_id),
        )
    )  # fmt: skip
    db.session.flush()
    return True


def _is_claimed(member_id: uuid.UUID, order_id: uuid.UUID) -> bool:
    query = select(RefundClaim.id).where(RefundClaim.member_id == member_id, RefundClaim.order_id == order_id, RefundClaim.state.in_(OPEN))
    return db.session.scalar(query) is not None


def release_due_now() -> int:
    """The repeated job."""
    return release_due(clock.now())


def _next_due() -> datetime | None:
    """The first midnight at which a window is over: once a day is often enough for a moving clock."""
    with transaction(SYSTEM) as session:
        oldest: datetime | None = session.scalar(_OLDEST)
    return (oldest + window() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) if oldest else None


SHARES = Step("partners' shares", _next_due, release_due)
