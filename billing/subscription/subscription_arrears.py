"""Days that were used unpaid: a renewal that was not paid is void when the subscription ends, and who comes back to that product pays what was used."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

from flask import current_app
from sqlalchemy import select

from billing.subscription.subscription_models import SubscriptionCharge
from core.db import db
from core.ids import derived
from core.settings import Settings
from membership.proration import progress
from membership.subscription_models import Subscription


@dataclass(frozen=True, slots=True)
class Arrear:
    """What was used of one unpaid term, tax included. `id` is the charge's own, so that it is paid once."""

    id: uuid.UUID
    amount_minor: int
    used_from: datetime
    used_until: datetime


def of(member_id: uuid.UUID, product_line: str, timezone: str) -> list[Arrear]:
    """What a member used of a product line without having paid for it yet: from the term's beginning until it ended or was suspended, by whole days."""
    settings: Settings = current_app.extensions["settings"]
    rows = db.session.execute(
        select(SubscriptionCharge, Subscription.ended_at)
        .join(Subscription, (Subscription.member_id == SubscriptionCharge.member_id) & (Subscription.id == SubscriptionCharge.subscription_id))
        .where(SubscriptionCharge.member_id == member_id, SubscriptionCharge.state == "void", Subscription.product_line == product_line)
        .order_by(SubscriptionCharge.due_at)
    ).all()
    ids = {derived("arrears", charge.id): (charge, ended_at) for charge, ended_at in rows}
    paid = (
        db.session.scalars(select(SubscriptionCharge.id).where(SubscriptionCharge.member_id == member_id, SubscriptionCharge.id.in_(ids))).all() if ids else ()
    )
    found = []
    for key, (charge, ended_at) in ids.items():
        until = min(ended_at or charge.service_until, charge.due_at + timedelta(days=settings.dunning_suspend_days), charge.service_until)
        if key in paid or until <= charge.service_from or not charge.amount_minor:
            continue
        last = progress(charge.service_from, charge.service_until, until - timedelta(microseconds=1), timezone)
        found.append(Arrear(key, ceil(Fraction(charge.amount_minor * (last.elapsed + 1), last.total)), charge.service_from, until))
    return found
