"""A publisher's own listings before they are on sale: written as drafts, submitted when complete, put on sale by a reviewer.

All of it runs as the publisher: the database lets it write its own drafts and nothing else.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import defer

from core import audit
from core.actor import actor
from core.db import db
from core.errors import Conflict, Invalid
from core.ids import derived
from core.settings import Settings
from marketplace.publisher import publishers
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import lifecycle, submissions, term_sheets
from marketplace.release.version_models import ListingVersion
from marketplace.store import search_terms
from marketplace.store.listing_models import Listing
from marketplace.store.listings import version_key
from membership import catalogue
from membership.entity_models import LegalEntity

WORDS = {"name_zh": 2, "name_en": 4, "summary_zh": 8, "summary_en": 20, "description_zh": 60, "description_en": 120}  # least characters on sale
DEFAULTS: dict[str, Any] = {
    "summary_zh": "", "summary_en": "", "description_zh": "", "description_en": "", "pricing": "free", "price_minor": 0, "period": None, "trial_days": 0,
    "licensed_per": "member",
    "is_repeatable": False, "product_line": None, "required_rank": 0, "required_features": [], "minutes_saved": 0, "automates": [],
}  # fmt: skip
FIXED = ("slug", "kind")  # a bundle names both


class SlugTaken(Conflict):
    """Somebody has a listing of this name."""

    code = "slug_taken"


class NotADraft(Conflict):
    """Only a draft may be changed or submitted."""

    code = "not_a_draft"


class NotComplete(Invalid):
    """Something is missing before a reviewer may look at it; `fields` says what."""

    code = "not_complete"


def create(publisher_id: uuid.UUID, wanted: Mapping[str, Any], *, at: datetime, parts: Sequence[str] = ()) -> Listing:
    """Begin a listing as a draft; of a bundle, `parts` are the listings it holds. Raises SlugTaken, and Invalid for terms that contradict each other."""
    publisher = db.session.get(Publisher, publisher_id)
    assert publisher is not None, "an actor's publisher exists"
    settings: Settings = current_app.extensions["settings"]
    values = {**DEFAULTS, **wanted}
    _check_terms(values)
    listing = Listing(
        id=derived("listing", values["slug"]), publisher_id=publisher_id, state="draft", revision=1, currency=currency(), tax_rate_bp=None,
        bonus_limit_bp=min(settings.partner_bonus_limit_bp, 10_000) if publisher.kind == "partner" else 10_000, current_version=None, is_quarantined=False,
        state_reason=None, replacement_id=None, rating_sum=0, rating_count=0, published_at=None, updated_at=at,
        **{**values, "automates": {"steps": values["automates"]}},
    )  # fmt: skip
    search_terms.make_findable(listing, publisher)
    try:
        with db.session.begin_nested():
            db.session.add(listing)
    except IntegrityError as error:
        raise SlugTaken(_("There is a listing with this name in the address already. Choose another."), field="slug") from error
    if parts:
        term_sheets.put_together(listing, parts)
    lifecycle.record_listing(listing, "create", None, at)
    audit.record("listing.created", listing.slug, at=at, after={"kind": listing.kind} | ({"parts": list(parts)} if parts else {}))
    return listing


def currency() -> str:
    """The currency in which new listings are priced: the vendor's own."""
    found = db.session.scalar(select(LegalEntity.currency).order_by(LegalEntity.id).limit(1))
    assert found is not None, "somebody sells"
    return found


def find_draft(publisher_id: uuid.UUID, slug: str) -> Listing:
    """One of the publisher's drafts. Raises NotFound, NotADraft."""
    listing = publishers.own_listing(publisher_id, slug)
    if listing.state != "draft":
        raise _not_a_draft()
    return listing


def change(publisher_id: uuid.UUID, slug: str, changes: Mapping[str, Any], *, at: datetime, parts: Sequence[str] = ()) -> Listing:
    """Change a draft. Raises NotFound, NotADraft, and Invalid for terms that contradict each other."""
    listing = _locked(publisher_id, slug)
    now_said = {name: getattr(listing, name) for name in DEFAULTS if name != "automates"} | {"category": listing.category, "kind": listing.kind}
    _check_terms({**now_said, **changes})
    before = {}
    for name, value in changes.items():
        stored = {"steps": value} if name == "automates" else value
        if getattr(listing, name) != stored:
            before[name] = getattr(listing, name)
            setattr(listing, name, stored)
    if parts and (held := term_sheets.of(listing)["parts"]) != list(parts):
        before["parts"], changes = held, {**changes, "parts": list(parts)}
        term_sheets.put_together(listing, parts)
    if before:
        publisher = db.session.get(Publisher, publisher_id)
        assert publisher is not None
        search_terms.make_findable(listing, publisher)
        listing.updated_at, listing.revision = at, listing.revision + 1
        db.session.flush()
        audit.record("listing.changed", slug, at=at, before=before, after={name: changes[name] for name in before})
    return listing


