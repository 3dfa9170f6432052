"""A customer is taken on: the member, its book with an empty wallet, and its owner, in one transaction."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select, text

from billing.wallet import wallets
from core import audit, typed
from core.db import db
from core.errors import Conflict, IdReused, Invalid
from core.ids import request_hash
from membership import members, users
from membership.entity_models import LegalEntity
from membership.models import Member, User

_IS_BOOK = text("select exists (select from book where id = :id)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A customer to take on. `id` is the caller's own and becomes the member's; without a number it gets the next one."""

    id: uuid.UUID
    facts: Mapping[str, Any]  # see `member_facts.FACTS`
    owner_name: str
    owner_email: str
    number: str | None = None
    entity_id: uuid.UUID | None = None  # who sells to it, and so the currency: may be left out where there is only one
    currency: str | None = None


def entities() -> Sequence[LegalEntity]:
    """Who of us can sell to a member."""
    return db.session.scalars(select(LegalEntity).order_by(LegalEntity.currency, LegalEntity.name, LegalEntity.id)).all()


def create(wanted: Wanted, *, at: datetime) -> tuple[Member, User]:
    """Take a customer on, once: the same again is the same member and owner. Nothing is kept of one that fails.

    Raises Invalid, NumberTaken, EmailTaken (fields of the owner begin with `owner.`), IdReused.
    """
    content = request_hash(
        "member", facts=wanted.facts, owner=[wanted.owner_name, wanted.owner_email], number=wanted.number, entity=wanted.entity_id, currency=wanted.currency
    )
    members.lock_numbers()  # so that of two with one id the second finds the first
    first = db.session.get(Member, wanted.id)
    if first is not None and first.request_hash == content:
        return first, _owner_of(first, wanted)
    if first is not None or db.session.scalar(_IS_BOOK, {"id": wanted.id}):  # a book of ours or a partner's has an id of the same kind
        raise IdReused(_("This id was already used for another request."), field="id")
    entity = _entity(wanted)
    member = members.create(entity=entity, at=at, number=wanted.number, member_id=wanted.id, request_hash=content, **wanted.facts)
    wallets.open_book(member.id, "member", entity.id, entity.currency, at)
    try:
        owner = users.create(wanted.owner_email, wanted.owner_name, "owner", at=at, member_id=member.id)
    except (Invalid, Conflict) as error:
        raise type(error)(error.detail, fields={f"owner.{field}": said for field, said in error.fields.items()}) from error
    after = {"name": member.name, "currency": member.currency, "owner": owner.email}
    audit.record("member.create", member.number, at=at, member_id=member.id, after=after)
    return member, owner


def _owner_of(member: Member, wanted: Wanted) -> User:
    """The owner it was taken on with: addresses are never changed."""
    return db.session.scalars(select(User).where(User.member_id == member.id, User.email == typed.email(wanted.owner_email))).one()


def _entity(wanted: Wanted) -> LegalEntity:
    known = entities()
    if not known:
        raise Invalid(_("None of our companies is set up here yet, so nobody can sell to a member."))
    fits = [one for one in known if wanted.entity_id in (None, one.id) and wanted.currency in (None, one.currency)]
    if not fits:
        raise Invalid(_("None of our companies sells in this currency."), field="currency" if wanted.entity_id is None else "entity_id")
    if len(fits) > 1:
        raise Invalid(_("Choose who of us sells to this member."), field="entity_id")
    return fits[0]
