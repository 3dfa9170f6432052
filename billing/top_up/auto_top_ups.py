"""Wallets that top themselves up: below a threshold the saved card is charged, within a cap a calendar month, and never twice at once.

Nothing here is on the way of a purchase: a sweep looks at the wallets that asked for it every few seconds. What it begins is an ordinary
top-up by card, so the webhook settles it and the sweep of top-ups repairs it. An attempt whose outcome is unknown counts like one that
succeeded, and nothing new is begun while one is on its way.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from billing.ledger.ledger_queries import Entity, entity_for
from billing.payment import payment_methods
from billing.payment.payment_models import PaymentMethod
from billing.top_up import top_ups
from billing.top_up.top_up_models import AutoTopUp, TopUp
from core.db import db
from core.errors import AppError, Conflict, Invalid
from core.formats import money
from core.ids import derived
from core.settings import Settings
from membership import notices
from membership.models import Member


class NotStopped(Conflict):
    """There is nothing to switch on again."""

    code = "not_stopped"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an owner agrees to. Amounts in minor units of the member's currency; `payment_method_id` None: the default card."""

    threshold_minor: int
    amount_minor: int
    cap_minor: int
    payment_method_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the vendor has set for all: how soon again, how soon after a failure, and how many failures in a row."""

    interval: timedelta
    retry: timedelta
    max_failures: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member's automatic top-ups stand. `used_minor`: this month's, those of unknown outcome counted."""

    used_minor: int
    failures: int
    last_at: datetime | None
    last_state: str | None
    month_ends_at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do now: charge, wait (until `next_at`), capped (until then), or stop."""

    verb: str
    next_at: datetime


def limits() -> Limits:
    """The vendor's settings."""
    given: Settings = current_app.extensions["settings"]
    return Limits(timedelta(minutes=given.auto_top_up_interval_minutes), timedelta(minutes=given.auto_top_up_retry_minutes), given.auto_top_up_max_failures)


def judge(terms: Terms, standing: Standing, given: Limits, *, at: datetime) -> Verdict:
    """May the card be charged now? Asked for a wallet that is below its threshold and has nothing on its way."""
    if standing.failures >= given.max_failures:
        return Verdict("stop", at)
    if standing.last_at is not None:
        wait = max(given.interval, given.retry) if standing.last_state == "failed" else given.interval
        if standing.last_at + wait > at:
            return Verdict("wait", standing.last_at + wait)
    if standing.used_minor + terms.amount_minor > terms.cap_minor:
        return Verdict("capped", standing.month_ends_at)
    return Verdict("charge", at + given.interval)


def show(member_id: uuid.UUID) -> AutoTopUp | None:
    """The member's standing order, if it ever had one."""
    return db.session.get(AutoTopUp, member_id)


def check(member: Member, terms: Terms) -> PaymentMethod:
    """The card that would be charged. Raises Invalid for terms that make no sense, AmountOutOfRange, NotFound (card)."""
    card = top_ups.check_card(member, terms.amount_minor, terms.payment_method_id)
    if terms.threshold_minor < 1:
        raise Invalid(_("Enter an amount like 1,000.00."), field="threshold_minor")
    if terms.amount_minor < terms.threshold_minor:
        raise Invalid(
            _("Charge at least %(amount)s, so that one charge brings the wallet above the threshold.", amount=money(terms.threshold_minor, member.currency)),
            field="amount_minor",
        )
    if terms.cap_minor < terms.amount_minor:
        raise Invalid(_("The most in a month cannot be less than one charge."), field="cap_minor")
    return card


