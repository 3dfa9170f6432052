"""Every word of the product that people see has a Chinese translation with the same placeholders."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import default_exceptions

ROOT = Path(__file__).resolve().parents[1]
CATALOGUES = sorted((ROOT / "translations" / "zh" / "LC_MESSAGES").glob("*.po"))
KEYWORDS = {"_": None, "_l": None, "gettext": None, "lazy_gettext": None, "ngettext": (1, 2), "lazy_ngettext": (1, 2)}
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")
SKIPPED = (".venv", "tests", "var", "migrations", "benchmarks", "docs")
Id = str | tuple[str, ...]


@cache
def used() -> dict[Id, str]:
    """Every message in the sources, with a place where it stands."""
    with (ROOT / "translations" / "babel.cfg").open() as stream:
        methods, options = parse_mapping_cfg(stream)
    found: dict[Id, str] = {}
    wanted = extract_from_dir(
        ROOT, methods, options, keywords=KEYWORDS, directory_filter=lambda path: Path(path).name not in SKIPPED and not Path(path).name.startswith(".")
    )
    for filename, line, message, _comments, _context in wanted:
        found[message if isinstance(message, str) else tuple(message)] = f"{filename}:{line}"
    return found


def messages() -> Iterator[tuple[str, Message]]:
    for path in CATALOGUES:
        with path.open("rb") as stream:
            for message in read_po(stream, locale="zh"):
                if message.id:
                    yield path.name, message


def words(message: Message) -> list[str]:
    return [one for one in (message.string if isinstance(message.string, tuple | list) else [message.string]) if one]


def test_sources_are_found() -> None:
    places = set(used().values())
    assert len(used()) > 500
    assert any(place.startswith("templates/") for place in places)
    assert any(place.endswith(".py") or ".py:" in place for place in places)


def test_every_message_has_chinese_words() -> None:
    known = {message.id: message for _name, message in messages() if words(message) and not message.fuzzy}
    # a plural form serves its singular as well, as in gettext itself
    singular = {message.id[0] for message in known.values() if isinstance(message.id, tuple)} | {one for one in known if isinstance(one, str)}
    missing = {one: place for one, place in used().items() if one not in known and not (isinstance(one, tuple) and one[0] in known) and one not in singular}
    assert missing == {}


def test_a_message_has_the_same_words_in_every_catalogue() -> None:
    """The catalogues become one: of two translations one would win everywhere. Another meaning needs other English words."""
    told: dict[object, set[str]] = {}
    for _name, message in messages():
        told.setdefault(message.id, set()).update(words(message)[:1])
    assert {one: chinese for one, chinese in told.items() if len(chinese) > 1} == {}


def test_plurals_are_translated_as_plurals() -> None:
    known = {message.id for _name, message in messages() if words(message)}
    assert {one: place for one, place in used().items() if isinstance(one, tuple) and one not in known} == {}


def test_placeholders_are_the_same() -> None:
    different = []
    for name, message in messages():
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        wanted = set(PLACEHOLDER.findall(" ".join(ids)))
        for chinese in words(message):
            got = set(PLACEHOLDER.findall(chinese))
            # the singular may be told without its number; nothing unknown may be asked for, nothing else left out
            if got - wanted or (wanted - got) - {"num"}:
                different.append((name, ids[0], chinese))
    assert different == []


def spoken_elsewhere() -> set[str]:
    """What is translated by its value: constants of our own, and the words of Werkzeug's errors."""
    texts = {part for error in default_exceptions.values() for part in (error.description, error().name)}
    for room in ("core", "membership", "billing", "marketplace", "operations"):
        for path in (ROOT / room).rglob("*.py"):
            texts |= {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if text} | {CSRFError.description}


def test_no_entry_is_fuzzy_or_unused() -> None:
    alive = {part for one in used() for part in (one if isinstance(one, tuple) else (one,))} | spoken_elsewhere()
    found = [(name, message.id) for name, message in messages() if message.fuzzy]
    stale = [(name, message.id) for name, message in messages() if (message.id if isinstance(message.id, str) else message.id[0]) not in alive]
    assert found == []
    assert stale == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.name)
def test_chinese_is_written_the_chinese_way(path: Path) -> None:
    """Full-width punctuation between Chinese characters, and no half-translated sentence."""
    with path.open("rb") as stream:
        wrong = [
            one
            for message in read_po(stream, locale="zh")
            if message.id
            for one in words(message)
            if re.search(r"[\u4e00-\u9fff][,;!?](?!\d)|[\u4e00-\u9fff]\.(?=\s|$)|[\u4e00-\u9fff]:(?=[\u4e00-\u9fff])", one)
        ]
    assert wrong == []
