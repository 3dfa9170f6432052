"""Which tax rate holds when. A supply is taxed at the rate in force at its date; SQL asks `tax_rate_at(entity, at)`, Python asks `rate_at`."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from sqlalchemy import delete, select

from core import money
from core.actor import actor
from core.db import db
from core.errors import Invalid, NotFound
from core.memory import Memory
from membership.entity_models import LegalEntity, TaxRate

MEMORY_S = 60  # how long a process believes what it read; a new rate begins at least a day later, so memory is never wrong about the present
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate in basis points (600 = 6%) and its name, from an instant on."""

    valid_from: datetime
    rate_bp: int
    name_zh: str = "增值税"
    name_en: str = "VAT"
    prices_exclude_tax: bool = False  # how prices that begin while it holds are stated


Schedule = tuple[Rate, ...]  # the latest first; the last one has held since ever


def in_force(schedule: Schedule, at: datetime) -> Rate:
    """The rate of a schedule that holds at an instant."""
    return next(rate for rate in schedule if rate.valid_from <= at)


def gross_of(schedule: Schedule, stated_minor: int, excludes_tax: bool, at: datetime) -> int:
    """What is paid for a stated price at an instant: itself where tax is inside, else with tax on top. SQL: `gross_of`."""
    return money.gross_of(stated_minor, in_force(schedule, at).rate_bp) if excludes_tax else stated_minor


def rate_at(entity_id: uuid.UUID, at: datetime) -> int:
    """The rate that a legal entity charges at an instant, in basis points. Raises NotFound."""
    return in_force(schedule_of(entity_id), at).rate_bp


def prices_exclude_tax(currency: str, at: datetime) -> bool:
    """How a price that begins at an instant is stated. One list serves a currency: where several companies sell in it, the first one decides."""
    found = read(db.session.execute(RATES.where(LegalEntity.currency == currency)).all())
    return bool(found) and in_force(found[min(found)], at).prices_exclude_tax


def schedule_of(entity_id: uuid.UUID) -> Schedule:
    """All rates of a legal entity, those to come too. Raises NotFound."""
    found = read(db.session.execute(RATES.where(LegalEntity.id == entity_id)).all())
    if entity_id not in found:
        raise NotFound(_("There is no such legal entity."))
    return found[entity_id]


# One row a rate, the latest first; an entity without dated rates has one row.
RATES = (
    select(
        LegalEntity.id,
        LegalEntity.currency,
        LegalEntity.tax_rate_bp,
        LegalEntity.prices_exclude_tax.label("excluded_first"),
        TaxRate.valid_from,
        TaxRate.rate_bp,
        TaxRate.name_zh,
        TaxRate.name_en,
        TaxRate.prices_exclude_tax,
    )
    .outerjoin(TaxRate, TaxRate.entity_id == LegalEntity.id)
    .order_by(LegalEntity.id, TaxRate.valid_from.desc())
)


def read(rows: Sequence[Any]) -> dict[uuid.UUID, Schedule]:
    """The schedule of each entity among the rows of `RATES`."""
    found: dict[uuid.UUID, Schedule] = {}
    for row in rows:
        before = found.get(row.id, (Rate(BEGINNING, row.tax_rate_bp, prices_exclude_tax=row.excluded_first),))
        dated = (Rate(row.valid_from, row.rate_bp, row.name_zh, row.name_en, row.prices_exclude_tax),) if row.valid_from else ()
        found[row.id] = (*before[:-1], *dated, before[-1])
    return found


@dataclass(frozen=True, slots=True)
class _Known:
    """By currency the schedule of the one entity that sells in it, or None where several do and only the member tells which."""

    until: datetime  # of the product's own time, which may run faster than real time
    schedules: Mapping[str, Schedule | None]


_memory = Memory[_Known](MEMORY_S, lambda: _Known(BEGINNING, {}))


def remembered(currency: str, at: datetime) -> int | None:
    """The rate of the one seller in a currency, without asking the database; None where memory does not serve."""
    known = _memory.believed()
    schedule = known.schedules.get(currency) if known is not None and at < known.until else None
    return in_force(schedule, at).rate_bp if schedule else None


def refresh(at: datetime) -> None:
    """Read every schedule into memory. It serves for MEMORY_S of real time and of the product's own."""
    looked_at, rows = monotonic(), db.session.execute(RATES).all()
    schedules, by_currency = read(rows), dict[str, Schedule | None]()
    for currency, entity_id in sorted({(row.currency, row.id) for row in rows}):
        schedule = schedules[entity_id]
        by_currency[currency] = schedule if by_currency.get(currency, schedule) == schedule else None
    _memory.keep(_Known(at + timedelta(seconds=MEMORY_S), by_currency), looked_at)


def forget() -> None:
    """Let the next reader ask the database."""
    _memory.forget()


def begins_at(entity_id: uuid.UUID, first_day: date, at: datetime) -> datetime:
    """The instant at which a rate of a day begins, in the entity's own calendar. Raises NotFound, and Invalid for a day that has begun or nearly so."""
    entity = db.session.get(LegalEntity, entity_id)
    if entity is None:
        raise NotFound(_("There is no such legal entity."))
    zone = ZoneInfo(entity.timezone)
    if first_day <= at.astimezone(zone).date():
        raise Invalid(_("A new rate can begin tomorrow at the earliest: what was charged today keeps its rate."), field="first_day")
    starts = datetime.combine(first_day, day_time(), zone).astimezone(UTC)
    if starts - at < timedelta(seconds=2 * MEMORY_S):  # every process must have heard of it by then
        raise Invalid(_("It is almost midnight: choose a later day."), field="first_day")
    return starts


def add_rate(entity_id: uuid.UUID, first_day: date, rate_bp: int, names: tuple[str, str], *, at: datetime, prices_exclude_tax: bool | None = None) -> TaxRate:
    """Charge another rate, or state new prices another way, from the start of a day of the entity's own calendar on.

    `prices_exclude_tax`: None keeps to the way in which prices are stated by then. Raises Invalid for a day that has begun or is taken, NotFound."""
    starts = begins_at(entity_id, first_day, at)
    if db.session.get(TaxRate, (entity_id, starts)):
        raise Invalid(_("A rate begins on this day already."), field="first_day")
    if prices_exclude_tax is None:
        prices_exclude_tax = in_force(schedule_of(entity_id), starts).prices_exclude_tax
    added = TaxRate(
        entity_id=entity_id, valid_from=starts, name_zh=names[0], name_en=names[1], rate_bp=rate_bp, prices_exclude_tax=prices_exclude_tax,
        set_at=at, set_by=actor().user_id,
    )  # fmt: skip
    db.session.add(added)
    db.session.flush()
    return added


def take_back(entity_id: uuid.UUID, valid_from: datetime, *, at: datetime) -> None:
    """Drop a rate that has not begun. Raises NotFound, and Invalid for one that has."""
    found = db.session.get(TaxRate, (entity_id, valid_from))
    if found is None:
        raise NotFound(_("There is no such rate."))
    if valid_from - at < timedelta(seconds=2 * MEMORY_S):
        raise Invalid(_("This rate is in force: documents name it. Add a new one instead."))
    db.session.execute(delete(TaxRate).where(TaxRate.entity_id == entity_id, TaxRate.valid_from == valid_from))
