"""How values look to a person: money, numbers, instants, names in two languages.

One place, so that a page, a mail and a PDF print the same figure the same way. The rules are those of Chinese finance
tools (Ant Design, "data formats"): symbol and thousands separators, two decimals, `YYYY-MM-DD HH:MM:SS`, ranges with a
full-width tilde, and `--` for what is missing: a missing figure is never shown as zero.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal

from babel.numbers import get_currency_precision
from flask import Flask
from flask_babel import get_locale, get_timezone, gettext, ngettext
from markupsafe import Markup

from core.sentences import say

DATED = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}(:\d{2})?)?")
MISSING = "--"
MINUS = "\u2212"
RANGE = " \uff5e "
SYMBOLS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "HKD": "HK$", "JPY": "JP¥", "SGD": "S$", "TWD": "NT$"}


def language() -> str:
    """The language of the page, `zh` or `en`; English outside a request."""
    locale = get_locale()
    return "zh" if locale is not None and locale.language == "zh" else "en"


def _major(amount_minor: int, currency: str) -> str:
    """The absolute amount in major units, grouped, with the currency's own number of decimals."""
    places = get_currency_precision(currency)
    return f"{Decimal(abs(amount_minor)).scaleb(-places):,.{places}f}"


def money(amount_minor: int | None, currency: str = "CNY") -> str:
    """An amount in minor units with its symbol: `¥1,234.00`, `−¥5.00`; `--` if there is none."""
    if amount_minor is None:
        return MISSING
    sign = MINUS if amount_minor < 0 else ""
    return f"{sign}{SYMBOLS.get(currency, currency + chr(0xA0))}{_major(amount_minor, currency)}"


def signed_money(amount_minor: int | None, currency: str = "CNY") -> str:
    """Like `money`, with `+` before gains: the sign is printed, never carried by a colour."""
    text = money(amount_minor, currency)
    return f"+{text}" if amount_minor is not None and amount_minor > 0 else text


def minor(amount_minor: int | None, currency: str = "CNY") -> str:
    """The number alone, for columns whose header names the currency: `1,234.00`."""
    if amount_minor is None:
        return MISSING
    return f"{MINUS if amount_minor < 0 else ''}{_major(amount_minor, currency)}"


def number(value: float | Decimal | None, decimals: int | None = None) -> str:
    """A grouped number: `12,345`; `decimals` fixes the places, else an integer stays one and others get up to two."""
    if value is None:
        return MISSING
    exact = Decimal(str(value))
    if decimals is None:
        exact = exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
        text = f"{abs(exact):,.2f}".rstrip("0").rstrip(".")
    else:
        exact = exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
        text = f"{abs(exact):,.{decimals}f}"
    return f"{MINUS if exact < 0 else ''}{text}"


def percent(ratio: float | Decimal | None, decimals: int = 1) -> str:
    """A ratio (0.123) as `12.3%`."""
    return MISSING if ratio is None else f"{number(Decimal(str(ratio)) * 100, decimals)}%"


def signed_percent(ratio: float | Decimal | None, decimals: int = 1) -> str:
    """Like `percent`, with `+` before gains."""
    text = percent(ratio, decimals)
    return f"+{text}" if ratio is not None and ratio > 0 else text


def compact(value: float | None) -> str:
    """A short number for axes and secondary text only: 万 and 亿 in Chinese, k, M, B in English."""
    if value is None:
        return MISSING
    steps: tuple[tuple[float, str], ...] = ((1e8, "亿"), (1e4, "万")) if language() == "zh" else ((1e9, "B"), (1e6, "M"), (1e3, "k"))
    for size, unit in steps:
        if abs(value) >= size:
            return number(Decimal(str(value)) / Decimal(str(size)), None) + unit
    return number(value)


def compact_money(currency: str = "CNY") -> Callable[[float], str]:
    """A formatter of minor units for a chart's axis: `compact_money('CNY')(1_200_000)` is `1.2万` or `12k`."""
    places = get_currency_precision(currency)
    return lambda value: compact(value / 10**places)


def money_of(currency: str = "CNY") -> Callable[[float], str]:
    """A formatter of minor units for a chart's values."""
    return lambda value: money(round(value), currency)


def in_zone(value: dt.datetime) -> dt.datetime:
    """The instant in the reader's time zone; a naive value is UTC, as everything we store."""
    aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return aware.astimezone(get_timezone() or dt.UTC)


