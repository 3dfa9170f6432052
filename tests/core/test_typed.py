"""What people type and paste, in the spellings of both languages."""

from decimal import Decimal

import pytest
from marshmallow import ValidationError, fields

from core import typed
from core.schemas import Form


class CountForm(Form):
    """A number and a percentage, as pages ask for them."""

    count = fields.Integer(required=True)
    percent = fields.Decimal(data_key="per", load_default=None)
    name = fields.String(load_default="")


@pytest.mark.parametrize(
    "written", ["1000.50", "1,000.50", " 1,000.50 ", "¥1,000.50", "￥１，０００．５０", "1 000.50", "1000.50元", "1\u00a0000.5"]
)  # fmt: skip
def test_an_amount_is_read_in_every_spelling(written: str) -> None:
    assert typed.amount(written) == Decimal("1000.50")


@pytest.mark.parametrize("written", ["", "abc", "-5", "1e3", "10,5", "1,00", "1.000,50", "1_000", "NaN", "Infinity", "1 2", "¥"])
def test_what_could_mean_something_else_is_no_amount(written: str) -> None:
    assert typed.amount(written) is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-06-30", "2026-06-30"), ("2026/6/30", "2026-06-30"), ("2026.6.3", "2026-06-03"), ("2026年6月30日", "2026-06-30"), ("20260630", "2026-06-30"),
        (" ２０２６－０６－３０ ", "2026-06-30"), ("2026-06-30  14:08", "2026-06-30 14:08"), ("2026-06-30T9:08:01", "2026-06-30 09:08:01"),
        ("2026年6月30日14：08", "2026-06-30 14:08"), ("2026/6", "2026-06"), ("2026年12月", "2026-12"),
        ("31.5.2026", "31.5.2026"), ("6/30/2026", "6/30/2026"), ("2026-06-3014:08", "2026-06-3014:08"), ("2026-06 14:08", "2026-06 14:08"),
        ("", ""), ("tomorrow", "tomorrow"),
    ],
)  # fmt: skip
def test_a_date_is_read_in_every_spelling_and_nothing_is_guessed(written: str, expected: str) -> None:
    assert typed.date(written) == expected


def test_an_address_is_one_however_it_was_typed() -> None:
    assert typed.email(" Ａ@Ｂ.Example\u00a0") == "a@b.example"


def test_forms_take_separators_full_width_digits_and_percent_signs() -> None:
    given = {"count": " １，０００ ", "per": "１２.５％", "name": "１，０００"}
    assert CountForm().load(given) == {"count": 1000, "percent": Decimal("12.5"), "name": "１，０００"}
    assert given["count"] == " １，０００ ", "the page shows again what was typed"


@pytest.mark.parametrize("written", ["1,00", "10%", "1e3", "", "abc"])
def test_forms_still_refuse_what_is_no_number(written: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CountForm().load({"count": written})
    assert list(refused.value.messages_dict) == ["count"]
