"""What a person types, as PostgreSQL's text search reads it. Terms are made by `search_terms.terms_of`: words, Han characters and their pairs."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from marketplace.store.search_terms import HAN, WORD

LONGEST_QUERY = 200
NAME, HEAD, WHOLE = "~", "^", "="  # marks of terms in `listing_index.terms`: of the name, of name and summary, the whole name


@dataclass(slots=True)
class Query:
    """The searchable parts of what was typed, folded to lower case and half width."""

    folded: str = ""
    words: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)  # of Han characters

    @property
    def is_empty(self) -> bool:
        """Nothing in it can be searched for."""
        return not (self.words or self.runs)


def parse(typed: str) -> Query:
    """The first 200 characters, taken apart."""
    folded = unicodedata.normalize("NFKC", typed[:LONGEST_QUERY]).lower().strip()
    return Query(folded, WORD.findall(folded), HAN.findall(folded))


def tsquery(query: Query, mark: str = "", *, loose: bool = False) -> str:
    """All terms (or, `loose`, any) as a tsquery's text form; with a mark, only where the marked part holds them."""
    terms = [_word(word, mark) for word in query.words] + [f"'{mark}{pair}'" for run in query.runs for pair in pairs(run)]
    return (" | " if loose else " & ").join(dict.fromkeys(terms))


def tiers(query: Query, *, loose: bool = False) -> list[tuple[int, str]]:
    """From the best match to the weakest, each without those before: whole name 3, all in the name 2, in name and summary 1, anywhere 0."""
    levels = [f"'{WHOLE}{_quoted(query.folded)}'", *(tsquery(query, mark, loose=loose) for mark in (NAME, HEAD, ""))]
    return [(3 - n, f"({level})" + (f" & !({levels[n - 1]})" if n else "")) for n, level in enumerate(levels)]


def nearly(run: str, mark: str = NAME) -> str | None:
    """A tsquery for what holds all characters of a run of Han but one; `None` where that would be anything."""
    letters = list(dict.fromkeys(run))
    if not 2 < len(letters) <= 8:
        return None
    return " | ".join("(" + " & ".join(f"'{mark}{letter}'" for letter in kept) + ")" for kept in combinations(letters, len(letters) - 1))


def pairs(run: str) -> Iterator[str]:
    """Neighbouring characters, as they are indexed; a single one by itself."""
    yield from [run] if len(run) == 1 else (run[i : i + 2] for i in range(len(run) - 1))


def _word(word: str, mark: str) -> str:
    """A word and what begins with it; `contacts` finds `contact` too."""
    stem = word[:-1] if len(word) > 3 and word.endswith("s") else None
    return f"('{mark}{word}':* | '{mark}{stem}':*)" if stem else f"'{mark}{word}':*"


def _quoted(text: str) -> str:
    return re.sub(r"\s", " ", text.replace("\0", "")).replace("\\", "\\\\").replace("'", "''")
