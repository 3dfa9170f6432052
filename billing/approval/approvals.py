"""Decisions of staff about money, one pattern for all: proposed by one, decided by another above a limit, done exactly once.

What a kind does is registered here by the file that knows it (`register`), so that a room above can add its own. Up to the limit a proposal is done
at once; the limit counts what the same person did alone for the same member shortly before, so that it cannot be passed in small steps.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from billing.approval.approval_models import Approval
from core import audit
from core.actor import Actor
from core.db import db
from core.errors import AppError, Conflict, Forbidden, IdReused, Invalid, NotFound
from core.ids import request_hash
from core.settings import Settings
from membership.models import ApiKey

REASONS: dict[str, LazyString] = {
    "customer_request": _l("The customer asked for it"),
    "service_failure": _l("Our service failed"),
    "billing_error": _l("We billed it wrongly"),
    "duplicate": _l("It was done twice"),
    "contract": _l("Agreed in the contract"),
    "fraud": _l("Fraud"),
    "uncollectible": _l("It cannot be collected"),
    "other": _l("Something else"),
}
REASON_LENGTH = 1000


class NeedsAnother(Forbidden):
    """Nobody decides upon a proposal of their own, and no machine decides at all."""

    code = "needs_another_person"


class Decided(Conflict):
    """Somebody has decided before."""

    code = "already_decided"


@dataclass(frozen=True, slots=True)
class Done:
    """What a decision wrote: the entries, as (book, transaction)."""

    entries: Sequence[tuple[uuid.UUID, uuid.UUID]] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of decision. `do` runs in the deciding transaction; `after` runs behind its commit, where the network may be used."""

    name: LazyString
    do: Callable[[Approval, datetime], Done]
    describe: Callable[[Approval], list[tuple[str, str]]] = field(default=lambda _one: [])  # what is proposed, as labelled words
    reject: Callable[[Approval, str, datetime], None] | None = None
    after: Callable[[Approval], None] | None = None


KINDS: dict[str, Kind] = {}


def register(name: str, kind: Kind) -> None:
    """Say what a kind of decision does."""
    KINDS[name] = kind


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody wants done. `id` is the proposer's own and becomes that of the ledger transaction."""

    id: uuid.UUID
    kind: str
    member_id: uuid.UUID | None
    currency: str
    amount_minor: int  # what counts against the limit
    reason_code: str
    reason: str
    details: dict[str, Any]


def propose(wanted: Proposal, acting: Actor, *, at: datetime, prepare: Callable[[], None] | None = None) -> Approval:
    """Do it now, or leave it to a second person; the state of what comes back says which. The same proposal again is the first one.

    `prepare` runs once, for a new proposal. Raises IdReused, Invalid (reason), and whatever forbids doing it.
    """
    content = request_hash(
        "approval", kind=wanted.kind, member=wanted.member_id, currency=wanted.currency, amount=wanted.amount_minor, code=wanted.reason_code,
        reason=wanted.reason, details=wanted.details,
    )  # fmt: skip
    if first := db.session.get(Approval, wanted.id, populate_existing=True):
        if first.request_hash != content:
            raise IdReused(_("This id was already used for another request."), field="id")
        return first
    _check_reason(wanted)
    proposer = person(acting)
    one = Approval(
        id=wanted.id, request_hash=content, kind=wanted.kind, member_id=wanted.member_id, currency=wanted.currency, amount_minor=wanted.amount_minor,
        reason_code=wanted.reason_code, reason=wanted.reason, details=wanted.details, needs_second=_needs_second(wanted, proposer, at), state="proposed",
        proposed_by=proposer, proposed_name=acting.name, proposed_role=acting.role, proposed_at=at,
    )  # fmt: skip
    db.session.add(one)
    if prepare:
        prepare()
    db.session.flush()
    if not one.needs_second:
        _do(one, at)
    audit.record(f"{wanted.kind}.{'propose' if one.needs_second else 'post'}", one.id, at=at, member_id=one.member_id, after=_facts(one), reason=one.reason)
    return one


def _check_reason(wanted: Proposal) -> None:
    if wanted.reason_code not in REASONS:
        raise Invalid(_("Choose a reason."), field="reason_code")
    if wanted.reason_code == "other" and len(wanted.reason.strip()) < 5:
        raise Invalid(_("Say in a few words why."), field="reason")


