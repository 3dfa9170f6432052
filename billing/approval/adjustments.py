"""What finance may do to a wallet by hand: goodwill (books, move 13), manual adjustments, write-offs, corrections (move 14). All through approvals."""

import uuid
from datetime import datetime, timedelta

from flask import current_app
from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from billing.approval import approvals, corrections
from billing.approval.approval_models import Approval
from billing.approval.approvals import Done, Kind, Proposal
from billing.ledger.accounts import Account as A
from billing.wallet import wallet_moves, wallets
from billing.wallet.wallet_moves import Entry, Move
from core.actor import Actor
from core.db import db
from core.errors import Conflict, Invalid
from core.formats import date, money
from core.ids import request_hash
from membership import notices
from membership.models import Member

# What stands on the other side of a manual adjustment.
ACCOUNTS: dict[str, LazyString] = {
    "goodwill": _l("Goodwill given"),
    "service_revenue": _l("Service revenue"),
    "store_revenue": _l("Store revenue"),
    "subscription_revenue": _l("Subscription revenue"),
    "stripe_clearing": _l("Stripe clearing"),
    "interbook": _l("Between books"),
    "unclaimed_property": _l("Unclaimed property"),
}
GIVES = ("goodwill", "service_revenue", "store_revenue", "subscription_revenue", "stripe_clearing")
TAKES = ("service_revenue", "store_revenue", "subscription_revenue", "unclaimed_property")


class NothingOwed(Conflict):
    """The member owes less than that."""

    code = "nothing_owed"


class RefundInstead(Conflict):
    """Something bought is refunded, so that what becomes of it is decided too."""

    code = "refund_instead"


def give_goodwill(
    member: Member, id: uuid.UUID, amount_minor: int, days: int, code: str, reason: str, acting: Actor, *, at: datetime
) -> Approval:  # fmt: skip
    """Bonus as an apology, living for `days`. Raises Invalid, IdReused."""
    _positive(amount_minor)
    most = current_app.extensions["settings"].goodwill_days_max
    if not 1 <= days <= most:
        raise Invalid(_("Enter a number of days from 1 to %(most)s.", most=most), field="days")
    details = {"days": days}
    return approvals.propose(Proposal(id, "goodwill", member.id, member.currency, amount_minor, code, reason, details), acting, at=at)


def adjust(member: Member, id: uuid.UUID, amount_minor: int, direction: str, account: str, code: str, reason: str, acting: Actor, *, at: datetime) -> Approval:
    """Put paid money into a wallet, or take paid money out of it, against an account. Raises Invalid, InsufficientFunds, WalletFrozen, IdReused."""
    _positive(amount_minor)
    if account not in (GIVES if direction == "give" else TAKES):
        raise Invalid(_("Choose where the money comes from or goes to."), field="account")
    details = {"direction": direction, "account": account}
    return approvals.propose(Proposal(id, "adjustment", member.id, member.currency, amount_minor, code, reason, details), acting, at=at)


def write_off(member: Member, id: uuid.UUID, amount_minor: int, code: str, reason: str, acting: Actor, *, at: datetime) -> Approval:
    """What a member owes will not be paid (books, move 9). Raises Invalid, NothingOwed, IdReused."""
    _positive(amount_minor)
    return approvals.propose(Proposal(id, "write_off", member.id, member.currency, amount_minor, code, reason, {}), acting, at=at)


def correct(book_id: uuid.UUID, tx_id: uuid.UUID, id: uuid.UUID, code: str, reason: str, acting: Actor, *, at: datetime) -> Approval:
    """Reverse an entry. Raises NotFound, NotCorrectable, RefundInstead, MoneyNotThere, IdReused."""
    tx = corrections.find(book_id, tx_id)
    moves = corrections.postings(tx)
    member_id = book_id if db.session.get(Member, book_id) else None
    if tx.kind == "purchase":
        raise RefundInstead(_("Refund the purchase instead: then you decide about its licence, too."))
    amount = abs(tx.amount_minor) or sum(move.amount_minor for move in moves)
    details = {"book_id": str(book_id), "transaction_id": str(tx_id), "was": tx.kind}
    return approvals.propose(
        Proposal(id, "correction", member_id, tx.currency, amount, code, reason, details), acting, at=at, prepare=lambda: corrections.check(tx)
    )


