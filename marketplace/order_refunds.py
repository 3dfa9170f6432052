"""Refunding an order: the money to the grants that paid (books, move 6), the partner's share with it, and a decision about the licence."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from billing import approvals, corrections, partner_shares, refunds
from billing.accounts import Account
from billing.approvals import Done, Kind, Proposal
from billing.models import LedgerTransaction
from billing.refund_models import Approval
from billing.refunds import Part, RefundTooLarge, Share
from core import outbox
from core.actor import Actor
from core.db import db
from core.errors import Invalid, NotFound
from core.formats import money
from core.ids import request_hash
from core.money import basis_points
from marketplace.models import License, Listing, Order, OrderRefund, Publisher
from membership import notices

WHOLE_BP = 10_000
settled: list[Callable[[Approval, bool], None]] = []
"""Called, in the same transaction, with each refund that was done (True) or that a second person rejected (False)."""
LICENCE = ("revoke", "keep")


@dataclass(frozen=True, slots=True)
class Refundable:
    """An order with its listing and licence, and what of each part of its price can still be given back."""

    order: Order
    listing: Listing
    license: License | None  # None: a milestone of a service has none
    shares: Sequence[Share]
    is_released: bool  # the partner's share has left the member's book

    @property
    def open_minor(self) -> int:
        """What can still be given back."""
        return sum(share.open_minor for share in self.shares)


def find(member_id: uuid.UUID, order_id: uuid.UUID) -> Refundable:
    """An order as a refund sees it. Raises NotFound."""
    row = db.session.execute(
        select(Order, Listing, License)
        .join(Listing, Listing.id == Order.listing_id)
        .outerjoin(License, (License.member_id == Order.member_id) & (License.id == func.coalesce(Order.license_id, Order.id)))
        .where(Order.member_id == member_id, Order.id == order_id)
    ).one_or_none()
    if row is None:
        raise NotFound(_("There is no such order."))
    order, listing, license = row
    shares = refunds.shares(member_id, order_id) if order.total_minor else []
    return Refundable(order, listing, license, shares, partner_shares.is_released(member_id, order_id))


def portion(order: Order, percent_bp: int) -> int:
    """So many basis points of an order's price."""
    return basis_points(order.total_minor, percent_bp)


def propose(
    member_id: uuid.UUID, order_id: uuid.UUID, id: uuid.UUID, amount_minor: int, licence: str, code: str, reason: str, acting: Actor, *, at: datetime
) -> Approval:  # fmt: skip
    """Give back a part of an order: at once up to the limit, after a second person's approval above it.

    `licence` is `revoke` or `keep`: it is never decided silently. Raises NotFound, Invalid, RefundTooLarge, IdReused.
    """
    found = find(member_id, order_id)
    if licence not in LICENCE:
        raise Invalid(_("Decide what becomes of the licence."), field="licence")
    if amount_minor <= 0:
        raise Invalid(_("Enter an amount above zero."), field="amount")
    details = {"order_id": str(order_id), "licence": licence, "name_zh": found.listing.name_zh, "name_en": found.listing.name_en}
    wanted = Proposal(id, "order_refund", member_id, found.order.currency, amount_minor, code, reason, details)
    return approvals.propose(wanted, acting, at=at, prepare=lambda: _check(found, amount_minor))


def _check(found: Refundable, amount_minor: int) -> None:
    if amount_minor > found.open_minor:
        words = _("Of this order, %(amount)s can still be given back.", amount=money(found.open_minor, found.order.currency))
        raise RefundTooLarge(words, field="amount", open_minor=found.open_minor)


