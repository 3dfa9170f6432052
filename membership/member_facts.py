"""What we note about a member: its names, what kind of company it is, how it buys, and who of us looks after it."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from core import audit
from core.db import db
from core.errors import Invalid, NotFound
from membership.models import Member, User

NAME_LENGTH = 100
INDUSTRY_NAMES: dict[str, LazyString] = {
    "retail": _l("Retail"), "manufacturing": _l("Manufacturing"), "education": _l("Education"), "health": _l("Health"), "finance": _l("Financial services"),
    "logistics": _l("Logistics"), "software": _l("Software"), "consulting": _l("Consulting"), "catering": _l("Catering"), "real_estate": _l("Real estate"),
    "tourism": _l("Tourism"), "construction": _l("Construction"), "agriculture": _l("Agriculture"), "media": _l("Media"), "other": _l("Other"),
}  # fmt: skip
SIZE_NAMES: dict[str, LazyString] = {"small": _l("Small"), "medium": _l("Medium"), "large": _l("Large")}
SALES_CYCLE_NAMES: dict[str, LazyString] = {"short": _l("Short: decides within weeks"), "long": _l("Long: decides over months")}
CHANNEL_NAMES: dict[str, LazyString] = {"direct": _l("Directly from us"), "agent": _l("Through an agent")}
INDUSTRIES, SIZES, SALES_CYCLES, CHANNELS = tuple(INDUSTRY_NAMES), tuple(SIZE_NAMES), tuple(SALES_CYCLE_NAMES), tuple(CHANNEL_NAMES)
OPTIONS = {"industry": INDUSTRIES, "size": SIZES, "sales_cycle": SALES_CYCLES, "channel": CHANNELS}
FACTS = ("name", "name_en", *OPTIONS, "csm_id")


def industry_name(industry: str) -> str:
    """An industry in the page's language; as it is where we have no word for it."""
    return str(INDUSTRY_NAMES.get(industry, industry))


def csms() -> Sequence[User]:
    """Those of us who can look after a member, by name."""
    return db.session.scalars(select(User).where(User.role == "csm", User.disabled_at.is_(None)).order_by(User.name, User.email)).all()


def csm_of(member: Member) -> User | None:
    """Who looks after this member, if anybody."""
    return db.session.get(User, member.csm_id) if member.csm_id else None


def checked(given: Mapping[str, Any], present: Member | None = None) -> dict[str, Any]:
    """Facts as they are stored; what a member has already is not asked about again. Raises Invalid with every field that is not right."""
    facts = {name: value.strip() if isinstance(value, str) else value for name, value in given.items()}
    if "name_en" in facts:
        facts["name_en"] = facts["name_en"] or None
    wrong = {}
    if "name" in facts and not facts["name"]:
        wrong["name"] = _("Enter a name.")
    for name in ("name", "name_en"):
        if len(facts.get(name) or "") > NAME_LENGTH:
            wrong[name] = _("A name has at most %(most)s characters.", most=NAME_LENGTH)
    for name, options in OPTIONS.items():
        if name in facts and facts[name] not in options and (present is None or facts[name] != getattr(present, name)):
            wrong[name] = _("Choose one of the options.")
    csm_id = facts.get("csm_id")
    if csm_id is not None and (present is None or csm_id != present.csm_id) and csm_id not in {csm.id for csm in csms()}:
        wrong["csm_id"] = _("Choose one of our customer success managers.")
    if wrong:
        raise Invalid(_("Some fields are not right."), fields=wrong)
    return facts


def change(member_id: uuid.UUID, given: Mapping[str, Any], *, at: datetime) -> Member:
    """Note other facts about a member; what is not given stays. Raises NotFound, Invalid."""
    member = db.session.scalar(select(Member).where(Member.id == member_id).with_for_update())
    if member is None:
        raise NotFound(_("There is no such member."))
    facts = checked(given, member)
    before = {name: getattr(member, name) for name, value in facts.items() if getattr(member, name) != value}
    if before:
        was = _in_words(before)
        for name in before:
            setattr(member, name, facts[name])
        audit.record("member.update", member.number, at=at, member_id=member.id, before=was, after=_in_words({name: facts[name] for name in before}))
    return member


def _in_words(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as the audit trail keeps them: people by their address."""
    said = dict(facts)
    if csm_id := said.pop("csm_id", None):
        said["csm"] = db.session.scalar(select(User.email).where(User.id == csm_id))
    elif "csm_id" in facts:
        said["csm"] = None
    return said
