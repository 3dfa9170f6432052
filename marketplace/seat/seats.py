"""Seats of a licence (decision 0060): who holds one, and the one place that decides whether somebody may use what is licensed by seats.

A seat is held by a person of the member or by a machine, whose key counts like a person. There are never more holders than seats: whoever gives
one away holds the licence's lock.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, func, or_, select, update

from core.actor import Actor
from core.db import db
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.ids import new_id
from marketplace.license import license_terms
from marketplace.license.license_models import License
from marketplace.seat.seat_models import LicenseSeat
from marketplace.store.listing_models import Listing
from membership import notices
from membership.models import ApiKey, User
from membership.users import NoSeatFree

One = TypeVar("One", User, ApiKey)


class NoSeat(Forbidden):
    """The licence is per seat, and whoever asks holds none; a machine's key needs one of its own."""

    code = "no_seat"


class NotPerSeat(Conflict):
    """The licence is for the whole member, or has ended: it has no seats to give."""

    code = "not_per_seat"


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who holds a seat, or could. `email` of a machine is the beginning of its key."""

    id: uuid.UUID
    kind: str  # user | api_key
    name: str
    email: str
    role: str
    assigned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seats:
    """The seats of a licence: how many, how many from the next term on (None: as many), and who holds one."""

    seats: int
    next_seats: int | None
    holders: Sequence[Holder]

    @property
    def taken(self) -> int:
        """How many are held."""
        return len(self.holders)

    @property
    def free(self) -> int:
        """How many can be given away."""
        return max(0, self.seats - self.taken)


def holds(license: License, acting: Actor) -> bool:
    """May this actor use what the licence opens, as far as seats go? Our own jobs and licences of the whole member need none."""
    if license.seats is None or acting.kind != "member":
        return True
    holder_id = acting.user_id or acting.api_key_id
    return db.session.scalar(select(LicenseSeat.id).where(*_open(license.member_id, license.id), _held_by([holder_id] if holder_id else []))) is not None


def check(license: License, acting: Actor) -> None:
    """Raises NoSeat."""
    if not holds(license, acting):
        words = _("This app is licensed by seats, and you hold none. An owner or a buyer of your organisation can give you one.")
        raise NoSeat(words, license_id=str(license.id))


def held_by(acting: Actor, license_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Those of these licences of which the actor holds a seat."""
    if not license_ids:
        return set()
    holder_id = acting.user_id or acting.api_key_id
    of_actor = (LicenseSeat.member_id == acting.member, LicenseSeat.license_id.in_(license_ids), LicenseSeat.released_at.is_(None))
    return set(db.session.scalars(select(LicenseSeat.license_id).where(*of_actor, _held_by([holder_id] if holder_id else []))))


