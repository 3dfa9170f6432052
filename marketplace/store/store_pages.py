"""The store's pages: find a listing, look at it."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from flask import Blueprint, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from core.access import MEMBERS, STAFF, requires
from core.actor import Actor, actor
from core.clock import now
from core.db import transaction
from core.errors import is_api_request, problem
from core.formats import local
from core.ids import new_id
from marketplace.checks import records, words
from marketplace.license import choosing, licenses, trials
from marketplace.order import bundle_terms, listing_bundles, pricing
from marketplace.release.version_models import ListingVersion
from marketplace.service import service_lists
from marketplace.store import compatibility, contents, listings, markdown, reviews, search
from marketplace.store.compatibility import Incompatible
from marketplace.store.listing_models import Listing
from marketplace.store.listings import CATEGORIES, KINDS
from marketplace.store.store_schemas import SearchForm, filters_of
from membership import catalogue, entitlements, hosts
from membership.entitlements import Standing

store = Blueprint("store", __name__)
MOST_RECOMMENDED = 3
PAGE_SIZE = 24  # rows of three, two or one tile


@dataclass(frozen=True, slots=True)
class Recommended:
    """Something recommended to a member: what, why (a sentence), where it is decided, and a note such as the time it saves."""

    name_zh: str
    name_en: str
    reason: str
    href: str
    note: str | None = None


# Set in app.py by the room that recommends: (member, instant) → what to put before it. Runs inside the page's transaction.
recommended_for: Callable[[uuid.UUID, datetime], Sequence[Recommended]] | None = None


@store.app_template_filter("paid")
def paid(listing: Listing) -> int:
    """What one piece costs whoever looks, with tax; minor units."""
    return pricing.shown_minor(listing, now(), actor().member_id)


@store.app_template_filter("kind_name")
def kind_name(code: str) -> str:
    """The kind of a listing in the page's language."""
    return local(KINDS[code]) if code in KINDS else code


@store.app_template_filter("category_name")
def category_name(code: str) -> str:
    """The category of a listing in the page's language."""
    return local(CATEGORIES[code]) if code in CATEGORIES else code


@store.app_template_filter("permission_words")
def permission_words(code: str) -> str:
    """A permission in words."""
    return local(listings.permission(code))


@store.app_template_filter("markdown")
def markdown_filter(text: str) -> str:
    """A README as safe HTML."""
    return markdown.render(text)


@store.app_template_filter("refusal")
def refusal(verdict: entitlements.Verdict | None) -> str:
    """Why a listing can't be used, in words; empty where it can."""
    return entitlements.sentence(verdict) if verdict else ""


@store.app_template_filter("what_helps")
def what_helps(verdict: entitlements.Verdict | None) -> str | None:
    """Where what is missing can be had."""
    return compatibility.help_url(verdict)


@store.app_template_filter("host_words")
def host_words(specifier: str) -> str:
    """Versions of the host in words."""
    return hosts.in_words(specifier)


@store.app_errorhandler(Incompatible)
def incompatible(error: Incompatible) -> ResponseReturnValue:
    """Why not, and what helps; machines get the same as problem details."""
    if is_api_request():
        return problem(error.status, error.code, error.detail, **error.extra)
    return render_template(
        "errors/incompatible.html", status=error.status, title=_("It does not fit"), detail=error.detail, verdict=error.verdict
    ), error.status


def sort_names() -> list[tuple[str, str]]:
    """The orders a reader may choose."""
    return [
        ("", _("Best match")),
        ("newest", _("Newest")),
        ("rating", _("Best rated")),
        ("price_up", _("Price, low to high")),
        ("price_down", _("Price, high to low")),
    ]


def standing_of(acting: Actor) -> Standing | None:
    """What a member may use; None of staff, which looks only."""
    return entitlements.standing_of(acting.member_id) if acting.member_id else None


