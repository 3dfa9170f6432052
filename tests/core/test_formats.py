"""Values as people see them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from types import SimpleNamespace

import pytest
from flask import Flask, get_template_attribute
from flask_babel import lazy_gettext
from hypothesis import given
from hypothesis import strategies as st

from core import formats
from tests.browser.gallery import create_gallery


@pytest.fixture(scope="module")
def app() -> Flask:
    return create_gallery()


@pytest.fixture
def zh(app: Flask) -> Iterator[None]:
    with app.test_request_context("/?lang=zh"):
        yield


@pytest.fixture
def en(app: Flask) -> Iterator[None]:
    with app.test_request_context("/?lang=en"):
        yield


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (123_400, "CNY", "¥1,234.00"),
        (-500, "CNY", "\u2212¥5.00"),
        (0, "CNY", "¥0.00"),
        (5, "USD", "$0.05"),
        (1234, "JPY", "JP¥1,234"),
        (1_234_567, "KWD", "KWD\u00a01,234.567"),
        (None, "CNY", "--"),
    ],
)
def test_money(amount: int | None, currency: str, text: str) -> None:
    assert formats.money(amount, currency) == text


def test_the_sign_is_printed() -> None:
    assert formats.signed_money(100) == "+¥1.00"
    assert formats.signed_money(-100) == "\u2212¥1.00"
    assert formats.signed_money(0) == "¥0.00"
    assert formats.signed_money(None) == "--"
    assert [formats.signed_percent(ratio, 0) for ratio in (0.12, -0.12, 0, None)] == ["+12%", "\u221212%", "0%", "--"]


def test_minor_has_no_symbol() -> None:
    assert formats.minor(123_456) == "1,234.56"
    assert formats.minor(-1) == "\u22120.01"


@given(st.integers(min_value=-(10**16), max_value=10**16))
def test_no_cent_is_lost_in_print(amount: int) -> None:
    plain = formats.minor(amount).replace("\u2212", "-").replace(",", "")
    assert int(Decimal(plain) * 100) == amount


def test_numbers() -> None:
    assert formats.number(1234567) == "1,234,567"
    assert formats.number(1234.5) == "1,234.5"
    assert formats.number(-1234.567, 1) == "\u22121,234.6"
    assert formats.number(-0.001) == "0"
    assert formats.number(None) == "--"
    assert formats.percent(0.1234) == "12.3%"
    assert formats.percent(1, 0) == "100%"


def test_short_numbers_by_language(zh: None) -> None:
    assert formats.compact(12_000) == "1.2万"
    assert formats.compact(250_000_000) == "2.5亿"
    assert formats.compact(-30_000) == "\u22123万"
    assert formats.compact_money("CNY")(1_200_000) == "1.2万"


def test_short_numbers_in_english(en: None) -> None:
    assert formats.compact(12_000) == "12k"
    assert formats.compact(2_500_000) == "2.5M"
    assert formats.compact(999) == "999"


def test_instants_are_shown_in_shanghai(zh: None) -> None:
    at = dt.datetime(2026, 6, 30, 16, 8, tzinfo=dt.UTC)
    assert formats.datetime(at) == "2026-07-01 00:08:00"
    assert formats.datetime(at, False) == "2026-07-01 00:08"
    assert formats.datetime(at.replace(tzinfo=None)) == "2026-07-01 00:08:00"
    assert formats.date(at) == "2026-07-01"
    assert formats.date(dt.date(2026, 6, 30)) == "2026-06-30"
    assert formats.date_range(dt.date(2026, 6, 1), dt.date(2026, 6, 30)) == "2026-06-01 ～ 2026-06-30"
    assert str(formats.time_tag(at)) == '<time datetime="2026-07-01T00:08:00+08:00">2026-07-01 00:08:00</time>'
    assert formats.datetime(None) == formats.date(None) == formats.time_tag(None) == "--"


def test_local_picks_the_language_and_falls_back(app: Flask) -> None:
    both, member = SimpleNamespace(name_zh="发票", name_en="Invoice"), SimpleNamespace(name="杭州万象", name_en="Wanxiang")
    with app.test_request_context("/?lang=zh"):
        assert formats.local(both) == "发票"
        assert formats.local(member) == "杭州万象"
        assert formats.local({"title_zh": "", "title_en": "Only"}, "title") == "Only"
    with app.test_request_context("/?lang=en"):
        assert formats.local(both) == "Invoice"
        assert formats.local(member) == "Wanxiang"
        assert formats.local(SimpleNamespace(name="杭州万象", name_en=None)) == "杭州万象"
        assert formats.local(SimpleNamespace()) == "--"


def test_attributes_escape_and_refuse_inline_code() -> None:
    assert str(formats.html_attrs({"data_open": 'a"b', "hidden": True, "x": None, "y": False})) == ' data-open="a&#34;b" hidden'
    for name in ("style", "onclick"):
        with pytest.raises(AssertionError):
            formats.html_attrs({name: "x"})


def test_errors_of_nested_forms() -> None:
    errors = {"amount": ["Too small."], "lines": {0: {"price": ["Missing."]}}, "_schema": ["No."]}
    assert formats.error_items(errors) == [("amount", "Too small."), ("lines.0.price", "Missing."), ("", "No.")]
    assert formats.error_items(None) == []


@pytest.mark.parametrize("error", ["Too small.", ["Too small."], lazy_gettext("Too small."), [lazy_gettext("Too small.")]], ids=str)
def test_a_field_says_its_error_in_one_piece_however_it_was_told(app: Flask, error: object) -> None:
    with app.test_request_context("/?lang=en"):
        field = get_template_attribute("macros/forms.html", "field")
        assert "</svg>Too small.</p>" in field("amount", "Amount", error=error)
        assert "field-error" not in field("amount", "Amount", error=None)


def test_missing_is_never_zero() -> None:
    assert formats.or_missing(0) == 0
    assert formats.or_missing("") == formats.or_missing(None) == "--"