def taken(member_id: uuid.UUID, license_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """How many seats of each of these licences are held; licences without holders are left out."""
    if not license_ids:
        return {}
    rows = db.session.execute(
        select(LicenseSeat.license_id, func.count())
        .where(LicenseSeat.member_id == member_id, LicenseSeat.license_id.in_(license_ids), LicenseSeat.released_at.is_(None))
        .group_by(LicenseSeat.license_id)
    )
    return {row[0]: int(row[1]) for row in rows}


def show(license: License) -> Seats:
    """A licence's seats with their holders, the first who got one first. Raises NotPerSeat."""
    if license.seats is None:
        raise no_seats()
    rows = db.session.execute(
        select(LicenseSeat, User, ApiKey)
        .outerjoin(User, User.id == LicenseSeat.user_id)
        .outerjoin(ApiKey, ApiKey.id == LicenseSeat.api_key_id)
        .where(*_open(license.member_id, license.id))
        .order_by(LicenseSeat.assigned_at, LicenseSeat.id)
    )
    return Seats(license.seats, license.next_seats, [_holder(user or key, seat.assigned_at) for seat, user, key in rows])


def candidates(license: License, found: Seats) -> list[Holder]:
    """Who could be given a seat: the team and the machines, without those who hold one."""
    have = {one.id for one in found.holders}
    people = db.session.scalars(select(User).where(User.member_id == license.member_id, User.disabled_at.is_(None)).order_by(User.name, User.email)).all()
    machines = db.session.scalars(
        select(ApiKey).where(ApiKey.member_id == license.member_id, ApiKey.revoked_at.is_(None)).order_by(ApiKey.name, ApiKey.created_at)
    ).all()
    return [one for one in (*map(_holder, people), *map(_holder, machines)) if one.id not in have]


def assign(member_id: uuid.UUID, license_id: uuid.UUID, holder_id: uuid.UUID, *, at: datetime, by: uuid.UUID | None) -> License:
    """Give a person or a machine of the member a seat; who has one keeps it. Raises NotFound, NotPerSeat, NoSeatFree, Invalid."""
    license = license_terms.locked(member_id, license_id)
    if license.seats is None or license.state == "ended":
        raise no_seats()
    holder = _locked_holder(member_id, holder_id)
    if holder_id in _holder_ids(license):
        return license
    if len(_holder_ids(license)) >= license.seats:
        raise NoSeatFree(_("All %(seats)s seats are taken. Release one, or add seats.", seats=license.seats), field="holder")
    of_user = isinstance(holder, User)
    _give(license, holder_id if of_user else None, None if of_user else holder_id, at, by)
    db.session.flush()
    return license


def release(member_id: uuid.UUID, license_id: uuid.UUID, holder_id: uuid.UUID, *, at: datetime, by: uuid.UUID | None) -> License:
    """Take a seat back; it is free at once. Who holds none loses none. Raises NotFound, NotPerSeat."""
    license = license_terms.locked(member_id, license_id)
    if license.seats is None:
        raise no_seats()
    _find(member_id, holder_id)
    _release(_open(member_id, license_id), [holder_id], at, by)
    return license


def release_all_of(member_id: uuid.UUID, holder_id: uuid.UUID, at: datetime) -> None:
    """Somebody has left: its seats are free at once (a listener of `membership.leaving`)."""
    _release((LicenseSeat.member_id == member_id, LicenseSeat.released_at.is_(None)), [holder_id], at, None)


def fit(license: License, listing: Listing, *, at: datetime) -> None:
    """There are fewer seats than before: who got one last loses it, and the member is told. The caller holds the licence's lock."""
    found = show(license)
    losing = found.holders[found.seats :]
    if not losing:
        return
    _release(_open(license.member_id, license.id), [one.id for one in losing], at, None)
    names = [one.name for one in losing]
    details = {"name_zh": listing.name_zh, "name_en": listing.name_en, "license_id": str(license.id), "seats": found.seats, "names": names}
    notices.tell(license.member_id, "license_seats_lost", details, at=at, key=f"license_seats_lost:{license.id}:{at.isoformat()}")


def begin(license: License, count: int, *, at: datetime, by: uuid.UUID | None) -> None:
    """The seats of a licence that was just bought, or is tried: who held a seat of the trial or licence before holds one again, the first who got one
    first; then the person who buys, where a seat is left."""
    license.seats = count
    db.session.flush()
    had = db.session.scalars(
        select(LicenseSeat)
        .join(License, (License.member_id == LicenseSeat.member_id) & (License.id == LicenseSeat.license_id))
        .where(License.member_id == license.member_id, License.listing_id == license.listing_id, License.state == "ended", LicenseSeat.released_at.is_(None))
        .order_by(LicenseSeat.assigned_at, LicenseSeat.id)
    ).all()
    for seat in had:
        seat.released_at = at
    holders = list(dict.fromkeys((seat.user_id, seat.api_key_id) for seat in had))
    if by is not None and (by, None) not in holders:
        holders.append((by, None))
    for user_id, api_key_id in holders[:count]:
        _give(license, user_id, api_key_id, at, by)
    db.session.flush()


def _give(license: License, user_id: uuid.UUID | None, api_key_id: uuid.UUID | None, at: datetime, by: uuid.UUID | None) -> None:
    db.session.add(
        LicenseSeat(
            member_id=license.member_id, id=new_id(), license_id=license.id, user_id=user_id, api_key_id=api_key_id, assigned_at=at, assigned_by=by,
            released_at=None, released_by=None,
        )
    )  # fmt: skip


def _open(member_id: uuid.UUID, license_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return (LicenseSeat.member_id == member_id, LicenseSeat.license_id == license_id, LicenseSeat.released_at.is_(None))


def _held_by(holder_ids: Sequence[uuid.UUID]) -> ColumnElement[bool]:
    return or_(LicenseSeat.user_id.in_(holder_ids), LicenseSeat.api_key_id.in_(holder_ids))


def _holder_ids(license: License) -> set[uuid.UUID]:
    held = select(func.coalesce(LicenseSeat.user_id, LicenseSeat.api_key_id)).where(*_open(license.member_id, license.id))
    return set(db.session.scalars(held))


def _release(which: tuple[ColumnElement[bool], ...], holder_ids: Sequence[uuid.UUID], at: datetime, by: uuid.UUID | None) -> None:
    db.session.execute(update(LicenseSeat).where(*which, _held_by(holder_ids)).values(released_at=at, released_by=by))


def _find(member_id: uuid.UUID, holder_id: uuid.UUID) -> User | ApiKey:
    """A person or a key of the member, locked: it cannot leave meanwhile. Raises NotFound for anybody else's."""
    found = _locked(User, member_id, holder_id) or _locked(ApiKey, member_id, holder_id)
    if found is None:
        raise NotFound(_("There is no such person or key in your organisation."))
    return found


def _locked(table: type[One], member_id: uuid.UUID, holder_id: uuid.UUID) -> One | None:
    query = select(table).where(table.id == holder_id, table.member_id == member_id)
    return db.session.scalar(query.with_for_update().execution_options(populate_existing=True))


def _locked_holder(member_id: uuid.UUID, holder_id: uuid.UUID) -> User | ApiKey:
    holder = _find(member_id, holder_id)
    if isinstance(holder, User) and holder.disabled_at is not None:
        raise Invalid(_("This person is shut out; let them in first."), field="holder")
    if isinstance(holder, ApiKey) and holder.revoked_at is not None:
        raise Invalid(_("This key is revoked."), field="holder")
    return holder


def _holder(one: User | ApiKey, assigned_at: datetime | None = None) -> Holder:
    if isinstance(one, User):
        return Holder(one.id, "user", one.name, one.email, one.role, assigned_at)
    return Holder(one.id, "api_key", one.name, f"{one.prefix}…", one.role, assigned_at)


def no_seats() -> NotPerSeat:
    """What to say of a licence that has no seats."""
    return NotPerSeat(_("This licence has no seats to give: it is for your whole organisation, or has ended."))
