"""Recognition: deferred revenue is earned day by day (books, move 10; decision 0030). The rules live in migrations/sql/0261_recognition.sql."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text

from core.db import db

_NEXT = text("select * from recognise_next(:at)")
DUE = "select min(due_at) from recognition_due()"


@dataclass(frozen=True, slots=True)
class Recognised:
    """One local day of a legal entity and currency; below zero where more was given back than earned."""

    entity_id: uuid.UUID
    currency: str
    day: date
    amount_minor: int


def recognise_next(at: datetime) -> Recognised | None:
    """Recognise the earliest day that is over at `at` and not done yet, in the caller's transaction; None when there is none.

    A day is one entry `deferred_revenue → subscription_revenue` in the house book, effective at its last instant. Missed days are made up for one by
    one, so a late run leaves the same books as one that came every night.
    """
    row = db.session.execute(_NEXT, {"at": at}).one_or_none()
    return Recognised(*row) if row else None
