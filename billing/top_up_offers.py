"""Campaigns like “charge 1,000, get 100”: which tiers are in force, and which one an amount earns."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from billing.models import TopUpOffer
from core.db import db


@dataclass(frozen=True, slots=True)
class Promise:
    """What a top-up earns on top; the bonus lives `bonus_days` from the day it arrives."""

    bonus_minor: int = 0
    bonus_days: int | None = None

    def expires_at(self, arrival: datetime) -> datetime | None:
        """When the bonus ends if the money arrives at `arrival`."""
        return arrival + timedelta(days=self.bonus_days) if self.bonus_minor and self.bonus_days is not None else None


def in_force(currency: str, *, at: datetime) -> Sequence[TopUpOffer]:
    """The tiers on offer at `at`, the smallest first."""
    return db.session.scalars(
        select(TopUpOffer)
        .where(TopUpOffer.currency == currency, TopUpOffer.starts_at <= at, TopUpOffer.ends_at.is_(None) | (TopUpOffer.ends_at > at))
        .order_by(TopUpOffer.from_minor, TopUpOffer.bonus_minor)
    ).all()


def best(currency: str, amount_minor: int, *, at: datetime) -> Promise:
    """What `amount_minor` earns at `at`: the tier that gives most among those the amount reaches; nothing without one."""
    return best_of(in_force(currency, at=at), amount_minor)


def best_of(tiers: Sequence[TopUpOffer], amount_minor: int) -> Promise:
    """The same, of tiers already read."""
    reached = [tier for tier in tiers if tier.from_minor <= amount_minor]
    if not reached:
        return Promise()
    tier = max(reached, key=lambda tier: (tier.bonus_minor, tier.bonus_days))
    return Promise(tier.bonus_minor, tier.bonus_days)
