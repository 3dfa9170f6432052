"""A member names an amount; when its available money falls below, it is told, once each time."""

import uuid
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from billing.top_up_models import BalanceWarning
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
