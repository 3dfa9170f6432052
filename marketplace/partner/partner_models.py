"""Tables of partners' money: what became due, what was paid, and what buyers claim back."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base

_ORDER = (["member_id", "order_id"], ["store_order.member_id", "store_order.id"])
OPEN = ("open", "escalated", "approving")  # while a claim is here, the partner's share stays where it is


class RefundClaim(Base):
    """A buyer's claim for money back: answered by the publisher, else decided by us. Its refund is an approval of the id `refund_id`."""

    __tablename__ = "refund_claim"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    order_id: Mapped[uuid.UUID]
    listing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("listing.id"))
    publisher_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("publisher.id"))
    currency: Mapped[str]
    amount_minor: Mapped[int]  # what the buyer asks for
    reason: Mapped[str]
    state: Mapped[str]  # open | escalated | approving | accepted | rejected | withdrawn
    filed_by: Mapped[uuid.UUID | None]
    filed_at: Mapped[datetime]
    answer_by: Mapped[datetime]  # until when the publisher can answer
    answer: Mapped[str | None]  # why the publisher does not agree
    answered_at: Mapped[datetime | None]
    decide_by: Mapped[datetime]  # until when we have promised to decide
    decision_minor: Mapped[int | None]
    licence: Mapped[str | None]  # revoke | keep
    decision_reason: Mapped[str | None]
    decided_by: Mapped[uuid.UUID | None]
    decided_name: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    refund_id: Mapped[uuid.UUID | None]
    __table_args__ = (
        ForeignKeyConstraint(*_ORDER, name="refund_claim_member_id_order_id_fkey"),
        CheckConstraint(
            "state in ('open', 'escalated', 'approving', 'accepted', 'rejected', 'withdrawn') and (state in ('open', 'escalated')) = (decided_at is null)",
            name="state",
        ),
        CheckConstraint("amount_minor > 0 and (decision_minor is null or decision_minor > 0)", name="amount"),
        CheckConstraint("licence in ('revoke', 'keep')", name="licence"),
        Index("refund_claim_one_open_idx", "member_id", "order_id", unique=True, postgresql_where=text("state in ('open', 'escalated', 'approving')")),
        Index("refund_claim_publisher_id_idx", "publisher_id", "filed_at"),
        Index("refund_claim_answer_by_idx", "answer_by", postgresql_where=text("state = 'open'")),
    )


class PartnerRelease(Base):
    """An order whose refund window is over: what became due to the partner of it, after what had been refunded by then."""

    __tablename__ = "partner_release"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    order_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    publisher_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("publisher.id"))
    listing_id: Mapped[uuid.UUID]
    currency: Mapped[str]
    sold_at: Mapped[datetime]
    total_minor: Mapped[int]  # of the order, tax included
    refunded_minor: Mapped[int]
    tax_minor: Mapped[int]  # of what was not refunded, as the two below
    commission_minor: Mapped[int]
    share_minor: Mapped[int]
    released_at: Mapped[datetime]
    entry_id: Mapped[uuid.UUID]  # in the member's book and the partner's
    __table_args__ = (
        ForeignKeyConstraint(*_ORDER, name="partner_release_member_id_order_id_fkey"),
        CheckConstraint("total_minor = refunded_minor + tax_minor + commission_minor + share_minor and share_minor >= 0", name="sum"),
        Index("partner_release_entry_idx", "publisher_id", "entry_id", unique=True),
    )


class Payout(Base):
    """A statement of a partner's book from one entry to another, and what is paid of the sum; what is below the minimum, or negative, is carried."""

    __tablename__ = "payout"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    publisher_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("publisher.id"))
    currency: Mapped[str]
    after_seq: Mapped[int]
    until_seq: Mapped[int]
    since: Mapped[datetime | None]
    until: Mapped[datetime]
    opening_minor: Mapped[int]
    released_minor: Mapped[int]
    taken_back_minor: Mapped[int]
    other_minor: Mapped[int]  # payouts in between, and corrections
    closing_minor: Mapped[int]  # below zero: the partner owes us
    amount_minor: Mapped[int]
    state: Mapped[str]  # prepared | paid | carried | discarded
    prepared_by: Mapped[uuid.UUID]
    prepared_name: Mapped[str]
    prepared_at: Mapped[datetime]
    paid_by: Mapped[uuid.UUID | None]
    paid_name: Mapped[str | None]
    paid_at: Mapped[datetime | None]
    bank_reference: Mapped[str | None]
    __table_args__ = (
        CheckConstraint(
            "state in ('prepared', 'paid', 'carried', 'discarded') and (state = 'paid') = (paid_at is not null)"
            " and (state = 'paid') = (bank_reference is not null)",
            name="state",
        ),
        CheckConstraint(
            "closing_minor = opening_minor + released_minor - taken_back_minor + other_minor and amount_minor between 0 and greatest(closing_minor, 0)"
            " and (state = 'carried') <= (amount_minor = 0)",
            name="sum",
        ),
        Index("payout_one_prepared_idx", "publisher_id", "currency", unique=True, postgresql_where=text("state = 'prepared'")),
        Index("payout_publisher_id_idx", "publisher_id", "until"),
    )
