"""Whatever is asked: results, order, counts and pages are those of a model that looks at every listing with plain Python."""

import random
import unicodedata
from collections import Counter
from dataclasses import dataclass, fields, replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import SYSTEM, transaction
from marketplace.publisher.publisher_models import Publisher
from marketplace.store import compatibility, search, search_query
from marketplace.store.listing_models import Listing
from marketplace.store.listings import CATEGORIES, KINDS
from marketplace.store.search import Filters
from marketplace.store.search_terms import HAN, WORD
from membership.entitlements import Standing
from tests.factories import AT
from tests.marketplace.store_world import open_store

QUERIES = [
    "",
    "单",
    "表",
    "客户",
    "报价单",
    "报价单模板",
    "电话 clean",
    "phone",
    "con",
    "contacts",
    "quote template",
    "quote zzzz",
    "报架单",
    "zzz",
    "销售",
    "clean-phone-numbers",
]
STANDINGS = [None, Standing(), Standing({"crm": 2}), Standing({"crm": 4, "ops": 3}, {"crm": "1.0"})]


@dataclass(frozen=True)
class Seen:
    """A listing as a search should see it; `parts`: texts of the name, of the summary as well, of all."""

    listing: Listing
    parts: tuple[str, str, str]

    @property
    def facets(self):
        one = self.listing
        stars = one.rating_sum // one.rating_count if one.rating_count else 0
        return {"kind": one.kind, "category": one.category, "price": "paid" if one.price_minor else "free", "edition": one.required_rank, "stars": stars}

    def is_fresh(self, filters):
        return filters.since is None or self.listing.updated_at >= filters.since

    def is_usable(self, standing):
        verdict = compatibility.judge(self.listing, standing)
        return verdict is None or verdict.allowed

    def failed(self, filters):
        """The facets in which it is not what was chosen."""
        wrong = {name for name, has in self.facets.items() if name != "stars" and getattr(filters, name) not in ("", None, has)}
        return wrong | ({"stars"} if self.facets["stars"] < filters.stars else set())

    def tier(self, query, how):
        """3 to 0 as in decision 0045, `None`: not found."""
        one = self.listing
        if query.is_empty:
            return 0
        if query.folded in (folded(one.name_zh), folded(one.name_en), one.slug):
            return 3
        return next((2 - n for n, part in enumerate(self.parts) if how(holds(part, query))), None)


def folded(words):
    return unicodedata.normalize("NFKC", words).lower()


def holds(part, query):
    """Of each word and each pair of Han characters asked for: does the text hold it?"""
    words, runs = WORD.findall(part), HAN.findall(part)
    begins = [(word, word[:-1]) if len(word) > 3 and word.endswith("s") else (word,) for word in query.words]
    return [any(word.startswith(begin) for word in words) for begin in begins] + [
        any(pair in run for run in runs) for asked in query.runs for pair in search_query.pairs(asked)
    ]


@pytest.fixture
def seen(app):
    """The showcase with ratings, dates and prices of all sorts."""
    open_store()
    chance = random.Random(7)
    with transaction(SYSTEM) as session:
        for listing in session.query(Listing):
            listing.rating_count = chance.randrange(4)
            listing.rating_sum = sum(chance.randint(1, 5) for _ in range(listing.rating_count))
            listing.updated_at = AT - timedelta(days=chance.choice((1, 10, 400, 800)))
        session.flush()
        publishers = {one.id: one for one in session.query(Publisher)}
        return [Seen(one, tuple(folded("|".join(parts)) for parts in parts_of(one, publishers[one.publisher_id]))) for one in session.query(Listing)]


def parts_of(one, publisher):
    name = [one.name_zh, one.name_en, one.slug]
    head = [*name, one.summary_zh, one.summary_en]
    words = (KINDS[one.kind], CATEGORIES[one.category])
    return (
        name,
        head,
        [*head, one.description_zh, one.description_en, publisher.name_zh, publisher.name_en, *(text for both in words for text in both.values())],
    )


