"""Table of what the store offers."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Listing(Base):
    """Something the store offers. `revision` counts every change that decides a purchase."""

    __tablename__ = "listing"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    publisher_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("publisher.id"))
    kind: Mapped[str]
    category: Mapped[str]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    summary_zh: Mapped[str]
    summary_en: Mapped[str]
    description_zh: Mapped[str]
    description_en: Mapped[str]
    state: Mapped[str]  # draft | in_review | published | deprecated | archived
    revision: Mapped[int]
    pricing: Mapped[str]  # free | one_time | recurring | usage (price_minor is then that of a run)
    period: Mapped[str | None]  # of a recurring price
    currency: Mapped[str]
    price_minor: Mapped[int]  # as it is stated: `pricing` tells what is paid
    excludes_tax: Mapped[bool] = mapped_column(server_default=text("false"), default=False)  # tax comes on top of it
    tax_rate_bp: Mapped[int | None]  # its own, where it is not the seller's; None: the seller's in force at the purchase
    bonus_limit_bp: Mapped[int]  # how much of our own part bonus may pay
    is_repeatable: Mapped[bool]  # may be bought any number of times
    product_line: Mapped[str | None]
    required_rank: Mapped[int]  # 0: any member
    required_features: Mapped[list[str]]
    host_version: Mapped[str | None]  # a specifier: versions of the host that the version on sale works with; None: it names none
    trial_days: Mapped[int] = mapped_column(server_default=text("0"), default=0)  # 0: no trial
    licensed_per: Mapped[str] = mapped_column(server_default=text("'member'"), default="member")  # member | seat: the price is then that of a seat
    minutes_saved: Mapped[int]  # per run, the publisher's statement
    automates: Mapped[dict[str, Any]]  # {"steps": [[feature, action], …]}: the toil it replaces
    current_version: Mapped[str | None]  # None: nothing of it can be bought now
    # Of a service: [{name_zh, name_en, amount_minor, days}, …], the price is their sum.
    milestones: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    is_quarantined: Mapped[bool] = mapped_column(default=False)
    state_reason: Mapped[str | None]  # why it was deprecated or archived
    replacement_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("listing.id"))  # what a deprecated listing points to
    search: Mapped[str | None] = mapped_column(TSVECTOR)  # weighted words and CJK bigrams, made in Python
    rating_sum: Mapped[int]
    rating_count: Mapped[int]
    published_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
    __table_args__ = (
        CheckConstraint("price_minor >= 0 and (pricing = 'free') = (price_minor = 0)", name="price"),
        CheckConstraint("not (excludes_tax and (kind = 'service' or pricing = 'usage'))", name="excludes_tax"),
        CheckConstraint("(pricing = 'recurring') = (period is not null) and period in ('month', 'year')", name="period"),
        CheckConstraint("pricing in ('free', 'one_time', 'recurring', 'usage') and (pricing <> 'usage' or not is_repeatable)", name="pricing"),
        CheckConstraint("trial_days between 0 and 365 and (trial_days = 0 or price_minor > 0 and not is_repeatable)", name="trial"),
        CheckConstraint(
            "licensed_per in ('member', 'seat') and (licensed_per = 'member'"
            " or pricing in ('one_time', 'recurring') and not is_repeatable and kind not in ('service_offering', 'bundle'))",
            name="licensed_per",
        ),
        CheckConstraint("state in ('draft', 'in_review', 'published', 'deprecated', 'archived')", name="state"),
        CheckConstraint("required_rank between 0 and 4 and bonus_limit_bp between 0 and 10000", name="limits"),
        CheckConstraint("milestones is null or are_milestones(milestones, price_minor)", name="milestones"),
        Index(None, "publisher_id"),
    )
