"""How many listings a search matches, and for each filter how many each choice would give."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text

from core.db import db
from marketplace.store.search_filters import Asked


@dataclass(frozen=True, slots=True)
class Counts:
    """`matching`: whatever the filters are; `with_hidden`: of the filters without `usable` and `since`; `facets`: of each, what each choice would give."""

    matching: int
    total: int
    with_hidden: int
    facets: Mapping[str, Mapping[str, int]]


# Listings are counted by shelf and grade at once; the (few) shelves of fitting grades and grades of fitting shelves are what facets are made of.
_COUNT = """
with counted as materialized (
  select shelf_id, grade_id, count(*)::int as n, {fresh}::int as fresh from listing_index {matching} group by shelf_id, grade_id
)
select kind, category, is_free, null::int as requirement_id, null::int as required_rank, null::int as stars, n, fresh
from (select shelf_id, sum(n) as n, coalesce(sum(fresh) {fitting}, 0) as fresh from counted group by shelf_id) x join listing_shelf on id = shelf_id
union all
select null, null, null, requirement_id, required_rank, stars, n, fresh
from (select grade_id, sum(n) as n, sum(fresh) as fresh from counted {on_shelves} group by grade_id) x
  join listing_grade g on g.id = grade_id join listing_requirement q on q.id = requirement_id
"""


def count(terms: str, asked: Asked) -> Counts:
    """Counts of what matches a tsquery; an empty one matches everything."""
    shelves, grades = asked.shelves, asked.grades
    statement = _COUNT.format(
        matching="where terms @@ cast(:terms as tsquery)" if terms else "",
        fresh=f"count(*) filter (where {asked.fresh})" if asked.fresh else "count(*)",
        fitting=f"filter (where {grades})" if grades else "",
        on_shelves=f"where {shelves}" if shelves else "",
    )
    return _counts(db.session.execute(text(statement), asked.values | {"terms": terms}).all(), asked)


def _counts(rows: Sequence[Row[Any]], asked: Asked) -> Counts:
    """A facet counts with the other filters kept: what fails in nothing, or in this facet alone."""
    filters, matching, total, with_hidden = asked.filters, 0, 0, 0
    facets: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        is_shelf = row.kind is not None
        choices = (
            {"kind": row.kind, "category": row.category, "price": "free" if row.is_free else "paid"}
            if is_shelf else {"edition": row.required_rank, "stars": row.stars}
        )  # fmt: skip
        failed, is_usable = filters.failed_by(choices), is_shelf or asked.allowed is None or row.requirement_id in asked.allowed
        if is_usable or not filters.usable:
            for facet, choice in choices.items():
                if failed in ([], [facet]):
                    facets[facet][str(choice)] += int(row.fresh)
        if is_shelf:
            matching += int(row.n)
            total += 0 if failed else int(row.fresh)
        elif not failed:
            with_hidden += int(row.n)
            facets["usable"]["yes" if is_usable else "no"] += int(row.fresh)
    given = {facet: {choice: n for choice, n in found.items() if n} for facet, found in facets.items()}
    return Counts(matching, total, with_hidden, {facet: found for facet, found in given.items() if found})
