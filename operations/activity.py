"""What a member's people do: active users, days, time, breadth, trend. Computed from the daily rollups, for many members at once."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text

from core.db import db
from operations.models import Activity

FALLING_BP = -3_000  # user-days down by this much against the 28 days before
LEAST_BEFORE = 10  # user-days in the 28 days before, for a trend to mean anything
# Falling: down by the share above, and by more than two standard deviations of the difference of two counts (Poisson), so that chance is no cause.
FALLING = f"a.trend_bp <= {FALLING_BP} and power(a.user_days_prev_28 - a.user_days_28, 2) >= 4 * (a.user_days_prev_28 + a.user_days_28)"

# `days` holds one bit a day for one person, today's the lowest: 28 bits are this window, the next 28 the one before.
_WEEKS = ", ".join(f"sum(bit_count(cast((days >> {7 * week}) & 127 as bit(64))))" for week in reversed(range(8)))
_REFRESH = text(f"""
with today as (
  select m.id as member_id, cast(cast(:at as timestamptz) at time zone e.timezone as date) as day
  from member m join legal_entity e on e.id = m.entity_id where cast(:members as uuid[]) is null or m.id = any(cast(:members as uuid[]))
), used as (
  select u.member_id, u.user_ref, u.feature, u.is_automated, u.events, u.duration_ms, t.day - u.day as ago
  from today t join usage_daily u on u.member_id = t.member_id and u.day between t.day - 55 and t.day
), people as (
  select member_id, bit_or(1::bigint << ago) as days from used where not is_automated group by member_id, user_ref
), counted as (
  select member_id, count(*) filter (where days & 127 <> 0) as active_7, count(*) filter (where days & 268435455 <> 0) as active_28,
    count(*) filter (where days >> 28 <> 0) as active_prev_28, sum(bit_count(cast(days & 268435455 as bit(64)))) as user_days_28,
    sum(bit_count(cast(days >> 28 as bit(64)))) as user_days_prev_28, bit_count(cast(bit_or(days & 268435455) as bit(64))) as active_days_28,
    array[{_WEEKS}] as weeks
  from people group by member_id
), features as (
  select member_id, feature, is_automated, sum(events) as events, sum(duration_ms) as duration_ms
  from used where ago < 28 group by member_id, feature, is_automated
), work as (
  select member_id, coalesce(sum(duration_ms) filter (where not is_automated), 0) as duration_ms_28,
    coalesce(sum(events) filter (where not is_automated), 0) as events_28, coalesce(sum(events) filter (where is_automated), 0) as automated_28,
    count(*) filter (where not is_automated) as features_28,
    (array_agg(feature order by events desc, feature) filter (where not is_automated))[1] as top_feature
  from features group by member_id
)
insert into activity (member_id, day, active_7, active_28, active_prev_28, user_days_28, user_days_prev_28, active_days_28, weeks,
  duration_ms_28, events_28, automated_28, features_28, top_feature, trend_bp, computed_at)
select t.member_id, t.day, coalesce(active_7, 0), coalesce(active_28, 0), coalesce(active_prev_28, 0), coalesce(user_days_28, 0),
  coalesce(user_days_prev_28, 0), coalesce(active_days_28, 0), coalesce(weeks, '{{0,0,0,0,0,0,0,0}}'), coalesce(duration_ms_28, 0),
  coalesce(events_28, 0), coalesce(automated_28, 0), coalesce(features_28, 0), top_feature,
  (user_days_28 - user_days_prev_28) * 10000 / nullif(user_days_prev_28, 0), :at
from today t left join counted using (member_id) left join work using (member_id)
order by 1
on conflict (member_id) do update set (day, active_7, active_28, active_prev_28, user_days_28, user_days_prev_28, active_days_28, weeks,
    duration_ms_28, events_28, automated_28, features_28, top_feature, trend_bp, computed_at)
  = (excluded.day, excluded.active_7, excluded.active_28, excluded.active_prev_28, excluded.user_days_28, excluded.user_days_prev_28,
    excluded.active_days_28, excluded.weeks, excluded.duration_ms_28, excluded.events_28, excluded.automated_28, excluded.features_28,
    excluded.top_feature, excluded.trend_bp, excluded.computed_at)
