"""Tables of purchases and of what was given back of them."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from marketplace.order.coupon_models import Coupon


class Order(Base):
    """A purchase. Its id is the client's, and the ledger transaction's."""

    __tablename__ = "store_order"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    listing_id: Mapped[uuid.UUID]  # no foreign key: checking it would lock the same row for every buyer
    version: Mapped[str]
    quantity: Mapped[int]
    price_minor: Mapped[int]  # of one, tax included, as it was shown
    excludes_tax: Mapped[bool] = mapped_column(server_default=text("false"), default=False)  # it was stated without: the tax of all pieces is rounded once
    total_minor: Mapped[int]
    tax_minor: Mapped[int]
    currency: Mapped[str]
    paid_minor: Mapped[int]  # drawn from paid grants
    bonus_minor: Mapped[int]  # drawn from bonus grants
    credit_minor: Mapped[int] = mapped_column(server_default="0")  # on the member's account, where its credit limit allowed it
    balance_after_minor: Mapped[int]
    state: Mapped[str]  # completed | refunded (all of it)
    refunded_minor: Mapped[int] = mapped_column(server_default="0")  # of the total, given back so far
    offer_id: Mapped[uuid.UUID | None]
    csm_id: Mapped[uuid.UUID | None]  # to whom the sale is attributed
    placed_by: Mapped[uuid.UUID | None]
    at: Mapped[datetime]
    # purchase | trial | renewal | milestone | agreement | usage | bundle | part | seats
    kind: Mapped[str] = mapped_column(server_default=text("'purchase'"), default="purchase")
    license_id: Mapped[uuid.UUID | None]  # of a renewal, a run, a part that was owned, more seats: the licence it belongs to
    discount_minor: Mapped[int] = mapped_column(server_default=text("0"), default=0)  # what a coupon took off
    coupon_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey(Coupon.id))
    bundle_id: Mapped[uuid.UUID | None]  # of a part: the order of the bundle
    __table_args__ = (
        CheckConstraint(
            "kind in ('purchase', 'trial', 'renewal', 'milestone', 'agreement', 'usage', 'bundle', 'part', 'seats')"
            " and (kind not in ('renewal', 'usage', 'seats') or license_id is not null)"
            " and (license_id is null or kind in ('renewal', 'usage', 'part', 'seats'))"
            " and (kind = 'part') = (bundle_id is not null)",
            name="kind",
        ),
        Index("store_order_bundle_idx", "member_id", "bundle_id", postgresql_where=text("bundle_id is not null")),
        Index("store_order_usage_idx", "member_id", "license_id", "at", postgresql_where=text("kind = 'usage'")),
        Index("store_order_one_trial_idx", "member_id", "listing_id", unique=True, postgresql_where=text("kind = 'trial'")),
        CheckConstraint(
            "quantity >= 1 and discount_minor >= 0 and total_minor >= 0"
            " and case when kind = 'seats' then total_minor <= price_minor * quantity + quantity"
            " when excludes_tax then 2 * abs(total_minor + discount_minor - price_minor * quantity) <= quantity"
            " else total_minor = price_minor * quantity - discount_minor end",
            name="total",
        ),
        CheckConstraint("discount_minor = 0 or coupon_id is not null", name="coupon"),
        Index("store_order_coupon_id_idx", "coupon_id", postgresql_where=text("coupon_id is not null")),
        CheckConstraint("state in ('completed', 'refunded')", name="state"),
        CheckConstraint("refunded_minor between 0 and total_minor", name="refunded"),
        Index(None, "member_id", "at"),
        Index(None, "at"),
    )


class OrderRefund(Base):
    """What was given back of an order, and what became of its licence: a choice of whoever refunded. Its id is the ledger transaction's."""

    __tablename__ = "order_refund"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    order_id: Mapped[uuid.UUID]
    amount_minor: Mapped[int]
    is_revoked: Mapped[bool]  # the licence ended with it
    reason_code: Mapped[str]
    decided_by: Mapped[uuid.UUID | None]
    at: Mapped[datetime]
    undone_at: Mapped[datetime | None]  # a correction took it back
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "order_id"], ["store_order.member_id", "store_order.id"], name="order_refund_member_id_fkey"),
        CheckConstraint("amount_minor > 0", name="amount"),
        Index("order_refund_order_id_idx", "member_id", "order_id"),
    )
