"""Refunding an order: the money to the grants that paid (books, move 6), the partner's share with it, and a decision about the licence."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from billing.approval import approvals, corrections
from billing.approval.approval_models import Approval
from billing.approval.approvals import Done, Kind, Proposal
from billing.ledger.accounts import Account
from billing.ledger.ledger_models import LedgerTransaction
from billing.refund import refunds
from billing.refund.refunds import Part, RefundTooLarge, Share
from billing.revenue import partner_shares
from core import outbox
from core.actor import Actor
from core.db import db
from core.errors import Invalid, NotFound
from core.formats import money
from core.ids import derived, request_hash
from core.money import basis_points
from marketplace.license.license_models import License
from marketplace.order import listing_bundles
from marketplace.order.order_models import Order, OrderRefund
from marketplace.publisher.publisher_models import Publisher
from marketplace.seat import seat_orders
from marketplace.store.listing_models import Listing
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
    paid = [one for one, _listing in listing_bundles.part_orders(member_id, order_id)] if order.kind == "bundle" else [order]
    shares = [share for one in paid if one.total_minor for share in refunds.shares(member_id, one.id)]
    return Refundable(order, listing, license, shares, partner_shares.is_released(member_id, order_id))


def portion(order: Order, percent_bp: int) -> int:
    """So many basis points of an order's price."""
    return basis_points(order.total_minor, percent_bp)


def propose(
    member_id: uuid.UUID, order_id: uuid.UUID, id: uuid.UUID, amount_minor: int, licence: str, code: str, reason: str, acting: Actor, *, at: datetime
) -> Approval:  # fmt: skip
    """Give back a part of an order: at once up to the limit, after a second person's approval above it.

    A bundle is given back as a whole, or part by part as the orders of its parts.
    `licence` is `revoke` or `keep`: it is never decided silently. Raises NotFound, Invalid, RefundTooLarge, IdReused.
    """
    found = find(member_id, order_id)
    if licence not in LICENCE:
        raise Invalid(_("Decide what becomes of the licence."), field="licence")
    if amount_minor <= 0:
        raise Invalid(_("Enter an amount above zero."), field="amount")
    if found.order.kind == "bundle" and amount_minor != found.open_minor:
        raise Invalid(_("A bundle is given back as a whole; for less, refund the order of a part."), field="amount")
    details = {"order_id": str(order_id), "licence": licence, "kind": found.order.kind, "name_zh": found.listing.name_zh, "name_en": found.listing.name_en}
    wanted = Proposal(id, "order_refund", member_id, found.order.currency, amount_minor, code, reason, details)
    return approvals.propose(wanted, acting, at=at, prepare=lambda: _check(found, amount_minor))


def _check(found: Refundable, amount_minor: int) -> None:
    if amount_minor > found.open_minor:
        words = _("Of this order, %(amount)s can still be given back.", amount=money(found.open_minor, found.order.currency))
        raise RefundTooLarge(words, field="amount", open_minor=found.open_minor)


def _do(one: Approval, at: datetime) -> Done:
    """Money, partner's share, order and licence in one transaction."""
    done = Done(_all_given_back(one, at))
    for listener in settled:
        listener(one, True)
    return done


def _all_given_back(one: Approval, at: datetime) -> list[tuple[uuid.UUID, uuid.UUID]]:
    assert one.member_id
    order_id = uuid.UUID(one.details["order_id"])
    order = db.session.get(Order, (one.member_id, order_id), with_for_update=True, populate_existing=True)
    assert order is not None, "orders are never deleted"
    found = find(one.member_id, order_id)
    _check(found, one.amount_minor)
    if order.kind != "bundle":
        return _give_back(one, one.id, found, one.amount_minor, at)
    entries: list[tuple[uuid.UUID, uuid.UUID]] = []
    for part, _listing in listing_bundles.part_orders(one.member_id, order_id):
        db.session.get(Order, (part.member_id, part.id), with_for_update=True, populate_existing=True)
        of_part = find(part.member_id, part.id)
        if of_part.open_minor:
            entries += _give_back(one, derived("bundle-refund", one.id, part.id), of_part, of_part.open_minor, at)
        elif one.details["licence"] == "revoke":
            _end(of_part, at)
    order.state = "refunded"
    if one.details["licence"] == "revoke":
        _end(found, at)
    db.session.flush()
    return entries


def _give_back(one: Approval, refund_id: uuid.UUID, found: Refundable, amount_minor: int, at: datetime) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Book a refund of one order; returns the entries, by book and transaction."""
    order, member_id = found.order, found.order.member_id
    parts = [_from_where_it_is(part, found.is_released) for part in refunds.spread(found.shares, amount_minor)]
    content = request_hash("order_refund", order=order.id, amount=amount_minor)
    refunds.refund_charge(member_id, order.id, refund_id=refund_id, request_hash=content, parts=parts, at=at, memo=one.reason_code)
    entries = [(member_id, refund_id)]
    if taken := sum(part.amount_minor for part in parts if part.source is Account.INTERBOOK):
        partner_shares.take_back(found.listing.publisher_id, refund_id, taken, order.currency, at=at)
        entries.append((found.listing.publisher_id, refund_id))
    _record(one, refund_id, found, amount_minor, at)
    return entries


def _from_where_it_is(part: Part, is_released: bool) -> Part:
    """A partner's share that has left the member's book comes back from the partner's."""
    return Part(part.account, part.amount_minor, Account.INTERBOOK) if is_released and part.account is Account.PARTNER_PENDING else part


def _end(found: Refundable, at: datetime) -> None:
    """The licence ends, unless the member had it before it bought the bundle that the order is a part of; of seats that were added, these are taken."""
    order, license = found.order, found.license
    if license and order.kind == "seats":
        seat_orders.take_back(license, found.listing, order, at=at)
    elif license and license.state != "ended" and not (order.kind == "part" and order.license_id):
        license.state, license.ends_at = "ended", at


def _record(one: Approval, refund_id: uuid.UUID, found: Refundable, amount_minor: int, at: datetime) -> None:
    order, is_revoked = found.order, one.details["licence"] == "revoke"
    db.session.add(
        OrderRefund(
            member_id=order.member_id, id=refund_id, order_id=order.id, amount_minor=amount_minor, is_revoked=is_revoked, reason_code=one.reason_code,
            decided_by=one.decided_by or one.proposed_by, at=at,
        )
    )  # fmt: skip
    order.refunded_minor += amount_minor
    order.state = "refunded" if order.refunded_minor == order.total_minor else "completed"
    if is_revoked:
        _end(found, at)
    db.session.flush()
    details = {
        "order_id": str(order.id), "amount_minor": amount_minor, "currency": order.currency, "name_zh": found.listing.name_zh,
        "name_en": found.listing.name_en, "licence": one.details["licence"] if found.license else "none", "kind": order.kind,
    }  # fmt: skip
    notices.tell(order.member_id, "order_refunded", details, at=at, key=f"order_refunded:{refund_id}")
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
    of_seats = one.details.get("kind") == "seats"
    licence = (_("its added seats end now") if of_seats else _("ends now")) if one.details["licence"] == "revoke" else _("stays")
    return [(_("Order"), one.details["order_id"]), (_("Licence"), licence)]


approvals.register("order_refund", Kind(_l("Refund of a purchase"), _do, _describe, reject=_rejected))
if undone not in corrections.heard:
    corrections.heard.append(undone)
