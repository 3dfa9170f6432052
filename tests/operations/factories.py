"""Listings, subscriptions and motions for tests of member operations."""

import uuid
from datetime import datetime, timedelta

from core.db import SYSTEM, db, transaction
from core.ids import new_id
from marketplace.license.license_models import License
from marketplace.order.order_models import Order
from marketplace.publisher.publisher_models import Publisher
from marketplace.release.version_models import Artifact, ListingVersion
from marketplace.store.listing_models import Listing
from membership.catalogue_models import Edition, ProductLine
from membership.models import Member
from membership.subscription_models import Subscription, SubscriptionMotion
from operations.models import Offer
from tests.factories import AT


def make_listing(
    slug: str = "robot", *, price_minor: int = 30_000, automates: list[list[str]] | None = None, repeatable: bool = False, required_rank: int = 0
) -> Listing:
    """A published listing of the vendor with one version."""
    listing = Listing(
        id=new_id(),
        slug=slug,
        publisher_id=uuid.UUID(int=2),
        kind="robot_task",
        category="data",
        name_zh=f"机器人 {slug}",
        name_en=f"Robot {slug}",
        summary_zh="省时",
        summary_en="Saves time",
        description_zh="",
        description_en="",
        state="published",
        revision=1,
        pricing="one_time" if price_minor else "free",
        period=None,
        currency="CNY",
        price_minor=price_minor,
        tax_rate_bp=None,
        bonus_limit_bp=10_000,
        is_repeatable=repeatable,
        product_line="crm" if required_rank else None,
        required_rank=required_rank,
        required_features=[],
        minutes_saved=5,
        automates={"steps": automates or []},
        current_version="1.0.0",
        search=None,
        rating_sum=0,
        rating_count=0,
        published_at=AT,
        updated_at=AT,
    )
    with transaction(SYSTEM) as session:
        if session.get(Publisher, uuid.UUID(int=2)) is None:
            session.add(Publisher(id=uuid.UUID(int=2), code="vendor", name_zh="自营", name_en="Own", kind="vendor", is_verified=True, commission_bp=0))
            session.add(Artifact(sha256="0" * 64, filename="a.zip", size=1, content=b"x"))
            session.flush()
        session.add(listing)
        session.flush()
        session.add(
            ListingVersion(
                listing_id=listing.id,
                number="1.0.0",
                state="published",
                sha256="0" * 64,
                manifest={},
                notes_zh="",
                notes_en="",
                yanked_reason=None,
                created_at=AT,
                published_at=AT,
            )
        )
    db.session.expunge_all()  # a later rollback must not empty what tests hold
    return listing


def make_order(
    member: Member, listing: Listing, *, at: datetime = AT, csm_id: uuid.UUID | None = None, state: str = "completed", licensed: bool = True
) -> Order:
    """An order on paper only: no money moves."""
    order = Order(
        member_id=member.id,
        id=new_id(),
        request_hash=b"x",
        listing_id=listing.id,
        version="1.0.0",
        quantity=1,
        price_minor=listing.price_minor,
        total_minor=listing.price_minor,
        tax_minor=0,
        currency="CNY",
        paid_minor=listing.price_minor,
        bonus_minor=0,
        balance_after_minor=0,
        state=state,
        offer_id=None,
        csm_id=csm_id,
        placed_by=None,
        at=at,
    )
    with transaction(SYSTEM) as session:
        session.add(order)
        session.flush()
        if licensed:
            session.add(
                License(
                    member_id=member.id,
                    id=order.id,
                    listing_id=listing.id,
                    version="1.0.0",
                    installed_version=None,
                    quantity=1,
                    state="active",
                    is_exclusive=not listing.is_repeatable,
                    starts_at=at,
                    ends_at=None,
                )
            )
    db.session.expunge_all()  # a later rollback must not empty what tests hold
    return order


def make_subscription(
    member: Member,
    *,
    price_minor: int = 120_000,
    ends_in_days: int = 200,
    seats: int = 5,
    state: str = "active",
    cancel: bool = False,
    rank: int = 2,
    at: datetime = AT,
) -> Subscription:
    """A yearly subscription of the CRM line."""
    made = Subscription(
        member_id=member.id,
        id=new_id(),
        product_line="crm",
        rank=rank,
        period="year",
        currency="CNY",
        seats=seats,
        state=state,
        term=1,
        anchor_day=15,
        started_at=at - timedelta(days=300),
        term_start=at - timedelta(days=300),
        term_end=at + timedelta(days=ends_in_days),
        term_price_minor=price_minor,
        cancel_at_term_end=cancel,
        next_rank=None,
        next_seats=None,
        ended_at=None,
        deployment="saas",
        licensing="rental",
        next_attempt_at=None,
        failed_attempts=0,
    )
    with transaction(SYSTEM) as session:
        if session.get(ProductLine, "crm") is None:
            session.add(ProductLine(code="crm", name_zh="客户云", name_en="Customer Cloud"))
            session.flush()
            for n, name in enumerate(("starter", "standard", "professional", "flagship"), 1):
                session.add(Edition(product_line="crm", rank=n, code=name, name_zh=name, name_en=name.title(), features=[], limits={}))
            session.flush()
        session.add(made)
    db.session.expunge_all()  # a later rollback must not empty what tests hold
    return made


def make_motion(
    subscription: Subscription, motion: str, *, at: datetime, amount: int = 0, before: int = 0, after: int = 0, csm_id: uuid.UUID | None = None
) -> SubscriptionMotion:
    """What happened to a subscription, on paper only."""
    made = SubscriptionMotion(
        member_id=subscription.member_id,
        id=new_id(),
        subscription_id=subscription.id,
        motion=motion,
        at=at,
        amount_minor=amount,
        currency="CNY",
        term=1,
        rank=subscription.rank,
        seats=subscription.seats,
        arr_before_minor=before,
        arr_after_minor=after,
        csm_id=csm_id,
    )
    with transaction(SYSTEM) as session:
        session.add(made)
    db.session.expunge_all()  # a later rollback must not empty what tests hold
    return made


def make_offer(member: Member, listing: Listing, *, csm_id: uuid.UUID | None = None, at: datetime = AT, days: int = 30, reason: str = "因为") -> Offer:
    """An open offer that nobody was told of."""
    made = Offer(
        member_id=member.id,
        id=new_id(),
        request_hash=b"x",
        listing_id=listing.id,
        csm_id=csm_id,
        csm_name="陈静",
        reason=reason,
        price_minor=listing.price_minor,
        state="sent",
        sent_at=at,
        expires_at=at + timedelta(days=days),
        decided_at=None,
        order_id=None,
        refusal=None,
    )
    with transaction(SYSTEM) as session:
        session.add(made)
    db.session.expunge_all()  # a later rollback must not empty what tests hold
    return made
