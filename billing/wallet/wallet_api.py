"""The wallet and its top-ups as JSON; finance's confirmation of bank transfers."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import select

from billing.ledger.ledger_models import LedgerTransaction
from billing.top_up import bank_transfers, top_up_jobs, top_ups
from billing.top_up.top_up_models import TopUp
from billing.wallet import balances, wallet_entries, wallet_overview, wallets
from billing.wallet.wallet_schemas import ConfirmationIn, EntryOut, TopUpIn, TopUpOut, WalletOut
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.openapi import Blueprint
from core.paging import Page, keyset
from core.schemas import PageQuery, fails, page_of
from membership.models import Member

blp = Blueprint("wallet_api", __name__, url_prefix="/api/v1", description="The prepaid wallet")


@blp.get("/wallet")
@blp.response(200, WalletOut)
@fails(blp, 401, 403)
@requires(*MEMBERS)
def show_wallet() -> dict[str, Any]:
    """The wallet now: paid, bonus, held and available money apart, and each grant in the order in which it is used."""
    acting, at = actor(), now()
    with transaction(acting) as session:
        return overview(session.get_one(Member, acting.member), at)


def overview(member: Member, at: datetime) -> dict[str, Any]:
    """A wallet as `WalletOut` shows it."""
    found = balances.balance(member.id, member.currency, at=at)
    grants = wallet_overview.grants(member.id, member.currency, at=at)
    standing = wallet_overview.standing(member.id)
    ends = grants.next_expiry
    return {
        "currency": found.currency, "state": found.state, "as_of": at, "paid_minor": found.paid_minor, "bonus_minor": found.bonus_minor,
        "held_minor": found.held_minor, "available_minor": found.available_minor, "credit_limit_minor": found.credit_limit_minor,
        "owed_minor": found.receivable_minor, "next_expiry_at": ends and ends.at, "next_expiry_minor": ends.amount_minor if ends else 0,
        "consumption_order": wallets.consumption_order(), "order_in_words": wallet_overview.order_in_words(),
        "grants": grants.lines, "grants_count": grants.count,
        "balance_warning_minor": standing.warning_minor, "auto_top_up": standing.auto.state if standing.auto else "off",
    }  # fmt: skip


@blp.get("/wallet/entries")
@blp.arguments(PageQuery, location="query")
@blp.response(200, page_of(EntryOut))
@fails(blp, 400, 401, 403, 422)
@requires(*MEMBERS)
def list_entries(query: dict[str, Any]) -> Page[LedgerTransaction]:
    """What changed the wallet, the latest first."""
    acting = actor()
    with transaction(acting) as session:
        member = session.get_one(Member, acting.member)
        return wallet_entries.list_entries(member.id, member.currency, query["after"], query["limit"])


@blp.get("/wallet/top-ups")
@blp.arguments(PageQuery, location="query")
@blp.response(200, page_of(TopUpOut))
@fails(blp, 400, 401, 403, 422)
@requires(*MEMBERS)
def list_top_ups(query: dict[str, Any]) -> Page[TopUp]:
    """The member's top-ups, the latest first."""
    acting = actor()
    with transaction(acting) as session:
        own = select(TopUp).where(TopUp.member_id == acting.member)
        return keyset(session, own, [TopUp.created_at, TopUp.id], query["after"], query["limit"])


@blp.post("/wallet/top-ups")
@blp.arguments(TopUpIn)
@blp.response(201, TopUpOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("owner", "buyer")
def create_top_up(top_up_in: dict[str, Any]) -> TopUp:
    """Start a top-up. A card is charged at once, and the money counts when Stripe confirms it; the same id again is the same top-up."""
    acting, wanted = actor(), top_ups.Wanted(**top_up_in)
    with transaction(acting):
        top_up, is_new = top_ups.start(acting.member, wanted, at=now(), created_by=acting.user_id)
    if is_new and top_up.method == "card":
        top_up_jobs.pay(acting.member, top_up.id)
        with transaction(acting) as session:
            session.refresh(session.merge(top_up))
            return top_ups.show(acting.member, top_up.id)
    return top_up


@blp.get("/wallet/top-ups/<uuid:top_up_id>")
@blp.response(200, TopUpOut)
@fails(blp, 401, 403, 404)
@requires(*MEMBERS)
def show_top_up(top_up_id: uuid.UUID) -> TopUp:
    """One top-up as it stands."""
    acting = actor()
    with transaction(acting):
        return top_ups.show(acting.member, top_up_id)


@blp.post("/finance/top-ups/<uuid:top_up_id>/confirmation")
@blp.arguments(ConfirmationIn)
@blp.response(200, TopUpOut)
@fails(blp, 401, 403, 404, 409, 422)
@requires("finance", "operator")
def confirm_top_up(confirmation: dict[str, Any], top_up_id: uuid.UUID) -> TopUp:
    """A bank transfer has arrived: credit the wallet with what came. The same confirmation again changes nothing."""
    with transaction(actor()):
        found = bank_transfers.find(top_up_id, confirmation["member_id"])
        return bank_transfers.confirm(found.member_id, found.id, confirmation["received_minor"], confirmation["bank_transaction"], at=now())
