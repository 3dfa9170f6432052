"""What results are narrowed to: a person's choices, and the SQL conditions on the search index that they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any


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

    def failed_by(self, choices: Mapping[str, str | int]) -> list[str]:
        """Those of these choices (facet → what a listing has) that the filters exclude."""
        return [facet for facet, choice in choices.items() if not self._admits(facet, choice)]

    def _admits(self, facet: str, choice: str | int) -> bool:
        return int(choice) >= self.stars if facet == "stars" else getattr(self, facet) in ("", None, choice)


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters, and the requirements that the asking member meets; `None`: all of them, or nobody in particular asks.

    Conditions are SQL, empty where nothing narrows: a search is planned each time, for what it asks and no more.
    """

    filters: Filters
    allowed: Sequence[int] | None

    @property
    def values(self) -> dict[str, Any]:
        """Parameters of the conditions."""
        return {name: getattr(self.filters, name) for name in ("kind", "category", "price", "edition", "stars", "since")} | {"allowed": self.allowed}

    @property
    def shelves(self) -> str:
        """Condition on `shelf_id`."""
        asked = self.filters
        return _within(
            "shelf_id in (select id from listing_shelf where {})",
            [(asked.kind, "kind = :kind"), (asked.category, "category = :category"), (asked.price, "is_free = (:price = 'free')")],
        )

    @property
    def grades(self) -> str:
        """Condition on `grade_id`."""
        asked = self.filters
        return _within(
            "grade_id in (select g.id from listing_grade g join listing_requirement q on q.id = g.requirement_id where {})",
            [
                (asked.edition is not None, "required_rank = :edition"),
                (asked.stars, "stars >= :stars"),
                (asked.usable and self.allowed is not None, "requirement_id = any(:allowed)"),
            ],
        )

    @property
    def fresh(self) -> str:
        """Condition on `updated_at`."""
        return "updated_at >= :since" if self.filters.since else ""


def _within(half: str, conditions: Sequence[tuple[object, str]]) -> str:
    needed = " and ".join(condition for is_asked, condition in conditions if is_asked)
    return half.format(needed) if needed else ""
