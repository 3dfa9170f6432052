"""Money set aside for one purpose: reserved at once, captured in parts as purchases, given back, or ended at its instant.

Available money is the balance less what is held, everywhere. A hold draws on grants in the order of consumption, bonus only up to
`bonus_limit_minor`; a captured part takes the hold's bonus first, so that whatever was reserved can be captured. Held money does not expire
while it is held; given back after its date, it expires at once (decision 0018). The rules live in migrations/sql/0221_place_and_release_holds.sql.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import Select, func, select, text

from billing.ledger.accounts import Account
from billing.ledger.ledger_models import Posting
from billing.wallet import wallets
from billing.wallet.hold_models import Hold, HoldChange
from billing.wallet.wallets import HoldClosed, HoldExceeded, Target
from core import audit
from core.db import db
from core.errors import Forbidden, IdReused, Invalid, NotFound
from core.ids import request_hash
from core.money import tax_included
from core.settings import Settings
from membership import taxes
from membership.models import Member


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be reserved. `bonus_limit_minor`: how much of it bonus may pay; None: all but the tax, as for a service of ours."""

    id: uuid.UUID
    amount_minor: int
    reason: str
    expires_at: datetime | None = None  # None: after `hold_days`
    bonus_limit_minor: int | None = None
    by_member: bool = True  # placed by the member itself, which may give it back itself


_PLACE = text("select p.* from place_hold(jsonb_populate_record(null::hold_request, cast(:request as jsonb))) p")
_RELEASE = text("select p.* from release_hold(:member, :hold, :id, :hash, :amount, :reason, :by, :at) p")
_NOTE = text("select note_capture(:member, :hold, :id, :by)")


def place(member_id: uuid.UUID, wanted: Wanted, *, at: datetime, created_by: uuid.UUID | None) -> Hold:
    """Reserve money, once. Raises InsufficientFunds (with `missing_minor`), WalletFrozen, IdReused, Invalid (end)."""
    member = db.session.get_one(Member, member_id)
    content = request_hash(
        "hold", amount=wanted.amount_minor, reason=wanted.reason, expires_at=wanted.expires_at and wanted.expires_at.isoformat(), bonus=wanted.bonus_limit_minor
    )
    if first := db.session.get(Hold, (member_id, wanted.id)):
        return _replayed(first, content)
    bonus = wanted.amount_minor - tax_of(member, 0, wanted.amount_minor, at) if wanted.bonus_limit_minor is None else wanted.bonus_limit_minor
    row = {
        "member_id": str(member_id), "id": str(wanted.id), "request_hash": "\\x" + content.hex(), "currency": member.currency,
        "amount_minor": wanted.amount_minor, "bonus_limit_minor": bonus, "reason": wanted.reason, "created_by": created_by and str(created_by),
        "by_member": wanted.by_member, "expires_at": _end_of(wanted, at).isoformat(), "at": at.isoformat(), "consumption_order": wallets.consumption_order(),
    }  # fmt: skip
    status, missing = db.session.execute(_PLACE, {"request": json.dumps(row)}).one()
    if status == "insufficient_funds":
        raise wallets.InsufficientFunds(_("There is not enough money in the wallet. Nothing was reserved."), missing_minor=missing)
    if status == "frozen":
        raise wallets.WalletFrozen(_("This wallet is frozen while a payment is disputed."))
    if status == "id_reused":
        raise IdReused(_("This id was already used for another request."), field="id")
    return show(member_id, wanted.id)


def _replayed(first: Hold, content: bytes) -> Hold:
    if first.request_hash != content:
        raise IdReused(_("This id was already used for another request."), field="id")
    return first


def _end_of(wanted: Wanted, at: datetime) -> datetime:
    settings: Settings = current_app.extensions["settings"]
    end = wanted.expires_at or at + timedelta(days=settings.hold_days)
    if not at < end <= at + timedelta(days=settings.hold_days_max):
        raise Invalid(_("A hold ends in the future, and within %(days)s days.", days=settings.hold_days_max), field="expires_at")
    return end


def tax_of(member: Member, before_minor: int, amount_minor: int, at: datetime) -> int:
    """The tax in a part, when `before_minor` came before it: parts carry together, to the cent, what the whole carries."""
    rate = taxes.rate_at(member.entity_id, at)
    return tax_included(before_minor + amount_minor, rate) - tax_included(before_minor, rate)


def show(member_id: uuid.UUID, hold_id: uuid.UUID) -> Hold:
    """One hold as it stands now. Raises NotFound."""
    found = db.session.get(Hold, (member_id, hold_id), populate_existing=True)
    if found is None:
        raise NotFound(_("There is no such hold."))
    return found


def capture_service(
    member_id: uuid.UUID, hold_id: uuid.UUID, capture_id: uuid.UUID, amount_minor: int, *, at: datetime, memo: str | None, created_by: uuid.UUID | None
) -> wallets.ChargeResult:
    """Take a part of a hold of the member's own as the price of a service of ours, tax included. Raises as `capture`, and Forbidden for an order's hold."""
    hold, member = show(member_id, hold_id), db.session.get_one(Member, member_id)
    if not hold.by_member:
        raise Forbidden(_("This hold belongs to an order. It is taken when the order is delivered."))
    first = db.session.get(HoldChange, (member_id, capture_id))
    before = _captured_before(first) if first else hold.captured_minor  # sent again, the tax is that of the first time
    tax = tax_of(member, before, amount_minor, at)
    targets = [Target(Account.SERVICE_REVENUE, amount_minor - tax, amount_minor - tax)] + ([Target(Account.TAX_PAYABLE, tax)] if tax else [])
    content = request_hash("capture", hold=hold_id, amount=amount_minor, memo=memo)
    return capture(member_id, hold_id, capture_id, content, targets, at=at, memo=memo or hold.reason, created_by=created_by)


