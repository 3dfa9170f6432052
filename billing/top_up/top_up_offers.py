"""Campaigns like “charge 1,000, get 100”: finance makes, schedules and ends them; an amount earns the best tier in force when it is started."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from billing.top_up.top_up_models import TopUp, TopUpOffer, TopUpTier
from core import audit
from core.actor import actor
from core.db import db
from core.errors import Conflict, IdReused, Invalid, NotFound

TIERS_MOST = 5


class OfferOver(Conflict):
    """It has ended already."""

    code = "offer_over"


@dataclass(frozen=True, slots=True)
class Promise:
    """What a top-up earns on top; the bonus lives `bonus_days` from the day it arrives."""

    bonus_minor: int = 0
    bonus_days: int | None = None
    priority: int = 0
    offer_id: uuid.UUID | None = None

    def expires_at(self, arrival: datetime) -> datetime | None:
        """When the bonus ends if the money arrives at `arrival`."""
        return arrival + timedelta(days=self.bonus_days) if self.bonus_minor and self.bonus_days is not None else None


@dataclass(frozen=True, slots=True)
class Tier:
    """One step of an offer, with what the offer says about all its steps."""

    offer_id: uuid.UUID
    name_zh: str
    name_en: str
    from_minor: int
    bonus_minor: int
    bonus_days: int
    priority: int
    first_only: bool
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """An offer as finance writes it down. `tiers` are (from, bonus) in minor units."""

    id: uuid.UUID
    name_zh: str
    name_en: str
    currency: str
    tiers: tuple[tuple[int, int], ...]
    bonus_days: int
    starts_at: datetime | None = None  # None: at once
    ends_at: datetime | None = None
    first_only: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Use:
    """What became of an offer: top-ups that settled with it, what they brought and what was given."""

    settled: int = 0
    pending: int = 0
    amount_minor: int = 0
    bonus_minor: int = 0


def in_force(currency: str, *, at: datetime, member_id: uuid.UUID | None = None) -> list[Tier]:
    """The tiers on offer at `at`, the smallest first; those for a first top-up only while `member_id` has none (nor one on its way)."""
    tiers = [
        Tier(offer.id, offer.name_zh, offer.name_en, tier.from_minor, tier.bonus_minor, offer.bonus_days, offer.priority, offer.first_only, offer.ends_at)
        for offer, tier in db.session.execute(
            select(TopUpOffer, TopUpTier)
            .join(TopUpTier, TopUpTier.offer_id == TopUpOffer.id)
            .where(TopUpOffer.currency == currency, TopUpOffer.starts_at <= at, TopUpOffer.ends_at.is_(None) | (TopUpOffer.ends_at > at))
            .order_by(TopUpTier.from_minor, TopUpTier.bonus_minor, TopUpOffer.id)
        )
    ]
    if member_id is not None and any(tier.first_only for tier in tiers) and has_topped_up(member_id):
        return [tier for tier in tiers if not tier.first_only]
    return tiers


def has_topped_up(member_id: uuid.UUID, *, besides: uuid.UUID | None = None) -> bool:
    """Has a member a top-up that arrived or may still arrive, besides this one?"""
    query = select(TopUp.id).where(TopUp.member_id == member_id, TopUp.state.in_(("pending", "settled")))
    return db.session.scalar((query.where(TopUp.id != besides) if besides else query).limit(1)) is not None


def best(currency: str, amount_minor: int, *, at: datetime, member_id: uuid.UUID | None = None) -> Promise:
    """What `amount_minor` earns at `at`: the tier that gives most among those the amount reaches; nothing without one."""
    return best_of(in_force(currency, at=at, member_id=member_id), amount_minor)


def best_of(tiers: Sequence[Tier], amount_minor: int) -> Promise:
    """The same, of tiers already read."""
    reached = [tier for tier in tiers if tier.from_minor <= amount_minor]
    if not reached:
        return Promise()
    tier = max(reached, key=lambda tier: (tier.bonus_minor, tier.bonus_days))
    return Promise(tier.bonus_minor, tier.bonus_days, tier.priority, tier.offer_id)


def promised_for(top_up: TopUp, received_minor: int) -> Promise:
    """What another amount earned on the day a top-up was announced; what is for a first top-up only if this one was the first."""
    tiers = in_force(top_up.currency, at=top_up.created_at)
    if has_topped_up(top_up.member_id, besides=top_up.id) and not _is_first_only(top_up.offer_id):
        tiers = [tier for tier in tiers if not tier.first_only]
    return best_of(tiers, received_minor)


def _is_first_only(offer_id: uuid.UUID | None) -> bool:
    return bool(offer_id and db.session.get_one(TopUpOffer, offer_id).first_only)


def create(wanted: Wanted, *, at: datetime) -> TopUpOffer:
    """Write an offer down; the same again is the same offer. Raises Invalid, IdReused."""
    known = find(wanted.id)
    wanted = replace(wanted, starts_at=wanted.starts_at or (known.starts_at if known else at))
    if known is None:
        _check(wanted, at)
    made = db.session.execute(
        insert(TopUpOffer)
        .values(
            id=wanted.id, name_zh=wanted.name_zh, name_en=wanted.name_en, currency=wanted.currency, bonus_days=wanted.bonus_days, priority=wanted.priority,
            first_only=wanted.first_only, starts_at=wanted.starts_at, ends_at=wanted.ends_at, created_by=actor().name, created_at=at,
        )
        .on_conflict_do_nothing()
        .returning(TopUpOffer.id)
    ).one_or_none()  # fmt: skip
    offer = show(wanted.id)
    if made is None:
        if _content(offer, tuple((tier.from_minor, tier.bonus_minor) for tier in tiers_of([offer.id])[offer.id])) != _content(wanted, wanted.tiers):
            raise IdReused(_("This id was already used for another request."), field="id")
        return offer
    db.session.execute(insert(TopUpTier), [{"offer_id": wanted.id, "from_minor": f, "bonus_minor": b} for f, b in wanted.tiers])
    audit.record("top_up_offer.create", wanted.id, at=at, after=_words(offer, wanted.tiers))
    return offer


def _content(of: TopUpOffer | Wanted, tiers: tuple[tuple[int, int], ...]) -> tuple[object, ...]:
    """What tells a replay from a reuse; not the end, which finance may have brought forward meanwhile."""
    return of.name_zh, of.name_en, of.currency, of.bonus_days, of.priority, of.first_only, of.starts_at, tiers


def _words(offer: TopUpOffer, tiers: Sequence[tuple[int, int]]) -> dict[str, object]:
    return {
        "name": offer.name_zh, "currency": offer.currency, "tiers": [list(tier) for tier in tiers], "bonus_days": offer.bonus_days,
        "first_only": offer.first_only, "starts_at": offer.starts_at.isoformat(), "ends_at": offer.ends_at and offer.ends_at.isoformat(),
    }  # fmt: skip


def _check(wanted: Wanted, at: datetime) -> None:
    if not wanted.tiers:
        raise Invalid(_("Enter at least one amount and what it earns."), field="tiers")
    for before, tier in zip((None, *wanted.tiers), wanted.tiers, strict=False):
        if tier[1] > tier[0]:
            raise Invalid(_("A bonus larger than the amount it comes with must be a slip."), field="tiers")
        if before and (tier[0] <= before[0] or tier[1] <= before[1]):
            raise Invalid(_("Each step must ask for more than the one before, and give more."), field="tiers")
    if wanted.ends_at is not None and wanted.ends_at <= max(wanted.starts_at or at, at):
        raise Invalid(_("The offer must end after it begins, and not in the past."), field="ends_at")


def end(offer_id: uuid.UUID, reason: str, *, at: datetime) -> TopUpOffer:
    """Promise this no more, from now on; what was promised stays. Raises NotFound, OfferOver."""
    offer = db.session.get(TopUpOffer, offer_id, with_for_update=True, populate_existing=True)
    if offer is None:
        raise NotFound(_("There is no such offer."))
    if state(offer, at=at) == "over":
        raise OfferOver(_("This offer has ended already."))
    before = {"starts_at": offer.starts_at.isoformat(), "ends_at": offer.ends_at and offer.ends_at.isoformat()}
    offer.ends_at = max(at, offer.starts_at)  # one that has not begun will never be in force
    audit.record("top_up_offer.end", offer_id, at=at, before=before, after={"ends_at": offer.ends_at.isoformat()}, reason=reason)
    return offer


def state(offer: TopUpOffer, *, at: datetime) -> str:
    """running, scheduled or over."""
    if offer.ends_at is not None and (offer.ends_at <= at or offer.ends_at == offer.starts_at):
        return "over"
    return "running" if offer.starts_at <= at else "scheduled"


def show(offer_id: uuid.UUID) -> TopUpOffer:
    """One offer. Raises NotFound."""
    offer = db.session.get(TopUpOffer, offer_id)
    if offer is None:
        raise NotFound(_("There is no such offer."))
    return offer


def find(offer_id: uuid.UUID) -> TopUpOffer | None:
    """One offer, if there is one."""
    return db.session.get(TopUpOffer, offer_id)


def tiers_of(offer_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[TopUpTier]]:
    """The tiers of offers, the smallest first, in one query."""
    found: dict[uuid.UUID, list[TopUpTier]] = {offer_id: [] for offer_id in offer_ids}
    for tier in db.session.scalars(select(TopUpTier).where(TopUpTier.offer_id.in_(offer_ids)).order_by(TopUpTier.from_minor)):
        found[tier.offer_id].append(tier)
    return found


def use_of(offer_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Use]:
    """What became of offers, in one query."""
    is_settled = TopUp.state == "settled"
    amount = func.coalesce(TopUp.received_minor, TopUp.amount_minor)
    rows = db.session.execute(
        select(
            TopUp.offer_id, func.count().filter(is_settled), func.count().filter(TopUp.state == "pending"),
            func.coalesce(func.sum(amount).filter(is_settled), 0), func.coalesce(func.sum(TopUp.bonus_minor).filter(is_settled), 0),
        )
        .where(TopUp.offer_id.in_(offer_ids))
        .group_by(TopUp.offer_id)
    )  # fmt: skip
    found = {offer_id: Use() for offer_id in offer_ids}
    for offer_id, settled, pending, came, given in rows:
        assert offer_id
        found[offer_id] = Use(settled, pending, int(came), int(given))
    return found