def _positive(amount_minor: int) -> None:
    if amount_minor <= 0:
        raise Invalid(_("Enter an amount above zero."), field="amount")


def _do_goodwill(one: Approval, at: datetime) -> Done:
    assert one.member_id
    ends = at + timedelta(days=one.details["days"])
    content = request_hash("goodwill", amount=one.amount_minor, days=one.details["days"])
    gift = wallets.Credit(
        one.member_id, one.id, content, "goodwill", one.currency, at, 0, one.amount_minor, bonus_source=A.GOODWILL, bonus_expires_at=ends, memo=one.reason_code
    )
    wallets.credit(gift)
    _tell(one, "goodwill_given", at, at_=ends.isoformat())
    return Done([(one.member_id, one.id)])


def _do_adjustment(one: Approval, at: datetime) -> Done:
    assert one.member_id
    account, content = A[one.details["account"].upper()], request_hash("adjustment", amount=one.amount_minor, **one.details)
    if one.details["direction"] == "give":
        wallets.credit(wallets.Credit(one.member_id, one.id, content, "adjustment", one.currency, at, one.amount_minor, source=account, memo=one.reason_code))
    else:
        target = wallets.Target(account, one.amount_minor)
        wallets.charge(wallets.ChargeRequest(one.member_id, one.id, content, "adjustment", one.currency, at, (target,), one.reason_code))
    _tell(one, "wallet_adjusted", at, direction=one.details["direction"])
    return Done([(one.member_id, one.id)])


def _do_write_off(one: Approval, at: datetime) -> Done:
    assert one.member_id
    wallet = wallet_moves.lock(one.member_id, one.currency, at=at)
    owed = wallet.receivable_minor if wallet else 0
    if one.amount_minor > owed:
        raise NothingOwed(_("The member owes %(amount)s.", amount=money(owed, one.currency)), field="amount", owed_minor=owed)
    content = request_hash("write_off", amount=one.amount_minor)
    move = Move(A.BAD_DEBT, A.MEMBER_RECEIVABLE, one.amount_minor)
    wallet_moves.post(Entry(one.member_id, one.id, content, "write_off", one.currency, at, [move], one.reason_code))
    return Done([(one.member_id, one.id)])


def _do_correction(one: Approval, at: datetime) -> Done:
    book_id, tx_id = uuid.UUID(one.details["book_id"]), uuid.UUID(one.details["transaction_id"])
    corrections.correct(book_id, tx_id, id=one.id, at=at, memo=one.reason_code)
    tx = corrections.find(book_id, tx_id)
    for heard in corrections.heard:
        heard(tx, at)
    return Done([(book_id, one.id), *((other.book_id, corrections.other_id(one.id, other.book_id)) for other in corrections.other_halves(tx))])


def _tell(one: Approval, kind: str, at: datetime, **more: str) -> None:
    assert one.member_id
    details = {"amount_minor": one.amount_minor, "currency": one.currency} | {name.rstrip("_"): value for name, value in more.items()}
    notices.tell(one.member_id, kind, details, at=at, key=f"{kind}:{one.id}")


def _goodwill_words(one: Approval) -> list[tuple[str, str]]:
    return [(_("Lives for"), _("%(days)s days", days=one.details["days"])), (_("Lapses on"), date(one.proposed_at + timedelta(days=one.details["days"])))]


def _adjustment_words(one: Approval) -> list[tuple[str, str]]:
    direction = _("into the wallet") if one.details["direction"] == "give" else _("out of the wallet")
    return [(_("Direction"), direction), (_("Against"), str(ACCOUNTS[one.details["account"]]))]


def _correction_words(one: Approval) -> list[tuple[str, str]]:
    return [(_("Entry to reverse"), one.details["transaction_id"])]


approvals.register("goodwill", Kind(_l("Goodwill"), _do_goodwill, _goodwill_words))
approvals.register("adjustment", Kind(_l("Adjustment"), _do_adjustment, _adjustment_words))
approvals.register("write_off", Kind(_l("Write-off"), _do_write_off))
approvals.register("correction", Kind(_l("Correction"), _do_correction, _correction_words))
