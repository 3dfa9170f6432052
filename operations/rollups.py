"""Daily rollups of behaviour: made again from the events themselves for every day that got some, so that late ones count right."""

import uuid
from datetime import date, datetime

from sqlalchemy import text

from core.db import db
from operations import activity

BATCH = 2_000  # days of members at a time

_TAKE = text("""
delete from usage_stale s using (select member_id, day from usage_stale order by member_id, day limit :batch for update skip locked) t
where s.member_id = t.member_id and s.day = t.day
returning s.member_id, s.day
""")
_FORGET = text("""
delete from usage_daily u using unnest(cast(:members as uuid[]), cast(:days as date[])) t(member_id, day)
where u.member_id = t.member_id and u.day = t.day
""")
_COUNT = text("""
insert into usage_daily (member_id, day, user_ref, feature, is_automated, events, duration_ms, first_at, last_at)
select t.member_id, t.day, v.user_ref, v.feature, v.is_automated, count(*), sum(v.duration_ms), min(v.at), max(v.at)
from unnest(cast(:members as uuid[]), cast(:days as date[])) t(member_id, day)
join member m on m.id = t.member_id join legal_entity e on e.id = m.entity_id
join event v on v.member_id = t.member_id
  and v.at >= cast(t.day as timestamp) at time zone e.timezone and v.at < cast(t.day + 1 as timestamp) at time zone e.timezone
group by 1, 2, 3, 4, 5
""")
_MARK_ALL = text("""
insert into usage_stale (member_id, day)
select distinct v.member_id, cast(v.at at time zone e.timezone as date)
from event v join member m on m.id = v.member_id join legal_entity e on e.id = m.entity_id
order by 1, 2
on conflict (member_id, day) do update set day = excluded.day
""")


def refresh(limit: int = BATCH, *, at: datetime) -> list[tuple[uuid.UUID, date]]:
    """Make the rollups of up to `limit` stale days again, in the caller's transaction; returns them, none when all is fresh.

    Taking a mark waits for nobody: a mark that an ingest holds is left for the next time, and an ingest that meets a
    taken mark sets a new one after our commit. Days are those of the legal entity's time zone.
    """
    taken = [(row.member_id, row.day) for row in db.session.execute(_TAKE, {"batch": limit})]
    if taken:
        pairs = {"members": [member for member, _day in taken], "days": [day for _member, day in taken]}
        db.session.execute(_FORGET, pairs)
        db.session.execute(_COUNT, pairs)
        activity.refresh(sorted(set(pairs["members"])), at=at)
    return taken


def mark_all_stale() -> None:
    """Ask for every rollup to be made again: after a bulk load, or a change of a legal entity's time zone."""
    db.session.execute(_MARK_ALL)
