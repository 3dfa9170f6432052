"""What happens in one room and matters in a room above leaves through an outbox row of the same transaction.

Subscribers are wired in `app.py`, run in a job, and must be idempotent: a message may come twice, never not at all.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Identity, Index, insert, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from core import clock
from core.db import SYSTEM, Base, db, transaction
from core.passage import Step

Subscriber = Callable[["OutboxMessage"], None]
_subscribers: dict[str, list[Subscriber]] = defaultdict(list)


class OutboxMessage(Base):
    """One thing that happened. `topic` is `noun.past_participle`."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    topic: Mapped[str]
    member_id: Mapped[uuid.UUID | None]
    payload: Mapped[dict[str, Any]]
    at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    last_error: Mapped[str | None]
    __table_args__ = (Index("outbox_undelivered_idx", "id", postgresql_where=text("delivered_at is null")),)


def publish(topic: str, payload: dict[str, Any], *, at: datetime, member_id: uuid.UUID | None = None) -> None:
    """Say that something happened; delivered after the commit. Insert only: a member may write the outbox but not read it."""
    db.session.execute(insert(OutboxMessage).inline(), {"topic": topic, "member_id": member_id, "payload": payload, "at": at, "attempts": 0})


def subscribe(topic: str, subscriber: Subscriber) -> None:
    """Call `subscriber` for each message of `topic`. Wired in `app.py` only."""
    if subscriber not in _subscribers[topic]:
        _subscribers[topic].append(subscriber)


def deliver(at: datetime, limit: int = 200) -> int:
    """Hand waiting messages to their subscribers, each in its own transaction; returns how many were delivered.

    A subscriber that fails leaves its message waiting with the error kept; the sweep comes back to it.
    """
    delivered = 0
    with transaction(SYSTEM) as session:
        waiting = session.scalars(
            select(OutboxMessage.id).where(OutboxMessage.delivered_at.is_(None)).order_by(OutboxMessage.attempts, OutboxMessage.id).limit(limit)
        ).all()
    for message_id in waiting:
        delivered += _deliver_one(message_id, at)
    return delivered


def _deliver_one(message_id: int, at: datetime) -> bool:
    failure = None
    try:
        with transaction(SYSTEM) as session:
            message = session.scalar(
                select(OutboxMessage).where(OutboxMessage.id == message_id, OutboxMessage.delivered_at.is_(None)).with_for_update(skip_locked=True)
            )
            if message is None:  # another worker has it
                return False
            for subscriber in _subscribers[message.topic]:
                subscriber(message)
            message.delivered_at = at
            return True
    except Exception as error:  # noqa: BLE001 (kept on the row and shown on the status page; retried by the sweep)
        failure = repr(error)
    with transaction(SYSTEM) as session:
        session.execute(update(OutboxMessage).where(OutboxMessage.id == message_id).values(attempts=OutboxMessage.attempts + 1, last_error=failure))
    return False


def deliver_waiting() -> int:
    """The repeated job: deliver what waits now."""
    return deliver(clock.now())


MESSAGES = Step("messages between rooms", "select min(at) from outbox where delivered_at is null and attempts = 0", deliver)
