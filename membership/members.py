"""Members: the organisations that subscribe. Their money is the billing room's: who makes a member here opens its book there."""

import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import BigInteger, Select, cast, func, or_, select, text

from core.db import db
from core.errors import Conflict, Invalid, NotFound
from core.ids import new_id
from membership.entity_models import LegalEntity
from membership.models import Member
from membership.subscription_models import Subscription

SIZES = ("small", "medium", "large")
SALES_CYCLES = ("short", "long")
CHANNELS = ("direct", "agent")
STATES = ("active", "closed")
SIZE_NAMES = {"small": _l("Small"), "medium": _l("Medium"), "large": _l("Large")}
INDUSTRY_NAMES = {
    "retail": _l("Retail"), "manufacturing": _l("Manufacturing"), "education": _l("Education"), "health": _l("Health"), "finance": _l("Financial services"),
    "logistics": _l("Logistics"), "software": _l("Software"), "consulting": _l("Consulting"), "catering": _l("Catering"), "real_estate": _l("Real estate"),
    "tourism": _l("Tourism"), "construction": _l("Construction"), "agriculture": _l("Agriculture"), "media": _l("Media"), "other": _l("Other"),
}  # fmt: skip


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
) -> Member:
    """Make a member without a book or wallet: the caller opens them with `billing.wallet.wallets.open_book`. Raises Invalid, NumberTaken."""
    if not name.strip():
        raise Invalid(_("Enter a name."), field="name")
    for field, value, allowed in (("size", size, SIZES), ("sales_cycle", sales_cycle, SALES_CYCLES), ("channel", channel, CHANNELS)):
        if value not in allowed:
            raise Invalid(_("Choose one of the options."), field=field)
    db.session.execute(text("select pg_advisory_xact_lock(hashtext('member.number'))"))  # numbers are given out one by one
    if number is None:
        highest = db.session.scalar(select(func.max(cast(func.substring(Member.number, r"^M(\d{1,9})$"), BigInteger))))
        number = f"M{(highest or 0) + 1:05d}"
    elif db.session.scalar(select(Member.id).where(Member.number == number)):
        raise NumberTaken(_("Another member has this number."), field="number")
    made = Member(
        id=member_id or new_id(),
        entity_id=entity.id,
        number=number,
        name=name.strip(),
        name_en=name_en,
        industry=industry,
        size=size,
        sales_cycle=sales_cycle,
        channel=channel,
        currency=entity.currency,
        state="active",
        csm_id=csm_id,
        created_at=at,
    )
    db.session.add(made)
    db.session.flush()
    return made


def industry_name(industry: str) -> str:
    """An industry in the page's language; as it is where we have no word for it."""
    return str(INDUSTRY_NAMES.get(industry, industry))


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


def running_of(member_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[Subscription]]:
    """The running subscriptions of some members, in one query."""
    found: dict[uuid.UUID, list[Subscription]] = {member_id: [] for member_id in member_ids}
    running = select(Subscription).where(Subscription.member_id.in_(member_ids), Subscription.state != "ended").order_by(Subscription.product_line)
    for subscription in db.session.scalars(running):
        found[subscription.member_id].append(subscription)
    return found
