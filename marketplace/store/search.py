"""Finding listings, in Chinese and English, from a one-character query on: counted, narrowed, ordered and cut to a page by the database."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import defer

from core import paging
from core.db import db
from marketplace.models import Listing, Publisher
from marketplace.store import compatibility, search_query
from marketplace.store.listings import Shown
from marketplace.store.search_index import ListingRequirement
from marketplace.store.suggestions import suggest
from membership.entitlements import Standing

SORTS = ("relevance", "newest", "rating", "price_up", "price_down")
_ORDERS = {  # column, direction, and how a later row compares
    "relevance": ("score", "desc", "<"),
    "newest": ("updated_at", "desc", "<"),
    "rating": ("score", "desc", "<"),
    "price_up": ("price_minor", "asc", ">"),
    "price_down": ("price_minor", "desc", "<"),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What the results are narrowed to; empty values do not narrow."""

    kind: str = ""
    category: str = ""
    price: str = ""  # free | paid
    edition: int | None = None  # the rank that is required, 0: any member may use it
    usable: bool = False  # by the member that asks
    stars: int = 0  # at least
    since: datetime | None = None  # changed since then

    @property
    def is_set(self) -> bool:
        """Does a person's choice narrow? What is hidden by default is no choice."""
        return replace(self, usable=False, since=None) != Filters()


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


# Listings are counted by cell, then cells by facet; each facet with the other filters kept (`o` says how many of them a cell fails).
_COUNT = """
with counted as materialized (
  select cell_id, count(*) as n, count(*) filter (where cast(:since as timestamptz) is null or updated_at >= :since) as fresh
  from listing_index {matching} group by cell_id
), cell as materialized (
  select c.*, q.required_rank, n, fresh, not (:usable and requirement_id <> all(:allowed)) as fits, requirement_id = any(:allowed) as is_usable,
    :kind not in ('', kind) as kind_off, :category not in ('', category) as category_off,
    :price not in ('', case when is_free then 'free' else 'paid' end) as price_off,
    coalesce(q.required_rank <> :edition, false) as edition_off, stars < :stars as stars_off
  from counted join listing_cell c on c.id = cell_id join listing_requirement q on q.id = c.requirement_id
), o as materialized (select *, kind_off::int + category_off::int + price_off::int + edition_off::int + stars_off::int as off from cell)
select 'total' as facet, '' as choice, coalesce(sum(fresh) filter (where off = 0 and fits), 0) as n from o
union all select 'all', '', coalesce(sum(n), 0) from o
union all select 'with_hidden', '', coalesce(sum(n) filter (where off = 0), 0) from o
union all select 'kind', kind, sum(fresh) from o where off = kind_off::int and fits group by kind
union all select 'category', category, sum(fresh) from o where off = category_off::int and fits group by category
union all select 'price', case when is_free then 'free' else 'paid' end, sum(fresh) from o where off = price_off::int and fits group by is_free
union all select 'edition', required_rank::text, sum(fresh) from o where off = edition_off::int and fits group by required_rank
union all select 'stars', stars::text, sum(fresh) from o where off = stars_off::int and fits group by stars
union all select 'usable', case when is_usable then 'yes' else 'no' end, sum(fresh) from o where off = 0 group by is_usable
"""
_CELLS = """cell_id in (select c.id from listing_cell c join listing_requirement q on q.id = c.requirement_id where :kind in ('', kind)
  and :category in ('', category) and :price in ('', case when is_free then 'free' else 'paid' end)
  and coalesce(q.required_rank = :edition, true) and stars >= :stars and not (:usable and requirement_id <> all(:allowed)))
  and (cast(:since as timestamptz) is null or updated_at >= :since)"""

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
    asked = _parameters(filters, standing)
    counts, loose, suggestion = _counts(query, asked), False, None
    if not query.is_empty and not counts["all"][""]:
        better = suggest(query)
        suggestion = better if better and _finds_any(search_query.parse(better)) else None
        counts, loose = _counts(query, asked, loose=True), True
    total, unfiltered, shown_too = (int(counts.pop(name)[""]) for name in ("total", "all", "with_hidden"))
    rows, following = _page(query, asked, sort, after, paging.bounded(limit), loose=loose)
    return Found(_shown(rows, standing), total, unfiltered, shown_too - total, counts, following, loose and unfiltered > 0, suggestion)


def _parameters(filters: Filters, standing: Standing | None) -> dict[str, Any]:
    """The filters as the statements take them. Without a member everything counts as usable."""
    allowed = [one.id for one in db.session.scalars(select(ListingRequirement)) if (verdict := compatibility.judge(one, standing)) is None or verdict.allowed]
    return {name: getattr(filters, name) for name in ("kind", "category", "price", "edition", "usable", "stars", "since")} | {"allowed": allowed}


def _counts(query: search_query.Query, asked: Mapping[str, Any], *, loose: bool = False) -> dict[str, dict[str, int]]:
    """Of each facet: how many results each choice would give."""
    matching = "" if query.is_empty else "where terms @@ cast(:terms as tsquery)"
    found: dict[str, dict[str, int]] = {}
    for facet, choice, n in db.session.execute(text(_COUNT.format(matching=matching)), {**asked, "terms": search_query.tsquery(query, loose=loose)}):
        if n:
            found.setdefault(facet, {})[choice] = int(n)
    return {"total": {"": 0}, "all": {"": 0}, "with_hidden": {"": 0}} | found


def _finds_any(query: search_query.Query) -> bool:
    found = "select exists (select from listing_index where terms @@ cast(:terms as tsquery))"
    return bool(db.session.scalar(text(found), {"terms": search_query.tsquery(query)}))


def _page(
    query: search_query.Query, asked: Mapping[str, Any], sort: str, after: str | None, size: int, *, loose: bool
) -> tuple[Sequence[Row[Any]], str | None]:
    """Rows (listing, tier, key, slug) after the cursor, which holds the order and the last row's place in it; and the next page's cursor."""
    key, direction, further = _ORDERS[sort]
    place = dict(zip(("tier", "key", "slug"), _place(after, sort), strict=True)) if after else {}
    levels = search_query.tiers(query, loose=loose) if sort == "relevance" and not query.is_empty else [(0, search_query.tsquery(query, loose=loose))]
    parts, values = [], {**asked, **place, "most": size + 1}
    for tier, terms in levels:
        if place and tier > place["tier"]:
            continue
        values[f"terms_{tier}"] = terms
        where = _CELLS + (f" and terms @@ cast(:terms_{tier} as tsquery)" if terms else "")
        if place and tier == place["tier"]:
            where += f" and {key} {further}= :key and ({key} {further} :key or slug > :slug)"
        columns = f"listing_id, {tier} as tier, {key} as key, slug"
        parts.append(f"(select {columns} from listing_index where {where} order by {key} {direction}, slug limit :most)")  # noqa: S608 (constants)
    rows = db.session.execute(text(f"select * from ({' union all '.join(parts)}) x limit :most"), values).all() if parts else []  # noqa: S608
    more = len(rows) > size
    return rows[:size], paging.encode([sort, rows[size - 1].tier, rows[size - 1].key, rows[size - 1].slug]) if more else None


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
