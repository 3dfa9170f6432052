"""Dunning: what happens, and when, to a subscription whose renewal is not paid. The plan is the vendor's setting; the run in SQL keeps to it.

Counted in days from the first attempt: tried again on `dunning_retry_days`, suspended after `dunning_suspend_days` (entitlements off, data kept), ended after
`past_due_grace_days` (nothing is owed then). Money that arrives in between pays at once. Who lapsed is asked to come back after `win_back_days`.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from core.db import db
from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """When what happens, in days from the first attempt."""

    retry_days: tuple[int, ...]
    suspend_days: int
    end_days: int

    @classmethod
    def of(cls, settings: Settings) -> "Plan":
        """The plan that is set."""
        return cls(settings.dunning_retry_days, settings.dunning_suspend_days, settings.past_due_grace_days)

    @property
    def steps(self) -> list[tuple[int, str]]:
        """Every day on which something happens, and what: `retry`, `suspend` or `end`; a suspension and an end are attempts, too."""
        days = {day: "retry" for day in self.retry_days if day < self.end_days} | {0: "retry"}
        if self.suspend_days < self.end_days:
            days[self.suspend_days] = "suspend"
        return sorted((days | {self.end_days: "end"}).items())

    def step_after(self, due_at: datetime, at: datetime) -> tuple[datetime, str]:
        """The next step of a renewal that was first tried at `due_at`."""
        coming = ((due_at + timedelta(days=day), what) for day, what in self.steps)
        return next(((when, what) for when, what in coming if when > at), (due_at + timedelta(days=self.end_days), "end"))


@dataclass(frozen=True, slots=True)
class Case:
    """One unpaid renewal; amounts in minor units. `attempts`: how often it was tried so far."""

    member_id: uuid.UUID
    subscription_id: uuid.UUID
    number: str
    name: str
    name_en: str | None
    product_line: str
    rank: int
    currency: str
    amount_minor: int
    due_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    suspended_at: datetime | None
    available_minor: int
    csm_name: str | None

    def ends_at(self, plan: Plan) -> datetime:
        """When it ends if nothing is paid."""
        return self.due_at + timedelta(days=plan.end_days)

    def suspends_at(self, plan: Plan) -> datetime:
        """When its entitlements go off, or went off."""
        return self.suspended_at or self.due_at + timedelta(days=plan.suspend_days)


_CASES = text("""
select s.member_id, s.id as subscription_id, m.number, m.name, m.name_en, s.product_line, s.rank, s.currency, c.amount_minor, c.due_at,
  s.failed_attempts as attempts, s.next_attempt_at, s.suspended_at,
  greatest(w.paid_minor + w.bonus_minor - w.held_minor, 0) as available_minor, u.name as csm_name
from subscription s join member m on m.id = s.member_id
join subscription_charge c on c.member_id = s.member_id and c.subscription_id = s.id and c.state = 'unpaid'
left join wallet w on w.member_id = s.member_id and w.currency = s.currency left join app_user u on u.id = m.csm_id
where s.state = 'past_due' and (cast(:member as uuid) is null or s.member_id = :member)
order by c.due_at, m.number, s.id limit :most
""")
_SUMS = text("""
select s.currency, count(*) as count, sum(c.amount_minor)::bigint as amount_minor, count(s.suspended_at) as suspended
from subscription s join subscription_charge c on c.member_id = s.member_id and c.subscription_id = s.id and c.state = 'unpaid'
where s.state = 'past_due' group by 1 order by 1
""")


@dataclass(frozen=True, slots=True)
class Sum:
    """What is past due in one currency."""

    currency: str
    count: int
    amount_minor: int
    suspended: int


def cases(member_id: uuid.UUID | None = None, *, limit: int = 1_000) -> Sequence[Case]:
    """Unpaid renewals, the longest first: of one member, or of all."""
    return [Case(**row._mapping) for row in db.session.execute(_CASES, {"member": member_id, "most": limit})]


def sums() -> Sequence[Sum]:
    """What is past due altogether, by currency."""
    return [Sum(**row._mapping) for row in db.session.execute(_SUMS)]
