"""Finding listings, in Chinese and English, from a one-character query on.

The database matches and ranks; facets, edition verdicts and order are worked out here over the matches, which is right and fast for
the some thousands of listings a store of one vendor holds.
"""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import cast, func, literal, select, text
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import defer

from core import paging
from core.db import db
from marketplace.listings import CATEGORIES, KINDS, Shown, compatibility
from marketplace.models import Listing, Publisher
from marketplace.publishing import HAN, WORD

SORTS = ("relevance", "newest", "rating", "price_up", "price_down")
LONGEST_QUERY = 200
WEIGHTS = "{0.05, 0.2, 0.4, 1.0}"  # D, C, B, A: a word of the name counts most
PRIOR_STARS, PRIOR_REVIEWS = 3.5, 3  # a rating is drawn towards 3.5 as long as few have voted
RATE = 1_000_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What the results are narrowed to; empty values do not narrow."""

    kind: str = ""
    category: str = ""
    price: str = ""  # free | paid
    usable: bool = False
    stars: int = 0  # at least

    @property
    def is_set(self) -> bool:
        """Does any of them narrow?"""
        return self != Filters()


@dataclass(frozen=True, slots=True)
class Found:
    """One page of results. `is_loose`: nothing held all the words, these hold some. `suggestion`: a query that would find something."""

    hits: Sequence[Shown]
    total: int
    total_unfiltered: int
    facets: Mapping[str, Mapping[str, int]]
    next: str | None
    is_loose: bool = False
    suggestion: str | None = None


@dataclass(slots=True)
class _Query:
    words: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


def _parse(query: str) -> _Query:
    folded = unicodedata.normalize("NFKC", query[:LONGEST_QUERY]).lower()
    return _Query(WORD.findall(folded), HAN.findall(folded))


def _word(word: str) -> str:
    """A word and what begins with it; `contacts` finds `contact` too."""
    stem = word[:-1] if len(word) > 3 and word.endswith("s") else None
    return f"('{word}':* | '{stem}':*)" if stem else f"'{word}':*"


def _pairs(run: str) -> list[str]:
    return [run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)]


def tsquery(query: str, *, loose: bool = False) -> str | None:
    """The query as a tsquery's text form, all terms or (`loose`) any; `None` where it holds nothing to search for."""
    parsed = _parse(query)
    terms = [_word(word) for word in parsed.words] + [f"'{pair}'" for run in parsed.runs for pair in _pairs(run)]
    return (" | " if loose else " & ").join(dict.fromkeys(terms)) or None


def _matches(wanted: str | None) -> list[tuple[Listing, Publisher, int]]:
    statement = (
        select(Listing, Publisher)
        .join(Publisher, Publisher.id == Listing.publisher_id)
        .where(Listing.state == "published", Listing.current_version.is_not(None))
        .options(defer(Listing.search), defer(Listing.description_zh), defer(Listing.description_en))
    )
    if wanted is None:
        return [(listing, publisher, 0) for listing, publisher in db.session.execute(statement)]
    asked = cast(literal(wanted), TSQUERY)
    rank = func.ts_rank(text(f"'{WEIGHTS}'::float4[]"), Listing.search, asked)
    rows = db.session.execute(statement.add_columns(rank).where(Listing.search.op("@@")(asked)))
    return [(listing, publisher, int(score * RATE)) for listing, publisher, score in rows]


def _score(listing: Listing) -> int:
    """Average stars, drawn towards the prior (Bayesian average), in thousandths."""
    return int(1000 * (listing.rating_sum + PRIOR_STARS * PRIOR_REVIEWS) / (listing.rating_count + PRIOR_REVIEWS))


def _since(at: datetime | None) -> int:
    return int(at.timestamp()) if at else 0


_ORDER: dict[str, Callable[[Listing, int], tuple[int, ...]]] = {
    "relevance": lambda listing, rank: (-rank, -_score(listing), -_since(listing.published_at)),
    "newest": lambda listing, _rank: (-_since(listing.updated_at),),
    "rating": lambda listing, _rank: (-_score(listing), -listing.rating_count),
    "price_up": lambda listing, rank: (listing.price_minor, -rank),
    "price_down": lambda listing, rank: (-listing.price_minor, -rank),
}


def _passes(shown: Shown, filters: Filters) -> bool:
    listing = shown.listing
    return (
        (not filters.kind or listing.kind == filters.kind)
        and (not filters.category or listing.category == filters.category)
        and (not filters.price or (filters.price == "free") == (listing.price_minor == 0))
        and (not filters.usable or shown.is_usable)
        and (not filters.stars or (listing.rating_count > 0 and listing.rating_sum >= filters.stars * listing.rating_count))
    )