""")  # noqa: S608 (made of constants)

_USE = text("""
with used as (
  select *, (cast(:day as date) - day) / 7 as week from usage_daily where member_id = :member and day between cast(:day as date) - 83 and :day
), parts as (
  select 'week' as part, cast(week as text) as name, * from used
  union all select 'feature', feature, * from used where week < 4
  union all select 'user', user_ref, * from used where week < 4
)
select part, name, coalesce(sum(events) filter (where not is_automated), 0), coalesce(sum(events) filter (where is_automated), 0),
  count(distinct (user_ref, day)) filter (where not is_automated), count(distinct user_ref) filter (where not is_automated),
  cast(coalesce(sum(duration_ms) filter (where not is_automated), 0) as bigint) / 60000, max(day)
from parts group by part, name order by part, 3 desc, 4 desc, name
""")
WEEKS = 12


@dataclass(frozen=True, slots=True)
class Use:
    """Use in one week, of one feature, or by one person; `automated` counts runs of automations, apart."""

    name: str
    events: int
    automated: int
    user_days: int
    users: int
    minutes: int
    last_day: date


@dataclass(frozen=True, slots=True)
class Figures:
    """The ratios of one member's activity. `people`: registered users or paid seats, whichever is more (never fewer than were active)."""

    row: Activity
    people: int

    @property
    def activation(self) -> float | None:
        """Active people of 28 days among all people."""
        return self.row.active_28 / self.people if self.people else None

    @property
    def per_day(self) -> float:
        """Mean number of people active on a day (DAU)."""
        return self.row.user_days_28 / 28

    @property
    def stickiness(self) -> float | None:
        """DAU / MAU: on how many of the 28 days an active person comes, as a ratio."""
        return self.per_day / self.row.active_28 if self.row.active_28 else None

    @property
    def days_ratio(self) -> float:
        """Days with any person active, of 28."""
        return self.row.active_days_28 / 28

    @property
    def minutes(self) -> int:
        """Online time of people in 28 days, whole minutes: the sum of the durations that events carry."""
        return self.row.duration_ms_28 // 60_000

    @property
    def depth(self) -> float | None:
        """Events a person makes on a day it is active."""
        return self.row.events_28 / self.row.user_days_28 if self.row.user_days_28 else None

    @property
    def trend(self) -> float | None:
        """Change of user-days against the 28 days before, as a ratio; None where there was too little before to compare with."""
        return None if self.row.trend_bp is None or self.row.user_days_prev_28 < LEAST_BEFORE else self.row.trend_bp / 10_000


def refresh(members: Sequence[uuid.UUID] | None = None, *, at: datetime) -> None:
    """Make the activity rows of these members (None: all) for the windows that end on the day of `at`; the caller's transaction."""
    db.session.execute(_REFRESH, {"members": None if members is None else list(members), "at": at})


def is_falling(row: Activity) -> bool:
    """Whether use fell by more than chance explains: the rule of `FALLING` for one row."""
    before, present = row.user_days_prev_28, row.user_days_28
    return row.trend_bp is not None and row.trend_bp <= FALLING_BP and (before - present) ** 2 >= 4 * (before + present)


def figures(row: Activity | None, people: int) -> Figures | None:
    """The ratios of a row; None while nothing was computed."""
    return Figures(row, max(people, row.active_28)) if row else None


@dataclass(frozen=True, slots=True)
class Uses:
    """One member's use: twelve weeks (oldest first, None before its first), and features and people of the last 28 days."""

    weeks: list[Use | None]
    features: list[Use]
    people: list[Use]


def uses(member_id: uuid.UUID, day: date) -> Uses:
    """Use of one member in the windows that end on `day`: one query."""
    parts: dict[str, list[Use]] = {"week": [], "feature": [], "user": []}
    for part, *values in db.session.execute(_USE, {"member": member_id, "day": day}):
        parts[part].append(Use(*values))
    by_week = {int(use.name): use for use in parts["week"]}
    return Uses([by_week.get(week) for week in reversed(range(WEEKS))], parts["feature"], parts["user"])
