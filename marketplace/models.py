"""Tables of the store."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy import text as where
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from marketplace.order.coupon_models import Coupon


class Publisher(Base):
    """Who offers listings: the vendor's own team or a service partner. A partner has a book of the same id."""

    __tablename__ = "publisher"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    kind: Mapped[str]  # vendor | partner
    is_verified: Mapped[bool]
    commission_bp: Mapped[int]  # our share of a partner's net price


class Artifact(Base):
    """The bundle itself, addressed by its content."""

    __tablename__ = "artifact"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    size: Mapped[int]
    content: Mapped[bytes]


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


class ListingVersion(Base):
    """A release of a listing; its number is never used again."""

    __tablename__ = "listing_version"
    listing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("listing.id"), primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]  # draft | scanning | in_review | published | yanked | rejected; see lifecycle.py
    is_quarantined: Mapped[bool] = mapped_column(default=False)
    sha256: Mapped[str] = mapped_column(ForeignKey("artifact.sha256"))
    manifest: Mapped[dict[str, Any]]
    notes_zh: Mapped[str]
    notes_en: Mapped[str]
    yanked_reason: Mapped[str | None]
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    review_note: Mapped[str | None]  # why it was rejected
    submitted_by: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(default=0)  # how often it was checked; the records of the last attempt hold
    checked_at: Mapped[datetime | None]  # when all checks had passed
    key_id: Mapped[str | None]  # of the key that signed
    signature: Mapped[str | None]  # Ed25519 over hash and checks, in base64
    __table_args__ = (
        CheckConstraint("state in ('draft', 'scanning', 'in_review', 'published', 'yanked', 'rejected')", name="state"),
        Index("listing_version_in_review_idx", "created_at", postgresql_where=text("state = 'in_review'")),
        Index("listing_version_unchecked_idx", "created_at", postgresql_where=text("state in ('draft', 'scanning')")),
    )


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


class License(Base):
    """The right to use a listing, from one order. What the member agreed to is frozen here.

    Only a trial and a recurring licence have a term: `ends_at`, and `next_attempt_at`, when the renewal job looks at it next.
    """

    __tablename__ = "license"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # the order's id
    listing_id: Mapped[uuid.UUID]  # the order's
    version: Mapped[str]  # the version bought
    installed_version: Mapped[str | None]
    quantity: Mapped[int]
    seats: Mapped[int | None]  # None: for the whole member
    next_seats: Mapped[int | None]  # fewer from the next term on
    worth_offset: Mapped[int] = mapped_column(server_default=text("0"), default=0)  # of the running term, as a subscription's
    state: Mapped[str]  # trial | active | suspended | ended
    is_exclusive: Mapped[bool]  # one a member; false for listings that may be bought again and again
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    period: Mapped[str | None]  # month | year
    term: Mapped[int] = mapped_column(server_default=text("1"), default=1)
    price_minor: Mapped[int] = mapped_column(server_default=text("0"), default=0)  # of a term, as it was stated at the purchase; of a run, tax included
    excludes_tax: Mapped[bool] = mapped_column(server_default=text("false"), default=False)  # tax comes on top, at the rate of each renewal
    commission_bp: Mapped[int | None]
    tax_rate_bp: Mapped[int | None]  # None: the seller's at each renewal
    bonus_limit_bp: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    anchor_day: Mapped[int | None]  # day of the month terms end on
    auto_renews: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    next_attempt_at: Mapped[datetime | None]
    suspended_at: Mapped[datetime | None]  # the renewal could not be paid
    monthly_cap_minor: Mapped[int | None]  # of a price by use: what the buyer approved for a calendar month
    __table_args__ = (
        CheckConstraint("state in ('trial', 'active', 'suspended', 'ended')", name="state"),
        CheckConstraint(
            "(period is null or ends_at is not null and anchor_day between 1 and 31 and period in ('month', 'year'))"
            " and (state <> 'trial' or ends_at is not null) and (state = 'ended' or ends_at is null or next_attempt_at is not null)"
            " and (state = 'suspended') = (suspended_at is not null)",
            name="term",
        ),
        CheckConstraint("monthly_cap_minor > 0", name="cap"),
        CheckConstraint(
            "(seats is null or seats >= 1 and is_exclusive)"
            " and (next_seats is null or seats is not null and period is not null and next_seats between 1 and seats - 1)",
            name="seats",
        ),
        Index("license_due_idx", "next_attempt_at", postgresql_where=text("next_attempt_at is not null")),
        Index("license_one_each_idx", "member_id", "listing_id", unique=True, postgresql_where=text("is_exclusive and state <> 'ended'")),
    )


class Download(Base):
    """An artifact handed out, with the version and its hash: the record of an install."""

    __tablename__ = "download"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    license_id: Mapped[uuid.UUID]
    listing_id: Mapped[uuid.UUID]
    version: Mapped[str]
    sha256: Mapped[str]
    user_id: Mapped[uuid.UUID | None]
    at: Mapped[datetime]
    __table_args__ = (ForeignKeyConstraint(["member_id", "license_id"], ["license.member_id", "license.id"]), Index(None, "listing_id"))


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
