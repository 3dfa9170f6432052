"""What a member is told before money is missing: that it has fallen below an amount the member named, and that bonus ends soon."""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from billing.top_up.top_up_models import BalanceWarning
from core.db import db
from membership import notices
from membership.models import Member

# In one statement: those that have come back above are armed again, those that have fallen below are marked and returned.
_TURN = text("""
update balance_warning b set told_at = case when v.available < b.threshold_minor then cast(:at as timestamptz) end
from (
  select x.member_id, case when w.next_expiry_at <= :at
      then (select x.paid_minor + x.bonus_minor - x.held_minor from wallet_at(w.member_id, w.currency, :at) x)
      else w.paid_minor + w.bonus_minor - w.held_minor end as available
  from balance_warning x join wallet w on w.member_id = x.member_id and w.currency = x.currency where x.threshold_minor is not null) v
where v.member_id = b.member_id and b.threshold_minor is not null and (v.available < b.threshold_minor) <> (b.told_at is not null)
returning b.member_id, b.currency, b.threshold_minor, v.available, b.told_at is not null
""")


def show(member_id: uuid.UUID) -> int | None:
    """Below which amount a member is told; None: not at all."""
    found = db.session.get(BalanceWarning, member_id)
    return found.threshold_minor if found else None


def set_threshold(member_id: uuid.UUID, threshold_minor: int | None, *, at: datetime) -> None:
    """Tell the member below this amount from now on; None: no more. Below it already: told at once."""
    member = db.session.get_one(Member, member_id)
    values = {"currency": member.currency, "threshold_minor": threshold_minor, "told_at": None, "set_at": at}
    db.session.execute(insert(BalanceWarning).values(member_id=member_id, **values).on_conflict_do_update(index_elements=["member_id"], set_=values))


def tell_due(*, at: datetime) -> int:
    """Tell those whose money has fallen; returns how many."""
    fallen = [row for row in db.session.execute(_TURN, {"at": at}) if row[4]]
    for member_id, currency, threshold, available, _told in fallen:
        details = {"threshold_minor": threshold, "available_minor": available, "currency": currency}
        notices.tell(member_id, "balance_low", details, at=at, key=f"balance_low:{at.isoformat()}")
    return len(fallen)


# Bonus that ends within the days, by member and end; what is held does not end.
_ENDING = text("""
select g.member_id, g.currency, g.expires_at, sum(g.remaining_minor - g.held_minor)::bigint as amount
from wallet w join wallet_grant g on g.member_id = w.member_id and g.currency = w.currency
where w.next_expiry_at <= :until and g.is_open and g.kind = 'bonus' and g.expires_at > :at and g.expires_at <= :until and g.remaining_minor > g.held_minor
  and not exists (select from notice n where n.member_id = g.member_id and n.kind = 'bonus_expiring'
    and (n.details ->> 'at')::timestamptz = g.expires_at and n.details ->> 'currency' = g.currency)
group by 1, 2, 3 order by 3, 1 limit :most
""")


def tell_of_ending_bonus(*, at: datetime, days: int, limit: int = 500) -> int:
    """Tell members whose bonus ends within `days`, once for each end; returns how many were told."""
    rows = db.session.execute(_ENDING, {"at": at, "until": at + timedelta(days=days), "most": limit}).all()
    for member_id, currency, ends_at, amount in rows:
        details = {"amount_minor": amount, "currency": currency, "at": ends_at.isoformat()}
        notices.tell(member_id, "bonus_expiring", details, at=at, key=f"bonus_expiring:{currency}:{ends_at.isoformat()}")
    return len(rows)
