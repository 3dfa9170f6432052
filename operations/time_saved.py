"""How often a member's apps ran: their own runs in the store and those that the member's automations reported, as the events tell.

What a run saves is the publisher's figure (`Listing.minutes_saved`).
"""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import func, select, text

from core.db import db
from marketplace.license import app_runs, licenses
from marketplace.license.app_runs import Runs
from marketplace.license.licenses import Owned
from marketplace.store.listing_models import Listing
from operations.models import IS_APP_RUN, Event

MONTH, YEAR = timedelta(days=30), timedelta(days=365)
_IS_RUN = text(IS_APP_RUN)


def runs_of(member_id: uuid.UUID, at: datetime) -> dict[str, Runs]:
    """A member's runs up to `at`, by the slug of what ran. One query along an index of such events alone."""
    rows = db.session.execute(
        select(Event.object, func.count().filter(Event.at > at - MONTH), func.count())
        .where(Event.member_id == member_id, _IS_RUN, Event.at > at - YEAR, Event.at <= at, Event.object.is_not(None))
        .group_by(Event.object)
    )
    return {str(slug): Runs(month, year) for slug, month, year in rows}


def apps_of(member_id: uuid.UUID, at: datetime) -> list[tuple[Owned, int | None]]:
    """A member's apps, the latest first, each with the minutes that it saved in 30 days. One query."""
    month = select(func.count()).where(Event.member_id == member_id, _IS_RUN, Event.at > at - MONTH, Event.at <= at, Event.object == Listing.slug)
    rows = db.session.execute(licenses.select_owned(member_id).add_columns(month.correlate(Listing).scalar_subquery())).all()
    owned = [Owned(license, listing, order) for license, listing, order, _n in rows]
    saved = app_runs.minutes_saved(owned, {listing.slug: n for _license, listing, _order, n in rows if n})
    return [(one, saved[one.license.id]) for one in owned]
