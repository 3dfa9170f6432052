"""What a service or a bundle offers, written by whoever offers it: kept in a draft; handed in as the next version once the listing has left its draft."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from core import audit
from core.db import db
from core.errors import Conflict, Invalid, NotFound
from marketplace.order import bundle_terms
from marketplace.publisher import drafts, publishers
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import submissions, term_sheets
from marketplace.release.version_models import ListingVersion
from marketplace.service import service_offerings
from marketplace.store.listing_models import Listing
from marketplace.store.listings import version_key

Notes = tuple[str, str]  # what is new, in Chinese and in English


class NotSold(Conflict):
    """Terms of what is no longer sold do not change."""

    code = "not_sold"


def begin_service(publisher_id: uuid.UUID, said: Mapping[str, Any], *, at: datetime) -> Listing:
    """Begin a service as a draft. Raises SlugTaken, Invalid."""
    sheet = _checked(seller(publisher_id), term_sheets.SERVICE, said, at)
    wanted = {**sheet, **service_offerings.TERMS, "kind": term_sheets.SERVICE, "price_minor": term_sheets.price_minor(sheet)}
    return drafts.create(publisher_id, wanted, at=at)


def begin_bundle(publisher_id: uuid.UUID, said: Mapping[str, Any], *, at: datetime) -> Listing:
    """Begin a bundle as a draft. Raises SlugTaken, Invalid."""
    sheet = _checked(seller(publisher_id), term_sheets.BUNDLE, said, at)
    return drafts.create(publisher_id, {**_columns(sheet), "kind": term_sheets.BUNDLE, "pricing": "one_time"}, at=at, parts=sheet["parts"])


def keep(publisher_id: uuid.UUID, slug: str, said: Mapping[str, Any], notes: Notes, by: str, *, at: datetime) -> ListingVersion | None:
    """Keep what a draft offers, or hand the change in; then it is the version that waits. Raises NotFound, NotSold, ChangeWaits, NotADraft, Invalid."""
    listing = find(publisher_id, slug)
    checked = _checked(seller(publisher_id), listing.kind, said, at)
    if listing.state == "draft":
        drafts.change(publisher_id, slug, {**_columns(checked), "price_minor": term_sheets.price_minor(checked)}, at=at, parts=checked.get("parts", ()))
        return None
    if listing.state not in ("in_review", "published"):
        raise NotSold(_("This is no longer sold; begin a new listing."))
    sheet = {**term_sheets.of(listing), **checked}
    if sheet == proposed(listing):
        raise Invalid(_("Nothing has changed."), field="name_zh")
    if short := drafts.too_short(sheet):
        raise Invalid(next(iter(short.values())), fields=short)
    version = submissions.submit_terms(listing, sheet, *notes, by, at=at)
    audit.record("version.submitted", f"{slug} {version.number}", at=at, after={"sha256": version.sha256})
    return version


def seller(publisher_id: uuid.UUID) -> Publisher:
    """Who offers. Raises NotFound."""
    found = db.session.get(Publisher, publisher_id)
    if found is None:
        raise NotFound(_("There is no such publisher."))
    return found


def find(publisher_id: uuid.UUID, slug: str, *kinds: str) -> Listing:
    """One of the publisher's services or bundles. Raises NotFound."""
    listing = publishers.own_listing(publisher_id, slug)
    if listing.kind not in (kinds or term_sheets.KINDS):
        raise NotFound(_("You have no listing of this name."))
    return listing


def versions(listing: Listing) -> list[ListingVersion]:
    """All versions, newest first."""
    rows = db.session.scalars(select(ListingVersion).where(ListingVersion.listing_id == listing.id))
    return sorted(rows, key=lambda one: version_key(one.number), reverse=True)


def waiting(known: Sequence[ListingVersion]) -> ListingVersion | None:
    """The version that waits for its answer."""
    return next((one for one in known if one.state in submissions.OPEN), None)


def proposed(listing: Listing) -> term_sheets.Sheet:
    """What a form begins with: the newest terms that were handed in, sent back or not; those of a draft are its own."""
    newest = None if listing.state == "draft" else next(iter(versions(listing)), None)
    return term_sheets.sheet_of(newest) or term_sheets.of(listing)


def _columns(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name != "parts"}


def _checked(publisher: Publisher, kind: str, said: Mapping[str, Any], at: datetime) -> term_sheets.Sheet:
    """What is said, with what a bundle's parts ask of a buyer, where this publisher can offer it. Raises Invalid."""
    if kind == term_sheets.SERVICE:
        service_offerings.check_partner(publisher)
        service_offerings.check([service_offerings.Step(**one) for one in said["milestones"]])
        return dict(said)
    parts = bundle_terms.check(said["parts"], said["price_minor"], publisher, drafts.currency(), at=at)
    return {**said, **bundle_terms.requirement(parts)}