def submit(publisher_id: uuid.UUID, slug: str, *, at: datetime) -> Listing:
    """Hand a complete draft to the reviewers; the terms of a service or a bundle become a version with it. Raises NotFound, NotADraft, NotComplete."""
    listing = _locked(publisher_id, slug)
    if wanting := missing(listing, versions(listing)):
        raise NotComplete(next(iter(wanting.values())), fields=wanting)
    if listing.kind in term_sheets.KINDS:
        submissions.submit_terms(listing, term_sheets.of(listing), "首次发布。", "First release.", actor().name, at=at)
    lifecycle.move_listing(listing, "submit", at=at)
    audit.record("listing.submitted", slug, at=at, before={"state": "draft"}, after={"state": listing.state})
    return listing


def missing(listing: Listing, known: Sequence[ListingVersion]) -> dict[str, str]:
    """Field → what a submission still needs: words in both languages, and a version that has passed its checks. Empty for what is no draft."""
    if listing.state != "draft":
        return {}
    found = too_short({name: getattr(listing, name) for name in WORDS})
    if listing.kind not in term_sheets.KINDS and not any(one.state == "in_review" for one in known):
        checking = any(one.state in ("draft", "scanning") for one in known)
        found["version"] = _("Wait until the version's checks are over.") if checking else _("Hand in a version that passes its checks.")
    return found


def too_short(words: Mapping[str, str]) -> dict[str, str]:
    """Field → how many characters it needs before it is sold under these words."""
    return {
        name: _("%(field)s needs at least %(least)s characters.", field=label(name), least=least) for name, least in WORDS.items() if len(words[name]) < least
    }


def label(name: str) -> str:
    """What a field is called."""
    return str(
        {
            "name_zh": _("Name in Chinese"), "name_en": _("Name in English"), "summary_zh": _("Summary in Chinese"), "summary_en": _("Summary in English"),
            "description_zh": _("Description in Chinese"), "description_en": _("Description in English"),
        }[name]
    )  # fmt: skip


def own_statement(publisher_id: uuid.UUID) -> "Select[Listing]":
    """The publisher's listings in any state."""
    return select(Listing).where(Listing.publisher_id == publisher_id).options(defer(Listing.search))


def versions(listing: Listing) -> list[ListingVersion]:
    """All versions of a listing, newest first."""
    rows = db.session.scalars(select(ListingVersion).where(ListingVersion.listing_id == listing.id))
    return sorted(rows, key=lambda one: version_key(one.number), reverse=True)


def _locked(publisher_id: uuid.UUID, slug: str) -> Listing:
    listing = db.session.scalar(
        select(Listing)
        .where(Listing.slug == slug, Listing.publisher_id == publisher_id, Listing.state == "draft")
        .options(defer(Listing.search))
        .with_for_update()
    )
    if listing is None:
        publishers.own_listing(publisher_id, slug)
        raise _not_a_draft()
    return listing


def _not_a_draft() -> NotADraft:
    return NotADraft(_("Only a draft can be changed or submitted; this listing has gone to the reviewers or is on sale."))


def _check_terms(values: Mapping[str, Any]) -> None:
    """Do price, period, trial and requirements fit together? Raises Invalid with a sentence for each field."""
    wrong = {}
    if (values["pricing"] == "free") != (values["price_minor"] == 0):
        wrong["price_minor"] = _("What is free has the price 0.") if values["pricing"] == "free" else _("Enter a price above zero, or choose free.")
    if (values["pricing"] == "recurring") != (values["period"] is not None):
        wrong["period"] = _("Choose the period of a recurring price.") if values["pricing"] == "recurring" else _("Only a recurring price has a period.")
    if values["trial_days"] and (values["pricing"] == "free" or values["is_repeatable"]):
        wrong["trial_days"] = _("A trial needs a price, and a licence that is bought once.")
    if values["licensed_per"] == "seat" and (values["pricing"] == "free" or values["is_repeatable"]):
        wrong["licensed_per"] = _("Seats need a price, and a licence that is bought once.")
    if values["pricing"] == "recurring" and values["is_repeatable"]:
        wrong["is_repeatable"] = _("A recurring licence is bought once.")
    lines = {line.code for line in catalogue.product_lines()}
    if values["product_line"] is not None and values["product_line"] not in lines:
        wrong["product_line"] = _("Choose one of: %(lines)s.", lines=", ".join(sorted(lines)))
    if values["required_rank"] and values["product_line"] is None and values["kind"] != term_sheets.BUNDLE:  # which asks what its parts ask
        wrong["product_line"] = _("Say of which product line the edition is.")
    if wrong:
        raise Invalid(next(iter(wrong.values())), fields=wrong)