def switch_on(member_id: uuid.UUID, terms: Terms, *, at: datetime, set_by: uuid.UUID | None) -> AutoTopUp:
    """Top up by these terms from now on; also after a stop, and to change the terms. What was charged this month still counts. Raises as `check`."""
    member = db.session.get_one(Member, member_id)
    card = check(member, terms)
    values: dict[str, Any] = {
        "currency": member.currency, "threshold_minor": terms.threshold_minor, "amount_minor": terms.amount_minor, "cap_minor": terms.cap_minor,
        "payment_method_id": card.id, "state": "on", "next_at": at, "stop_reason": None, "stopped_at": None, "set_by": set_by, "set_at": at,
    }  # fmt: skip
    db.session.execute(insert(AutoTopUp).values(member_id=member_id, attempts=0, forgiven=0, **(values | {"state": "off"})).on_conflict_do_nothing())
    found = _locked(member_id)
    if found.state != "on":
        found.forgiven = found.attempts
    for name, value in values.items():
        setattr(found, name, value)
    db.session.flush()
    return found


def resume(member_id: uuid.UUID, *, at: datetime, set_by: uuid.UUID | None) -> AutoTopUp:
    """Switch on again by the same terms after a stop. Raises NotStopped, and as `check` where they no longer hold."""
    found = show(member_id)
    if found is None or found.state != "stopped":
        raise NotStopped(_("Automatic top-up is not stopped."))
    return switch_on(member_id, terms_of(found), at=at, set_by=set_by)


def switch_off(member_id: uuid.UUID, *, at: datetime, set_by: uuid.UUID | None) -> AutoTopUp | None:
    """Charge no card by ourselves any more; what is on its way still arrives. Off already: nothing changes."""
    if show(member_id) is None:
        return None
    found = _locked(member_id)
    if found.state != "off":
        found.state, found.stop_reason, found.stopped_at, found.set_by, found.set_at = "off", None, None, set_by, at
        db.session.flush()
    return found


def terms_of(one: AutoTopUp) -> Terms:
    """The terms in force."""
    return Terms(one.threshold_minor, one.amount_minor, one.cap_minor, one.payment_method_id)


def _locked(member_id: uuid.UUID) -> AutoTopUp:
    return db.session.get_one(AutoTopUp, member_id, with_for_update={"key_share": True}, populate_existing=True)


def history(member_id: uuid.UUID, limit: int = 10) -> Sequence[TopUp]:
    """The automatic top-ups, the latest first."""
    return db.session.scalars(
        select(TopUp).where(TopUp.member_id == member_id, TopUp.auto_number.is_not(None)).order_by(TopUp.auto_number.desc()).limit(limit)
    ).all()


# Above a threshold, or with a payment by card on its way, a wallet is left alone; one without its card is taken to be stopped.
_DUE = text("""
select a.member_id from auto_top_up a join wallet w on w.member_id = a.member_id and w.currency = a.currency join member m on m.id = a.member_id
where a.state = 'on' and a.next_at <= :at and m.state = 'active' and (
  exists (select from payment_method p where p.member_id = a.member_id and p.id = a.payment_method_id and p.removed_at is not null)
  or w.state = 'open' and a.threshold_minor > case when w.next_expiry_at <= :at
      then (select x.paid_minor + x.bonus_minor - x.held_minor from wallet_at(w.member_id, w.currency, :at) x)
      else w.paid_minor + w.bonus_minor - w.held_minor end
    and not exists (select from top_up t where t.member_id = a.member_id and t.state = 'pending' and t.method = 'card'))
order by a.next_at, a.member_id limit :most for no key update of a skip locked
""")
_STANDING = text("""
select
  coalesce((select sum(t.amount_minor) from top_up t where t.member_id = :member and t.auto_number is not null
    and t.state in ('pending', 'settled') and t.created_at >= :since and t.created_at < :until), 0)::bigint,
  (select count(*) from top_up t where t.member_id = :member and t.state = 'failed' and t.auto_number > greatest(:forgiven, coalesce(
    (select max(s.auto_number) from top_up s where s.member_id = :member and s.auto_number is not null and s.state = 'settled'), 0))),
  l.created_at, l.state
from (values (1)) one(x) left join lateral (
  select t.created_at, t.state from top_up t where t.member_id = :member and t.auto_number is not null order by t.auto_number desc limit 1) l on true
""")


