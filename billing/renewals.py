"""Renewals: due subscriptions are charged in batches of set-based SQL, with ids derived from what they pay for.

A batch is one transaction of the caller: killed anywhere, nothing of it has happened, and the next run does it again.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from flask import current_app
from sqlalchemy import Row, TextClause, text

from billing import wallets
from billing.models import SubscriptionCharge
from billing.renewal_terms import NextTerm, next_term, outcome_rows
from core.db import db
from membership import motions, subscription_notices
from membership.models import Subscription

BATCH = 1_000
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunResult:
    """What became of a batch. `examined` counts every due subscription it held; 0 means that none is left."""

    examined: int = 0
    renewed: int = 0
    past_due: int = 0
    ended: int = 0
    parked: int = 0  # could not be judged: logged, looked at again later

    def __add__(self, other: "RunResult") -> "RunResult":
        return RunResult(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


# `for no key update skip locked`: two runs share the work. A subscription whose member has an earlier one due that another
# run holds must wait (`must_wait`), so that several subscriptions of one wallet are always served in order.
_DUE = """
with due as materialized (
  select * from subscription s where s.state in ('trialing', 'active', 'past_due') and {which}
  order by s.term_end, s.member_id, s.started_at, s.id limit :most for no key update skip locked
)
select d.*, e.timezone, tax_rate_at(e.id, d.term_end) as tax_rate_bp, c.id as charge_id, c.motion as charge_motion, c.due_at, p.base_minor, p.seat_minor,
  q.base_minor as same_base_minor, q.seat_minor as same_seat_minor,
  (select count(*) from app_user u where u.member_id = d.member_id and u.seat_subscription_id = d.id) as seats_taken,
  l.name_zh || ' · ' || n.name_zh as name_zh, l.name_en || ' · ' || n.name_en as name_en,
  exists (select from subscription x where x.member_id = d.member_id and x.state in ('trialing', 'active', 'past_due') and x.next_attempt_at <= :at
    and (x.term_end, x.started_at, x.id) < (d.term_end, d.started_at, d.id) and x.id not in (select id from due y where y.member_id = d.member_id)) as must_wait
