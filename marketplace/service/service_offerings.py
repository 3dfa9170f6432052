"""Services that partners offer: a listing without an artifact, whose price is paid milestone by milestone."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import defer

from core.db import db
from core.errors import Invalid
from core.ids import derived
from core.money import basis_points, tax_included
from core.settings import Settings
from marketplace.order import pricing
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import publishing, term_sheets
from marketplace.store.listing_models import Listing
from marketplace.store.search_terms import make_findable

WHOLE_BP = 10_000
KIND = term_sheets.SERVICE
MOST_MILESTONES = 20
TERMS = {"pricing": "one_time", "period": None, "is_repeatable": True}  # of every service


@dataclass(frozen=True, slots=True)
class Step:
    """A milestone as it is offered: what it costs, tax included, and within how many days of the order it is delivered."""

    name_zh: str
    name_en: str
    amount_minor: int
    days: int


@dataclass(frozen=True, slots=True)
class Offering:
    """A service as a partner offers it; the price is the sum of its milestones."""

    slug: str
    category: str
    name_zh: str
    name_en: str
    summary_zh: str
    summary_en: str
    description_zh: str
    description_en: str
    currency: str
    steps: tuple[Step, ...]
    bonus_limit_bp: int = WHOLE_BP

    @property
    def price_minor(self) -> int:
        """What the whole costs, tax included."""
        return sum(step.amount_minor for step in self.steps)


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
    check_partner(publisher)
    check(offered.steps)
    values = {name: value for name, value in asdict(offered).items() if name not in ("slug", "steps")} | {
        "publisher_id": publisher.id, "kind": KIND, "state": "published", "tax_rate_bp": None, "product_line": None, "required_rank": 0,
        "required_features": [], "minutes_saved": 0, "automates": {"steps": []}, "price_minor": offered.price_minor,
        "milestones": [asdict(step) for step in offered.steps], "updated_at": at, **TERMS,
    }  # fmt: skip
    listing_id = derived("listing", offered.slug)
    new = insert(Listing).values(
        id=listing_id, slug=offered.slug, revision=1, rating_sum=0, rating_count=0, published_at=at, is_quarantined=False, **values
    )  # fmt: skip
    db.session.execute(new.on_conflict_do_update(index_elements=[Listing.slug], set_=values | {"revision": Listing.revision + 1}))
    listing = db.session.get_one(Listing, listing_id, populate_existing=True)
    make_findable(listing, publisher)
    publishing.release_terms(listing, at)
    return listing_id


def check_partner(publisher: Publisher) -> None:
    """Only a partner is paid milestone by milestone; what our own people do is sold by contract. Raises Invalid."""
    if publisher.kind != "partner":
        raise Invalid(_("Only partners offer services."), field="publisher")


def check(steps: Sequence[Step]) -> None:
    """Can these milestones be ordered? Raises Invalid."""
    settings: Settings = current_app.extensions["settings"]
    if not 1 <= len(steps) <= MOST_MILESTONES:
        raise Invalid(_("A service has 1 to %(most)s milestones.", most=MOST_MILESTONES), field="milestones")
    if any(step.amount_minor <= 0 or not 1 <= step.days <= settings.service_days for step in steps):
        words = _("Each milestone has an amount above zero, and is delivered within 1 to %(days)s days of the order.", days=settings.service_days)
        raise Invalid(words, field="milestones")


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


def laid_out(steps: Sequence[Step], commission_bp: int, tax_rate_bp: int, bonus_limit_bp: int) -> list[Part]:
    """Milestones with their tax and commission, so that together they are those of the whole price."""
    parts: list[Part] = []
    before = 0
    for step in steps:
        amount = step.amount_minor
        (tax, ours), (tax_before, ours_before) = _inside(before + amount, commission_bp, tax_rate_bp), _inside(before, commission_bp, tax_rate_bp)
        parts.append(Part(step, amount, tax - tax_before, ours - ours_before, basis_points(ours - ours_before, bonus_limit_bp)))
        before += amount
    return parts


def _inside(amount_minor: int, commission_bp: int, tax_rate_bp: int) -> tuple[int, int]:
    """Tax and commission inside an amount."""
    tax = tax_included(amount_minor, tax_rate_bp)
    return tax, basis_points(amount_minor - tax, commission_bp)
