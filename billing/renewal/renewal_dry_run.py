"""A dry run: the real run, member by member, undone. So it says exactly what the run would do, and holds no wallet for longer than a moment."""

import uuid
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import text

from billing.renewal import renewals
from billing.renewal.renewals import Outcome
from core.actor import Actor
from core.db import db, transaction

MEMBERS_AT_ONCE = 500
_NEXT = text(
    "select distinct member_id from subscription where state in ('trialing', 'active', 'past_due') and next_attempt_at <= :at and member_id > :after"
    " order by member_id limit :most"
)
_NOBODY = uuid.UUID(int=0)


class _Undone(Exception):
    """Takes the transaction back."""


def outcomes(at: datetime, acting: Actor, *, most: int | None = None) -> Iterator[Outcome]:
    """What the run at `at` would make of each due subscription, by member, each as often as it is due; at most about `most` of them.

    Opens transactions of its own, and undoes each. A wallet is shared by nobody but its member's subscriptions, so members can be tried one after another.
    """
    after, told = _NOBODY, 0
    while most is None or told < most:
        with transaction(acting):
            members = list(db.session.scalars(_NEXT, {"at": at, "after": after, "most": MEMBERS_AT_ONCE}))
        if not members:
            return
        found = _tried(members, at, acting)
        yield from found
        after, told = members[-1], told + len(found)


def _tried(members: list[uuid.UUID], at: datetime, acting: Actor) -> list[Outcome]:
    found: list[Outcome] = []
    try:
        with transaction(acting):
            while batch := [one for one in renewals.renew_each(at, members=members) if one.outcome != "waiting"]:
                found += batch
            raise _Undone
    except _Undone:
        db.session.expire_all()
    return sorted(found, key=lambda one: (one.member_id, one.begins_at, one.subscription_id, one.term))
