"""The wallet: what there is, what it may be spent on and until when, what tops it up, and every entry."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from billing.finance import statements
from billing.payment import payment_methods
from billing.top_up import top_up_offers
from billing.wallet import balances, holds, wallet_entries, wallet_overview
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import Conflict, Forbidden
from core.formats import in_zone
from core.ids import derived
from membership.models import Member

wallet = Blueprint("wallet", __name__)
MAY_PAY = ("owner", "buyer")


@wallet.get("/wallet")
@requires(*MEMBERS)
def show_wallet() -> ResponseReturnValue:
    """Balances apart, what ends when and is used in which order, what is held, money on its way, and the entries."""
    return wallet_page()


def wallet_page(errors: Mapping[str, Any] | None = None, threshold: str | None = None, status: int = 200) -> ResponseReturnValue:
    """The same, with what is wrong in its form and the threshold as it was typed."""
    acting, at = actor(), now()
    with transaction(acting) as session:
        member = session.get_one(Member, acting.member)
        grants = wallet_overview.grants(member.id, member.currency, at=at)
        balance = balances.balance(member.id, member.currency, at=at)
        page = statements.latest(member.id, member.currency, request.args.get("after"))
        return render_template(
            "account/wallet.html",
            at=at,
            currency=member.currency,
            balance=balance,
            grants=grants,
            order_words=wallet_overview.order_in_words(),
            holds=holds.open_holds(member.id, at=at) if balance.held_minor else [],
            standing=wallet_overview.standing(member.id),
            pending=wallet_entries.pending_top_ups(member.id),
            entries=page,
            what=lambda movement: statements.what(movement, in_zone),
            kinds=wallet_entries.KINDS,
            tiers=top_up_offers.in_force(member.currency, at=at, member_id=member.id),
            card=next(iter(payment_methods.list_cards(member.id)), None),
            may_pay=acting.role in MAY_PAY,
            errors=errors,
            threshold=threshold,
        ), status


@wallet.post("/wallet/holds/<uuid:hold_id>/release")
@requires(*MAY_PAY)
def release_hold(hold_id: uuid.UUID) -> ResponseReturnValue:
    """Give back what a hold of the member's own still reserves; pressed twice it is one."""
    acting = actor()
    try:
        with transaction(acting):
            holds.release(
                acting.member, hold_id, derived("page-release", acting.member, hold_id), None, at=now(), reason=None, created_by=acting.user_id, as_member=True
            )
        flash(_("The money is available again."), "success")
    except (Conflict, Forbidden) as error:
        flash(error.detail, "danger")
    return redirect(url_for("wallet.show_wallet"), 303)
