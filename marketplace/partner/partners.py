"""Service partners as members see them: who they are, what they offer, what buyers say, and what became of their services."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _
from sqlalchemy import select, text
from sqlalchemy.orm import defer

from core.db import db
from core.errors import NotFound
from marketplace.publisher.publisher_models import Publisher
from marketplace.store.listing_models import Listing
from marketplace.store.listings import ON_SHOW

_RECORDS = text("select * from partner_records()")


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a partner's services: orders by outcome, milestones delivered, on time, and disputed."""

    orders: int = 0
    running: int = 0
    completed: int = 0
    cancelled: int = 0
    delivered: int = 0
    on_time: int = 0
    disputed: int = 0


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner with its listings on sale and its record."""

    publisher: Publisher
    listings: Sequence[Listing]
    record: Record

    @property
    def services(self) -> list[Listing]:
        """What it does for members."""
        return [one for one in self.listings if one.milestones]

    @property
    def apps(self) -> list[Listing]:
        """What it sells ready made."""
        return [one for one in self.listings if not one.milestones]

    @property
    def rating_count(self) -> int:
        """How many buyers have rated its listings."""
        return sum(one.rating_count for one in self.listings)

    @property
    def rating(self) -> float | None:
        """Average stars, for showing; None without reviews."""
        return sum(one.rating_sum for one in self.listings) / self.rating_count if self.rating_count else None


def directory() -> list[Partner]:
    """All partners that offer something, those with most completed services first."""
    found = [one for one in _read(None) if one.listings]
    return sorted(found, key=lambda one: (-one.record.completed, -one.rating_count, one.publisher.code))


def find(code: str) -> Partner:
    """One partner. Raises NotFound."""
    found = _read(code)
    if not found:
        raise NotFound(_("There is no such partner."))
    return found[0]


def _read(code: str | None) -> list[Partner]:
    query = select(Publisher).where(Publisher.kind == "partner").order_by(Publisher.code)
    partners = db.session.scalars(query.where(Publisher.code == code) if code else query).all()
    offered = db.session.scalars(
        select(Listing)
        .where(Listing.publisher_id.in_([one.id for one in partners]), Listing.state.in_(ON_SHOW), Listing.current_version.is_not(None))
        .order_by(Listing.slug)
        .options(defer(Listing.search), defer(Listing.description_zh), defer(Listing.description_en))
    ).all()
    records: dict[uuid.UUID, Record] = {row[0]: Record(*row[1:]) for row in db.session.execute(_RECORDS)}
    return [Partner(one, [listing for listing in offered if listing.publisher_id == one.id], records.get(one.id, Record())) for one in partners]
