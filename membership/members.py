"""Members: the organisations that subscribe. Their money is the billing room's: who makes a member here opens its book there."""

import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, Select, cast, func, or_, select, text

from core.db import db
from core.errors import Conflict, Invalid, NotFound
from core.ids import new_id
from membership import member_facts
from membership.entity_models import LegalEntity
from membership.models import Member
from membership.subscription_models import Subscription

STATES = ("active", "closed")
NUMBER = re.compile(r"[A-Z0-9][A-Z0-9-]{0,15}")  # so that what is counted up from never grows beyond a bigint


class NumberTaken(Conflict):
    """Another member has this number."""

    code = "number_taken"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list of members is narrowed down to; empty means everything."""

    search: str = ""
    state: str = ""
    industry: str = ""
    size: str = ""
    csm_id: uuid.UUID | None = None
    product_line: str = ""
    rank: int | None = None


def create(
    name: str,
    entity: LegalEntity,
    *,
    at: datetime,
    name_en: str | None = None,
    industry: str = "other",
    size: str = "small",
    sales_cycle: str = "short",
    channel: str = "direct",
    number: str | None = None,
    csm_id: uuid.UUID | None = None,
    member_id: uuid.UUID | None = None,
    request_hash: bytes | None = None,
) -> Member:
    """Make a member without a book or wallet: the caller opens them with `billing.wallet.wallets.open_book`. Raises Invalid, NumberTaken."""
    given = {"name": name, "name_en": name_en, "industry": industry, "size": size, "sales_cycle": sales_cycle, "channel": channel, "csm_id": csm_id}
    facts = member_facts.checked(given)
    made = Member(
        id=member_id or new_id(),
        entity_id=entity.id,
        number=_free(number),
        currency=entity.currency,
        state="active",
        created_at=at,
        request_hash=request_hash,
        **facts,
    )
    db.session.add(made)
    db.session.flush()
    return made


def lock_numbers() -> None:
    """Numbers are given out one by one: whoever makes a member waits for who is at it."""
    db.session.execute(text("select pg_advisory_xact_lock(hashtext('member.number'))"))


def next_number() -> str:
    """The number after the highest of the form M00001."""
    highest = db.session.scalar(select(func.max(cast(func.substring(Member.number, r"^M(\d{1,18})$"), BigInteger))))
    return f"M{(highest or 0) + 1:05d}"


def _free(wanted: str | None) -> str:
    lock_numbers()
    number = (wanted or "").strip().upper()
    if not number:
        return next_number()
    if not NUMBER.fullmatch(number):
        raise Invalid(_("A number has 1 to 16 letters from A to Z, digits or hyphens."), field="number")
    if db.session.scalar(select(Member.id).where(func.upper(Member.number) == number)):
        raise NumberTaken(_("Another member has this number; %(next)s is free.", next=next_number()), field="number")
    return number


def find(member_id: uuid.UUID) -> Member:
    """One member. Raises NotFound."""
    found = db.session.get(Member, member_id)
    if found is None:
        raise NotFound(_("There is no such member."))
    return found


def find_by_number(number: str) -> Member:
    """One member by the number people use. Raises NotFound."""
    found = db.session.scalar(select(Member).where(Member.number.in_({number.strip(), number.strip().upper()})))
    if found is None:
        raise NotFound(_("There is no member with this number."), field="member")
    return found


def matching(wanted: Wanted) -> Select[Any]:
    """The members of a filter, to be ordered and paged by the caller."""
    statement = select(Member)
    if word := wanted.search.strip():
        like = "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"
        statement = statement.where(or_(Member.name.ilike(like), Member.name_en.ilike(like), Member.number.ilike(like)))
    for column, value in ((Member.state, wanted.state), (Member.industry, wanted.industry), (Member.size, wanted.size), (Member.csm_id, wanted.csm_id)):
        if value:
            statement = statement.where(column == value)
    if wanted.product_line or wanted.rank:
        running = select(Subscription.id).where(Subscription.member_id == Member.id, Subscription.state != "ended")
        if wanted.product_line:
            running = running.where(Subscription.product_line == wanted.product_line)
        if wanted.rank:
            running = running.where(Subscription.rank == wanted.rank)
        statement = statement.where(running.exists())
    return statement


def count(wanted: Wanted) -> int:
    """How many members a filter finds."""
    return db.session.scalar(select(func.count()).select_from(matching(wanted).subquery())) or 0


def industries() -> list[str]:
    """The industries there are members of, for a filter."""
    return list(db.session.scalars(select(Member.industry).distinct().order_by(Member.industry)))


def numbers(member_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The numbers of some members."""
    return {row[0]: row[1] for row in db.session.execute(select(Member.id, Member.number).where(Member.id.in_(member_ids)))}


def currencies(member_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The currencies in which some members pay."""
    return {row[0]: row[1] for row in db.session.execute(select(Member.id, Member.currency).where(Member.id.in_(member_ids)))}


def running_of(member_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[Subscription]]:
    """The running subscriptions of some members, in one query."""
    found: dict[uuid.UUID, list[Subscription]] = {member_id: [] for member_id in member_ids}
    running = select(Subscription).where(Subscription.member_id.in_(member_ids), Subscription.state != "ended").order_by(Subscription.product_line)
    for subscription in db.session.scalars(running):
        found[subscription.member_id].append(subscription)
    return found
