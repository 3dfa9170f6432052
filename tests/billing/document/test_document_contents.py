"""Lines and tax: what stands on a document sums to what was posted, whatever the shares."""

import uuid
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.document import document_contents as contents
from billing.document.document_contents import Buyer, Seller
from billing.document.document_sources import Entry
from core.money import tax_included
from membership import taxes

AT = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)
BANK = {"holder": "玉衡软件", "bank": "招商银行", "number": "5719 0000 1234", "code": "308331012345"}
JULY = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
SELLER = Seller({"name": "S"}, "Asia/Shanghai", (taxes.Rate(JULY, 900, "增值税", "VAT"), taxes.Rate(taxes.BEGINNING, 600)), BANK)
BUYER = Buyer({"title": "B"}, "zh", "charge")


def entry(**given: Any) -> Entry:
    """A ledger entry of which only what is given is not empty."""
    nothing = dict.fromkeys(Entry.__slots__)
    zeros = {name: 0 for name in Entry.__slots__ if name.endswith("_minor") and name not in ("base_minor", "seat_minor", "granted_minor")}
    known = {"member_id": uuid.UUID(int=1), "id": uuid.UUID(int=2), "currency": "CNY", "seq": 1, "kind": "purchase", "at": AT, "quantity": 1}
    return Entry(**{**nothing, **zeros, **known, **given})


@given(st.integers(0, 10**9), st.integers(1, 500), st.integers(0, 10**7), st.integers(0, 3_000))
def test_the_lines_of_a_charge_sum_to_it_and_no_line_is_off_by_a_unit(base: int, seats: int, seat: int, rate: int) -> None:
    gross = base + seats * seat
    tax = tax_included(gross, rate)
    if not gross:
        return
    charged = entry(kind="subscription", motion="new", seats=seats, base_minor=base, seat_minor=seat, consumed_minor=gross, consumed_tax_minor=tax)
    document = contents.invoice([charged], SELLER, BUYER)
    for total, name in ((gross, "gross_minor"), (tax, "tax_minor"), (gross - tax, "net_minor")):
        assert sum(line[name] for line in document["lines"]) == document[name] == sum(one[name] for one in document["taxes"]) == total
    for line in document["lines"]:
        exact = Fraction(tax * line["gross_minor"], gross)  # the line's share of the posted tax
        assert abs(line["tax_minor"] - exact) < 1
        assert abs(line["tax_minor"] - Fraction(line["gross_minor"] * rate, 10_000 + rate)) < 2


@given(st.lists(st.tuples(st.integers(1, 10**9), st.sampled_from([0, 600, 900])), min_size=1, max_size=30))
def test_a_collective_invoice_sums_line_by_line_and_rate_by_rate(charges: list[tuple[int, int]]) -> None:
    entries = [
        entry(id=uuid.UUID(int=n), consumed_minor=gross, consumed_tax_minor=tax_included(gross, rate), own_rate_bp=rate)
        for n, (gross, rate) in enumerate(charges)
    ]
    document = contents.invoice(entries, SELLER, BUYER)
    assert [line["n"] for line in document["lines"]] == list(range(1, len(charges) + 1))
    assert document["tax_minor"] == sum(tax_included(gross, rate) for gross, rate in charges)
    assert document["net_minor"] + document["tax_minor"] == document["gross_minor"] == sum(gross for gross, _rate in charges)
    for name in ("net_minor", "tax_minor", "gross_minor"):
        assert sum(one[name] for one in document["taxes"]) == document[name]


def test_the_rate_named_is_the_one_in_force_at_the_supply() -> None:
    before, after = (entry(at=at, consumed_minor=10_900, consumed_tax_minor=tax_included(10_900, rate)) for at, rate in ((AT, 600), (JULY, 900)))
    assert [contents.invoice([one], SELLER, BUYER)["lines"][0]["rate_bp"] for one in (before, after)] == [600, 900]
    odd = entry(consumed_minor=10_600, consumed_tax_minor=601)  # follows from no rate: none is named
    assert contents.invoice([odd], SELLER, BUYER)["lines"][0]["rate_bp"] is None


def test_a_renewal_charged_after_the_switch_for_a_term_before_it_keeps_the_old_rate() -> None:
    late = entry(at=JULY, kind="subscription", service_from=AT, service_until=JULY, consumed_minor=10_600, consumed_tax_minor=600)
    document = contents.invoice([late], SELLER, BUYER)
    assert document["lines"][0]["rate_bp"] == 600
    assert (document["supplied_from"], document["supplied_until"]) == (AT.isoformat(), JULY.isoformat())


def test_a_receipt_bears_no_tax_and_shows_the_bonus_apart() -> None:
    document = contents.receipt(entry(kind="top_up", received_minor=100_00, granted_minor=10_00, method="card", brand="visa", last4="4242"), SELLER, BUYER)
    assert (document["gross_minor"], document["tax_minor"], document["taxes"], document["payment"]["granted_minor"]) == (100_00, 0, [], 10_00)
    assert "4242" in document["lines"][0]["name_en"]
