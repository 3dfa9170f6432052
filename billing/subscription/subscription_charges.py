"""Subscriptions and their money: start and change. Each is one transaction of the caller; a charge or credit is move 10 of the books."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select

from billing.ledger.accounts import Account
from billing.subscription import subscription_credits as credits_of
from billing.subscription import subscription_previews as previews
from billing.subscription.subscription_models import SubscriptionCharge
from billing.subscription.subscription_previews import Due, Preview, Wallet
from billing.wallet import balances, wallets
from core.db import db
from core.errors import Conflict
from core.ids import derived, request_hash
from membership import catalogue, changes, motions, notices, proration, subscriptions, terms
from membership.catalogue_models import ProductLine
from membership.models import Member
from membership.subscription_models import Subscription


class PriceChanged(Conflict):
    """Today's charge is not the one that was shown; `price_minor` is the right one. Nothing was charged."""

    code = "price_changed"


@dataclass(frozen=True, kw_only=True)
class Start(subscriptions.Wish):
    """What a member asks for; `id` is its own idempotency key and the subscription's id, `price_minor` today's charge as it was shown."""

    id: uuid.UUID
    price_minor: int


@dataclass(frozen=True, slots=True)
class ChangeTo:
    """The edition, seats and period a member wants; None keeps what is. `price_minor` is the charge (below zero: the credit) that was shown.

    `effective`: `auto` (more now, less with the next term), `now` or `term_end`. `priced_at` comes from the preview where terms are divided by seconds.
    """

    id: uuid.UUID
    price_minor: int
    rank: int | None = None
    seats: int | None = None
    period: str | None = None
    effective: str = "auto"
    priced_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A start, change or end that stands. `is_replay`: it stood before this request."""

    id: uuid.UUID
    subscription: Subscription
    amount_minor: int  # charged, or below zero: given back
    is_replay: bool


def targets(amount_minor: int, tax_minor: int) -> tuple[wallets.Target, ...]:
    """Where a subscription's money goes (books, move 10): bonus may pay all but the tax."""
    net = amount_minor - tax_minor
    parts = (wallets.Target(Account.DEFERRED_REVENUE, net, net), wallets.Target(Account.TAX_PAYABLE, tax_minor))
    return tuple(part for part in parts if part.amount_minor)


def start(member_id: uuid.UUID, wanted: Start, *, at: datetime, csm_id: uuid.UUID | None = None) -> Done:
    """Start a subscription from the wallet, or as a trial without a charge; replaying `wanted.id` returns the first outcome.

    Raises AlreadySubscribed, TrialUsed, NoPrice, Invalid, PriceChanged, InsufficientFunds, WalletFrozen, IdReused.
    """
    db.session.execute(select(Member.id).where(Member.id == member_id).with_for_update(key_share=True))  # one start of a member at a time
    hashed = request_hash("subscription.start", **_deciding(wanted))
    if first := motions.replayed(member_id, wanted.id, hashed):
        return Done(wanted.id, subscriptions.show(member_id, first.subscription_id), first.amount_minor, True)
    seller = subscriptions.seller_of(member_id)
    preview = previews.of_start(member_id, seller, wanted, at=at)
    confirm(preview, wanted.price_minor)
    assert preview.opening is not None
    post(member_id, wanted.id, hashed, preview, at)
    subscription = subscriptions.begin(member_id, wanted.id, seller, preview.opening, unit=current_app.extensions["settings"].proration_unit)
    if not wanted.is_trial:
        _keep_charges(subscription, wanted.id, preview, at)
        arr = motions.arr_of(subscription)
        arrears = [due for due in preview.dues if due.motion == "arrears"]
        new = preview.amount_minor - sum(due.amount_minor for due in arrears)
        motions.record(
            [
                motions.motion(subscription, "new", at, 0, arr, amount_minor=new, motion_id=wanted.id, csm_id=csm_id),
                *(motions.motion(subscription, "renewal", at, arr, arr, amount_minor=due.amount_minor, motion_id=due.id) for due in arrears),
            ]
        )
    motions.remember(subscription, wanted.id, hashed, preview.amount_minor, at)
    return Done(wanted.id, subscription, preview.amount_minor, False)


def _deciding(wanted: Start) -> dict[str, Any]:
    """What decides a start's outcome; what is left at its default counts as not said, so that replays of earlier versions stay replays."""
    said = {
        "line": wanted.product_line, "rank": wanted.rank, "period": wanted.period, "seats": wanted.seats, "price_minor": wanted.price_minor,
        "is_trial": wanted.is_trial,
    }  # fmt: skip
    more = {"converts": (wanted.converts, True), "commitment_years": (wanted.commitment_years, None), "deployment": (wanted.deployment, "saas")}
    return said | {name: value for name, (value, usual) in more.items() if value != usual}


