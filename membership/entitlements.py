"""What a member's editions allow. The one place where such a question is answered: pages, API and store ask here."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask_babel import gettext as _
from sqlalchemy import func, select

from core.db import db
from core.formats import local
from membership import catalogue
from membership.models import ProductLine, Subscription

RUNNING = ("trialing", "active", "past_due")


@dataclass(frozen=True, slots=True)
class Verdict:
    """May it be used? If not: why, and the lowest edition that would do (`needed_rank` is None where none does)."""

    allowed: bool
    reason: str = ""  # no_subscription | edition_too_low | not_offered
    needed_line: str | None = None
    needed_rank: int | None = None


ALLOWED = Verdict(True)


def ranks_of(member_id: uuid.UUID) -> dict[str, int]:
    """The member's edition rank in each product line it has a running subscription of."""
    rows = db.session.execute(
        select(Subscription.product_line, func.max(Subscription.rank))
        .where(Subscription.member_id == member_id, Subscription.state.in_(RUNNING), Subscription.suspended_at.is_(None))
        .group_by(Subscription.product_line)
    )
    return {row[0]: row[1] for row in rows}


def verdict(who: uuid.UUID | Mapping[str, int], product_line: str | None, required_rank: int, required_features: Sequence[str] = ()) -> Verdict:
    """May this member (or one of these ranks) use what requires an edition rank and features?

    Without a product line any line will do; then the line named as needed is the first that offers it.
    """
    if not required_rank and not required_features:
        return ALLOWED
    ranks = ranks_of(who) if isinstance(who, uuid.UUID) else who
    lines = [product_line] if product_line else sorted({line for line, _rank in catalogue.all_editions()} | set(ranks))
    refusals = []
    for line in lines:
        lowest = catalogue.lowest_rank_with(line, required_features) if required_features else required_rank
        needed = None if lowest is None else max(lowest, required_rank)
        if needed is not None and ranks.get(line, 0) >= needed:
            return ALLOWED
        reason = "not_offered" if needed is None else "edition_too_low" if line in ranks else "no_subscription"
        refusals.append(Verdict(False, reason, line, needed))
    order = ("edition_too_low", "no_subscription", "not_offered")  # an upgrade is nearer than a new subscription
    return min(refusals, key=lambda refusal: order.index(refusal.reason), default=Verdict(False, "not_offered", product_line, None))


def may_use_feature(member_id: uuid.UUID, line: str, feature: str) -> bool:
    """Does the member's edition of this line have the feature?"""
    rank = ranks_of(member_id).get(line)
    return rank is not None and feature in catalogue.features_of(line, rank)


def limit_of(member_id: uuid.UUID, line: str, name: str) -> int:
    """How much of something the member's edition allows; 0 without a subscription or where the edition does not speak of it."""
    rank = ranks_of(member_id).get(line)
    found = catalogue.all_editions().get((line, rank)) if rank is not None else None
    return int(found.limits.get(name, 0)) if found else 0


@dataclass(frozen=True, slots=True)
class Entitled:
    """What a member may use of one product line now, at the edition it has."""

    product_line: str
    rank: int
    features: list[str]
    limits: dict[str, int]


def of_member(member_id: uuid.UUID) -> list[Entitled]:
    """Everything a member may use now: nothing of what is paused, suspended or ended."""
    found = catalogue.all_editions()
    return [
        Entitled(line, rank, sorted(catalogue.features_of(line, rank)), {name: int(most) for name, most in found[line, rank].limits.items()})
        for line, rank in sorted(ranks_of(member_id).items())
    ]


def sentence(refusal: Verdict) -> str:
    """A verdict in words for the person who asked; empty when it is allowed."""
    if refusal.allowed:
        return ""
    line = db.session.get(ProductLine, refusal.needed_line) if refusal.needed_line else None
    if line is None or refusal.needed_rank is None:
        return str(_("No edition on sale includes this."))
    edition = local(catalogue.edition(line.code, refusal.needed_rank), "name")
    if refusal.reason == "no_subscription":
        return str(_("Needs a subscription of %(line)s, %(edition)s edition or higher.", line=local(line, "name"), edition=edition))
    return str(_("Needs the %(edition)s edition of %(line)s or higher.", line=local(line, "name"), edition=edition))
