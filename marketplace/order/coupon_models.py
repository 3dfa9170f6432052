"""Table of coupons."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Coupon(Base):
    """A code that lowers a price. Only its end changes; `uses` is counted by `take_coupon` alone."""

    __tablename__ = "coupon"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)  # in capitals
    currency: Mapped[str]
    kind: Mapped[str]  # percent | amount
    percent_bp: Mapped[int | None]
    amount_minor: Mapped[int | None]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]  # first instant at which it is over
    most_uses: Mapped[int | None]  # by all members together
    uses: Mapped[int]
    first_only: Mapped[bool]  # for a member's first purchase
    listing_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("listing.id"))  # only for it
    publisher_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("publisher.id"))  # only for its listings
    created_by: Mapped[str | None]
    created_at: Mapped[datetime]
    end_reason: Mapped[str | None]
    __table_args__ = (
        CheckConstraint(
            "kind = 'percent' and percent_bp is not null and percent_bp between 1 and 10000 and amount_minor is null"
            " or kind = 'amount' and amount_minor is not null and amount_minor > 0 and percent_bp is null",
            name="value",
        ),
        CheckConstraint("uses >= 0 and (most_uses is null or most_uses >= 1 and uses <= most_uses)", name="uses"),
        CheckConstraint("ends_at is null or ends_at >= starts_at", name="dates"),
        CheckConstraint("listing_id is null or publisher_id is null", name="scope"),
    )
