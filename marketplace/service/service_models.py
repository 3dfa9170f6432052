"""Tables of services: what was agreed, its milestones, and every step they took."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base

_ORDER = (["member_id", "order_id"], ["service_order.member_id", "service_order.id"])


class ServiceOrder(Base):
    """A partner's service that a member ordered. Price, commission, tax and bonus limit are frozen; the hold carries the order's id."""

    __tablename__ = "service_order"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    listing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("listing.id"))
    publisher_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("publisher.id"))
    version: Mapped[str] = mapped_column(server_default=text("'1.0.0'"))  # of the terms that were agreed
    price_minor: Mapped[int]  # tax included
    currency: Mapped[str]
    commission_bp: Mapped[int]
    tax_rate_bp: Mapped[int]
    bonus_limit_bp: Mapped[int]
    brief: Mapped[str]  # what the member wants, in its own words
    state: Mapped[str]  # running | completed | cancelled | lapsed
    placed_by: Mapped[uuid.UUID | None]
    at: Mapped[datetime]
    ends_at: Mapped[datetime]  # until when the partner can deliver
    held_until: Mapped[datetime]  # until when the money is held at the latest
    closed_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("state in ('running', 'completed', 'cancelled', 'lapsed') and (state = 'running') = (closed_at is null)", name="state"),
        CheckConstraint("price_minor > 0 and ends_at < held_until", name="price"),
        Index("service_order_publisher_id_idx", "publisher_id", "at"),
        Index("service_order_ends_at_idx", "ends_at", postgresql_where=text("state = 'running'")),
    )


class ServiceMilestone(Base):
    """A part of a service: delivered by the partner, accepted or disputed by the member. A capture is an order of the store, of the id `charge_id`."""

    __tablename__ = "service_milestone"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    order_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    publisher_id: Mapped[uuid.UUID]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    amount_minor: Mapped[int]
    tax_minor: Mapped[int]  # inside the amount; milestones carry together, to the cent, what the whole price carries
    commission_minor: Mapped[int]
    bonus_limit_minor: Mapped[int]
    state: Mapped[str]  # open | delivered | disputed | accepted | decided | released | lapsed
    due_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    delivery_note: Mapped[str | None]
    accept_by: Mapped[datetime | None]  # silence until then is acceptance
    dispute_reason: Mapped[str | None]
    captured_minor: Mapped[int]
    charge_id: Mapped[uuid.UUID | None]
    closed_at: Mapped[datetime | None]
    __table_args__ = (
        ForeignKeyConstraint(*_ORDER, name="service_milestone_member_id_order_id_fkey"),
        CheckConstraint("state in ('open', 'delivered', 'disputed', 'accepted', 'decided', 'released', 'lapsed')", name="state"),
        CheckConstraint(
            "captured_minor between 0 and amount_minor and (captured_minor > 0) = (charge_id is not null)"
            " and (state in ('open', 'delivered', 'disputed')) = (closed_at is null) and (state <> 'accepted' or captured_minor = amount_minor)",
            name="captured",
        ),
        Index("service_milestone_accept_by_idx", "accept_by", postgresql_where=text("state = 'delivered'")),
        Index("service_milestone_disputed_idx", "publisher_id", postgresql_where=text("state = 'disputed'")),
        Index("service_milestone_charge_idx", "member_id", "charge_id", unique=True, postgresql_where=text("charge_id is not null")),
    )

    @property
    def is_on_time(self) -> bool:
        """Was it delivered by its date?"""
        return self.delivered_at is not None and self.delivered_at <= self.due_at


class ServiceStep(Base):
    """One step of an order (`position` null) or of a milestone: who, when and why. Never changed."""

    __tablename__ = "service_step"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    member_id: Mapped[uuid.UUID]
    order_id: Mapped[uuid.UUID]
    position: Mapped[int | None]
    publisher_id: Mapped[uuid.UUID]
    action: Mapped[str]  # order | deliver | accept | accept_silently | dispute | decide | release | lapse | complete | cancel
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    amount_minor: Mapped[int | None]
    at: Mapped[datetime]
    actor_role: Mapped[str]
    actor_id: Mapped[uuid.UUID | None]
    actor_name: Mapped[str]
    reason: Mapped[str | None]
    __table_args__ = (
        ForeignKeyConstraint(*_ORDER, name="service_step_member_id_order_id_fkey"),
        Index("service_step_order_idx", "member_id", "order_id", "at"),
    )