def _facets(matches: Iterable[Shown], filters: Filters) -> dict[str, dict[str, int]]:
    """How many results each choice would give, the other filters kept."""
    matches = list(matches)

    def count(without: Filters, value: Callable[[Shown], str]) -> dict[str, int]:
        return dict(Counter(value(shown) for shown in matches if _passes(shown, without)))

    return {
        "kind": count(replace(filters, kind=""), lambda shown: shown.listing.kind),
        "category": count(replace(filters, category=""), lambda shown: shown.listing.category),
        "price": count(replace(filters, price=""), lambda shown: "paid" if shown.listing.price_minor else "free"),
        "usable": count(replace(filters, usable=False), lambda shown: "yes" if shown.is_usable else "no"),
    }


def find(
    query: str = "",
    filters: Filters | None = None,
    sort: str = "",
    *,
    after: str | None = None,
    limit: int | None = None,
    ranks: Mapping[str, int] | None = None,
) -> Found:
    """Published listings that hold all words of the query (or, failing that, some), narrowed, ordered and cut to a page.

    `ranks` are the edition ranks of the member that asks: each hit then says whether that member may use it. Raises BadCursor.
    """
    filters = filters or Filters()
    sort = sort if sort in SORTS else "relevance" if query.strip() else "newest"
    wanted = tsquery(query)
    if query.strip() and wanted is None:
        return Found([], 0, 0, {}, None)
    rows, loose = _matches(wanted), False
    suggestion = None
    if wanted is not None and not rows:
        suggestion = suggest(query)
        rows = _matches(tsquery(query, loose=True))
        loose = bool(rows)
    matches = {listing.id: (Shown(listing, publisher, compatibility(listing, ranks)), rank) for listing, publisher, rank in rows}
    kept = [(_ORDER[sort](shown.listing, rank), shown) for shown, rank in matches.values() if _passes(shown, filters)]
    kept.sort(key=lambda pair: (pair[0], pair[1].listing.slug))
    page, following = _cut(kept, sort, after, limit)
    facets = _facets((shown for shown, _rank in matches.values()), filters)
    return Found(page, len(kept), len(matches), facets, following, loose, suggestion)


def _cut(kept: list[tuple[tuple[int, ...], Shown]], sort: str, after: str | None, limit: int | None) -> tuple[list[Shown], str | None]:
    """The page after the cursor, which holds the order and the last row's place in it."""
    start = 0
    if after:
        width = len(_ORDER[sort](Listing(price_minor=0, rating_sum=0, rating_count=0), 0))
        cursor_sort, *place, slug = paging.decode(after, [str, *[int] * width, str])
        if cursor_sort != sort:
            raise paging.bad_cursor()
        start = next((i for i, (key, shown) in enumerate(kept) if (key, shown.listing.slug) > (tuple(place), slug)), len(kept))
    size = paging.bounded(limit)
    page = kept[start : start + size]
    more = paging.encode([sort, *page[-1][0], page[-1][1].listing.slug]) if len(kept) > start + size else None
    return [shown for _key, shown in page], more


def suggest(query: str) -> str | None:
    """The query with unknown words replaced by the closest known ones (a typo), or `None` where nothing comes close."""
    parsed = _parse(query)
    names = [*db.session.execute(select(Listing.name_zh, Listing.name_en).where(Listing.state == "published"))]
    zh = [name for name, _en in names] + [words["name_zh"] for words in (*KINDS.values(), *CATEGORIES.values())]
    en = [name for _zh, name in names] + [words["name_en"] for words in (*KINDS.values(), *CATEGORIES.values())]
    known = {word for name in en for word in WORD.findall(name.lower()) if len(word) > 2}
    better, changed = query.lower(), False
    for word in parsed.words:
        close = difflib.get_close_matches(word, known, 1, 0.7)
        if close and close[0] != word and not any(other.startswith(word) for other in known):
            better, changed = re.sub(rf"(?<![a-z0-9]){word}(?![a-z0-9])", close[0], better), True
    for run in parsed.runs:
        parts = {name[i : i + len(run)] for name in zh for i in range(len(name) - len(run) + 1)}
        close = difflib.get_close_matches(run, sorted(parts), 1, 0.5)
        if close and close[0] != run:
            better, changed = better.replace(run, close[0]), True
    return better if changed and (asked := tsquery(better)) and _matches(asked) else None
