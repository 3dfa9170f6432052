"""The terms of a recurring licence: begun with the purchase, prolonged by `license_renewals`, ended by its member at the term's end."""

import uuid
from datetime import datetime

from flask_babel import gettext as _

from core.db import db
from core.errors import Conflict, NotFound
from marketplace.license.license_models import License
from marketplace.order.pricing import Offered
from membership import subscriptions, terms


class NotRenewing(Conflict):
    """This licence has no term to renew or to end."""

    code = "not_renewing"


def begin(member_id: uuid.UUID, license_id: uuid.UUID, bought: Offered, *, at: datetime) -> None:
    """Give a licence that was just bought its first term, and keep what was agreed to: later terms cost the same, with the tax of their day on top
    where the price was stated without."""
    assert bought.period is not None
    timezone = subscriptions.seller_of(member_id).timezone
    license = locked(member_id, license_id)
    license.period, license.price_minor, license.excludes_tax = bought.period, bought.price_minor, bought.excludes_tax
    license.commission_bp, license.tax_rate_bp, license.bonus_limit_bp = bought.commission_bp, bought.tax_rate_bp, bought.bonus_limit_bp
    license.anchor_day, license.auto_renews = terms.local_day(at, timezone).day, True
    license.ends_at = license.next_attempt_at = terms.term_end(at, bought.period, license.anchor_day, timezone)
    db.session.flush()


def term_start(license: License, timezone: str) -> datetime:
    """When the running term of a recurring licence began, as the first instant of that day."""
    assert license.period is not None
    assert license.ends_at is not None
    assert license.anchor_day is not None
    last = terms.local_day(license.ends_at, timezone)
    return terms.start_of_day(terms.add_months(last, -terms.MONTHS[license.period], license.anchor_day), timezone)


def cancel(member_id: uuid.UUID, license_id: uuid.UUID, *, at: datetime) -> License:
    """Let it end with its term; one that is suspended ends at once. Doing it twice changes nothing. Raises NotFound, NotRenewing."""
    license = locked(member_id, license_id)
    _must_have_a_term(license)
    license.auto_renews = False
    if license.state == "suspended":
        end(license, at)
    db.session.flush()
    return license


def resume(member_id: uuid.UUID, license_id: uuid.UUID) -> License:
    """Take a cancellation back before the term ends. Doing it twice changes nothing. Raises NotFound, NotRenewing."""
    license = locked(member_id, license_id)
    _must_have_a_term(license)
    license.auto_renews = True
    db.session.flush()
    return license


def end(license: License, at: datetime) -> None:
    """The licence is over; what was downloaded stays with the member."""
    license.state, license.next_attempt_at, license.suspended_at, license.auto_renews = "ended", None, None, False
    license.ends_at = min(license.ends_at or at, at)


def locked(member_id: uuid.UUID, license_id: uuid.UUID) -> License:
    """A member's licence, held until the transaction ends: the renewal job waits. Raises NotFound."""
    found = db.session.get(License, (member_id, license_id), with_for_update={"key_share": True}, populate_existing=True)
    if found is None:
        raise NotFound(_("You have no such licence."))
    return found


def _must_have_a_term(license: License) -> None:
    if license.period is None or license.state == "ended":
        raise NotRenewing(_("This licence does not renew."))
