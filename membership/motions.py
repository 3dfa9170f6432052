"""What happens to subscriptions, each motion written down apart, and the requests of members that caused it."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from flask_babel import gettext as _
from sqlalchemy import ForeignKeyConstraint, insert, select, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, db
from core.errors import IdReused
from core.ids import derived
from membership.subscription_models import Subscription, SubscriptionMotion
from membership.terms import annualised

# Plain renewals are told by their charges (subscription_history joins both); within an instant a renewal comes before the changes it brought.
_NEWEST = text("select * from subscription_history where member_id = :member order by at desc, term desc, seq desc limit :limit")


class SubscriptionRequest(Base):
    """A member's own id and what it asked for: the same again is a replay, anything else under it is refused."""

    __tablename__ = "subscription_request"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    subscription_id: Mapped[uuid.UUID]
    request_hash: Mapped[bytes]
    amount_minor: Mapped[int]  # what it charged, tax included
    at: Mapped[datetime]
    __table_args__ = (ForeignKeyConstraint(["member_id", "subscription_id"], ["subscription.member_id", "subscription.id"]),)


class Standing(Protocol):
    """A subscription as it stands: the row itself, or what a batch is about to make of it."""

    @property
    def member_id(self) -> uuid.UUID: ...  # noqa: D102
    @property
    def id(self) -> uuid.UUID: ...  # noqa: D102
    @property
    def currency(self) -> str: ...  # noqa: D102
    @property
    def term(self) -> int: ...  # noqa: D102
    @property
    def rank(self) -> int: ...  # noqa: D102
    @property
    def seats(self) -> int: ...  # noqa: D102


def arr_of(subscription: Subscription) -> int:
    """Annual recurring revenue: the annualised price of a term; nothing before a trial is paid, while paused, or after the end."""
    if subscription.state in ("trialing", "paused", "ended") or subscription.trial_until == subscription.term_end:
        return 0
    return annualised(subscription.term_price_minor, subscription.period)


def motion(
    subscription: Standing, name: str, at: datetime, arr_before: int, arr_after: int, *, amount_minor: int = 0,
    motion_id: uuid.UUID | None = None, csm_id: uuid.UUID | None = None, cause: object = None,
) -> dict[str, Any]:  # fmt: skip
    """One motion as a row, with the subscription as it stands afterwards. `motion_id` is the ledger's id where money moved."""
    return {
        "member_id": subscription.member_id, "id": motion_id or derived("motion", subscription.id, name, cause or at.isoformat()),
        "subscription_id": subscription.id, "motion": name, "at": at, "amount_minor": amount_minor, "currency": subscription.currency,
        "term": subscription.term, "rank": subscription.rank, "seats": subscription.seats, "arr_before_minor": arr_before,
        "arr_after_minor": arr_after, "csm_id": csm_id,
    }  # fmt: skip


def record(rows: Sequence[dict[str, Any]]) -> None:
    """Write motions down, all in one statement."""
    if rows:
        db.session.execute(insert(SubscriptionMotion), rows)


def list_newest(member_id: uuid.UUID, limit: int = 50) -> Sequence[SubscriptionMotion]:
    """What happened to a member's subscriptions, the newest first."""
    return db.session.scalars(select(SubscriptionMotion).from_statement(_NEWEST), {"member": member_id, "limit": limit}).all()


def replayed(member_id: uuid.UUID, request_id: uuid.UUID, request_hash: bytes) -> SubscriptionRequest | None:
    """What this id did before, or None. Raises IdReused when it was for something else."""
    first = db.session.get(SubscriptionRequest, (member_id, request_id))
    if first is not None and first.request_hash != request_hash:
        raise IdReused(_("This id was already used for another request."), field="id")
    return first


def remember(subscription: Subscription, request_id: uuid.UUID, request_hash: bytes, amount_minor: int, at: datetime) -> SubscriptionRequest:
    """Keep what a member's id did."""
    request = SubscriptionRequest(
        member_id=subscription.member_id, id=request_id, subscription_id=subscription.id, request_hash=request_hash, amount_minor=amount_minor, at=at
    )
    db.session.add(request)
    return request
