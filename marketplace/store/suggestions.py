"""What somebody probably meant who mistyped: English words by the words of names, Chinese by names that share all characters but one."""

import re
from collections.abc import Iterable

from rapidfuzz import process
from rapidfuzz.distance import OSA
from sqlalchemy import cast, func, literal, select
from sqlalchemy.dialects.postgresql import TSQUERY

from core.db import db
from marketplace.store.listing_models import Listing
from marketplace.store.listings import CATEGORIES, KINDS
from marketplace.store.search_index import ListingIndex, SearchWord
from marketplace.store.search_query import Query, nearly
from marketplace.store.search_terms import HAN, WORD

MOST_NAMES = 200
LEAST_LIKE_WORD, LEAST_LIKE_RUN = 0.7, 0.5  # normalised similarity (optimal string alignment: swapped neighbours are one mistake)


def suggest(query: Query) -> str | None:
    """The query with unknown words replaced by the closest known ones, or `None` where nothing comes close."""
    better = query.folded
    for word in query.words:
        if close := _close_word(word):
            better = re.sub(rf"(?<![a-z0-9]){word}(?![a-z0-9])", close, better)
    for run in query.runs:
        if close := _closest(run, _parts(run), LEAST_LIKE_RUN):
            better = better.replace(run, close)
    return better if better != query.folded else None


def _close_word(word: str) -> str | None:
    """The closest word of a name that is at most two letters longer or shorter; none for the beginning of a known word."""
    near = select(SearchWord.word).where(func.length(SearchWord.word).between(len(word) - 2, len(word) + 2))
    if len(word) < 3 or db.session.scalar(select(SearchWord.word).where(SearchWord.word.startswith(word)).limit(1)):
        return None
    ours = {known for words in (*KINDS.values(), *CATEGORIES.values()) for known in WORD.findall(words["name_en"].lower())}
    return _closest(word, {*db.session.scalars(near), *ours}, LEAST_LIKE_WORD)


def _parts(run: str) -> set[str]:
    """Parts of names as long as the run, of names that hold all of its characters but one."""
    names = [words["name_zh"] for words in (*KINDS.values(), *CATEGORIES.values())]
    if wanted := nearly(run):
        found = select(Listing.name_zh).join(ListingIndex, ListingIndex.listing_id == Listing.id)
        names += db.session.scalars(found.where(ListingIndex.terms.op("@@")(cast(literal(wanted), TSQUERY))).limit(MOST_NAMES))
    return {name[i : i + len(run)] for name in names for i in range(len(name) - len(run) + 1) if HAN.fullmatch(name[i : i + len(run)])}


def _closest(wrong: str, known: Iterable[str], least: float) -> str | None:
    found = process.extractOne(wrong, sorted(known), scorer=OSA.normalized_similarity, score_cutoff=least)
    return found[0] if found and found[0] != wrong else None
