"""Finding listings, in Chinese and English, from a one-character query on: counted, narrowed, ordered and cut to a page by the database."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import defer

from core import paging
from core.db import db
from marketplace.publisher.publisher_models import Publisher
from marketplace.store import compatibility, search_query
from marketplace.store.listing_models import Listing
from marketplace.store.listings import Shown
from marketplace.store.search_counts import count
from marketplace.store.search_filters import Asked, Filters
from marketplace.store.search_index import ListingRequirement
from marketplace.store.suggestions import suggest
from membership.entitlements import Standing

__all__ = ["SORTS", "Filters", "Found", "find"]

SORTS = ("relevance", "newest", "rating", "price_up", "price_down")
WALKED = 2_000  # from so many results on a page is found faster in the order's index than among all that match
_ORDERS = {  # column, direction, and how a later row compares
    "relevance": ("score", "desc", "<"),
    "newest": ("updated_at", "desc", "<"),
    "rating": ("score", "desc", "<"),
    "price_up": ("price_minor", "asc", ">"),
    "price_down": ("price_minor", "desc", "<"),
}


@dataclass(frozen=True, slots=True)
class Found:
    """One page of results. `hidden`: how many more there would be without `usable` and `since`.

    `is_loose`: nothing held all the words, these hold some. `suggestion`: a query that would find something.
    """

    hits: Sequence[Shown]
    total: int
    total_unfiltered: int
    hidden: int
    facets: Mapping[str, Mapping[str, int]]
    next: str | None
    is_loose: bool = False
    suggestion: str | None = None


# How many listings hold a term decides which way is fast, and terms are parameters: a plan for any of them takes seconds where one for them takes
# milliseconds. And the index knows what a scan of everything would work out listing by listing, which the planner takes for cheap.
_PLANNED = text("select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true)")


def find(
    typed: str = "",
    filters: Filters | None = None,
    sort: str = "",
    *,
    after: str | None = None,
    limit: int | None = None,
    standing: Standing | None = None,
) -> Found:
    """Published listings that hold all words typed (or, failing that, some), narrowed, ordered and cut to a page.

    `standing` is that of the member that asks: each hit then says whether that member may use it. Raises BadCursor.
    """
    filters, query = filters or Filters(), search_query.parse(typed)
    sort = sort if sort in SORTS else "relevance" if typed.strip() else "newest"
    if typed.strip() and query.is_empty:
        return Found([], 0, 0, 0, {}, None)
    db.session.execute(_PLANNED)
    asked, terms = _asked(filters, standing), search_query.tsquery(query)
    counts, loose, suggestion = count(terms, asked), False, None
    if not query.is_empty and not counts.matching:
        better, loose = suggest(query), True
        suggestion = better if better and _finds_any(search_query.parse(better)) else None
        if (some := search_query.tsquery(query, loose=True)) != terms:
            terms, counts = some, count(some, asked)
    is_ranked = sort == "relevance" and not query.is_empty
    levels = search_query.tiers(query, loose=loose) if is_ranked else [(0, terms)]
    rows, following = _page(levels, asked, sort, after, paging.bounded(limit), total=counts.total)
    hidden = counts.with_hidden - counts.total
    return Found(_shown(rows, standing), counts.total, counts.matching, hidden, counts.facets, following, loose and counts.matching > 0, suggestion)


def _asked(filters: Filters, standing: Standing | None) -> Asked:
    """The filters, and of all requirements those that the member meets. Without a member everything counts as usable."""
    if standing is None:
        return Asked(filters, None)
    needs = db.session.execute(select(*ListingRequirement.__table__.columns)).all()
    allowed = [one.id for one in needs if (verdict := compatibility.judge(one, standing)) is None or verdict.allowed]
    return Asked(filters, None if len(allowed) == len(needs) else allowed)


def _finds_any(query: search_query.Query) -> bool:
    found = "select exists (select from listing_index where terms @@ cast(:terms as tsquery))"
    return bool(db.session.scalar(text(found), {"terms": search_query.tsquery(query)}))


def _page(levels: Sequence[tuple[int, str]], asked: Asked, sort: str, after: str | None, size: int, *, total: int) -> tuple[Sequence[Row[Any]], str | None]:
    """Rows (listing, tier, key, slug) after the cursor, which holds the order and the last row's place in it; and the next page's cursor.

    `levels`: tiers with what they match, the best first. `total`: how many there are in all of them.
    """
    key, direction, further = _ORDERS[sort]
    place = dict(zip(("tier", "key", "slug"), _place(after, sort), strict=True)) if after else {}
    parts, values = [], {**asked.values, **place, "most": size + 1}
    for tier, terms in levels:
        if not total or (place and tier > place["tier"]):
            continue
        values[f"terms_{tier}"] = terms
        conditions = [f"terms @@ cast(:terms_{tier} as tsquery)" if terms else "", asked.shelves, asked.grades, asked.fresh]
        further_on = f"{key} {further}= :key and ({key} {further} :key or slug > :slug)" if place and tier == place["tier"] else ""
        parts.append(
            _first(f"listing_id, {tier} as tier, {key} as key, slug", conditions, further_on, direction, is_walked=len(levels) == 1 and total >= WALKED)
        )
    rows = db.session.execute(text(f"select * from ({' union all '.join(parts)}) x limit :most"), values).all() if parts else []  # noqa: S608 (constants)
    more = len(rows) > size
    return rows[:size], paging.encode([sort, rows[size - 1].tier, rows[size - 1].key, rows[size - 1].slug]) if more else None


def _first(columns: str, conditions: Sequence[str], further_on: str, direction: str, *, is_walked: bool) -> str:
    """The first rows by `key` and slug: taken from that order's index and looked at one by one, or found by the conditions' indexes and sorted.

    The planner would guess how many match. `is true` keeps it from the conditions' indexes, `offset 0` from the order's.
    """
    needed = " and ".join(filter(None, conditions)) or "true"
    where = " and ".join(filter(None, [f"({needed}) is true" if is_walked else needed, further_on]))
    found, ordered = f"select {columns} from listing_index where {where}", f"order by key {direction}, slug limit :most"  # noqa: S608 (constants)
    return f"({found} {ordered})" if is_walked else f"(select * from ({found} offset 0) found {ordered})"  # noqa: S608 (constants)


def _place(cursor: str, sort: str) -> list[Any]:
    kind = datetime if _ORDERS[sort][0] == "updated_at" else int
    of, *place = paging.decode(cursor, [str, int, kind, str])
    if of != sort:
        raise paging.bad_cursor()
    return place


def _shown(rows: Sequence[Row[Any]], standing: Standing | None) -> list[Shown]:
    ids: list[uuid.UUID] = [row.listing_id for row in rows]
    statement = (
        select(Listing, Publisher)
        .join(Publisher, Publisher.id == Listing.publisher_id)
        .where(Listing.id.in_(ids))
        .options(defer(Listing.search), defer(Listing.description_zh), defer(Listing.description_en))
    )
    found = (
        {listing.id: Shown(listing, publisher, compatibility.judge(listing, standing)) for listing, publisher in db.session.execute(statement)} if ids else {}
    )
    return [found[listing_id] for listing_id in ids]
