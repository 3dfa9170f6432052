"""What a listing costs, and where each part of the price goes (books, moves 3 and 4)."""

import uuid

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from billing.ledger.accounts import Account
from core.actor import Actor
from core.db import transaction
from core.money import tax_included
from marketplace.order import pricing
from marketplace.order.pricing import NotForSale, Offered, PriceChanged
from marketplace.store.compatibility import EditionTooLow
from tests.factories import AT, make_member
from tests.marketplace.store_world import CRM_ONLY, PACK, acting_for, open_store, set_listing, subscribe

ID = uuid.UUID(int=7)


def listing(price: int = 10_600, tax_bp: int = 600, bonus_bp: int = 10_000, commission_bp: int | None = None) -> Offered:
    return Offered(ID, "x", 1, "1.0.0", "CNY", price, tax_bp, bonus_bp, commission_bp, True, None, 0, (), None, 0, ID)


def parts(quote: pricing.Quote) -> dict[Account, tuple[int, int]]:
    return {t.account: (t.amount_minor, t.bonus_minor) for t in quote.targets}


def test_our_own_listing_is_revenue_and_tax() -> None:
    quote = pricing.quote(ID, listing(), 1, at=AT)
    assert (quote.total_minor, quote.tax_minor, quote.bonus_limit_minor) == (10_600, 600, 10_000)
    assert parts(quote) == {Account.STORE_REVENUE: (10_000, 10_000), Account.TAX_PAYABLE: (600, 0)}


def test_a_partners_listing_gives_the_partner_its_net_share_in_money() -> None:
    quote = pricing.quote(ID, listing(commission_bp=3000), 1, at=AT)
    assert parts(quote) == {Account.COMMISSION_REVENUE: (3000, 3000), Account.TAX_PAYABLE: (600, 0), Account.PARTNER_PENDING: (7000, 0)}


def test_bonus_pays_the_set_part_of_our_part_only() -> None:
    assert pricing.quote(ID, listing(bonus_bp=5000, commission_bp=3000), 1, at=AT).bonus_limit_minor == 1500
    assert pricing.quote(ID, listing(bonus_bp=0), 1, at=AT).bonus_limit_minor == 0


def test_tax_is_taken_from_the_total_not_from_each_piece() -> None:
    quote = pricing.quote(ID, listing(price=33), 7, at=AT)
    assert (quote.total_minor, quote.tax_minor) == (231, tax_included(231, 600))
    assert quote.tax_minor != 7 * tax_included(33, 600)


def test_nothing_is_laid_out_for_a_free_listing() -> None:
    assert pricing.quote(ID, listing(price=0), 3, at=AT).targets == ()


@given(st.integers(0, 10**9), st.integers(0, 2000), st.integers(0, 10_000), st.none() | st.integers(0, 10_000), st.integers(1, 10_000))
def test_the_parts_are_the_whole_and_bonus_pays_neither_tax_nor_partner(price: int, tax_bp: int, bonus_bp: int, commission_bp: int | None, count: int) -> None:
    quote = pricing.quote(ID, listing(price, tax_bp, bonus_bp, commission_bp), count, at=AT)
    assert sum(t.amount_minor for t in quote.targets) == quote.total_minor == price * count
    assert all(t.amount_minor > 0 and 0 <= t.bonus_minor <= t.amount_minor for t in quote.targets)
    assert all(t.bonus_minor == 0 for t in quote.targets if t.account in (Account.TAX_PAYABLE, Account.PARTNER_PENDING))


def test_terms_are_what_stands_in_the_listing_and_are_remembered(app: Flask) -> None:
    open_store(PACK)
    pricing._offered.clear()
    assert pricing.remembered(PACK) is None
    with transaction(Actor(kind="member", role="buyer", member_id=ID)):
        terms = pricing.offered(PACK)
    assert pricing.remembered(PACK) == terms
    assert (terms.price_minor, terms.is_repeatable, terms.commission_bp) == (100, True, None)


@pytest.mark.parametrize("state", ["draft", "deprecated", "archived"])
def test_what_is_not_published_is_not_for_sale_and_is_forgotten(app: Flask, state: str) -> None:
    open_store(PACK)
    with transaction(Actor(kind="member", role="buyer", member_id=ID)):
        pricing.offered(PACK)
    set_listing(PACK, state=state)
    with transaction(Actor(kind="member", role="buyer", member_id=ID)), pytest.raises(NotForSale):
        pricing.offered(PACK)
    assert pricing.remembered(PACK) is None


def test_the_price_shown_must_be_the_price() -> None:
    pricing.confirm_price(listing(), 10_600)
    with pytest.raises(PriceChanged) as changed:
        pricing.confirm_price(listing(), 10_599)
    assert (changed.value.extra["price_minor"], changed.value.extra["shown_minor"]) == (10_600, 10_599)


def test_an_edition_is_needed_and_named(app: Flask) -> None:
    open_store(CRM_ONLY)
    member = make_member()
    with transaction(acting_for(member)):
        terms = pricing.offered(CRM_ONLY)
        with pytest.raises(EditionTooLow) as refused:
            pricing.quote(member.id, terms, 1, at=AT)
    assert refused.value.extra["needed_line"] == terms.product_line
    assert refused.value.extra["needed_rank"] >= terms.required_rank
    subscribe(member)
    with transaction(acting_for(member)):
        assert pricing.quote(member.id, terms, 1, at=AT).total_minor == terms.price_minor