def some_filters(chance):
    choices = {
        "kind": ["", "", "robot_task", "form_schema"], "category": ["", "", "sales", "finance"], "price": ["", "", "free", "paid"],
        "edition": [None, None, None, 0, 2], "usable": [True, False], "stars": [0, 0, 3, 4], "since": [None, AT - timedelta(days=500)],
    }  # fmt: skip
    return Filters(**{field.name: chance.choice(choices[field.name]) for field in fields(Filters)})


def expected(seen, typed, filters, sort, standing):
    """(slugs in order, total, whatever the filters are, hidden, facets), each by its definition."""
    query, how = search_query.parse(typed), all
    if not any(one.tier(query, how) is not None for one in seen):
        how = any
    found = [one for one in seen if one.tier(query, how) is not None]
    shown = [one for one in found if one.is_fresh(filters) and (one.is_usable(standing) or not filters.usable)]
    facets = {
        name: Counter(str(one.facets[name]) for one in shown if one.failed(filters) <= {name}) for name in ("kind", "category", "price", "edition", "stars")
    }
    facets["usable"] = Counter("yes" if one.is_usable(standing) else "no" for one in found if one.is_fresh(filters) and not one.failed(filters))
    hits = [one for one in shown if not one.failed(filters)]
    keys = {
        "newest": lambda one: -one.listing.updated_at.timestamp(),
        "price_up": lambda one: one.listing.price_minor, "price_down": lambda one: -one.listing.price_minor,
        "rating": lambda one: -((1000 * one.listing.rating_sum + 10_500) // (one.listing.rating_count + 3)),
    }  # fmt: skip
    keys["relevance"] = lambda one: (-one.tier(query, how), keys["rating"](one))
    ordered = sorted(hits, key=lambda one: (keys[sort](one), one.listing.slug))
    without_hidden = replace(filters, usable=False, since=None)
    hidden = sum(not one.failed(without_hidden) for one in found) - len(hits)
    return [one.listing.slug for one in ordered], len(hits), len(found), hidden, {name: dict(counted) for name, counted in facets.items() if counted}


def whole(typed, filters, sort, standing):
    """All pages of a search joined, and the first page."""
    first = found = search.find(typed, filters, sort, limit=4, standing=standing)
    slugs = [hit.listing.slug for hit in found.hits]
    while found.next:
        found = search.find(typed, filters, sort, limit=4, standing=standing, after=found.next)
        assert found.hits
        slugs += [hit.listing.slug for hit in found.hits]
    return slugs, first


@pytest.mark.parametrize("walked", [0, 2_000], ids=["in the order's index", "among what matches"])
def test_every_search_finds_and_counts_what_the_model_does(seen, walked, monkeypatch):
    monkeypatch.setattr(search, "WALKED", walked)
    chance = random.Random(walked)
    for typed in QUERIES:
        for _ in range(12):
            filters, sort, standing = some_filters(chance), chance.choice(search.SORTS), chance.choice(STANDINGS)
            with transaction(SYSTEM):
                slugs, found = whole(typed, filters, sort, standing)
                model = expected(seen, typed, filters, sort, standing)
            told = (slugs, found.total, found.total_unfiltered, found.hidden, {facet: dict(counts) for facet, counts in found.facets.items()})
            assert told == model, (typed, filters, sort, standing)


def test_rows_stay_narrow_when_listings_change(seen):
    """What counting visits is about a hundred bytes a listing, however it came there: terms are kept outside."""
    with transaction(SYSTEM) as session:
        for listing in session.query(Listing):
            listing.rating_sum, listing.rating_count = 5, 1  # all terms are written again
        session.flush()
        pages = session.scalars(text("select (ctid::text::point)[0]::int from listing_index")).all()
    assert len(pages) == len(seen)
    assert len(set(pages)) <= 2
