"""Automatic top-up and the warning of a low balance as JSON."""

import uuid
from typing import Any

from billing.top_up import auto_top_up_words, auto_top_ups
from billing.top_up.auto_top_up_schemas import AutoTopUpIn, AutoTopUpOut, BalanceWarningIn, BalanceWarningOut
from billing.top_up.top_up_models import AutoTopUp
from billing.wallet import balance_warnings
from billing.wallet.wallet_api import blp
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import db, transaction
from core.schemas import fails
from membership.models import Member


def _out(member_id: uuid.UUID, one: AutoTopUp | None) -> dict[str, Any]:
    given = auto_top_ups.limits()
    found: dict[str, Any] = {
        "state": "off", "currency": db.session.get_one(Member, member_id).currency, "threshold_minor": None, "amount_minor": None, "cap_minor": None,
        "payment_method_id": None, "used_this_month_minor": 0, "failures_in_a_row": 0, "max_failures": given.max_failures,
        "interval_minutes": int(given.interval.total_seconds()) // 60, "stop_reason": None, "stopped_at": None, "in_words": [],
    }  # fmt: skip
    if one is None:
        return found
    standing = auto_top_ups.standing(one, at=now())
    words = auto_top_up_words.sentences(auto_top_ups.terms_of(one), auto_top_ups.card_of(one), given, one.currency)
    return found | {name: getattr(one, name) for name in found if hasattr(one, name)} | {
        "used_this_month_minor": standing.used_minor, "failures_in_a_row": standing.failures, "in_words": words if one.state == "on" else [],
    }  # fmt: skip


@blp.get("/wallet/auto-top-up")
@blp.response(200, AutoTopUpOut)
@fails(blp, 401, 403)
@requires(*MEMBERS)
def show_auto_top_up() -> dict[str, Any]:
    """The standing order: its terms, what it has charged this month, and why it stopped, if it did."""
    acting = actor()
    with transaction(acting):
        return _out(acting.member, auto_top_ups.show(acting.member))


@blp.put("/wallet/auto-top-up")
@blp.arguments(AutoTopUpIn)
@blp.response(200, AutoTopUpOut)
@fails(blp, 401, 403, 404, 422)
@requires("owner")
def switch_auto_top_up_on(terms: dict[str, Any]) -> dict[str, Any]:
    """Switch it on by these terms; after a stop, on again; while it is on, change them. The cap of the month goes on counting."""
    acting = actor()
    with transaction(acting):
        return _out(acting.member, auto_top_ups.switch_on(acting.member, auto_top_ups.Terms(**terms), at=now(), set_by=acting.user_id))


@blp.delete("/wallet/auto-top-up")
@blp.response(200, AutoTopUpOut)
@fails(blp, 401, 403)
@requires("owner")
def switch_auto_top_up_off() -> dict[str, Any]:
    """Switch it off. What is on its way still arrives."""
    acting = actor()
    with transaction(acting):
        return _out(acting.member, auto_top_ups.switch_off(acting.member, at=now(), set_by=acting.user_id))


@blp.get("/wallet/balance-warning")
@blp.response(200, BalanceWarningOut)
@fails(blp, 401, 403)
@requires(*MEMBERS)
def show_balance_warning() -> dict[str, Any]:
    """Below which available money the member is told."""
    acting = actor()
    with transaction(acting):
        return {"threshold_minor": balance_warnings.show(acting.member)}


@blp.put("/wallet/balance-warning")
@blp.arguments(BalanceWarningIn)
@blp.response(200, BalanceWarningOut)
@fails(blp, 401, 403, 422)
@requires("owner", "buyer")
def set_balance_warning(warning: dict[str, Any]) -> dict[str, Any]:
    """Be told when available money falls below this amount, once each time; null: not any more."""
    acting = actor()
    with transaction(acting):
        balance_warnings.set_threshold(acting.member, warning["threshold_minor"], at=now())
    return {"threshold_minor": warning["threshold_minor"]}
