"""What members are told about their subscriptions. A notice that money is missing disappears as soon as it no longer does."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from core.db import db
from core.ids import derived
from membership.models import Edition, Notice, ProductLine


def name_of(line: ProductLine, edition: Edition) -> dict[str, str]:
    """A subscription's name in both languages, for a notice's details."""
    return {"name_zh": f"{line.name_zh} · {edition.name_zh}", "name_en": f"{line.name_en} · {edition.name_en}"}


def past_due_key(subscription_id: uuid.UUID, term: int) -> str:
    """The key of the one notice about an unpaid term."""
    return f"subscription_past_due:{subscription_id}:{term}"


def notice_id(member_id: uuid.UUID, key: str) -> uuid.UUID:
    """The id `notices.tell` gives a key."""
    return derived("notice", member_id, key)


def row(member_id: uuid.UUID, kind: str, details: dict[str, Any], at: datetime, key: str) -> dict[str, Any]:
    """A notice as a row for `tell_many`."""
    return {"member_id": member_id, "id": notice_id(member_id, key), "kind": kind, "details": details, "at": at, "read_at": None}


def tell_many(rows: Sequence[dict[str, Any]]) -> None:
    """Many members' notices in one statement; what was told before is not told again."""
    if rows:
        db.session.execute(insert(Notice).on_conflict_do_nothing(index_elements=["member_id", "id"]), rows)


def withdraw(ids: Collection[tuple[uuid.UUID, uuid.UUID]], *, at: datetime) -> None:
    """These notices no longer hold: nobody needs to read them any more. Pairs of member and notice."""
    if ids:
        members, notices = zip(*ids, strict=True)
        db.session.execute(
            update(Notice)
            .where(Notice.member_id.in_(set(members)), Notice.id.in_(notices), Notice.read_at.is_(None))
            .values(read_at=at)
            .execution_options(synchronize_session=False)
        )
