"""Partners' shares become due once the refund window of their order is over and nobody claims money back (books, move 5, first part)."""

import json
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import text

from billing.revenue import partner_shares
from billing.revenue.partner_shares import Release
from core import clock
from core.db import SYSTEM, db, transaction
from core.passage import Step
from core.settings import Settings

BATCH = 1_000  # orders a transaction
_READY = """
select o.member_id, o.id, l.publisher_id, o.currency, o.at from store_order o join listing l on l.id = o.listing_id
join publisher p on p.id = l.publisher_id and p.kind = 'partner'
where o.total_minor > 0 and not exists (select from partner_release r where r.member_id = o.member_id and r.order_id = o.id)
  and not exists (select from refund_claim c where c.member_id = o.member_id and c.order_id = o.id and c.state in ('open', 'escalated', 'approving'))
"""
# Under the wallets' locks, in member order, so that neither a refund nor a claim comes in between.
_DUE = text(f"""
select x.member_id, x.id, x.publisher_id, x.currency, lock_wallet(x.member_id, x.currency, :at)
from ({_READY} and o.at <= :before order by o.member_id, o.id limit :most) x
""")  # noqa: S608 (made of constants)
# What was found is looked at once more: a statement sees what was committed until the locks were there.
_RELEASE = text(f"""
insert into partner_release (member_id, order_id, publisher_id, listing_id, currency, sold_at, total_minor, refunded_minor, tax_minor, commission_minor,
  share_minor, released_at, entry_id)
select s.member_id, s.charge_id, r.partner_id, o.listing_id, o.currency, o.at, s.charged_minor, s.charged_minor - s.open_minor, s.tax_minor,
  s.open_minor - s.tax_minor - s.share_minor, s.share_minor, :at, r.id
from unnest({partner_shares.SHARE_RELEASES}) r
join release_shares(array(select x from unnest({partner_shares.SHARE_RELEASES}) x join ({_READY}) y on y.member_id = x.member_id and y.id = x.charge_id
  order by x.member_id, x.charge_id), :at) s on s.member_id = r.member_id and s.charge_id = r.charge_id
join store_order o on o.member_id = s.member_id and o.id = s.charge_id
""")  # noqa: S608 (made of constants)
_OLDEST = text(f"select min(x.at) from ({_READY}) x")  # noqa: S608


def window() -> timedelta:
    """How long after its order a buyer can claim money back."""
    settings: Settings = current_app.extensions["settings"]
    return timedelta(days=settings.refund_window_days)


def release_due(at: datetime) -> int:
    """Let every share become due whose window is over by `at`; returns how many. A batch is one transaction: its wallets are locked, then all is written."""
    done = 0
    while True:
        with transaction(SYSTEM):
            found = db.session.execute(_DUE, {"before": at - window(), "at": at, "most": BATCH}).all()
            asked = [partner_shares.as_request(Release(row.member_id, row.id, row.publisher_id, row.currency)) for row in found]
            released = db.session.execute(_RELEASE, {"releases": json.dumps(asked), "at": at}).rowcount if asked else 0  # type: ignore[attr-defined]
        done += released
        if len(found) < BATCH or not released:
            return done


def release_due_now() -> int:
    """The repeated job."""
    return release_due(clock.now())


def _next_due() -> datetime | None:
    """The first midnight at which a window is over: once a day is often enough for a moving clock."""
    oldest: datetime | None = db.session.scalar(_OLDEST)
    return (oldest + window() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) if oldest else None


SHARES = Step("partners' shares", _next_due, release_due)