def change(member_id: uuid.UUID, subscription_id: uuid.UUID, wanted: ChangeTo, *, at: datetime, csm_id: uuid.UUID | None = None) -> Done:
    """Change edition, seats or period; more is charged to the wallet, less now comes back to what had paid. Replaying `wanted.id` returns the first outcome.

    Raises NoSubscription, NotChangeable, Committed, SeatsInUse, Invalid, NoPrice, PriceChanged, InsufficientFunds, WalletFrozen, IdReused.
    """
    subscription = subscriptions.locked(member_id, subscription_id)
    more = {"period": (wanted.period, None), "effective": (wanted.effective, "auto")}
    hashed = request_hash(
        "subscription.change", subscription=subscription_id, rank=wanted.rank, seats=wanted.seats, price_minor=wanted.price_minor,
        **{name: value for name, (value, usual) in more.items() if value != usual},
    )  # fmt: skip
    if first := motions.replayed(member_id, wanted.id, hashed):
        return Done(wanted.id, subscription, first.amount_minor, True)
    seller = subscriptions.seller_of(member_id)
    preview = previews.of_change(
        subscription, seller, wanted.rank, wanted.seats, at=at, period=wanted.period, effective=wanted.effective, priced_at=wanted.priced_at
    )
    confirm(preview, wanted.price_minor)
    post(member_id, wanted.id, hashed, preview, at)
    _apply(subscription, wanted.id, seller, preview, at, csm_id)
    motions.remember(subscription, wanted.id, hashed, preview.amount_minor, at)
    return Done(wanted.id, subscription, preview.amount_minor, False)


def confirm(preview: Preview, price_minor: int) -> None:
    """Raises PriceChanged when the price that was shown is not today's."""
    if preview.amount_minor != price_minor:
        raise PriceChanged(_("The price has changed since you saw it. Nothing was charged."), price_minor=preview.amount_minor)


def with_wallet(preview: Preview, member_id: uuid.UUID, *, at: datetime) -> Preview:
    """The same, with what the wallet gives and gets back: the ledger itself does it, and it is undone."""
    available = balances.balance(member_id, preview.currency, at=at).available_minor
    seen = Wallet(available)
    if preview.dues or preview.credits:
        tried = db.session.begin_nested()
        seen = _try(member_id, preview, seen, at)
        tried.rollback()
    return replace(preview, wallet=seen)


def _try(member_id: uuid.UUID, preview: Preview, seen: Wallet, at: datetime) -> Wallet:
    trial_id, hashed = derived("preview", member_id, at.isoformat()), request_hash("preview")
    back = credits_of.give_back(member_id, trial_id, hashed, preview.credits, takes_id=False, at=at)
    seen = replace(seen, back_paid_minor=back.paid_minor, back_bonus_minor=back.bonus_minor)
    if preview.dues:
        results = wallets.charge_many(_requests(member_id, trial_id, hashed, preview, at))
        drawn = (sum(one.bonus_minor for one in results), sum(one.paid_minor for one in results))
        seen = replace(seen, bonus_minor=drawn[0], paid_minor=drawn[1], missing_minor=_missing(preview, results))
        if seen.missing_minor:
            seen = replace(seen, bonus_minor=0, paid_minor=0)
    return seen


def _missing(preview: Preview, results: list[wallets.ChargeResult]) -> int:
    """What the wallet lacks for all charges together."""
    before = 0
    for due, one in zip(preview.dues, results, strict=True):
        if one.status == "insufficient_funds":
            return sum(due.amount_minor for due in preview.dues) - before - (due.amount_minor - one.missing_minor)
        before += due.amount_minor
    return 0


def post(member_id: uuid.UUID, request_id: uuid.UUID, hashed: bytes, preview: Preview, at: datetime) -> None:
    """Give back, then charge: what comes back can pay. An id that another kind of request used before is refused by the ledger."""
    credits_of.give_back(member_id, request_id, hashed, preview.credits, takes_id=not preview.dues, at=at)
    results = wallets.charge_many(_requests(member_id, request_id, hashed, preview, at)) if preview.dues else []
    if missing := _missing(preview, results):
        results = [replace(results[0], status="insufficient_funds", missing_minor=missing)]
    for result in results:
        wallets.raise_for(result)
        assert result.status == "new", result.status


def _requests(member_id: uuid.UUID, request_id: uuid.UUID, hashed: bytes, preview: Preview, at: datetime) -> list[wallets.ChargeRequest]:
    return [
        wallets.ChargeRequest(
            member_id, due.id or charge_id(request_id, n), hashed, "subscription", preview.currency, at, targets(due.amount_minor, due.tax_minor)
        )
        for n, due in enumerate(preview.dues)
    ]


