"""What each part of a member's page holds, in one line: phones show the parts folded, and the line says whether to open one."""

import uuid
from collections.abc import Collection, Sequence

from flask_babel import gettext as _
from flask_babel import ngettext

from core.formats import date, local, money, number, signed_percent, span
from marketplace.license.licenses import Owned
from membership.catalogue_models import Edition
from membership.subscription_models import Subscription
from operations import words
from operations.offers import Shown
from operations.repetition import Toil
from operations.timeline import Entry
from operations.worklist import Snapshot


def routines(found: Sequence[Toil], settled: Collection[uuid.UUID]) -> str:
    """How many, and what apps would save that are neither owned nor offered (`settled`)."""
    if not found:
        return str(_("none found"))
    minutes = sum(toil.minutes_saved_a_month for toil in found if toil.listing and toil.listing.id not in settled)
    told = [ngettext("%(num)s routine", "%(num)s routines", len(found))]
    return _joined(*told, _("an app would save %(time)s a month", time=span(minutes)) if minutes else None)


def offers(sent: Sequence[Shown]) -> str:
    """How many wait for an answer, and how many there were."""
    if not sent:
        return str(_("none yet"))
    waiting = sum(one.is_open for one in sent)
    return _joined(ngettext("%(num)s waits for an answer", "%(num)s wait for an answer", waiting) if waiting else None, _("%(num)s in all", num=len(sent)))


def use(member: Snapshot) -> str:
    """On how many days people were active, and where it goes."""
    figures = member.figures
    if figures is None:
        return str(_("none yet"))
    trend = None if figures.trend is None else signed_percent(figures.trend, 0)
    return _joined(_("active on %(days)s of 28 days", days=number(figures.row.active_days_28)), trend)


def contract(member: Snapshot, subscriptions: Sequence[tuple[Subscription, Edition]]) -> str:
    """What is unpaid, and what runs until when."""
    running = [
        _("%(edition)s until %(day)s", edition=f"{one.product_line.upper()} {local(edition)}", day=date(one.term_end))
        for one, edition in subscriptions
        if one.state != "ended"
    ]
    unpaid = _("%(amount)s unpaid", amount=money(member.unpaid_minor, member.currency)) if member.unpaid_minor else None
    return _joined(unpaid, *(running or [_("no subscription")]))


def apps(owned: Sequence[tuple[Owned, int | None]]) -> str:
    """How many, and what they saved in 30 days."""
    if not owned:
        return str(_("none yet"))
    minutes = sum(saved or 0 for _one, saved in owned)
    return _joined(ngettext("%(num)s app", "%(num)s apps", len(owned)), _("%(time)s saved in 30 days", time=span(minutes)) if minutes else None)


def timeline(happened: Sequence[Entry]) -> str:
    """What happened last."""
    return _joined(date(happened[0].at), words.title(happened[0])) if happened else str(_("none yet"))


def people(number_of_users: int) -> str:
    """How many."""
    return str(ngettext("%(num)s person", "%(num)s people", number_of_users)) if number_of_users else str(_("none yet"))


def _joined(*said: str | None) -> str:
    return " · ".join(str(one) for one in said if one)