@store.get("/store")
@requires(*MEMBERS, *STAFF)
def home() -> ResponseReturnValue:
    """Search, recommendations, categories, results; all filters in the address."""
    asked = SearchForm().load(request.args.to_dict())
    acting, at = actor(), now()
    filters = filters_of(asked, at - timedelta(days=current_app.extensions["settings"].stale_listing_days))
    with transaction(acting):
        standing = standing_of(acting)
        found = search.find(asked["q"], filters, asked["sort"], after=asked["after"], limit=PAGE_SIZE, standing=standing)
        is_front = not (asked["q"] or filters.is_set or asked["after"])
        held = licenses.list_owned(acting.member, with_bundles=True) if standing and is_front else []
        updates = [one for one in held if standing and choosing.update_of(one, standing)]
        owned = {one.listing.id: one.license.id for one in held if one.license.state not in ("ended", "trial")}
        if standing and not is_front:
            owned = licenses.owned_listings(acting.member)
        recommended = recommended_for(acting.member_id, at)[:MOST_RECOMMENDED] if recommended_for and acting.member_id and is_front else []
        return render_template(
            "storefront/home.html", found=found, asked=asked, filters=filters, owned=owned, updates=updates, recommended=recommended,
            is_front=is_front, kinds=KINDS, categories=CATEGORIES, editions=_edition_names(), sorts=sort_names(), link=_link,
        )  # fmt: skip


def _edition_names() -> list[tuple[int, str]]:
    """Ranks with the names that editions of all product lines have at them."""
    names: dict[int, list[str]] = {}
    for (_line, rank), edition in sorted(catalogue.all_editions().items()):
        known = names.setdefault(rank, [])
        if (name := local(edition)) not in known:
            known.append(name)
    return [(rank, " / ".join(known)) for rank, known in sorted(names.items())]


def _link(**changed: object) -> str:
    """This search with some of its parts changed; the page starts over."""
    kept = {key: value for key, value in request.args.items() if value and key not in ("after", "lang")}
    kept.update({key: str(value) for key, value in changed.items()})
    query = urlencode({key: value for key, value in kept.items() if value})
    return url_for("store.home") + (f"?{query}" if query else "")


@store.get("/store/<slug>")
@requires(*MEMBERS, *STAFF)
def show_listing(slug: str) -> ResponseReturnValue:
    """Everything that decides a purchase, and the way to it."""
    acting = actor()
    with transaction(acting):
        shown = listings.find_on_show(slug, standing_of(acting))
        versions = listings.public_versions(shown.listing.id)
        current = next((one for one in versions if one.number == shown.listing.current_version), None)
        license = licenses.of_listing(acting.member_id, shown.listing.id) if acting.member_id else None
        is_rated = shown.listing.kind != "bundle"  # its parts are
        may_try = acting.role in ("owner", "buyer") and shown.is_usable and shown.listing.state == "published" and trials.may_try(acting.member, shown.listing)
        return render_template(
            "storefront/listing.html", tax_rate_bp=pricing.shown_rate(shown.listing, now()),
            shown=shown, listing=shown.listing, publisher=shown.publisher, versions=versions, current=current,
            inside=contents.of(current.sha256) if current else None, license=license,
            reviews=reviews.of_listing(shown.listing.id, request.args.get("version")) if is_rated else [],
            ratings=reviews.by_version(shown.listing.id) if is_rated else [], is_rated=is_rated,
            about=request.args.get("version"), may_try=may_try, trial_id=new_id() if may_try else None,
            checks=records.of(current) if current else [], check_words=words.CHECKS,
            replacement=listings.replacement_of(shown.listing), parts=bundle_terms.of_listing(shown.listing, at=now()),
            granted=granted_by(shown.listing, current),
            rateable=service_lists.rateable(acting.member_id, shown.listing.id) if acting.member_id and shown.listing.milestones else None,
            mine=reviews.mine(acting.member_id, shown.listing.id) if license and acting.member_id else None, help_url=compatibility.help_url(shown.verdict),
        )  # fmt: skip


def granted_by(listing: Listing, current: ListingVersion | None) -> list[str]:
    """What one who buys this lets it do; for a bundle, what its parts may do."""
    if listing.kind == "bundle":
        return listing_bundles.permissions(listing.id)
    return list(current.manifest["permissions"]) if current else []