def _captured_before(change: HoldChange) -> int:
    before = db.session.scalars(
        select(HoldChange.amount_minor).where(HoldChange.member_id == change.member_id, HoldChange.hold_id == change.hold_id, HoldChange.kind == "capture",
                                              HoldChange.at < change.at)
    )  # fmt: skip
    return sum(before)


def capture(
    member_id: uuid.UUID, hold_id: uuid.UUID, capture_id: uuid.UUID, content: bytes, targets: Sequence[Target], *, at: datetime, memo: str | None,
    created_by: uuid.UUID | None,
) -> wallets.ChargeResult:  # fmt: skip
    """Buy with held money: the moves of a purchase, out of what this hold reserves. The id is the charge's; again, it is the same charge.

    Raises HoldExceeded (with `missing_minor`), HoldClosed, WalletFrozen, IdReused, NotFound.
    """
    hold = show(member_id, hold_id)
    known = db.session.get(HoldChange, (member_id, capture_id))
    if known is not None and known.kind != "capture":
        raise IdReused(_("This id was already used for another request."), field="id")
    request = wallets.ChargeRequest(member_id, capture_id, content, "purchase", hold.currency, at, tuple(targets), memo, hold_id)
    result = wallets.charge(request)
    if result.status == "new":
        db.session.execute(_NOTE, {"member": member_id, "hold": hold_id, "id": capture_id, "by": created_by})
    return result


def release(
    member_id: uuid.UUID, hold_id: uuid.UUID, release_id: uuid.UUID, amount_minor: int | None, *, at: datetime, reason: str | None,
    created_by: uuid.UUID | None, as_member: bool, for_order: bool = False,
) -> Hold:  # fmt: skip
    """Give back a part of a hold, or all that is left (None). Money past its date expires as it comes back; again, it is the same release.

    `for_order`: the order whose hold it is keeps its own record of who did it and why.

    Raises HoldExceeded, HoldClosed, IdReused, NotFound, and Forbidden where a member asks for what we have placed.
    """
    hold = show(member_id, hold_id)
    if as_member and not hold.by_member:
        raise Forbidden(_("This hold belongs to an order. It is given back when the order ends."))
    status, missing = db.session.execute(
        _RELEASE,
        {"member": member_id, "hold": hold_id, "id": release_id, "hash": request_hash("release", hold=hold_id, amount=amount_minor), "amount": amount_minor,
         "reason": reason, "by": created_by, "at": at},
    ).one()  # fmt: skip
    if status == "hold_closed":
        raise HoldClosed(_("This hold is no longer open. Nothing was given back."))
    if status == "hold_exceeded":
        raise HoldExceeded(_("The hold has less left than that. Nothing was given back."), field="amount_minor", missing_minor=missing)
    if status == "id_reused":
        raise IdReused(_("This id was already used for another request."), field="id")
    before = {"state": "open", "released_minor": hold.released_minor}
    found = show(member_id, hold_id)
    if not as_member and not for_order and status == "new":
        after = {"state": found.state, "released_minor": found.released_minor}
        audit.record("hold.release", hold_id, at=at, member_id=member_id, before=before, after=after, reason=reason)
    return found


def expire_due(*, at: datetime, limit: int = 1_000) -> int:
    """End the holds whose instant has come; returns how many."""
    return db.session.scalar(text("select expire_holds(:at, :most)"), {"at": at, "most": limit}) or 0


def search(member_id: uuid.UUID, state: str | None = None, *, at: datetime) -> Select[Hold]:
    """A member's holds, for a list; an open one whose end has come counts as expired."""
    query = select(Hold).where(Hold.member_id == member_id)
    if state == "open":
        return query.where(Hold.state == "open", Hold.expires_at > at)
    if state == "expired":
        return query.where((Hold.state == "expired") | (Hold.state == "open") & (Hold.expires_at <= at))
    return query.where(Hold.state == state) if state else query


def open_holds(member_id: uuid.UUID, *, at: datetime, limit: int = 50) -> Sequence[Hold]:
    """What reserves money at `at`, the soonest end first."""
    return db.session.scalars(search(member_id, "open", at=at).order_by(Hold.expires_at, Hold.id).limit(limit)).all()


def recent(member_id: uuid.UUID, limit: int = 20) -> Sequence[Hold]:
    """The latest holds, whatever became of them."""
    return db.session.scalars(select(Hold).where(Hold.member_id == member_id).order_by(Hold.created_at.desc(), Hold.id).limit(limit)).all()


def paid_by(member_id: uuid.UUID, charge_id: uuid.UUID) -> tuple[int, int]:
    """How much paid money and how much bonus a capture took."""
    rows = db.session.execute(
        select(Posting.source, func.sum(Posting.amount_minor))
        .where(Posting.book_id == member_id, Posting.transaction_id == charge_id, Posting.source.in_((Account.WALLET_PAID, Account.WALLET_BONUS)))
        .group_by(Posting.source)
    )
    taken = {Account(source): int(amount) for source, amount in rows}
    return taken.get(Account.WALLET_PAID, 0), taken.get(Account.WALLET_BONUS, 0)


def changes_of(member_id: uuid.UUID, hold_id: uuid.UUID) -> Sequence[HoldChange]:
    """What happened to a hold, in order."""
    return db.session.scalars(
        select(HoldChange).where(HoldChange.member_id == member_id, HoldChange.hold_id == hold_id).order_by(HoldChange.at, HoldChange.id)
    ).all()
