"""What people type or paste: one value has several spellings, and they are read alike.

A Chinese keyboard gives full-width digits and `￥`, a spreadsheet gives thousands separators and `2026/6/30`, a mail gives spaces.
What could mean two things is not guessed: `10,5` is neither ten and a half nor a hundred and five.
"""

import re
import unicodedata
from decimal import Decimal

GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?")
AMOUNT = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")
DAY = r"([0-9]{4})(?:[-/.年]([0-9]{1,2})(?:[-/.月]([0-9]{1,2})日?|月)?|([0-9]{2})([0-9]{2}))"
DATED = re.compile(rf"{DAY}(?:(?:[T ]|(?<=日))([0-9]{{1,2}}):([0-9]{{2}})(?::([0-9]{{2}}))?)?")


def plain(text: str) -> str:
    """Full-width letters, digits and signs as narrow ones, no space around, single spaces inside."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def email(text: str) -> str:
    """An e-mail address as it is kept and compared."""
    return plain(text).lower()


def number(text: str) -> str:
    """A number without its thousands separators: `１,０００` is `1000`. Anything else comes back as it is, for its field to refuse."""
    text = plain(text)
    return text.replace(",", "") if GROUPED.fullmatch(text) else text


def amount(text: str) -> Decimal | None:
    """An amount of money in major units, with or without its sign: `￥1,000.50`, `1 000.50`, `1000元`; None for anything else, also below zero."""
    text = plain(text).removeprefix("¥").removesuffix("元").strip()
    text = number(re.sub(r"(?<=[0-9]) (?=[0-9]{3}(?![0-9]))", ",", text))
    return Decimal(text) if AMOUNT.fullmatch(text) else None


def date(text: str) -> str:
    """A day, an instant or a month in the one spelling that is shown: `2026-06-30`, `2026-06-30 14:08:00`, `2026-06`; anything else as it is."""
    text = plain(text)
    if (found := DATED.fullmatch(text)) is None:
        return text
    year, month, day, month_2, day_2, *clock = found.groups()
    month, day = month or month_2, day or day_2
    if day is None:
        return f"{year}-{month:0>2}" if clock[0] is None else text
    return f"{year}-{month:0>2}-{day:0>2}" + (" " + ":".join(f"{part:0>2}" for part in clock if part) if clock[0] else "")
