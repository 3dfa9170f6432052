"""A store of made-up listings: names and texts of real words in both languages, as unevenly spread as words are."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from benchmarks.stage import HERE
from core.db import SYSTEM, transaction
from core.ids import derived
from marketplace.publisher.publisher_models import Publisher
from marketplace.release.version_models import ListingVersion
from marketplace.store import search_terms
from marketplace.store.listing_models import Listing
from marketplace.store.listings import CATEGORIES

WORDS = [line.split() for line in (HERE / "words.txt").read_text().splitlines()]
ZH, EN = [zh for zh, _en in WORDS], [en for _zh, en in WORDS]
KINDS = ("robot_task", "form_schema", "document_template", "text_template", "spreadsheet_template", "data_mapping")
BATCH = 1_000
VERSION = "1.0.0"
CODES = [*CATEGORIES]


def _some(chance: random.Random, most: int) -> list[int]:
    """Word numbers; low ones come more often (Zipf's law, roughly)."""
    return [min(int(len(EN) * chance.random() ** 2), len(EN) - 1) for _ in range(most)]


def _rows(count: int, publisher: Publisher, at: datetime) -> Iterator[dict[str, Any]]:
    for n in range(count):
        chance = random.Random(n)
        name, summary, text = _some(chance, 3), _some(chance, 6), _some(chance, 25)
        line, voters = chance.choice((None, "crm", "ops")), chance.randrange(30)
        price = 0 if chance.random() < 0.3 else chance.randrange(1, 200) * 10_00
        listing = Listing(
            id=derived("benchmark", "listing", n), slug=f"listing-{n}", publisher_id=publisher.id, kind=chance.choice(KINDS), category=chance.choice(CODES),
            name_zh="".join(ZH[i] for i in name), name_en=" ".join(EN[i] for i in name),
            summary_zh="，".join(ZH[i] for i in summary), summary_en=" ".join(EN[i] for i in summary),
            description_zh="。".join(ZH[i] for i in text), description_en=" ".join(EN[i] for i in text),
            state="published", revision=1, pricing="one_time" if price else "free", period=None, currency="CNY", price_minor=price, tax_rate_bp=600,
            bonus_limit_bp=0, is_repeatable=False, product_line=line, required_rank=chance.randrange(5) if line else 0, required_features=[],
            minutes_saved=10, automates={"steps": []}, current_version=VERSION, rating_count=voters, rating_sum=chance.randint(voters, 5 * voters),
            published_at=at, updated_at=at - timedelta(days=chance.randrange(900)),
        )  # fmt: skip
        yield {column.name: getattr(listing, column.name) for column in Listing.__table__.columns} | {"search": search_terms.vector_of(listing, publisher)}


def fill(count: int, publisher: Publisher, like: ListingVersion, at: datetime) -> None:
    """Put `count` listings on sale, each with a version of the same content as `like`."""
    same = {column.name: getattr(like, column.name) for column in ListingVersion.__table__.columns} | {"number": VERSION}
    rows = _rows(count, publisher, at)
    while batch := list(islice(rows, BATCH)):
        with transaction(SYSTEM) as session:
            session.execute(insert(Listing), batch)
            session.execute(insert(ListingVersion), [same | {"listing_id": row["id"]} for row in batch])
