"""The tables that search reads. A trigger on `listing` writes them (migrations/sql/0460_narrow_listing_index.sql, decision 0045)."""

import uuid
from datetime import datetime

from sqlalchemy import Computed, ForeignKey, Identity, Index, Integer, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base

PLAIN = Text(collation="C")


class ListingRequirement(Base):
    """What a listing asks of its buyer: a product line, an edition rank, features, a version of the host."""

    __tablename__ = "listing_requirement"
    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    product_line: Mapped[str | None]
    required_rank: Mapped[int] = mapped_column(Integer)
    required_features: Mapped[list[str]]
    host_version: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint(
            "product_line", "required_rank", "required_features", "host_version", name="listing_requirement_key", postgresql_nulls_not_distinct=True
        ),
    )


class ListingShelf(Base):
    """The one half of what facets count by: what a listing is. Listings that no facet tells apart share shelf and grade."""

    __tablename__ = "listing_shelf"
    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(PLAIN)
    category: Mapped[str] = mapped_column(PLAIN)
    is_free: Mapped[bool]
    __table_args__ = (UniqueConstraint("kind", "category", "is_free", name="listing_shelf_key"),)


class ListingGrade(Base):
    """The other half: what a listing asks and what it is thought of."""

    __tablename__ = "listing_grade"
    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    requirement_id: Mapped[int] = mapped_column(Integer, ForeignKey("listing_requirement.id"))
    stars: Mapped[int] = mapped_column(SmallInteger)  # average, rounded down; 0 where nobody has voted
    __table_args__ = (UniqueConstraint("requirement_id", "stars", name="listing_grade_key"),)


class ListingIndex(Base):
    """A listing on sale as search sees it. `terms`: all; those of the name again behind `~`, of name and summary behind `^`, whole names behind `=`.

    Rows are narrow, so that counting many of them visits few pages: `terms` lie outside, because `padding` makes a row large enough for that.
    """

    __tablename__ = "listing_index"
    shelf_id: Mapped[int] = mapped_column(Integer, ForeignKey("listing_shelf.id"))
    grade_id: Mapped[int] = mapped_column(Integer, ForeignKey("listing_grade.id"))
    updated_at: Mapped[datetime]
    score: Mapped[int] = mapped_column(Integer)  # Bayesian average of stars, in thousandths
    price_minor: Mapped[int]
    listing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("listing.id"), primary_key=True)
    slug: Mapped[str] = mapped_column(PLAIN)
    terms: Mapped[str] = mapped_column(TSVECTOR)
    padding: Mapped[str | None] = mapped_column(Computed("case when terms is not null then repeat(' ', 2000) end", persisted=True))
    __table_args__ = (
        Index("listing_index_terms_idx", "terms", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        Index("listing_index_score_idx", text("score DESC"), "slug"),
        Index("listing_index_updated_idx", text("updated_at DESC"), "slug"),
        Index("listing_index_price_idx", "price_minor", "slug"),
        Index("listing_index_facets_idx", "shelf_id", "grade_id", "updated_at"),
    )


class SearchWord(Base):
    """An English word of some listing's name: what a typo is corrected to."""

    __tablename__ = "search_word"
    word: Mapped[str] = mapped_column(PLAIN, primary_key=True)
