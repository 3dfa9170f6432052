"""Price changes: scheduled by finance with a date, held against the subscriptions that they are for, announced before they hold (renewal_notices.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import delete, select, text

from core import audit
from core.db import db
from core.errors import Conflict, Invalid, NotFound
from membership import catalogue
from membership.catalogue_models import EditionPrice


class AlreadyAnnounced(Conflict):
    """Members have been told of this price, or it is in force."""

    code = "already_announced"


@dataclass(frozen=True, slots=True)
class Change:
    """One list price from a date on; minor units, as the company that sells in this currency states prices by then."""

    product_line: str
    rank: int
    currency: str
    period: str
    valid_from: datetime
    base_minor: int
    seat_minor: int
    excludes_tax: bool = False  # tax comes on top


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change would do. ARR of the running subscriptions that it is for, before and after, once each has renewed at it."""

    subscriptions: int
    dearer: int  # to be announced
    committed: int  # their price is locked until their contract is over
    arr_before_minor: int
    arr_after_minor: int
    first_at: datetime | None  # the first renewal that can be at the new price
    old: EditionPrice | None

    @property
    def arr_change_minor(self) -> int:
        """What a year of them brings more (+) or less (−)."""
        return self.arr_after_minor - self.arr_before_minor


_EFFECT = text("""
select count(*) as subscriptions, count(*) filter (where s.committed_until > greatest(s.term_end, cast(:valid_from as timestamptz))) as committed,
  count(*) filter (where gross_of(:base + s.seats * :seat, e.rate_bp, :excludes_tax) > s.term_price_minor) as dearer,
  coalesce(sum(s.term_price_minor * terms_a_year(s.period)), 0)::bigint as arr_before_minor,
  coalesce(sum(gross_of(:base + coalesce(s.next_seats, s.seats) * :seat, e.rate_bp, :excludes_tax)
    * terms_a_year(coalesce(s.next_period, s.period))), 0)::bigint as arr_after_minor,
  min(s.term_end) filter (where s.term_end >= :valid_from) as first_at
from subscription s join member m on m.id = s.member_id join (select id, tax_rate_at(id, :valid_from) as rate_bp from legal_entity) e on e.id = m.entity_id
where s.product_line = :line and coalesce(s.next_rank, s.rank) = :rank and s.currency = :currency
  and coalesce(s.next_period, s.period) = :period and s.state in ('trialing', 'active', 'past_due', 'paused')
  and not (s.cancel_at_term_end and s.state <> 'trialing')
""")
_TOLD = text("""
select count(*) from price_notice n join subscription s on s.member_id = n.member_id and s.id = n.subscription_id
where n.valid_from = :valid_from and s.product_line = :line and s.currency = :currency
""")


def effect(change: Change) -> Effect:
    """What it would do to the subscriptions there are."""
    row = db.session.execute(_EFFECT, _names(change) | {"base": change.base_minor, "seat": change.seat_minor, "excludes_tax": change.excludes_tax}).one()
    return Effect(**row._mapping, old=_in_force(change))


def check(change: Change, *, at: datetime) -> None:
    """Raise Invalid or NotFound for a change that cannot be."""
    catalogue.edition(change.product_line, change.rank)
    if change.valid_from <= at:
        raise Invalid(_("A price begins at a later day: what has been sold keeps its price."), field="valid_from")
    if db.session.get(EditionPrice, (change.product_line, change.rank, change.currency, change.period, change.valid_from)) is not None:
        raise Invalid(_("A price from this day on is scheduled already. Take it back first."), field="valid_from")
    old = _in_force(change)
    if old is not None and (old.base_minor, old.seat_minor, old.excludes_tax) == (change.base_minor, change.seat_minor, change.excludes_tax):
        raise Invalid(_("This is the price already."), field="base")


def schedule(change: Change, *, at: datetime) -> EditionPrice:
    """Put a price on the list from its date on. Raises as `check` does."""
    check(change, at=at)
    price = EditionPrice(**{name: getattr(change, name) for name in change.__slots__})
    old = _in_force(change)
    audit.record("price.schedule", _subject(change), at=at, before=_stated(old) if old else None, after=_stated(change))
    db.session.add(price)
    db.session.flush()
    return price


def withdraw(line: str, rank: int, currency: str, period: str, valid_from: datetime, *, at: datetime) -> None:
    """Take a scheduled price back. Raises NotFound, and AlreadyAnnounced once a member was told or it holds."""
    price = db.session.get(EditionPrice, (line, rank, currency, period, valid_from))
    if price is None:
        raise NotFound(_("There is no such price."))
    told = db.session.scalar(_TOLD, {"valid_from": valid_from, "line": line, "currency": currency})
    if valid_from <= at or told:
        raise AlreadyAnnounced(_("This price is in force or has been announced. Schedule another one after it instead."))
    audit.record("price.withdraw", _subject(price), at=at, before=_stated(price))
    db.session.expunge(price)
    key = {"product_line": line, "rank": rank, "currency": currency, "period": period, "valid_from": valid_from}
    db.session.execute(delete(EditionPrice).filter_by(**key))


def listed(at: datetime) -> tuple[Sequence[EditionPrice], Sequence[EditionPrice]]:
    """Prices in force, and those to come."""
    found = db.session.scalars(
        select(EditionPrice).order_by(EditionPrice.product_line, EditionPrice.rank, EditionPrice.currency, EditionPrice.period, EditionPrice.valid_from)
    ).all()
    in_force = {(p.product_line, p.rank, p.currency, p.period): p for p in found if p.valid_from <= at}
    return list(in_force.values()), [p for p in found if p.valid_from > at]


def _in_force(change: Change) -> EditionPrice | None:
    """The price that holds just before it."""
    return db.session.scalar(
        select(EditionPrice)
        .filter_by(product_line=change.product_line, rank=change.rank, currency=change.currency, period=change.period)
        .where(EditionPrice.valid_from < change.valid_from)
        .order_by(EditionPrice.valid_from.desc())
        .limit(1)
    )


def _names(change: Change) -> dict[str, object]:
    return {"line": change.product_line, "rank": change.rank, "currency": change.currency, "period": change.period, "valid_from": change.valid_from}


def _stated(price: Change | EditionPrice) -> dict[str, int | bool]:
    stated: dict[str, int | bool] = {"base_minor": price.base_minor, "seat_minor": price.seat_minor}
    return stated | ({"excludes_tax": True} if price.excludes_tax else {})


def _subject(price: Change | EditionPrice) -> str:
    return f"{price.product_line}/{price.rank}/{price.currency}/{price.period}/{price.valid_from.isoformat()}"
