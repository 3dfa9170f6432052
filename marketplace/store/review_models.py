"""Tables of what buyers say, and of reports against it."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy import text as where
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Review(Base):
    """A verified buyer's word, tied to the version it is about: one per member and listing, of a service one per order."""

    __tablename__ = "review"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    listing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("listing.id"))
    order_id: Mapped[uuid.UUID | None]  # of a service
    version: Mapped[str]
    stars: Mapped[int]
    text: Mapped[str]
    author: Mapped[str]
    answer: Mapped[str | None]
    at: Mapped[datetime]
    hidden_at: Mapped[datetime | None]  # by a reviewer: shown to nobody but its author, and not counted
    hidden_reason: Mapped[str | None]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "order_id"], ["service_order.member_id", "service_order.id"], name="review_member_id_order_id_fkey"),
        CheckConstraint("stars between 1 and 5", name="stars"),
        Index(None, "listing_id", "at"),
        Index("review_one_each_idx", "member_id", "listing_id", unique=True, postgresql_where=where("order_id is null")),
        Index("review_one_an_order_idx", "member_id", "order_id", unique=True, postgresql_where=where("order_id is not null")),
        Index("review_id_idx", "id", unique=True),
    )


class ReviewReport(Base):
    """A reader's word that a review breaks the rules, and what a reviewer decided."""

    __tablename__ = "review_report"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)  # who reports
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    listing_id: Mapped[uuid.UUID]
    author_id: Mapped[uuid.UUID]  # the member whose review it is about
    review_id: Mapped[uuid.UUID]
    reason: Mapped[str]
    note: Mapped[str]
    at: Mapped[datetime]
    decision: Mapped[str | None]  # hidden | kept
    decided_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(["author_id", "review_id"], ["review.member_id", "review.id"], name="review_report_author_id_fkey"),
        CheckConstraint("reason in ('abuse', 'advertising', 'private_data', 'off_topic', 'untrue')", name="reason"),
        CheckConstraint("decision in ('hidden', 'kept') and decided_at is not null or decision is null and decided_at is null", name="decision"),
        Index("review_report_open_idx", "member_id", "review_id", unique=True, postgresql_where=text("decision is null")),
        Index("review_report_waiting_idx", "at", postgresql_where=text("decision is null")),
    )
