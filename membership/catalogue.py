"""What the vendor sells by subscription: product lines, their four editions, and prices that change on a date."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from core.db import db
from core.errors import NotFound
from membership import taxes, terms
from membership.catalogue_models import Edition, EditionPrice, ProductLine

PERIODS = ("month", "quarter", "year")


class NoPrice(NotFound):
    """This edition is not sold for this period in this currency (yet)."""

    code = "no_price"


def product_lines() -> Sequence[ProductLine]:
    """Every product line, in a steady order."""
    return db.session.scalars(select(ProductLine).order_by(ProductLine.code)).all()


def editions(line: str) -> list[Edition]:
    """The editions of a product line, from the entry edition up."""
    return [edition for (code, _rank), edition in sorted(all_editions().items()) if code == line]


def edition(line: str, rank: int) -> Edition:
    """One edition. Raises NotFound."""
    found = all_editions().get((line, rank))
    if found is None:
        raise NotFound(_("There is no such edition."), field="rank")
    return found


def all_editions() -> dict[tuple[str, int], Edition]:
    """Every edition by line and rank: one query a transaction, however many verdicts hang on it."""
    session = db.session()
    now_open = session.get_transaction()
    kept_for, found = session.info.get("editions", (None, {}))
    if kept_for is not now_open:
        found = {(e.product_line, e.rank): e for e in session.scalars(select(Edition))}
        session.info["editions"] = (now_open, found)
    return cast(dict[tuple[str, int], Edition], found)


def features_of(line: str, rank: int) -> frozenset[str]:
    """What an edition can do: its own features and those of every lower one."""
    return frozenset(feature for edition in editions(line) if edition.rank <= rank for feature in edition.features)


def lowest_rank_with(line: str, features: Sequence[str]) -> int | None:
    """The cheapest edition that has all these features, or None when no edition has."""
    wanted = set(features)
    return next((edition.rank for edition in editions(line) if wanted <= features_of(line, edition.rank)), None)


def price(line: str, rank: int, currency: str, period: str, at: datetime) -> EditionPrice:
    """The price in force at an instant, as it is stated. Raises NoPrice."""
    found = db.session.scalar(
        select(EditionPrice)
        .where(
            EditionPrice.product_line == line,
            EditionPrice.rank == rank,
            EditionPrice.currency == currency,
            EditionPrice.period == period,
            EditionPrice.valid_from <= at,
        )
        .order_by(EditionPrice.valid_from.desc())
        .limit(1)
    )
    if found is None:
        raise NoPrice(_("This edition is not sold for this period."), field="period")
    return found


def term_price(price: EditionPrice, seats: int, rates: taxes.Schedule, at: datetime) -> int:
    """What is paid for a full term that begins at `at`: base + seats × seat price, and the tax where the list leaves it out, rounded once.

    `rates` are the seller's; a list with tax inside does not ask for them.
    """
    return taxes.gross_of(rates, terms.term_price(price.base_minor, price.seat_minor, seats), price.excludes_tax, at)


def prices(currency: str, at: datetime) -> dict[tuple[str, int, str], EditionPrice]:
    """Every price in force at an instant, by line, rank and period: for the page that compares editions."""
    in_force = (
        select(EditionPrice)
        .where(EditionPrice.currency == currency, EditionPrice.valid_from <= at)
        .ext(distinct_on(EditionPrice.product_line, EditionPrice.rank, EditionPrice.period))
        .order_by(EditionPrice.product_line, EditionPrice.rank, EditionPrice.period, EditionPrice.valid_from.desc())
    )
    return {(p.product_line, p.rank, p.period): p for p in db.session.scalars(in_force)}
