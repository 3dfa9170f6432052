"""What may not stand on a page: words of the other language, amounts in no known form, values that are none."""

import re
from functools import cache

from babel.messages.pofile import read_po
from playwright.sync_api import Page

from tests.browser.checks import View
from tests.core.test_supervisor import ROOT

TEXTS = """
() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent.replace(/\\s+/g, " ").trim(), around = node.parentElement;
    if (text && !around.closest("script, style, code, pre, kbd, svg, .id, .languages, .menu-language, .from-data, [lang]:not(html)")) found.push(text);
  }
  return found;
}
"""
ENGLISH = re.compile(r"\b(?!Word\b|Excel\b)[A-Za-z]{2,} (?:[a-z]{2,} ?)+\b")
AMOUNT = re.compile(r"¥(?!\s*$)(?!\d{1,3}(?:,\d{3})*\.\d{2}(?![\d]))")
NOTHING = re.compile(r"\b(?:None(?!:)|NaN|undefined|null|Undefined)\b")


@cache
def translations() -> dict[str, str]:
    """Every English word or sentence of the product with its Chinese."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "translations" / "zh" / "LC_MESSAGES").glob("*.po")):
        with path.open("rb") as stream:
            for message in read_po(stream, locale="zh"):
                ids, words = (message.id, message.string) if isinstance(message.id, tuple) else ((message.id,), (message.string,))
                if message.id and words and words[0]:
                    found |= dict.fromkeys(ids, words[0])
    return found


def word_faults(page: Page, view: View) -> list[str]:
    """Untranslated words, strange amounts and printed nothings of a page."""
    texts: list[str] = page.evaluate(TEXTS)
    known = translations()
    if view.lang == "zh":
        foreign = [text for text in texts if (known.get(text) not in (None, text) and re.search("[A-Za-z]", text)) or ENGLISH.search(text)]
    else:
        chinese = {words for english, words in known.items() if words != english}
        foreign = [text for text in texts if text in chinese]
    return (
        [f"in the other language: {text[:100]}" for text in foreign]
        + [f"amount: {text[:100]}" for text in texts if AMOUNT.search(text)]
        + [f"nothing printed: {text[:100]}" for text in texts if NOTHING.search(text)]
    )
