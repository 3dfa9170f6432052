"""Finding things in Chinese and English."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import SYSTEM, transaction
from core.paging import BadCursor
from marketplace.store import search
from marketplace.store.listing_models import Listing
from marketplace.store.search import Filters
from membership.entitlements import Standing
from tests.factories import AT
from tests.marketplace.store_world import CRM_ONLY, FREE, open_store, set_listing

ALL = 25


@pytest.fixture
def store(app, shelf):
    return shelf.take("the whole store", open_store)


def slugs(query="", filters=None, sort="", **more):
    with transaction(SYSTEM):
        return [hit.listing.slug for hit in search.find(query, filters, sort, limit=200, **more).hits]


def find(query="", filters=None, sort="", **more):
    with transaction(SYSTEM):
        return search.find(query, filters, sort, **more)


def test_everything_is_found_without_words(store):
    assert len(slugs()) == len(store) == ALL


@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("电", FREE),  # one character
        ("电话", FREE),  # two
        ("电话号码清洗", FREE),
        ("号码清洗", FREE),  # a part from the middle
        ("phone", FREE),
        ("PHONE", FREE),
        ("pho", FREE),  # a prefix
        ("clean phone", FREE),
        ("clean 电话", FREE),  # both languages at once
        ("ｐｈｏｎｅ", FREE),  # full width
        ("报价", CRM_ONLY),
        ("quotations", CRM_ONLY),
        ("usage-pack", "usage-pack"),
        ("用量包", "usage-pack"),
    ],
)
def test_words_find_their_listing(store, query, slug):
    assert slug in slugs(query)[:3]


def test_a_name_ranks_above_a_description(store):
    assert slugs("phone")[0] == FREE


def test_a_whole_name_then_names_then_summaries_then_texts(store):
    set_listing(CRM_ONLY, rating_sum=0, rating_count=0)
    assert slugs("报价单模板")[0] == CRM_ONLY  # its whole name, though nobody has voted for it
    found = find("quotation", limit=200).hits
    in_name = ["quotation" in hit.listing.name_en.lower() for hit in found]
    assert in_name == sorted(in_name, reverse=True)
    assert in_name[0]


def test_what_is_nowhere_is_not_found(store):
    found = find("zzzzqqq")
    assert (found.total, found.hits, found.suggestion) == (0, [], None)


@pytest.mark.parametrize(("typo", "meant"), [("phnoe", "phone"), ("clean phnoe", "clean phone"), ("quotatoin", "quotation"), ("报架单", "报价单")])
def test_a_typo_gets_a_suggestion(store, typo, meant):
    found = find(typo)
    assert found.suggestion == meant
    assert slugs(meant)


def test_some_of_the_words_are_better_than_nothing(store):
    found = find("phone zzzzqqq")
    assert found.is_loose
    assert FREE in [hit.listing.slug for hit in found.hits]


@pytest.mark.parametrize("query", ["'", "a & !b", "\\", "';drop table listing--", ":*", "<->", "()", "％", "😀", "\x00x", "x" * 5000, "电" * 500])
def test_no_query_breaks_it(store, query):
    find(query)


def test_a_search_is_planned_for_its_terms_and_leaves_other_transactions_as_they_were(store):
    """A plan kept for any terms takes seconds among many listings; so whoever asks a hundred times gets a hundred plans."""
    asked = text("select current_setting('plan_cache_mode'), current_setting('enable_seqscan')")
    with transaction(SYSTEM) as session:
        search.find("客户")
        assert tuple(session.execute(asked).one()) == ("force_custom_plan", "off")
    with transaction(SYSTEM) as session:
        assert tuple(session.execute(asked).one()) == ("auto", "on")


def test_hidden_states_are_not_found(store):
    for state in ("draft", "in_review", "deprecated", "archived"):
        set_listing(FREE, state=state)
        assert FREE not in slugs()
        assert FREE not in slugs("phone")
        assert find("clean phone").suggestion is None


def test_filters_narrow_and_facets_count_what_each_choice_would_give(store):
    found = find(filters=Filters(category="sales"))
    assert {hit.listing.category for hit in found.hits} == {"sales"}
    assert found.total == found.facets["category"]["sales"]
    assert sum(found.facets["category"].values()) == ALL  # its own choice does not narrow it
    assert sum(found.facets["price"].values()) == found.total  # the others are narrowed by it
    assert all(hit.listing.price_minor == 0 for hit in find(filters=Filters(price="free")).hits)
    assert find(filters=Filters(price="free")).total + find(filters=Filters(price="paid")).total == ALL
    assert {hit.listing.kind for hit in find(filters=Filters(kind="form_schema")).hits} == {"form_schema"}


def test_the_edition_decides_what_is_usable(store):
    nobody, low, high = Standing(), Standing({"crm": 1}), Standing({"crm": 4, "ops": 4})
    hits = {hit.listing.slug: hit for hit in find(standing=nobody, limit=200).hits}
    assert hits[FREE].is_usable
    assert not hits[CRM_ONLY].is_usable
    assert hits[CRM_ONLY].verdict.needed_line == "crm"
    usable = [len(slugs(filters=Filters(usable=True), standing=ranks)) for ranks in (nobody, low, high)]
    assert 0 < usable[0] < usable[1] < usable[2] == ALL


def test_rating_sorts_and_filters(store):
    set_listing(FREE, rating_sum=50, rating_count=10)
    set_listing(CRM_ONLY, rating_sum=5, rating_count=1)  # one enthusiastic friend does not beat ten buyers
    set_listing("usage-pack", rating_sum=3, rating_count=3)
    assert slugs(sort="rating")[:2] == [FREE, CRM_ONLY]
    assert slugs(sort="rating")[-1] == "usage-pack"
    assert slugs(filters=Filters(stars=4)) == [FREE, CRM_ONLY]


def test_stale_and_unusable_are_counted_as_hidden(store):
    set_listing(FREE, updated_at=AT - timedelta(days=1000))
    found = find(filters=Filters(usable=True, since=AT - timedelta(days=730)), standing=Standing(), limit=200)
    shown = {hit.listing.slug for hit in found.hits}
    assert FREE not in shown
    assert CRM_ONLY not in shown
    assert found.total == len(shown)
    assert found.total + found.hidden == found.total_unfiltered == ALL


@pytest.mark.parametrize("filters", [Filters(), Filters(price="paid"), Filters(kind="robot_task", stars=4), Filters(edition=0), Filters(usable=True)])
def test_each_choice_of_a_facet_gives_what_it_says(store, filters):
    set_listing(FREE, rating_sum=50, rating_count=10)
    ranks = Standing({"crm": 1})
    facets = find(filters=filters, standing=ranks).facets
    for facet, read in (("kind", str), ("category", str), ("price", str), ("edition", int)):
        for choice, count in facets.get(facet, {}).items():
            assert find(filters=replace(filters, **{facet: read(choice)}), standing=ranks).total == count, (facet, choice)
    at_least_four = sum(count for stars, count in facets.get("stars", {}).items() if int(stars) >= 4)
    assert find(filters=replace(filters, stars=4), standing=ranks).total == at_least_four


def test_price_sorts_both_ways(store):
    with transaction(SYSTEM) as session:
        prices = {one.slug: one.price_minor for one in session.query(Listing)}
    assert [prices[slug] for slug in slugs(sort="price_up")] == sorted(prices.values())
    assert [prices[slug] for slug in slugs(sort="price_down")] == sorted(prices.values(), reverse=True)


@pytest.mark.parametrize("query", ["", "表"])
@pytest.mark.parametrize("sort", search.SORTS)
def test_pages_join_to_the_whole(store, sort, query):
    whole, parts, after = slugs(query, sort=sort), [], None
    assert len(whole) > 7
    while True:
        found = find(query, sort=sort, after=after, limit=3)
        parts += [hit.listing.slug for hit in found.hits]
        after = found.next
        if after is None:
            break
    assert parts == whole


def test_a_cursor_of_another_order_is_refused(store):
    cursor = find(sort="price_up", limit=2).next
    for wrong in (cursor, "rubbish", "W10"):
        with pytest.raises(BadCursor):
            find(sort="price_down", after=wrong)
