"""Renewals: due subscriptions are charged in batches, each one call of the SQL function `renew_due` (migrations/sql/0510_stretches_of_renewals.sql).

A batch is one transaction of the caller: killed anywhere, nothing of it has happened, and the next run does it again.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from flask import current_app
from sqlalchemy import Result, Row, TextClause, text

from billing.renewal.stretches import ALL, Stretch
from billing.subscription.subscription_models import SubscriptionCharge
from billing.wallet import wallets
from core.db import db
from core.ids import named
from core.settings import Settings
from membership.notice_models import Notice
from membership.subscription_models import Subscription

OUTCOMES = ("renewed", "past_due", "suspended", "lapsed", "ended", "parked")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunResult:
    """What became of a batch. `examined` counts every due subscription that it held; 0 means that none is left."""

    examined: int = 0
    renewed: int = 0
    past_due: int = 0
    suspended: int = 0  # past due for so long that its entitlements are off
    lapsed: int = 0  # unpaid for too long: ended
    ended: int = 0  # cancelled
    parked: int = 0  # could not be judged: nothing is charged until finance lets it go on

    @property
    def settled(self) -> int:
        """How many were judged; the others wait for a run that holds an earlier one of the same wallet."""
        return sum(getattr(self, name) for name in OUTCOMES)

    def __add__(self, other: "RunResult") -> "RunResult":
        return RunResult(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one subscription; amounts in minor units, tax included. `fault`: why it was parked."""

    member_id: uuid.UUID
    subscription_id: uuid.UUID
    product_line: str
    currency: str
    term: int
    outcome: str
    amount_minor: int
    tax_minor: int
    missing_minor: int
    charge_id: uuid.UUID | None
    begins_at: datetime
    ends_at: datetime
    next_attempt_at: datetime | None
    fault: str | None


_CALL = (
    "renew_due(:at, :most, cast(:members as uuid[]), :only_paid, :run, cast(:retry_days as bigint[]), :suspend_days, :end_days, :consumption_order,"
    " :after_at, :after_member, :until_at, :until_member)"
)
_EACH = text(f"select * from {_CALL}")  # noqa: S608 (made of constants)
_COUNTED = text(f"select outcome, currency, count(*) as n, sum(amount_minor)::bigint as amount_minor from {_CALL} group by 1, 2")  # noqa: S608
_BEGIN_RUN = text(
    "insert into renewal_run (id, at, started_at, batches) values (:run, :at, :started_at, 1) on conflict (id) do update set batches = renewal_run.batches + 1"
)
_TOTAL = text(
    "insert into renewal_run_total (run_id, currency, outcome, count, amount_minor) values (:run, :currency, :outcome, :n, :amount_minor)"
    " on conflict (run_id, currency, outcome) do update set count = renewal_run_total.count + excluded.count,"
    " amount_minor = renewal_run_total.amount_minor + excluded.amount_minor"
)
_FINISH = text("update renewal_run set finished_at = :now where id = :run")
_PARK = text(
    "update subscription s set next_attempt_at = null, parked_at = :at, parked_reason = :reason where (s.member_id, s.id) = ("
    " select x.member_id, x.id from subscription x where x.member_id = :member and x.state in ('trialing', 'active', 'past_due') and x.next_attempt_at <= :at"
    " order by x.term_end, x.started_at, x.id limit 1)"
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the job: `at` is the instant it judges at, `started_at` when it began. It is written down with its first batch."""

    id: uuid.UUID
    at: datetime
    started_at: datetime


def batch_size() -> int:
    """How many subscriptions a transaction renews."""
    settings: Settings = current_app.extensions["settings"]
    return settings.renewal_batch


def lanes() -> int:
    """How many batches of one run may be under way at the same time."""
    settings: Settings = current_app.extensions["settings"]
    return max(1, settings.renewal_lanes)


def charge_id(subscription_id: uuid.UUID, term: int) -> uuid.UUID:
    """The id of the charge for a term: the same for every attempt, and the same that SQL makes."""
    return named("renewal", subscription_id, term)


def renew_due(
    at: datetime, limit: int | None = None, *, run: Run | None = None, members: Sequence[uuid.UUID] | None = None, stretch: Stretch | None = None
) -> RunResult:
    """Renew up to `limit` subscriptions that are due at `at`, within the caller's transaction; call it until `examined` is 0.

    They are taken in the order of their instants. `stretch`: all of that, and nothing else.

    Paid: the next term begins where the old one ended. Cancelled: it ends. Too little money: past due, told once, tried again by the dunning
    plan (dunning.py), then suspended, then it ends and the charge is void. What happened is added to the figures of the run.
    """
    rows = _call(_COUNTED, at, limit, members, run, stretch=stretch).all()
    judged = [row for row in rows if row.outcome != "waiting"]
    if run is not None and judged:
        db.session.execute(_BEGIN_RUN, {"run": run.id, "at": run.at, "started_at": run.started_at})
        db.session.execute(_TOTAL, [{"run": run.id, **row._mapping} for row in judged])
    counts = dict.fromkeys(OUTCOMES, 0)
    for row in judged:
        counts[row.outcome] += row.n
    if counts["parked"]:
        log.error("renewals parked", count=counts["parked"])
    return RunResult(sum(row.n for row in rows), **counts)


def finish(run: Run, *, at: datetime) -> None:
    """Nothing is left for this run. One that found nothing at all was never written down."""
    db.session.execute(_FINISH, {"run": run.id, "now": at})


def renew_each(at: datetime, limit: int | None = None, *, members: Sequence[uuid.UUID] | None = None) -> list[Outcome]:
    """The same, told one by one."""
    return _outcomes(_call(_EACH, at, limit, members, None))


def pay_unpaid(member_id: uuid.UUID, *, at: datetime) -> int:
    """Pay what a member's subscriptions owe, the oldest first, as far as the wallet goes; returns how many are active again.

    Called in the transaction that brought money. One that a renewal run holds right now is left to it: it waits for the
    wallet, and sees the money.
    """
    return len(_outcomes(_call(_EACH, at, None, [member_id], None, only_paid=True)))


def park(member_id: uuid.UUID, reason: str, *, at: datetime) -> None:
    """Park the first due subscription of a member, whose renewal fails for a reason that the database alone knows."""
    db.session.execute(_PARK, {"member": member_id, "reason": reason, "at": at})
    log.error("renewal parked", member=str(member_id), reason=reason)


def _outcomes(rows: Iterable[Row[Any]]) -> list[Outcome]:
    return [Outcome(**row._mapping) for row in rows]


def _call(
    statement: TextClause,
    at: datetime,
    limit: int | None,
    members: Iterable[uuid.UUID] | None,
    run: Run | None,
    *,
    only_paid: bool = False,
    stretch: Stretch | None = None,
) -> Result[Any]:
    db.session.flush()
    settings: Settings = current_app.extensions["settings"]
    rows = db.session.execute(
        statement,
        {
            "at": at, "most": None if stretch else limit or batch_size(),
            "members": None if members is None else list(map(str, members)), "only_paid": only_paid,
            "run": run and run.id, "retry_days": list(settings.dunning_retry_days),
            "suspend_days": min(settings.dunning_suspend_days, settings.past_due_grace_days),
            "end_days": settings.past_due_grace_days, "consumption_order": wallets.consumption_order(),
        } | (stretch or ALL).ends,
    )  # fmt: skip
    for read in [known for known in db.session if isinstance(known, Subscription | SubscriptionCharge | Notice)]:
        db.session.expire(read)  # what the session read of these rows is history
    return rows
