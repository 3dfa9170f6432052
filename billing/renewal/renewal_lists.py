"""What finance sees of renewals: those to come and whether wallets cover them, those that are parked, and the runs with what they did."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select, text

from billing.renewal.renewal_models import RenewalRun, RenewalRunTotal
from billing.wallet import wallets
from core import audit
from core.db import db
from core.errors import NotFound
from core.settings import Settings
from membership.models import Member
from membership.subscription_models import Subscription

MOST = 50_000  # subscriptions that one forecast looks at, the earliest first
_DUE = text("""
select f.member_id, f.subscription_id, m.number, m.name, m.name_en, f.product_line, f.rank, f.seats, f.period, f.state, f.begins_at, f.price_minor,
  f.available_minor, f.lacking_minor, f.fault
from forecast_renewals(array(select t from as_told(array(
  select s from subscription s where s.state in ('trialing', 'active', 'past_due') and s.next_attempt_at <= :until and s.currency = :currency
  order by s.next_attempt_at, s.member_id limit :most), :at, :days) t), :order) f
join member m on m.id = f.member_id
where not f.is_cancelled order by f.begins_at, m.number, f.subscription_id
""")
_PARKED = text("""
select s.member_id, s.id as subscription_id, m.number, m.name, m.name_en, s.product_line, s.rank, s.period, s.term_end, s.parked_at, s.parked_reason
from subscription s join member m on m.id = s.member_id where s.parked_at is not null order by s.parked_at, s.id limit :most
""")
_TIE = text("""
select coalesce(sum(amount_minor), 0)::bigint from subscription_charge where run_id = :run and paid_at = :at and state = 'paid' and currency = :currency
""")
_CHARGES = text("""
select c.member_id, c.id, m.number, m.name, m.name_en, s.product_line, c.term, c.amount_minor, c.currency, c.service_from, c.service_until
from subscription_charge c join member m on m.id = c.member_id join subscription s on s.member_id = c.member_id and s.id = c.subscription_id
where c.run_id = :run and c.paid_at = :at and c.state = 'paid' order by m.number, c.id limit :most
""")


@dataclass(frozen=True, slots=True)
class Coming:
    """A renewal to come, at what it will cost; `lacking_minor` is what the wallet lacks for it after everything before it."""

    member_id: uuid.UUID
    subscription_id: uuid.UUID
    number: str
    name: str
    name_en: str | None
    product_line: str
    rank: int
    seats: int
    period: str
    state: str
    begins_at: datetime
    price_minor: int | None
    available_minor: int
    lacking_minor: int
    fault: str | None

    @property
    def is_covered(self) -> bool:
        """The wallet suffices today."""
        return not self.lacking_minor and self.fault is None


@dataclass(frozen=True, slots=True)
class Forecast:
    """Renewals until an instant, in one currency."""

    rows: list[Coming]
    is_whole: bool  # False: there are more than MOST

    @property
    def total_minor(self) -> int:
        """What they cost."""
        return sum(row.price_minor or 0 for row in self.rows)

    @property
    def lacking_minor(self) -> int:
        """What wallets lack for them."""
        return sum(row.lacking_minor for row in self.rows)

    @property
    def short(self) -> list[Coming]:
        """Those that wallets do not cover."""
        return [row for row in self.rows if not row.is_covered]


@dataclass(frozen=True, slots=True)
class Parked:
    """A subscription that could not be judged, and why."""

    member_id: uuid.UUID
    subscription_id: uuid.UUID
    number: str
    name: str
    name_en: str | None
    product_line: str
    rank: int
    period: str
    term_end: datetime
    parked_at: datetime
    parked_reason: str


@dataclass(slots=True)
class ShownRun:
    """A run and its totals by currency and outcome: (count, amount in minor units)."""

    run: RenewalRun
    totals: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many it judged."""
        return sum(count for by_outcome in self.totals.values() for count, _amount in by_outcome.values())


@dataclass(frozen=True, slots=True)
class Charged:
    """A charge that a run took."""

    member_id: uuid.UUID
    id: uuid.UUID
    number: str
    name: str
    name_en: str | None
    product_line: str
    term: int
    amount_minor: int
    currency: str
    service_from: datetime
    service_until: datetime


def _settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found


def coming(currency: str, days: int, *, at: datetime) -> Forecast:
    """The next renewal of every subscription that is due within `days`, what is past due included; increases that members can still be told of hold."""
    asked: dict[str, object] = {"currency": currency, "until": at + timedelta(days=days), "most": MOST, "at": at, "days": _settings().price_change_notice_days}
    asked["order"] = wallets.consumption_order()
    rows = [Coming(**row._mapping) for row in db.session.execute(_DUE, asked)]
    return Forecast(rows, len(rows) < MOST)


def parked(limit: int = 1_000) -> Sequence[Parked]:
    """Everything that is parked, the longest first."""
    return [Parked(**row._mapping) for row in db.session.execute(_PARKED, {"most": limit})]


def release(member_id: uuid.UUID, subscription_id: uuid.UUID, *, at: datetime) -> None:
    """Let a parked subscription go on: the next run looks at it. Raises NotFound for one that is not parked."""
    found = db.session.get(Subscription, (member_id, subscription_id), with_for_update={"key_share": True}, populate_existing=True)
    if found is None or found.parked_at is None:
        raise NotFound(_("This subscription is not parked."))
    before = {"parked_reason": found.parked_reason, "parked_at": found.parked_at.isoformat()}
    audit.record("renewal.release", subscription_id, at=at, member_id=member_id, before=before, after={"next_attempt_at": at.isoformat()})
    found.parked_at = found.parked_reason = None
    found.next_attempt_at = at
    db.session.flush()


def runs(limit: int = 50) -> list[ShownRun]:
    """The latest runs that found something to do."""
    found = db.session.scalars(select(RenewalRun).order_by(RenewalRun.started_at.desc(), RenewalRun.id).limit(limit)).all()
    return _with_totals(found)


def show_run(run_id: uuid.UUID) -> ShownRun:
    """One run. Raises NotFound."""
    run = db.session.get(RenewalRun, run_id)
    if run is None:
        raise NotFound(_("There is no such run."))
    return _with_totals([run])[0]


def _with_totals(found: Sequence[RenewalRun]) -> list[ShownRun]:
    shown = {run.id: ShownRun(run) for run in found}
    for total in db.session.scalars(select(RenewalRunTotal).where(RenewalRunTotal.run_id.in_(shown))):
        shown[total.run_id].totals.setdefault(total.currency, {})[total.outcome] = (total.count, total.amount_minor)
    return list(shown.values())


def charges_of(run: RenewalRun, limit: int = 100) -> Sequence[Charged]:
    """What a run charged, by member."""
    return [Charged(**row._mapping) for row in db.session.execute(_CHARGES, {"run": run.id, "at": run.at, "most": limit})]


def charged_minor(run: RenewalRun, currency: str) -> int:
    """The sum of the charges that carry the run's id: what its figure must tie to."""
    return db.session.scalar(_TIE, {"run": run.id, "at": run.at, "currency": currency}) or 0


def numbers_of(members: Iterable[uuid.UUID]) -> dict[uuid.UUID, tuple[str, str]]:
    """Number and name of members."""
    return {row.id: (row.number, row.name) for row in db.session.execute(select(Member.id, Member.number, Member.name).where(Member.id.in_(list(members))))}
