"""How often a member's apps ran: their own runs in the store and those that the member's automations reported, as the events tell.

What a run saves is the publisher's figure (`Listing.minutes_saved`).
"""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import text

from core.db import db
from marketplace.license.app_runs import Runs

MONTH, YEAR = timedelta(days=30), timedelta(days=365)
_RUNS = text("""
select object, count(*) filter (where at > :month), count(*) from event
where member_id = :member and is_automated and feature = 'app' and action = 'run' and at > :year and at <= :at and object is not null
group by object
""")


def runs_of(member_id: uuid.UUID, at: datetime) -> dict[str, Runs]:
    """A member's runs up to `at`, by the slug of what ran. One query along an index of such events alone."""
    rows = db.session.execute(_RUNS, {"member": member_id, "at": at, "month": at - MONTH, "year": at - YEAR})
    return {slug: Runs(month, year) for slug, month, year in rows}
