"""Recognition: deferred revenue is earned day by day (books, move 10; decision 0030). The rules live in migrations/sql/0261_recognition.sql."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text

from core.db import db

_RUN = text("select entity_id, currency, day, amount_minor from recognise_days(:at, :most)")
DUE = "select min(due_at) from recognition_due()"
DAYS_AT_ONCE = 31


@dataclass(frozen=True, slots=True)
class Recognised:
    """One local day of a legal entity and currency; below zero where more was given back than earned."""

    entity_id: uuid.UUID
    currency: str
    day: date
    amount_minor: int


def recognise(at: datetime, most: int = DAYS_AT_ONCE) -> list[Recognised]:
    """Recognise the earliest days that are over at `at` and not done yet, in the caller's transaction; empty when there are none.

    They are of one legal entity and currency, `most` at once. A day is one entry `deferred_revenue → subscription_revenue` in the house book, effective at
    its last instant: a late run leaves the same books as one that came every night.
    """
    return [Recognised(*row) for row in db.session.execute(_RUN, {"at": at, "most": most})]
