"""Publishing: a bundle becomes a version, a version becomes what the store sells, and the search index follows."""

import uuid
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import cast, select
from sqlalchemy.dialects.postgresql import TSVECTOR, insert

from core.db import db
from core.errors import Conflict
from core.ids import derived
from marketplace.checks import records, shipped, signing
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import bundles, lifecycle, term_sheets
from marketplace.release.lifecycle_models import SigningKey
from marketplace.release.version_models import Artifact, ListingVersion
from marketplace.store.listing_models import Listing
from marketplace.store.search_terms import vector_of
from membership import taxes


class VersionReused(Conflict):
    """The number was used before for other content."""

    code = "version_reused"


def store_artifact(bundle: bundles.Bundle) -> None:
    """Keep the bundle under its hash; the same content is kept once."""
    row = {"sha256": bundle.sha256, "filename": bundle.filename, "size": len(bundle.content), "content": bundle.content}
    db.session.execute(insert(Artifact).values(row).on_conflict_do_nothing())


def publish(offered: bundles.ShowcaseListing, publisher: Publisher, at: datetime) -> uuid.UUID:
    """Put a listing and its version on sale, or bring it up to date; the same folder twice changes nothing.

    Returns the listing's id. Raises BundleInvalid, and VersionReused when the number stands for other content already.
    """
    bundle = bundles.build(offered.folder)
    listing_id = derived("listing", offered.slug)
    terms = {
        "publisher_id": publisher.id, "kind": offered.kind, "category": offered.category, "name_zh": offered.name_zh, "name_en": offered.name_en,
        "summary_zh": offered.summary_zh, "summary_en": offered.summary_en, "description_zh": offered.description_zh,
        "description_en": offered.description_en, "state": "published", "pricing": offered.pricing,
        "period": offered.period, "trial_days": offered.trial_days, "licensed_per": offered.licensed_per,
        "currency": offered.currency, "price_minor": offered.price_minor, "tax_rate_bp": offered.tax_rate_bp, "excludes_tax": _excludes_tax(offered, at),
        "bonus_limit_bp": offered.bonus_limit_bp, "is_repeatable": offered.repeatable, "product_line": offered.product_line,
        "required_rank": offered.required_rank, "required_features": list(offered.required_features),
        "minutes_saved": offered.minutes_saved_per_run, "automates": {"steps": [list(step) for step in offered.automates]},
        "host_version": bundle.manifest.get("host_version"), "current_version": offered.version,
    }  # fmt: skip
    store_artifact(bundle)
    new = insert(Listing).values(
        id=listing_id, slug=offered.slug, revision=1, rating_sum=0, rating_count=0, published_at=at, updated_at=at,
        search=cast(vector_of(offered, publisher), TSVECTOR), is_quarantined=False, **terms,
    )  # fmt: skip
    changed = db.or_(*(getattr(Listing, name).is_distinct_from(getattr(new.excluded, name)) for name in terms))
    db.session.execute(
        new.on_conflict_do_update(
            index_elements=[Listing.slug],
            set_={**{name: getattr(new.excluded, name) for name in (*terms, "search", "updated_at")}, "revision": Listing.revision + 1},
            where=changed,
        )
    )
    _release(listing_id, offered, bundle, at)
    return listing_id


def _excludes_tax(offered: bundles.ShowcaseListing, at: datetime) -> bool:
    """How its price is stated: as it says; else as before, while the price is the same; else as the company states its prices now."""
    if offered.excludes_tax is not None or not offered.price_minor or offered.pricing == "usage":
        return bool(offered.excludes_tax)
    known = db.session.execute(select(Listing.price_minor, Listing.excludes_tax).where(Listing.slug == offered.slug)).one_or_none()
    if known is not None and known.price_minor == offered.price_minor:
        return bool(known.excludes_tax)
    return taxes.prices_exclude_tax(offered.currency, at)


def _release(listing_id: uuid.UUID, offered: bundles.ShowcaseListing, bundle: bundles.Bundle, at: datetime) -> None:
    """Record the version as released, with the signed records of its checks; a number is never used for other content."""
    kept = db.session.get(ListingVersion, (listing_id, offered.version))
    if kept is not None and kept.sha256 != bundle.sha256:
        raise VersionReused(_("Version %(number)s exists already with other content; take a new number.", number=offered.version), field="version")
    if kept is not None:
        return
    told = shipped.read(offered.folder, bundle)
    version = ListingVersion(
        listing_id=listing_id, number=offered.version, state="published", sha256=bundle.sha256, manifest=bundle.manifest, attempt=1,
        notes_zh=offered.release_notes_zh, notes_en=offered.release_notes_en, yanked_reason=None, created_at=at, published_at=at,
        review_note=None, submitted_by=None, checked_at=at, key_id=told["key_id"], signature=told["signature"],
    )  # fmt: skip
    db.session.add(version)
    lifecycle.record_version(version, "import", None, at)
    public = {"id": told["key_id"], "public": signing.shipped_keys()[told["key_id"]], "created_at": at}
    db.session.execute(insert(SigningKey).values(public).on_conflict_do_nothing())
    records.add_shipped(version, [*told["checks"], {"name": "signature", "state": "passed", "detail": {"key_id": told["key_id"]}}], at)


def release_terms(listing: Listing, at: datetime) -> None:
    """Put a listing's present terms on sale as a version: what comes with the product, or is offered by code. The same terms again change nothing."""
    sheet = term_sheets.of(listing)
    known = db.session.scalars(select(ListingVersion).where(ListingVersion.listing_id == listing.id)).all()
    if any(one.number == listing.current_version and term_sheets.sheet_of(one) == sheet for one in known):
        return
    bundle = term_sheets.packed(listing, term_sheets.next_number(known), sheet)
    store_artifact(bundle)
    version = ListingVersion(
        listing_id=listing.id, number=str(bundle.manifest["version"]), state="published", sha256=bundle.sha256, manifest=bundle.manifest, attempt=0,
        notes_zh="首次发布。" if not known else "条款有变。", notes_en="First release." if not known else "Other terms.", created_at=at, published_at=at,
        yanked_reason=None, review_note=None, submitted_by=None, checked_at=None, key_id=None, signature=None,
    )  # fmt: skip
    db.session.add(version)
    lifecycle.record_version(version, "import", None, at)
    lifecycle.offer_newest(listing, at)


def yank(listing: Listing, number: str, reason: str, at: datetime) -> None:
    """Withdraw a version: no longer offered, still there for those who have it. The newest one left is offered instead."""
    version = db.session.get(ListingVersion, (listing.id, number))
    assert version is not None, "a version that exists"
    lifecycle.move_version(version, "yank", at=at, reason=reason)
    lifecycle.offer_newest(listing, at)
