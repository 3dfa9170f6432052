"""What a member's editions allow. The one place where such a question is answered: pages, API and store ask here."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask_babel import gettext as _
from sqlalchemy import func, select

from core.db import db
from core.formats import local
from membership import catalogue, hosts
from membership.catalogue_models import HostVersion, ProductLine
from membership.subscription_models import Subscription

RUNNING = ("trialing", "active", "past_due")


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether a member may use something: its edition rank in each product line it has a running subscription of, and the version of
    each product line that its host runs. A line without a version is not compared.
    """

    ranks: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """May it be used? If not: why, and what would do: the lowest edition (`needed_rank` is None where none does), or a version of the host."""

    allowed: bool
    reason: str = ""  # no_subscription | edition_too_low | not_offered | host_too_old | host_too_new
    needed_line: str | None = None
    needed_rank: int | None = None
    needed_version: str | None = None  # a specifier
    version: str | None = None  # what the member's host runs

    @property
    def is_about_host(self) -> bool:
        """Another version of the host would do; the edition is no hindrance."""
        return self.reason in ("host_too_old", "host_too_new")


ALLOWED = Verdict(True)


def ranks_of(member_id: uuid.UUID) -> dict[str, int]:
    """The member's edition rank in each product line it has a running subscription of."""
    rows = db.session.execute(
        select(Subscription.product_line, func.max(Subscription.rank))
        .where(Subscription.member_id == member_id, Subscription.state.in_(RUNNING), Subscription.suspended_at.is_(None))
        .group_by(Subscription.product_line)
    )
    return {row[0]: row[1] for row in rows}


def standing_of(member_id: uuid.UUID) -> Standing:
    """Editions and host versions of a member, in one query."""
    runs = (Subscription.product_line == ProductLine.code) & (Subscription.member_id == member_id)
    runs = runs & Subscription.state.in_(RUNNING) & Subscription.suspended_at.is_(None)
    own = (HostVersion.product_line == ProductLine.code) & (HostVersion.member_id == member_id)
    rows = db.session.execute(
        select(ProductLine.code, func.coalesce(HostVersion.version, ProductLine.release), func.max(Subscription.rank))
        .outerjoin(Subscription, runs)
        .outerjoin(HostVersion, own)
        .group_by(ProductLine.code, HostVersion.version)
    ).all()
    return Standing({line: rank for line, _version, rank in rows if rank is not None}, {line: version for line, version, _rank in rows})


def verdict(
    who: uuid.UUID | Standing, product_line: str | None, required_rank: int, required_features: Sequence[str] = (), host_version: str | None = None
) -> Verdict:
    """May this member (or one of this standing) use what requires an edition rank, features, and a version of the host (a specifier)?

    Without a product line any line will do that meets all of it; then the line named as needed is the first that offers it.
    """
    if not required_rank and not required_features and host_version is None:
        return ALLOWED
    standing = standing_of(who) if isinstance(who, uuid.UUID) else who
    refusals = []
    for line in [product_line] if product_line else _lines(standing, needs_edition=bool(required_rank or required_features)):
        refusal = _edition_refusal(standing, line, required_rank, required_features) or _host_refusal(standing, line, host_version)
        if refusal is None:
            return ALLOWED
        refusals.append(refusal)
    if not refusals and not (required_rank or required_features):
        return ALLOWED  # no product line is known, so there is no host to compare
    order = ("host_too_old", "host_too_new", "edition_too_low", "no_subscription", "not_offered")  # an upgrade is nearer than a new subscription
    return min(refusals, key=lambda refusal: order.index(refusal.reason), default=Verdict(False, "not_offered", product_line, None))


def _lines(standing: Standing, *, needs_edition: bool) -> list[str]:
    """The lines that something of no particular line may lean on: all on sale where it needs an edition; else those the member has."""
    if needs_edition:
        return sorted({line for line, _rank in catalogue.all_editions()} | set(standing.ranks))
    return sorted(standing.ranks) or sorted(standing.versions)


def _edition_refusal(standing: Standing, line: str, required_rank: int, required_features: Sequence[str]) -> Verdict | None:
    lowest = catalogue.lowest_rank_with(line, required_features) if required_features else required_rank
    needed = None if lowest is None else max(lowest, required_rank)
    if needed is not None and standing.ranks.get(line, 0) >= needed:
        return None
    return Verdict(False, "not_offered" if needed is None else "edition_too_low" if line in standing.ranks else "no_subscription", line, needed)


def _host_refusal(standing: Standing, line: str, host_version: str | None) -> Verdict | None:
    version = standing.versions.get(line)
    if version is None or host_version is None or hosts.fits(version, host_version):
        return None
    reason = "host_too_old" if hosts.is_older(version, host_version) else "host_too_new"
    return Verdict(False, reason, line, needed_version=host_version, version=version)


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
    if line is not None and refusal.needed_version is not None and refusal.version is not None:
        words = {"line": local(line, "name"), "versions": hosts.in_words(refusal.needed_version), "version": refusal.version}
        if refusal.reason == "host_too_old":
            return str(_("Needs version %(versions)s of %(line)s; yours is %(version)s, which is too old.", **words))
        return str(_("Made for version %(versions)s of %(line)s; yours is %(version)s already, for which it has not been released.", **words))
    if line is None or refusal.needed_rank is None:
        return str(_("No edition on sale includes this."))
    edition = local(catalogue.edition(line.code, refusal.needed_rank), "name")
    if refusal.reason == "no_subscription":
        return str(_("Needs a subscription of %(line)s, %(edition)s edition or higher.", line=local(line, "name"), edition=edition))
    return str(_("Needs the %(edition)s edition of %(line)s or higher.", line=local(line, "name"), edition=edition))