def charge_id(request_id: uuid.UUID, n: int) -> uuid.UUID:
    """The ledger's id of a request's n-th charge; the first has the request's own."""
    return derived("charge", request_id, n) if n else request_id


def _keep_charges(subscription: Subscription, request_id: uuid.UUID, preview: Preview, at: datetime) -> None:
    for n, due in enumerate(preview.dues):
        db.session.add(_row(subscription, due.id or charge_id(request_id, n), due, at))
    db.session.flush()


def _row(subscription: Subscription, row_id: uuid.UUID, due: Due, at: datetime) -> SubscriptionCharge:
    return SubscriptionCharge(
        member_id=subscription.member_id, id=row_id, subscription_id=subscription.id, motion=due.motion, term=subscription.term,
        currency=subscription.currency, amount_minor=due.amount_minor, tax_minor=due.tax_minor, service_from=due.service_from,
        service_until=due.service_until, state="paid", due_at=at, paid_at=at, credits_id=None, service_units=due.units,
    )  # fmt: skip


def _apply(subscription: Subscription, request_id: uuid.UUID, seller: subscriptions.Seller, preview: Preview, at: datetime, csm_id: uuid.UUID | None) -> None:
    """Make a confirmed change hold: its rows, its motions (edition, seats and period apart), what the member is told."""
    done = preview.change
    assert done is not None
    was_rank, was_seats, was_period, arr = subscription.rank, subscription.seats, subscription.period, motions.arr_of(subscription)
    old_term, old_start, old_end, unit = subscription.term, subscription.term_start, subscription.term_end, subscription.proration_unit
    changes.apply(subscription, done, at=at, counts_from=preview.priced_at, timezone=seller.timezone)
    if preview.credits:
        starts = min(proration.next_unit(old_start, preview.priced_at, seller.timezone, unit), old_end)
        service, units = ((starts, old_end), credits_of.covered(done.worth.gone, starts_now=False)) if starts < old_end else ((at, old_end), 1)
        motion = "period" if done.restarts_until else "downgrade" if subscription.rank < was_rank else "seats"
        credits_of.keep(subscription, request_id, preview.credits, motion, takes_id=not preview.dues, term=old_term, service=service, units=units, at=at)
    _keep_charges(subscription, request_id, preview, at)
    _tell_motions(subscription, request_id, done, (was_rank, was_seats, was_period), arr, at, csm_id)
    db.session.flush()
    _tell(subscription, request_id, was_rank, was_seats, at)


def _tell_motions(
    subscription: Subscription, request_id: uuid.UUID, done: changes.Change, was: tuple[int, int, str], arr: int, at: datetime, csm_id: uuid.UUID | None
) -> None:
    """One motion for each thing that changed, each with its money and its step of ARR; the last step arrives at today's."""
    rank, seats, period = was
    names = []
    if subscription.rank != rank:
        names.append(("upgrade" if subscription.rank > rank else "downgrade", "edition"))
    if subscription.seats != seats:
        names.append(("seats", "seats"))
    if subscription.period != period:
        names.append(("period", "period"))
    steps = {step.name: step for step in done.steps}
    rows: list[dict[str, Any]] = []
    after = motions.arr_of(subscription)
    restarts = done.restarts_until is not None and subscription.licensing == "rental"
    for n, (name, of) in enumerate(names):
        step, is_last = steps[of], n == len(names) - 1
        then = after if is_last or subscription.state == "trialing" else arr if restarts else terms.annualised(step.term_price_minor, period)
        amount = done.amount_minor if restarts and is_last else 0 if restarts else step.amount_minor
        motion_id = derived("motion", request_id, name) if rows else request_id
        rows.append(motions.motion(subscription, name, at, arr, then, amount_minor=amount, motion_id=motion_id, csm_id=csm_id))
        arr = then
    motions.record(rows)


def _tell(subscription: Subscription, change_id: uuid.UUID, was_rank: int, was_seats: int, at: datetime) -> None:
    line = db.session.get_one(ProductLine, subscription.product_line)
    names = {"name_zh": line.name_zh, "name_en": line.name_en}
    if subscription.rank != was_rank:
        edition = catalogue.edition(line.code, subscription.rank)
        details = {**names, "edition_zh": edition.name_zh, "edition_en": edition.name_en}
        notices.tell(subscription.member_id, "edition_changed", details, at=at, key=f"edition_changed:{change_id}")
    if subscription.seats != was_seats:
        notices.tell(subscription.member_id, "seats_changed", {**names, "seats": subscription.seats}, at=at, key=f"seats_changed:{change_id}")
