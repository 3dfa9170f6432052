"""Transfers to our bank account: announced by the member, confirmed by finance when the money is there."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Select, func, or_, select

from billing.ledger.accounts import Account
from billing.payment.payment_models import StripeEvent
from billing.top_up import top_up_offers, top_ups
from billing.top_up.top_up_models import TopUp
from billing.top_up.top_up_offers import Promise
from billing.wallet import wallets
from core import audit
from core.db import db
from core.errors import Conflict, Invalid, NotFound
from core.ids import derived, request_hash
from membership import notices
from membership.models import Member


class NotPending(Conflict):
    """Its fate is known already."""

    code = "not_pending"


class TransferKnown(Conflict):
    """The bank's reference was entered for another top-up."""

    code = "bank_transaction_used"


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits for finance, in one currency."""

    currency: str
    count: int
    amount_minor: int
    oldest_at: datetime


def find(top_up_id: uuid.UUID, member_id: uuid.UUID | None = None) -> TopUp:
    """A transfer by its id; ids are unique per member only. Raises NotFound, and Invalid where two members made the same id."""
    query = select(TopUp).where(TopUp.id == top_up_id, TopUp.method == "bank_transfer")
    found = db.session.scalars((query.where(TopUp.member_id == member_id) if member_id else query).limit(2)).all()
    if not found:
        raise NotFound(_("There is no such bank transfer."))
    if len(found) > 1:
        raise Invalid(_("Say which member this transfer is of."), field="member_id")
    return found[0]


def confirm(member_id: uuid.UUID, top_up_id: uuid.UUID, received_minor: int, bank_transaction: str, *, at: datetime) -> TopUp:
    """The transfer has arrived (books, move 2); `received_minor` may differ from the announced amount, and the bonus then follows what arrived.

    Confirming again with the same content changes nothing. Raises NotFound, Invalid, NotPending, TransferKnown.
    """
    top_up = top_ups.locked(member_id, top_up_id)
    if top_up.method != "bank_transfer":
        raise NotFound(_("There is no such bank transfer."))
    if top_up.state == "settled" and (top_up.received_minor, top_up.bank_transaction) == (received_minor, bank_transaction):
        return top_up
    if top_up.state != "pending":
        raise NotPending(_("This transfer was %(state)s before.", state=_("confirmed") if top_up.state == "settled" else _("cancelled")))
    if received_minor <= 0:
        raise Invalid(_("Enter the amount that arrived."), field="received")
    _refuse_known(bank_transaction)
    before = {"state": top_up.state, "announced_minor": top_up.amount_minor, "bonus_minor": top_up.bonus_minor}
    top_up.received_minor, top_up.bank_transaction = received_minor, bank_transaction
    _into_house(top_up, received_minor, at)
    top_ups.arrived(top_up, received_minor, promise_for(top_up, received_minor), at=at, source=Account.INTERBOOK)
    after = {"state": "settled", "received_minor": received_minor, "bonus_minor": top_up.bonus_minor, "bank_transaction": bank_transaction}
    audit.record("bank_transfer.confirm", top_up_id, at=at, member_id=member_id, before=before, after=after)
    return top_up


def promise_for(top_up: TopUp, received_minor: int) -> Promise:
    """The bonus that was promised; for another amount, what that amount earned on the day it was announced."""
    if received_minor == top_up.amount_minor:
        return top_ups.promise_of(top_up)
    return top_up_offers.promised_for(top_up, received_minor)


def _refuse_known(bank_transaction: str) -> None:
    other = db.session.scalar(select(TopUp).where(TopUp.bank_transaction == bank_transaction))
    if other is not None:
        words = _("This bank reference was already used for %(reference)s.", reference=other.bank_reference or other.id)
        raise TransferKnown(words, field="bank_transaction")


def _into_house(top_up: TopUp, received_minor: int, at: datetime) -> None:
    house = db.session.scalar(select(Member.entity_id).where(Member.id == top_up.member_id))
    assert house
    wallets.post_moves(
        house, derived("bank_transfer", top_up.member_id, top_up.id), request_hash("bank", top_up=top_up.request_hash.hex(), received=received_minor),
        "bank", top_up.currency, at, [(Account.BANK, Account.INTERBOOK, received_minor)], top_up.bank_reference,
    )  # fmt: skip


def cancel(member_id: uuid.UUID, top_up_id: uuid.UUID, reason: str, *, at: datetime) -> TopUp:
    """The transfer will not come, and why. Cancelling again changes nothing. Raises NotFound, NotPending."""
    top_up = top_ups.locked(member_id, top_up_id)
    if top_up.method != "bank_transfer":
        raise NotFound(_("There is no such bank transfer."))
    if top_up.state == "cancelled":
        return top_up
    if top_up.state != "pending":
        raise NotPending(_("This transfer was %(state)s before.", state=_("confirmed")))
    top_up.state, top_up.failure = "cancelled", reason
    details: dict[str, Any] = {"top_up_id": str(top_up_id), "amount_minor": top_up.amount_minor, "currency": top_up.currency, "reason": reason}
    notices.tell(member_id, "top_up_failed", details, at=at, key=f"top_up_failed:{top_up_id}")
    audit.record("bank_transfer.cancel", top_up_id, at=at, member_id=member_id, before={"state": "pending"}, after={"state": "cancelled"}, reason=reason)
    return top_up


def search(method: str, state: str, words: str) -> Select[Any]:
    """Top-ups of every member by method and state; `words` is a member's name or number, or a reference."""
    query = select(TopUp)
    if method:
        query = query.where(TopUp.method == method)
    if state:
        query = query.where(TopUp.state == state)
    if words:
        like = "%" + words.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"
        members = select(Member.id).where(or_(Member.name.ilike(like), Member.name_en.ilike(like), Member.number.ilike(like)))
        query = query.where(or_(TopUp.bank_reference.ilike(like), TopUp.bank_transaction.ilike(like), TopUp.member_id.in_(members)))
    return query


def pending() -> list[Pending]:
    """What waits for finance, by currency."""
    rows = db.session.execute(
        select(TopUp.currency, func.count(), func.sum(TopUp.amount_minor), func.min(TopUp.created_at))
        .where(TopUp.state == "pending", TopUp.method == "bank_transfer")
        .group_by(TopUp.currency)
        .order_by(TopUp.currency)
    )
    return [Pending(currency, count, int(amount), oldest) for currency, count, amount, oldest in rows]


def members_of(found: Sequence[TopUp]) -> dict[uuid.UUID, Member]:
    """The members of these top-ups, in one query."""
    ids = {top_up.member_id for top_up in found}
    return {member.id: member for member in db.session.scalars(select(Member).where(Member.id.in_(ids)))} if ids else {}


def troubled_events(limit: int = 20) -> Sequence[StripeEvent]:
    """Payment events that were not credited because they do not match, or could not be worked on yet; the latest first."""
    return db.session.scalars(
        select(StripeEvent).where(StripeEvent.error.is_not(None)).order_by(StripeEvent.received_at.desc(), StripeEvent.id).limit(limit)
    ).all()
