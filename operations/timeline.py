"""What happened with a member, in one line of time: contracts, money in, orders, offers, and notices that say something new."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from core.db import db

# Notices that only repeat an entry of another kind are left out.
_HAPPENED = text("""
select * from (
  (select at, 'motion' as part, motion as kind, amount_minor, currency, cast(null as text) as name_zh, cast(null as text) as name_en,
     cast(null as text) as note, cast(null as jsonb) as details
   from subscription_history where member_id = :member order by at desc limit :limit)
  union all
  (select coalesce(settled_at, created_at), 'top_up', state, amount_minor, currency, null, null, coalesce(failure, method), null
   from top_up where member_id = :member order by created_at desc limit :limit)
  union all
  (select o.at, 'order', o.state, o.total_minor, o.currency, l.name_zh, l.name_en, null, null
   from store_order o join listing l on l.id = o.listing_id where o.member_id = :member order by o.at desc limit :limit)
  union all
  (select o.sent_at, 'offer', 'sent', o.price_minor, l.currency, l.name_zh, l.name_en, o.csm_name, null
   from offer o join listing l on l.id = o.listing_id where o.member_id = :member order by o.sent_at desc limit :limit)
  union all
  (select o.decided_at, 'offer', o.state, null, l.currency, l.name_zh, l.name_en, o.refusal, null
   from offer o join listing l on l.id = o.listing_id where o.member_id = :member and o.decided_at is not null order by o.decided_at desc limit :limit)
  union all
  (select at, 'notice', kind, null, null, null, null, null, details
   from notice where member_id = :member and kind in ('subscription_past_due', 'bonus_expiring') order by at desc limit :limit)
) happened order by at desc, part limit :limit
""")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `part` says where: motion, top_up, order, offer or notice; `kind` what."""

    at: datetime
    part: str
    kind: str
    amount_minor: int | None
    currency: str | None
    name_zh: str | None
    name_en: str | None
    note: str | None
    details: dict[str, Any] | None


def of_member(member_id: uuid.UUID, limit: int = 30) -> list[Entry]:
    """The latest entries of a member, newest first. One query."""
    return [Entry(*row) for row in db.session.execute(_HAPPENED, {"member": member_id, "limit": limit})]
