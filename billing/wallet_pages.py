"""The wallet: what there is, what it may be spent on and until when, and every entry."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from billing import payment_methods, top_up_offers, wallet_entries, wallets
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from membership.models import Member

wallet = Blueprint("wallet", __name__)
MAY_PAY = ("owner", "buyer")


@wallet.get("/wallet")
@requires(*MEMBERS)
def show_wallet() -> ResponseReturnValue:
    """Balances apart, what ends when, money on its way, and the entries."""
    acting, at = actor(), now()
    with transaction(acting) as session:
        member = session.get_one(Member, acting.member)
        grants = wallets.open_grants(member.id, member.currency, at=at)
        page = wallet_entries.list_entries(member.id, member.currency, request.args.get("after"))
        return render_template(
            "account/wallet.html",
            at=at,
            currency=member.currency,
            balance=wallets.balance(member.id, member.currency, at=at),
            bonus=wallet_entries.bonus_parts(grants),
            pending=wallet_entries.pending_top_ups(member.id),
            entries=page,
            receipts=wallet_entries.receipts_among(member.id, page.items),
            kinds=wallet_entries.KINDS,
            tiers=top_up_offers.in_force(member.currency, at=at, member_id=member.id),
            card=next(iter(payment_methods.list_cards(member.id)), None),
            may_pay=acting.role in MAY_PAY,
        )
