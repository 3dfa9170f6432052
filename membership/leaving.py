"""People who are shut out and keys that are revoked give back what they held in the rooms above, in the transaction that ends them."""

import uuid
from collections.abc import Callable
from datetime import datetime

Listener = Callable[[uuid.UUID, uuid.UUID, datetime], None]
heard: list[Listener] = []  # called with member, user or key, and the instant


def left(member_id: uuid.UUID, holder_id: uuid.UUID, at: datetime) -> None:
    """A person or a key of this member is gone."""
    for listener in heard:
        listener(member_id, holder_id, at)
