"""Which language a page has, and that no word is left untranslated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from flask import Flask
from flask_babel import gettext

from core import i18n
from core.actor import Actor, set_actor
from tests.browser.gallery import create_gallery

ROOT = Path(__file__).resolve().parents[2]
WORD = re.compile(r"(?:\b_l?|gettext)\(\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")")


@pytest.fixture(scope="module")
def app() -> Flask:
    return create_gallery()


@pytest.mark.parametrize(
    ("query", "cookie", "user", "accept", "expected"),
    [
        ("?lang=en", "zh", "zh", "zh", "en"),
        ("?lang=xx", "zh", "en", "en", "zh"),
        ("", "", "en", "zh", "en"),
        ("", "", None, "en-GB,en;q=0.9", "en"),
        ("", "", None, "zh-TW", "zh"),
        ("", "", None, "fr", "zh"),
    ],
)
def test_order_of_choice(app: Flask, query: str, cookie: str, user: str | None, accept: str, expected: str) -> None:
    headers = {"Accept-Language": accept} | ({"Cookie": f"lang={cookie}"} if cookie else {})
    with app.test_request_context(f"/{query}", headers=headers):
        set_actor(Actor(kind="member", role="owner", locale=user))
        assert i18n.choose_language() == expected


def test_the_choice_is_remembered(app: Flask) -> None:
    client = app.test_client()
    first = client.get("/?lang=en")
    assert "lang=en" in first.headers["Set-Cookie"]
    assert 'lang="en"' in first.text
    assert 'lang="en"' in client.get("/").text
    assert 'lang="zh-CN"' in client.get("/?lang=zh").text
    assert "Accept-Language" in first.headers["Vary"]


def test_the_switch_keeps_the_filters(app: Flask) -> None:
    with app.test_request_context("/?q=a+b&state=x&lang=zh"):
        other = next(link for link in i18n.language_links() if not link["current"])
        assert other["href"] == "/?q=a+b&state=x&lang=en"


def test_catalogues_are_merged_and_renewed(tmp_path: Path) -> None:
    folder = tmp_path / "zh" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    (folder / "messages.po").write_text(head + 'msgid "A"\nmsgstr "甲"\n', encoding="utf-8")
    (folder / "extra.po").write_text(head + 'msgid "A"\nmsgstr "丙"\n\nmsgid "B"\nmsgstr "乙"\n', encoding="utf-8")
    assert i18n.compile_catalogues(tmp_path) == [folder / "messages.mo"]
    assert i18n.compile_catalogues(tmp_path) == []
    assert [p.name for p in folder.iterdir() if p.suffix == ".tmp"] == []
    app = Flask("t")
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(tmp_path)
    i18n.init_app(app)
    with app.test_request_context("/?lang=zh"):
        assert (gettext("A"), gettext("B"), gettext("C")) == ("甲", "乙", "C")


def _words_of_the_shell() -> set[str]:
    files = [
        *(ROOT / "templates" / "macros").glob("*.html"),
        *(ROOT / "templates" / "layout").glob("*.html"),
        *(ROOT / "templates" / "errors").glob("*.html"),
        ROOT / "templates" / "base.html",
        *(ROOT / "core" / "charts").glob("*.py"),
        *(ROOT / "core" / name for name in ("navigation.py", "paging.py", "errors.py")),
    ]
    # a macro's own example comments are not words of the page
    text = "\n".join(re.sub(r"\{#.*?#\}", "", path.read_text(encoding="utf-8"), flags=re.S) for path in files)
    return {(a or b).replace("\\'", "'") for a, b in WORD.findall(text)}


def test_every_word_of_the_shell_is_translated() -> None:
    known: set[str] = set()
    for path in (ROOT / "translations/zh/LC_MESSAGES").glob("*.po"):
        with path.open("rb") as stream:
            known |= {str(m.id) for m in read_po(stream) if m.id and m.string}
    assert _words_of_the_shell() - known == set()


def test_catalogues_keep_the_placeholders() -> None:
    for path in (ROOT / "translations/zh/LC_MESSAGES").glob("*.po"):
        with path.open("rb") as stream:
            for message in read_po(stream):
                if message.id and isinstance(message.id, str):
                    places = set(re.findall(r"%\(\w+\)s", message.id))
                    assert set(re.findall(r"%\(\w+\)s", str(message.string))) == places, message.id