from due d
join member m on m.id = d.member_id join legal_entity e on e.id = m.entity_id
join product_line l on l.code = d.product_line join edition n on n.product_line = d.product_line and n.rank = coalesce(d.next_rank, d.rank)
left join subscription_charge c on c.member_id = d.member_id and c.subscription_id = d.id and c.state = 'unpaid' and c.term = d.term + 1
left join lateral ({price} and v.rank = coalesce(d.next_rank, d.rank) order by v.valid_from desc limit 1) p on true
left join lateral ({price} and v.rank = d.rank order by v.valid_from desc limit 1) q on true
order by d.member_id, d.term_end, d.started_at, d.id
"""
_PRICE = (
    "select v.base_minor, v.seat_minor from edition_price v where v.product_line = d.product_line and v.currency = d.currency"
    " and v.period = d.period and v.valid_from <= d.term_end"
)
_DUE_NOW = text(_DUE.format(which="s.next_attempt_at <= :at", price=_PRICE))
_DUE_OF_MEMBER = text(_DUE.format(which="s.member_id = :member and s.state = 'past_due'", price=_PRICE))

_UPDATE = text(
    "update subscription s set state = r.state, term = r.term, rank = r.rank, seats = r.seats, next_rank = r.next_rank, next_seats = r.next_seats,"
    " term_start = r.term_start, term_end = r.term_end, term_price_minor = r.term_price_minor, ended_at = r.ended_at,"
    " next_attempt_at = r.next_attempt_at, failed_attempts = r.failed_attempts"
    " from jsonb_to_recordset(cast(:rows as jsonb)) as r(member_id uuid, id uuid, state text, term bigint, rank bigint, seats bigint, next_rank bigint,"
    " next_seats bigint, term_start timestamptz, term_end timestamptz, term_price_minor bigint, ended_at timestamptz, next_attempt_at timestamptz,"
    " failed_attempts bigint) where s.member_id = r.member_id and s.id = r.id"
)
_CHARGES = text(
    "insert into subscription_charge (member_id, id, subscription_id, motion, term, currency, amount_minor, tax_minor, service_from, service_until,"
    " state, due_at, paid_at) select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(member_id uuid, id uuid, subscription_id uuid, motion text,"
    " term bigint, currency text, amount_minor bigint, tax_minor bigint, service_from timestamptz, service_until timestamptz, state text,"
    " due_at timestamptz, paid_at timestamptz)"
    " on conflict (member_id, id) do update set state = excluded.state, paid_at = excluded.paid_at, amount_minor = excluded.amount_minor,"
    " tax_minor = excluded.tax_minor"
)


def renew_due(at: datetime, limit: int = BATCH) -> RunResult:
    """Renew up to `limit` subscriptions that are due at `at`, within the caller's transaction; call it until `examined` is 0.

    Paid: the next term begins where the old one ended. Cancelled: it ends. Too little money: past due, told once, tried
    again until the days of grace are over; then it ends and the charge is void.
    """
    rows = db.session.execute(_DUE_NOW, {"at": at, "most": limit}).all()
    counts = _settle([row for row in rows if not row.must_wait], at)
    return RunResult(len(rows), **counts)


def pay_unpaid(member_id: uuid.UUID, *, at: datetime) -> int:
    """Pay what a member's subscriptions owe, the oldest first, as far as the wallet goes; returns how many are active again.

    Called in the transaction that brought money. One that a renewal run holds right now is left to it: it waits for the
    wallet, and sees the money.
    """
    rows = db.session.execute(_DUE_OF_MEMBER, {"at": at, "member": member_id, "most": BATCH}).all()
    return _settle(rows, at, only_paid=True)["renewed"]


def _settle(rows: Sequence[Row[Any]], at: datetime, *, only_paid: bool = False) -> Counter[str]:
    """Judge each row, charge what is to be charged in one call, and write everything down set by set."""
    db.session.flush()
    settings = current_app.extensions["settings"]
    coming = [next_term(row, at, timedelta(hours=settings.renewal_retry_hours), timedelta(days=settings.past_due_grace_days)) for row in rows]
    statuses = _charge([one for one in coming if one.is_charged], at)
    counts: Counter[str] = Counter(renewed=0, past_due=0, ended=0, parked=0)
    subscriptions, charges, moved, told, withdrawn = [], [], [], [], []
    for one in coming:
        result = statuses.get((one.row.member_id, one.charge_id))
        outcome = one.judge(result)
        if only_paid and outcome != "renewed":
            continue
        if outcome == "parked":
            log.error("renewal parked", subscription=str(one.row.id), status=result and result.status, has_price=one.has_price)
        counts[outcome] += 1
        written = outcome_rows(one, outcome, result, at)
        subscriptions.append(written.subscription)
        charges.extend(written.charges)
        moved.extend(written.motions)
        told.extend(written.notices)
        withdrawn.extend(written.withdrawn)
    _write(_UPDATE, subscriptions)
    _write(_CHARGES, charges)
    motions.record(moved)
    subscription_notices.withdraw(withdrawn, at=at)
    subscription_notices.tell_many(told)
    for read in [known for known in db.session if isinstance(known, Subscription | SubscriptionCharge)]:
        db.session.expire(read)  # what the session read of these rows is history
    return counts


def _charge(coming: Iterable[NextTerm], at: datetime) -> dict[tuple[uuid.UUID, uuid.UUID], wallets.ChargeResult]:
    """One call for the whole batch, which is in member order, and within a member in the order of terms."""
    requests = [one.charge_request(at) for one in coming]
    return {(result.member_id, result.id): result for result in wallets.charge_many(requests)} if requests else {}


def _write(statement: TextClause, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        db.session.execute(statement, {"rows": json.dumps(rows, default=str)})