def person(acting: Actor) -> uuid.UUID:
    """Who stands behind an actor: for a key, whoever made it."""
    if acting.user_id:
        return acting.user_id
    key = db.session.get(ApiKey, acting.api_key_id) if acting.api_key_id else None
    found = (key.created_by if key else None) or acting.api_key_id
    if found is None:
        raise NeedsAnother(_("Only somebody who is signed in can do this."))
    return found


def _needs_second(wanted: Proposal, proposer: uuid.UUID, at: datetime) -> bool:
    settings: Settings = current_app.extensions["settings"]
    since = at - timedelta(hours=settings.approval_window_hours)
    lately = db.session.scalar(
        select(func.coalesce(func.sum(Approval.amount_minor), 0)).where(
            Approval.proposed_by == proposer,
            Approval.member_id == wanted.member_id,
            Approval.currency == wanted.currency,
            Approval.state == "done",
            Approval.needs_second.is_(False),
            Approval.proposed_at > since,
        )
    )
    return int(lately or 0) + wanted.amount_minor > settings.approval_limit_minor


def find(approval_id: uuid.UUID) -> Approval:
    """One decision. Raises NotFound."""
    found = db.session.get(Approval, approval_id)
    if found is None:
        raise NotFound(_("There is no such proposal."))
    return found


def approve(approval_id: uuid.UUID, acting: Actor, *, at: datetime, note: str = "") -> Approval:
    """A second person agrees, and it is done. The same person again changes nothing. Raises NeedsAnother, Decided, and whatever forbids doing it now."""
    one = _held(approval_id, acting, "done")
    if one.state == "proposed":
        _do(one, at, acting, note)
        audit.record(f"{one.kind}.approve", one.id, at=at, member_id=one.member_id, before={"state": "proposed"}, after=_facts(one), reason=note or one.reason)
    return one


def reject(approval_id: uuid.UUID, acting: Actor, *, at: datetime, note: str) -> Approval:
    """A second person disagrees and says why; nothing was moved. Raises NeedsAnother, Decided, Invalid without a note."""
    if not note.strip():
        raise Invalid(_("Say why, for whoever proposed it."), field="note")
    one = _held(approval_id, acting, "rejected")
    if one.state == "proposed":
        if hook := KINDS[one.kind].reject:
            hook(one, note, at)
        _decide(one, "rejected", at, acting, note)
        audit.record(f"{one.kind}.reject", one.id, at=at, member_id=one.member_id, before={"state": "proposed"}, after=_facts(one), reason=note)
    return one


def _held(approval_id: uuid.UUID, acting: Actor, wanted: str) -> Approval:
    one = db.session.get(Approval, approval_id, with_for_update=True, populate_existing=True)
    if one is None:
        raise NotFound(_("There is no such proposal."))
    if acting.user_id is None:
        raise NeedsAnother(_("A person decides upon this, at the page."))
    if acting.user_id == one.proposed_by:
        raise NeedsAnother(_("You proposed this yourself: somebody else has to decide."))
    if one.state != "proposed" and (one.state, one.decided_by) != (wanted, acting.user_id):
        raise Decided(_("Somebody has decided about this before."))
    return one


def _do(one: Approval, at: datetime, by: Actor | None = None, note: str = "") -> Done:
    done = KINDS[one.kind].do(one, at)
    _decide(one, "done", at, by, note)
    return done


def _decide(one: Approval, state: str, at: datetime, by: Actor | None, note: str) -> None:
    one.state, one.decided_at, one.note = state, at, note or None
    if by:
        one.decided_by, one.decided_name = by.user_id, by.name
    db.session.flush()


def finish(one: Approval) -> None:
    """What follows behind the commit (a call to Stripe). A sweep finds what gets lost here."""
    if one.state == "done" and (after := KINDS[one.kind].after):
        after(one)


def rehearse(one: Approval, *, at: datetime) -> tuple[Done | None, AppError | None, Callable[[], None]]:
    """Do a waiting proposal inside a savepoint, to show what it will write: exactly what approval would do now.

    Returns what was done or what forbids it, and how to undo it; the caller looks at the books in between.
    """
    savepoint = db.session.begin_nested()
    try:
        return KINDS[one.kind].do(one, at), None, savepoint.rollback
    except AppError as error:
        savepoint.rollback()
        return None, error, lambda: None


def _facts(one: Approval) -> dict[str, Any]:
    return {"state": one.state, "amount_minor": one.amount_minor, "currency": one.currency, "reason_code": one.reason_code, **one.details}
