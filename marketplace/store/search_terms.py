"""What listings are found by: the searchable terms of a text, and a listing's text vector."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from sqlalchemy import cast
from sqlalchemy.dialects.postgresql import TSVECTOR

from marketplace.publisher.publisher_models import Publisher
from marketplace.release import bundles
from marketplace.store.listing_models import Listing
from marketplace.store.listings import CATEGORIES, KINDS

WORD = re.compile(r"[a-z0-9]+")
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
LAST_POSITION = 16_383  # the highest that a tsvector holds


def terms_of(text: str) -> list[str]:
    """The searchable terms of a text, in order: lower-case words, and for Chinese each character and each pair of neighbours."""
    folded = unicodedata.normalize("NFKC", text).lower()
    found: list[tuple[int, str]] = [(match.start(), match.group()) for match in WORD.finditer(folded)]
    for match in HAN.finditer(folded):
        run, start = match.group(), match.start()
        found += [(start + i, run[i]) for i in range(len(run))] + [(start + i, run[i : i + 2]) for i in range(len(run) - 1)]
    return [term for _position, term in sorted(found, key=lambda pair: pair[0])]


def search_vector(parts: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A tsvector's text form from (weight, texts): `'clean':1A '清洗':9B`. Terms hold letters, digits and Han alone, so nothing needs escaping."""
    places: dict[str, list[str]] = {}
    position = 0
    for weight, texts in parts:
        for text in texts:
            for term in terms_of(text):
                position = min(position + 1, LAST_POSITION)
                places.setdefault(term, []).append(f"{position}{weight}")
    return " ".join(f"'{term}':{','.join(at[:255])}" for term, at in sorted(places.items()))


def vector_of(listing: bundles.ShowcaseListing | Listing, publisher: Publisher) -> str:
    """What a listing is found by: name A, summary B, category, kind and publisher C, description D."""
    kind, category = KINDS[listing.kind], CATEGORIES[listing.category]
    return search_vector(
        [
            ("A", [listing.name_zh, listing.name_en, listing.slug]),
            ("B", [listing.summary_zh, listing.summary_en]),
            ("C", [*kind.values(), *category.values(), publisher.name_zh, publisher.name_en]),
            ("D", [listing.description_zh, listing.description_en]),
        ]
    )


def make_findable(listing: Listing, publisher: Publisher) -> None:
    """Bring what a listing is found by up to its words."""
    listing.search = cast(vector_of(listing, publisher), TSVECTOR)
