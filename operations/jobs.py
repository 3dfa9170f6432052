"""What runs by itself in member operations. Every job may be stopped anywhere and started again."""

import uuid

from sqlalchemy import select

from core.clock import now
from core.db import SYSTEM, transaction
from membership.models import Member
from operations import activity, offers, repetition, rollups

MEMBERS_AT_ONCE = 50


def refresh_usage() -> int:
    """Every minute: make stale rollups again, batch by batch; returns the number of days. What a crash leaves is still marked stale."""
    done = 0
    while True:
        with transaction(SYSTEM):
            taken = rollups.refresh(at=now())
        if not taken:
            return done
        done += len(taken)


def refresh_activity() -> int:
    """Hourly: let the windows of every member end today, whether it sent events or not; returns the number of members."""
    members = _members()
    for start in range(0, len(members), MEMBERS_AT_ONCE):
        with transaction(SYSTEM):
            activity.refresh(members[start : start + MEMBERS_AT_ONCE], at=now())
    return len(members)


def find_routines() -> int:
    """Nightly: find what each member's people repeat; returns the number of routines."""
    members, found = _members(), 0
    for start in range(0, len(members), MEMBERS_AT_ONCE):
        with transaction(SYSTEM):
            found += repetition.remember(members[start : start + MEMBERS_AT_ONCE], at=now())
    return found


def expire_offers() -> int:
    """Hourly: close offers past their date, and those whose listing the member has bought by itself; returns the number."""
    with transaction(SYSTEM):
        return offers.expire(at=now())


def _members() -> list[uuid.UUID]:
    with transaction(SYSTEM) as session:
        return list(session.scalars(select(Member.id).where(Member.state == "active").order_by(Member.id)))
