"""The term after the present one, as the renewal run will charge it: asked of the run's own SQL function (`next_terms`).

An increase that members can still be told of in time will hold; one that it is too late for, and that they were not told of, will not (decision 0026).
"""

import json
import uuid
from collections.abc import Iterable
from datetime import datetime

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import inspect, text

from core.db import db
from membership import contracts
from membership.catalogue import NoPrice
from membership.subscription_models import Subscription
from membership.subscriptions import NextTerm

_TERMS = text("""
select n.id, n.rank, n.seats, n.period, n.price_minor, n.tax_minor from next_terms(array(select t from as_told(
  array(select jsonb_populate_record(null::subscription, j) from jsonb_array_elements(cast(:rows as jsonb)) j), :at, :days) t)) n
""")


def of(rows: Iterable[Subscription], *, at: datetime) -> dict[uuid.UUID, NextTerm]:
    """What follows each, with one query. Rows that are not stored (yet) will do: a start or a change that somebody thinks of."""
    shown = list(rows)
    asked = [_plain(one) for one in shown if one.period != "once"]
    days = current_app.extensions["settings"].price_change_notice_days
    found = {row.id: row for row in db.session.execute(_TERMS, {"rows": json.dumps(asked, default=str), "at": at, "days": days})} if asked else {}
    return {one.id: _next(one, found.get(one.id)) for one in shown}


def after(subscription: Subscription, *, at: datetime) -> NextTerm:
    """What follows one. Raises NoPrice where that is not sold by then."""
    following = of([subscription], at=at)[subscription.id]
    if following.price_minor is None:
        raise NoPrice(_("This edition is not sold for this period."), field="period")
    return following


def copy_of(subscription: Subscription) -> Subscription:
    """The same row outside the session, to think of changes on."""
    return Subscription(**{column.key: getattr(subscription, column.key) for column in inspect(Subscription).column_attrs})


def _plain(one: Subscription) -> dict[str, object]:
    return {column.key: getattr(one, column.key) for column in inspect(Subscription).column_attrs}


def _next(one: Subscription, row: object) -> NextTerm:
    if row is None:  # bought for good: nothing follows
        return NextTerm(one.rank, one.seats, one.period, 0)
    values = {name: getattr(row, name) for name in ("rank", "seats", "period", "price_minor", "tax_minor")}
    return NextTerm(**values, is_instalment=contracts.is_instalment_next(one))
