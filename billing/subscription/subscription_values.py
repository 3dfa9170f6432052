"""What contracts are worth to us: total contract value (TCV), and what is owed."""

import uuid

from sqlalchemy import select

from billing.subscription.subscription_models import SubscriptionCharge
from core.db import db
from membership import contracts
from membership.subscription_models import Subscription


def contract_value(subscriptions: list[Subscription]) -> dict[uuid.UUID, int]:
    """Total contract value of each of a member's subscriptions, tax included: what was charged for it so far, paid or owed, less what was given back,
    and the instalments that a commitment has still to come, at the present edition and seats.
    """
    if not subscriptions:
        return {}
    rows = db.session.execute(
        select(SubscriptionCharge.subscription_id, SubscriptionCharge.amount_minor, SubscriptionCharge.state).where(
            SubscriptionCharge.member_id == subscriptions[0].member_id, SubscriptionCharge.state != "void"
        )
    ).all()
    total = {one.id: _still_to_come(one, any(row.subscription_id == one.id and row.state == "unpaid" for row in rows)) for one in subscriptions}
    for row in rows:
        if row.subscription_id in total:
            total[row.subscription_id] += row.amount_minor
    return total


def _still_to_come(subscription: Subscription, has_unpaid: bool) -> int:
    """Instalments that are not charged yet; one that is owed counts as charged."""
    count = contracts.instalments_left(subscription) - (1 if has_unpaid else 0)
    return max(0, count) * subscription.term_price_minor


def owed(member_id: uuid.UUID) -> dict[uuid.UUID, SubscriptionCharge]:
    """The unpaid charge of each subscription that is past due."""
    found = db.session.scalars(select(SubscriptionCharge).where(SubscriptionCharge.member_id == member_id, SubscriptionCharge.state == "unpaid"))
    return {charge.subscription_id: charge for charge in found}