def _do(one: Approval, at: datetime) -> Done:
    """Money, partner's share, order and licence in one transaction."""
    assert one.member_id
    order_id = uuid.UUID(one.details["order_id"])
    order = db.session.get(Order, (one.member_id, order_id), with_for_update=True, populate_existing=True)
    assert order is not None, "orders are never deleted"
    found = find(one.member_id, order_id)
    _check(found, one.amount_minor)
    parts = [_from_where_it_is(part, found.is_released) for part in refunds.spread(found.shares, one.amount_minor)]
    content = request_hash("order_refund", order=order_id, amount=one.amount_minor)
    refunds.refund_charge(one.member_id, order_id, refund_id=one.id, request_hash=content, parts=parts, at=at, memo=one.reason_code)
    entries = [(one.member_id, one.id)]
    if taken := sum(part.amount_minor for part in parts if part.source is Account.INTERBOOK):
        partner_shares.take_back(found.listing.publisher_id, one.id, taken, order.currency, at=at)
        entries.append((found.listing.publisher_id, one.id))
    _record(one, found, at)
    return Done(entries)


def _from_where_it_is(part: Part, is_released: bool) -> Part:
    """A partner's share that has left the member's book comes back from the partner's."""
    return Part(part.account, part.amount_minor, Account.INTERBOOK) if is_released and part.account is Account.PARTNER_PENDING else part


def _record(one: Approval, found: Refundable, at: datetime) -> None:
    order, license, is_revoked = found.order, found.license, one.details["licence"] == "revoke"
    db.session.add(
        OrderRefund(
            member_id=order.member_id, id=one.id, order_id=order.id, amount_minor=one.amount_minor, is_revoked=is_revoked, reason_code=one.reason_code,
            decided_by=one.decided_by or one.proposed_by, at=at,
        )
    )  # fmt: skip
    order.refunded_minor += one.amount_minor
    order.state = "refunded" if order.refunded_minor == order.total_minor else "completed"
    if is_revoked and license and license.state != "ended":
        license.state, license.ends_at = "ended", at
    db.session.flush()
    for listener in settled:
        listener(one, True)
    details = {
        "order_id": str(order.id), "amount_minor": one.amount_minor, "currency": order.currency, "name_zh": found.listing.name_zh,
        "name_en": found.listing.name_en, "licence": one.details["licence"] if license else "none",
    }  # fmt: skip
    notices.tell(order.member_id, "order_refunded", details, at=at, key=f"order_refunded:{one.id}")
    outbox.publish("order.refunded", details, at=at, member_id=order.member_id)


def undone(tx: LedgerTransaction, at: datetime) -> None:
    """A refund was corrected: the order counts as paid again. Its licence stays as it is; whoever corrected it may sell or grant it anew."""
    refund = db.session.get(OrderRefund, (tx.book_id, tx.id), with_for_update=True)
    if refund is None or refund.undone_at is not None:
        return
    order = db.session.get(Order, (refund.member_id, refund.order_id), with_for_update=True, populate_existing=True)
    assert order is not None, "orders are never deleted"
    refund.undone_at = at
    order.refunded_minor -= refund.amount_minor
    order.state = "completed"


def of_order(member_id: uuid.UUID, order_id: uuid.UUID) -> Sequence[OrderRefund]:
    """What was given back of an order, the latest first."""
    query = select(OrderRefund).where(OrderRefund.member_id == member_id, OrderRefund.order_id == order_id)
    return db.session.scalars(query.order_by(OrderRefund.at.desc(), OrderRefund.id)).all()


def sold_by_partner(listing: Listing) -> Publisher | None:
    """The partner whose listing it is; None for our own."""
    publisher = db.session.get(Publisher, listing.publisher_id)
    return publisher if publisher and publisher.kind == "partner" else None


def _rejected(one: Approval, _note: str, _at: datetime) -> None:
    for listener in settled:
        listener(one, False)


def _describe(one: Approval) -> list[tuple[str, str]]:
    licence = _("ends now") if one.details["licence"] == "revoke" else _("stays")
    return [(_("Order"), one.details["order_id"]), (_("Licence"), licence)]


approvals.register("order_refund", Kind(_l("Refund of a purchase"), _do, _describe, reject=_rejected))
if undone not in corrections.heard:
    corrections.heard.append(undone)