def standing(one: AutoTopUp, *, at: datetime, entity: Entity | None = None) -> Standing:
    """What counts against the limits of a member, from its top-ups themselves. The month is that of the legal entity."""
    since, until = (entity or entity_for(one.currency)).month_of(at)
    used, failures, last_at, last_state = db.session.execute(
        _STANDING, {"member": one.member_id, "since": since, "until": until, "forgiven": one.forgiven}
    ).one()
    return Standing(used, failures, last_at, last_state, until)


def start_due(*, at: datetime, limit: int = 200) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Write down a top-up for each wallet that needs and may have one; the caller commits and then asks Stripe for each (member, top-up).

    Two sweeps share the work; a wallet that needed one and may not have it is told, and looked at again when it may.
    """
    db.session.flush()
    due = db.session.scalars(_DUE, {"at": at, "most": limit}).all()
    given, started = limits(), []
    entities: dict[str, Entity] = {}
    for member_id in due:
        one = db.session.get_one(AutoTopUp, member_id, populate_existing=True)
        if one.currency not in entities:
            entities[one.currency] = entity_for(one.currency)
        entity = entities[one.currency]
        card = db.session.get_one(PaymentMethod, (member_id, one.payment_method_id), populate_existing=True)
        now_stands = standing(one, at=at, entity=entity)
        verdict = judge(terms_of(one), now_stands, given, at=at)
        one.next_at = verdict.next_at
        if card.removed_at is not None:
            _stop(one, "no_card", now_stands, at=at)
        elif verdict.verb == "stop":
            _stop(one, "declined", now_stands, at=at)
        elif verdict.verb == "capped":
            _tell_capped(one, now_stands, entity, at=at)
        elif verdict.verb == "charge" and (top_up_id := _begin(one, now_stands, at=at)):
            started.append((member_id, top_up_id))
    db.session.flush()
    return started


def _begin(one: AutoTopUp, now_stands: Standing, *, at: datetime) -> uuid.UUID | None:
    number = one.attempts + 1
    wanted = top_ups.Wanted(derived("auto_top_up", one.member_id, number), one.amount_minor, "card", one.currency, one.payment_method_id, number)
    try:
        top_up, _new = top_ups.start(one.member_id, wanted, at=at, created_by=None)
    except AppError:  # the vendor's limits have changed: a person must look
        current_app.logger.exception("an automatic top-up of member %s cannot be started", one.member_id)
        _stop(one, "refused", now_stands, at=at)
        return None
    one.attempts = number
    return top_up.id


def _stop(one: AutoTopUp, reason: str, now_stands: Standing, *, at: datetime) -> None:
    one.state, one.stop_reason, one.stopped_at = "stopped", reason, at
    details = {"reason": reason, "failures": now_stands.failures, "amount_minor": one.amount_minor, "currency": one.currency}
    notices.tell(one.member_id, "auto_top_up_stopped", details, at=at, key=f"auto_top_up_stopped:{one.attempts}:{at.isoformat()}")


def _tell_capped(one: AutoTopUp, now_stands: Standing, entity: Entity, *, at: datetime) -> None:
    details = {
        "cap_minor": one.cap_minor, "used_minor": now_stands.used_minor, "currency": one.currency,
        "until": entity.local(now_stands.month_ends_at).date().isoformat(),
    }  # fmt: skip
    notices.tell(one.member_id, "auto_top_up_capped", details, at=at, key=f"auto_top_up_capped:{entity.local(at):%Y-%m}")


def card_of(one: AutoTopUp) -> PaymentMethod:
    """The card it charges, also when that has been removed."""
    return db.session.get_one(PaymentMethod, (one.member_id, one.payment_method_id))


def default_card(member_id: uuid.UUID) -> PaymentMethod | None:
    """The card it would charge where none is named."""
    return next(iter(payment_methods.list_cards(member_id)), None)
