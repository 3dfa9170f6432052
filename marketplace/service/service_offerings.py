"""Services that partners offer: a listing without an artifact, whose price is paid milestone by milestone."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import cast, select
from sqlalchemy.dialects.postgresql import TSVECTOR, insert
from sqlalchemy.orm import defer

from core.db import db
from core.errors import Invalid
from core.ids import derived
from core.money import basis_points, split, tax_included
from marketplace.models import Listing, Publisher
from marketplace.order import pricing
from marketplace.release import publishing

WHOLE_BP = 10_000
KIND = "service_offering"
VERSION = "1.0.0"  # a service has no releases: what was agreed is frozen in each order


@dataclass(frozen=True, slots=True)
class Step:
    """A milestone as it is offered: its share of the price in basis points, and within how many days of the order it is delivered."""

    name_zh: str
    name_en: str
    share_bp: int
    days: int


@dataclass(frozen=True, slots=True)
class Offering:
    """A service as a partner offers it; the price includes tax."""

    slug: str
    category: str
    name_zh: str
    name_en: str
    summary_zh: str
    summary_en: str
    description_zh: str
    description_en: str
    price_minor: int
    currency: str
    steps: tuple[Step, ...]
    bonus_limit_bp: int = WHOLE_BP


@dataclass(frozen=True, slots=True)
class Part:
    """One milestone of a price, laid out."""

    step: Step
    amount_minor: int
    tax_minor: int
    commission_minor: int
    bonus_limit_minor: int


def publish(offered: Offering, publisher: Publisher, *, at: datetime) -> uuid.UUID:
    """Put a partner's service on sale, or bring it up to date; orders that run keep what was agreed. Raises Invalid."""
    if publisher.kind != "partner":
        raise Invalid(_("Only partners offer services."), field="publisher")
    check(offered.steps)
    values = {name: value for name, value in asdict(offered).items() if name not in ("slug", "steps")} | {
        "publisher_id": publisher.id, "kind": KIND, "state": "published", "pricing": "one_time", "period": None, "tax_rate_bp": None, "is_repeatable": True,
        "product_line": None, "required_rank": 0, "required_features": [], "minutes_saved": 0, "automates": {"steps": []}, "current_version": VERSION,
        "milestones": [asdict(step) for step in offered.steps], "updated_at": at,
    }  # fmt: skip
    listing_id = derived("listing", offered.slug)
    new = insert(Listing).values(
        id=listing_id, slug=offered.slug, revision=1, rating_sum=0, rating_count=0, published_at=at, is_quarantined=False, **values
    )  # fmt: skip
    db.session.execute(new.on_conflict_do_update(index_elements=[Listing.slug], set_=values | {"revision": Listing.revision + 1}))
    listing = db.session.get_one(Listing, listing_id, populate_existing=True)
    listing.search = cast(publishing.vector_of(listing, publisher), TSVECTOR)
    db.session.flush()
    return listing_id


def check(steps: Sequence[Step]) -> None:
    """Do these milestones make a whole? Raises Invalid."""
    if not steps or sum(step.share_bp for step in steps) != WHOLE_BP or any(step.share_bp <= 0 or step.days <= 0 for step in steps):
        raise Invalid(_("The shares of all milestones must be above zero and make 100% together, each with a number of days."), field="milestones")


def steps_of(listing: Listing) -> list[Step]:
    """The milestones of a service on offer; none of any other listing."""
    return [Step(**one) for one in listing.milestones or []]


def find(slug: str) -> tuple[Listing, Publisher]:
    """A service on sale with its partner. Raises NotForSale."""
    row = db.session.execute(
        select(Listing, Publisher)
        .join(Publisher, Publisher.id == Listing.publisher_id)
        .where(Listing.slug == slug, Listing.state == "published", Listing.current_version.is_not(None), Listing.milestones.is_not(None))
        .options(defer(Listing.search))
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None or not row[0].milestones:
        raise pricing.NotForSale(_("This service is not offered."))
    return row[0], row[1]


def laid_out(price_minor: int, steps: Sequence[Step], commission_bp: int, tax_rate_bp: int, bonus_limit_bp: int) -> list[Part]:
    """A price over its milestones: shares by largest remainder, tax and commission so that together they are those of the whole price."""
    parts: list[Part] = []
    before = 0
    for step, amount in zip(steps, split(price_minor, [step.share_bp for step in steps]), strict=True):
        (tax, ours), (tax_before, ours_before) = _inside(before + amount, commission_bp, tax_rate_bp), _inside(before, commission_bp, tax_rate_bp)
        parts.append(Part(step, amount, tax - tax_before, ours - ours_before, basis_points(ours - ours_before, bonus_limit_bp)))
        before += amount
    return parts


def _inside(amount_minor: int, commission_bp: int, tax_rate_bp: int) -> tuple[int, int]:
    """Tax and commission inside an amount."""
    tax = tax_included(amount_minor, tax_rate_bp)
    return tax, basis_points(amount_minor - tax, commission_bp)