def datetime(value: dt.datetime | None, seconds: bool = True) -> str:
    """An instant as `2026-06-30 14:08:00` in the reader's time zone."""
    if value is None:
        return MISSING
    return in_zone(value).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def date(value: dt.date | dt.datetime | None) -> str:
    """A day as `2026-06-30`; of an instant, the day in the reader's time zone."""
    if value is None:
        return MISSING
    return (in_zone(value) if isinstance(value, dt.datetime) else value).strftime("%Y-%m-%d")


def date_range(start: dt.date | None, end: dt.date | None) -> str:
    """A period as `2026-06-01 ～ 2026-06-30`."""
    return f"{date(start)}{RANGE}{date(end)}"


def time_tag(value: dt.datetime | None, seconds: bool = True) -> Markup | str:
    """A `<time>` element with the exact instant for machines."""
    if value is None:
        return MISSING
    return Markup('<time datetime="{}">{}</time>').format(in_zone(value).isoformat(), datetime(value, seconds))


def local(thing: object, name: str = "name") -> str:
    """`thing.name_zh` (or plain `thing.name`) or `thing.name_en` by the page's language; the other one where that is empty."""

    def read(field: str) -> str:
        value = thing.get(field) if isinstance(thing, Mapping) else getattr(thing, field, None)
        return str(value) if value else ""

    chinese, english = read(f"{name}_zh") or read(name), read(f"{name}_en")
    return (chinese or english if language() == "zh" else english or chinese) or MISSING


def translated(text: object) -> str:
    """A sentence that came from elsewhere (a framework, a table) in the page's language, if the catalogue has it."""
    return say(text)


def span(minutes: int) -> str:
    """A length of time for a sentence: minutes, from two hours on hours."""
    if minutes < 120:
        return str(ngettext("%(num)s minute", "%(num)s minutes", minutes))
    return str(gettext("%(hours)s hours", hours=number(minutes / 60, 1)))


def or_missing(value: object) -> object:
    """`--` for `None` and the empty string; everything else, zero included, unchanged."""
    return MISSING if value is None or value == "" else value


def dated(value: object) -> bool:
    """Whether a text is a day or an instant as printed here; such cells do not wrap."""
    return isinstance(value, str) and DATED.fullmatch(value) is not None


def html_attrs(attrs: Mapping[str, object]) -> Markup:
    """HTML attributes of a macro's keyword arguments: `data_open=1` becomes `data-open="1"`, `True` a bare attribute.

    Inline styles and handlers are a mistake here (the Content-Security-Policy would drop them silently), so they raise.
    """
    parts: list[Markup] = []
    for key, value in attrs.items():
        name = key.rstrip("_").replace("_", "-")
        assert name != "style", "no inline style: the page's policy forbids it"
        assert not name.startswith("on"), f"no {name} handler: the page's policy forbids it"
        if value is True:
            parts.append(Markup(" {}").format(name))
        elif value is not None and value is not False:
            parts.append(Markup(' {}="{}"').format(name, value))
    return Markup("").join(parts)


def error_items(errors: Mapping[str, object] | list[str] | str | None) -> list[tuple[str, str]]:
    """(field, message) pairs of marshmallow's nested error dictionary; the field is empty for whole-form errors, and for those of one field alone."""
    found: list[tuple[str, str]] = []

    def walk(path: str, node: object) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                plain = str(key) in {"_schema", "_form"}
                walk(path if plain else f"{path}.{key}" if path else str(key), value)
        elif isinstance(node, list | tuple):
            for value in node:
                walk(path, value)
        elif node:
            found.append((path, say(node)))

    walk("", errors or {})
    return found


def init_app(app: Flask) -> None:
    """Register the filters and the helpers that macros use."""
    app.jinja_env.filters.update(
        money=money,
        signed_money=signed_money,
        minor=minor,
        number=number,
        percent=percent,
        signed_percent=signed_percent,
        span=span,
        compact=compact,
        datetime=datetime,
        date=date,
        time_tag=time_tag,
        local=local,
        or_missing=or_missing,
        translated=translated,
        html_attrs=html_attrs,
        error_items=error_items,
    )
    app.jinja_env.tests["dated"] = dated
    app.jinja_env.globals.update(date_range=date_range, money_of=money_of, compact_money=compact_money, MISSING=MISSING)
