"""What members are told about their subscriptions. A notice that money is missing disappears as soon as it no longer does."""

import uuid
from datetime import datetime

from sqlalchemy import update

from core.db import db
from membership.catalogue_models import Edition, ProductLine
from membership.notice_models import Notice

ABOUT_A_RENEWAL = ("renewal_upcoming", "subscription_past_due", "subscription_suspended")


def name_of(line: ProductLine, edition: Edition) -> dict[str, str]:
    """A subscription's name in both languages, for a notice's details."""
    return {"name_zh": f"{line.name_zh} · {edition.name_zh}", "name_en": f"{line.name_en} · {edition.name_en}"}


def withdraw_unpaid(member_id: uuid.UUID, subscription_id: uuid.UUID, *, at: datetime) -> None:
    """Whatever said that a renewal is to be paid no longer holds: nobody needs to read it any more."""
    db.session.execute(
        update(Notice)
        .where(
            Notice.member_id == member_id,
            Notice.kind.in_(ABOUT_A_RENEWAL),
            Notice.details["subscription_id"].astext == str(subscription_id),
            Notice.read_at.is_(None),
        )
        .values(read_at=at)
        .execution_options(synchronize_session=False)
    )
