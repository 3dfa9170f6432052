"""Behaviour events: checked one by one, stored once, in any order and however late."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import text

from core.db import db
from core.texts import is_storable

AHEAD = timedelta(hours=1)  # a sender's clock may be that far ahead of ours
OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
DAY_MS = 24 * 3600 * 1000
LENGTHS = {"id": 100, "user": 200, "feature": 100, "action": 100, "object": 500}

# Marks are locked (`do update`) until the events are committed, in one order, after all events are written: see rollups.refresh.
_STORE = text("""
with new as (
  insert into event (member_id, id, user_ref, at, received_at, feature, action, object, duration_ms, is_automated)
  select member_id, id, user_ref, at, :received, feature, action, object, duration_ms, is_automated
  from unnest(cast(:members as uuid[]), cast(:ids as text[]), cast(:users as text[]), cast(:ats as timestamptz[]), cast(:features as text[]),
    cast(:actions as text[]), cast(:objects as text[]), cast(:durations as bigint[]), cast(:automated as boolean[]))
    as r(member_id, id, user_ref, at, feature, action, object, duration_ms, is_automated)
  on conflict (member_id, id) do nothing
  returning member_id, at
), stale as (
  insert into usage_stale (member_id, day)
  select distinct new.member_id, cast(new.at at time zone e.timezone as date) as day
  from new join member m on m.id = new.member_id join legal_entity e on e.id = m.entity_id
  order by 1, 2
  on conflict (member_id, day) do update set day = excluded.day
)
select count(*) from new
""")
_MEMBERS = text("select id, number from member where number = any(:names) or id = any(cast(:ids as uuid[]))")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not stored: its place in the batch, the field at fault, and what is wrong with it."""

    index: int
    field: str
    detail: str


@dataclass(slots=True)
class Receipt:
    """What became of a batch; `duplicates` were there before, or twice in it."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[Rejected] = field(default_factory=list)


class _Wrong(Exception):
    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name, self.detail = name, detail


Row = tuple[uuid.UUID, str, str, datetime, str, str, str | None, int, bool]


def ingest(events: Sequence[Any], own: uuid.UUID | None, *, at: datetime) -> Receipt:
    """Store a batch in the caller's transaction. `own`: the sending member; None for the vendor, whose events name their member.

    Good rows are stored whatever their neighbours are. The same id of the same member is stored once. Days that got events are marked stale.
    """
    receipt, rows = Receipt(), []
    members = _resolve(events, own)
    for index, event in enumerate(events):
        try:
            rows.append(_row(event, own, members, at))
        except _Wrong as wrong:
            receipt.rejected.append(Rejected(index, wrong.name, wrong.detail))
    if rows:
        rows.sort(key=lambda row: row[:2])  # concurrent batches meet in one order and never wait for each other in a circle
        columns = [list(column) for column in zip(*rows, strict=True)]
        names = ("members", "ids", "users", "ats", "features", "actions", "objects", "durations", "automated")
        receipt.accepted = db.session.execute(_STORE, {**dict(zip(names, columns, strict=True)), "received": at}).scalar_one()
        receipt.duplicates = len(rows) - receipt.accepted
    return receipt


def _resolve(events: Sequence[Any], own: uuid.UUID | None) -> dict[str, uuid.UUID]:
    """The members that the batch names, by number and by id; a member sees no other than itself."""
    named = {str(e["member"]) for e in events if isinstance(e, dict) and isinstance(e.get("member"), str)}
    named = {name for name in named if is_storable(name) and len(name) <= 100}
    if not named:
        return {}
    found: dict[str, uuid.UUID] = {}
    for member_id, number in db.session.execute(_MEMBERS, {"names": list(named), "ids": [i for name in named if (i := _uuid(name))]}):
        if own is None or own == member_id:
            found[number] = found[str(member_id)] = member_id
    return found


def _uuid(name: str) -> str | None:
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return None


def _row(event: Any, own: uuid.UUID | None, members: dict[str, uuid.UUID], at: datetime) -> Row:
    """One event as a row. Raises _Wrong. Written by hand: 5,000 of them must take a fraction of a second."""
    if not isinstance(event, dict):
        raise _Wrong("event", _("An event is an object."))
    member = own
    if event.get("member") is not None or own is None:
        name = event.get("member")
        member = members.get(name if name in members else _uuid(name) or "") if isinstance(name, str) else None
        if member is None:
            raise _Wrong("member", _("Give the number or id of a member you may write for."))
    assert member is not None
    duration, automated = event.get("duration_ms"), event.get("automated")
    if duration is None:
        duration = 0
    if type(duration) is not int or not 0 <= duration <= DAY_MS:
        raise _Wrong("duration_ms", _("Give whole milliseconds, from 0 to one day."))
    if automated is None:
        automated = False
    if type(automated) is not bool:
        raise _Wrong("automated", _("Give true or false."))
    thing = event.get("object")
    return (
        member, _text(event, "id"), _text(event, "user"), _instant(event.get("at"), at), _text(event, "feature"), _text(event, "action"),
        None if thing is None else _text(event, "object"), duration, automated,
    )  # fmt: skip


def _text(event: dict[str, Any], name: str) -> str:
    value, most = event.get(name), LENGTHS[name]
    if type(value) is not str or not 1 <= len(value) <= most or not is_storable(value):
        raise _Wrong(name, _("Give a text of 1 to %(most)s characters.", most=most))
    return value


def _instant(value: Any, at: datetime) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Wrong("at", _("Give a time like 2026-06-30T14:08:00+08:00.")) from None
    if instant.tzinfo is None:
        raise _Wrong("at", _("Give the offset from UTC, like 2026-06-30T14:08:00+08:00."))
    try:
        instant = instant.astimezone(UTC)
    except OverflowError:
        raise _Wrong("at", _("Give a time like 2026-06-30T14:08:00+08:00.")) from None
    if instant > at + AHEAD:
        raise _Wrong("at", _("This is more than an hour in the future."))
    if instant < OLDEST:
        raise _Wrong("at", _("Events before the year 2000 are not taken."))
    return instant
