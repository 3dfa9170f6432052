"""What looks after wallets by itself: automatic top-ups, warnings of a low balance, holds that end. Each may be stopped anywhere and started again."""

import uuid
from datetime import datetime

import redis
from flask import current_app
from sqlalchemy import text

from billing.payment import stripe_gateway
from billing.top_up import auto_top_ups, top_up_jobs, top_ups
from billing.wallet import balance_warnings, holds
from core import jobs
from core.clock import now
from core.db import SYSTEM, transaction
from core.settings import Settings

AUTO_TOP_UP_EVERY_S = 5
WARN_EVERY_S = 30
EXPIRE_HOLDS_EVERY_S = 30
HOLDS_AT_ONCE = 1_000
WALLETS_AT_ONCE = 500
EXPIRE_MONEY_EVERY_S = 60
ENDING_EVERY_S = 3_600


def top_up_low_wallets() -> int:
    """Begin the automatic top-ups that are due and leave asking Stripe to the workers; returns how many were begun.

    An attempt that gets lost between the commit and the queue is asked for by the sweep of pending top-ups, with the same key.
    """
    started = _start_due(now())
    for member_id, top_up_id in started:
        try:
            jobs.enqueue(top_up_jobs.pay, member_id, top_up_id, queue="urgent", key=f"top-up:{top_up_id}")
        except redis.RedisError:
            current_app.logger.exception("automatic top-up %s waits for the sweep", top_up_id)
    return len(started)


def top_up_and_wait(at: datetime) -> int:
    """The same at a given instant, with Stripe's answer taken at once: for a demo's moving clock, which cannot wait for the webhook."""
    started = _start_due(at)
    for member_id, top_up_id in started:
        try:
            top_up_jobs.pay(member_id, top_up_id)
            with transaction(SYSTEM) as session:
                top_up = top_ups.show(member_id, top_up_id)
                session.expunge_all()  # read while the session does other work
            if top_up.state == "pending":
                top_up_jobs.check_one(top_up, at=at)
        except stripe_gateway.StripeUnreachable:
            current_app.logger.exception("automatic top-up %s waits for the sweep", top_up_id)
    return len(started)


def _start_due(at: datetime) -> list[tuple[uuid.UUID, uuid.UUID]]:
    with transaction(SYSTEM):
        return auto_top_ups.start_due(at=at)


def warn_of_low_balances(at: datetime | None = None) -> int:
    """Tell members whose available money has fallen below what they named; returns how many."""
    with transaction(SYSTEM):
        return balance_warnings.tell_due(at=at or now())


def expire_holds(at: datetime | None = None) -> int:
    """End the holds whose instant has come, batch by batch; returns how many. Whoever charges meanwhile ends those of its wallet itself."""
    instant, done = at or now(), 0
    while True:
        with transaction(SYSTEM):
            ended = holds.expire_due(at=instant, limit=HOLDS_AT_ONCE)
        done += ended
        if ended < HOLDS_AT_ONCE:
            return done


def expire_money(at: datetime | None = None) -> int:
    """Book what has expired at its instant; returns how many grants. Whoever charges meanwhile does so for its wallet itself."""
    instant, total = at or now(), 0
    while True:
        with transaction(SYSTEM) as session:
            done = int(session.scalar(text("select expire_due(:at, :most)"), {"at": instant, "most": WALLETS_AT_ONCE}) or 0)
        total += done
        if not done:
            return total


def warn_of_ending_bonus(at: datetime | None = None) -> int:
    """Tell members whose bonus ends soon; returns how many."""
    settings: Settings = current_app.extensions["settings"]
    instant, told = at or now(), 0
    while True:
        with transaction(SYSTEM):
            now_told = balance_warnings.tell_of_ending_bonus(at=instant, days=settings.bonus_warning_days)
        told += now_told
        if not now_told:
            return told
