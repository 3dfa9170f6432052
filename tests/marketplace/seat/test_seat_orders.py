"""What seats cost, worked by hand: at the purchase, added within a term, at each renewal, given back. The charge is the preview, and the parts sum up."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.approval import approvals
from billing.document import document_jobs
from billing.ledger.accounts import Account
from billing.wallet.wallets import InsufficientFunds
from core.actor import Actor
from core.db import SYSTEM, transaction
from core.errors import IdReused, Invalid
from core.ids import new_id
from core.money import tax_included
from marketplace.license import license_renewals, license_terms
from marketplace.license.license_models import License
from marketplace.order import coupons, order_refunds, orders, pricing
from marketplace.order.order_models import Order
from marketplace.seat import seat_orders, seats
from membership.notice_models import Notice
from tests.billing.books import accounts, assert_books_hold
from tests.factories import AT, make_member, make_user
from tests.marketplace.store_world import CRM_ONLY, ONE_TIME, acting_for, buy, open_store, set_listing

PRICE = 19_00  # a seat a month
NEXT = datetime(2026, 7, 14, 16, 0, tzinfo=UTC)  # AT is 15 June 12:00 in Shanghai: 30 days, to the end of 14 July there
AFTER = datetime(2026, 8, 14, 16, 0, tzinfo=UTC)
LATER = AT + timedelta(days=13)  # 28 June: 17 of 30 days left, that day included


@pytest.fixture(autouse=True)
def monthly(app):
    """A partner's listing at ¥19.00 a seat and month, commission 30 %; one of ours at ¥99.00 a seat, once."""
    open_store(ONE_TIME, CRM_ONLY)
    free = {"required_rank": 0, "required_features": [], "product_line": None}
    set_listing(ONE_TIME, licensed_per="seat", pricing="recurring", period="month", price_minor=PRICE, **free)
    set_listing(CRM_ONLY, licensed_per="seat", price_minor=99_00, **free)
    pricing._offered.clear()
    yield
    assert_books_hold()


def found(member, license_id):
    with transaction(SYSTEM) as session:
        return session.get_one(License, (member.id, license_id))


def preview(member, license_id, more, at=LATER):
    with transaction(acting_for(member)):
        return seat_orders.preview(member.id, license_id, more, at=at)


def add(member, license_id, more, at=LATER, id=None):
    shown = preview(member, license_id, more, at).quote.total_minor
    with transaction(acting_for(member)):
        return seat_orders.add(member.id, license_id, seat_orders.Wanted(id or new_id(), more, shown), at=at, placed_by=None)


def lower(member, license_id, wanted, at=LATER):
    with transaction(acting_for(member)):
        return seat_orders.lower(member.id, license_id, wanted, at=at)


def renew(at):
    with transaction(SYSTEM):
        return license_renewals.renew_due(at)


def orders_of(member):
    with transaction(SYSTEM) as session:
        rows = session.query(Order).filter_by(member_id=member.id).order_by(Order.at, Order.id)
        return [(one.kind, one.quantity, one.total_minor) for one in rows]


def paid_money(member):
    return accounts(member.id).get(Account.WALLET_PAID, 0)


def give(member, license_id, count, at=AT):
    people = [make_user("viewer", member, name=f"P{n}") for n in range(count)]
    for n, one in enumerate(people):
        with transaction(acting_for(member)):
            seats.assign(member.id, license_id, one.id, at=at + timedelta(minutes=n), by=None)
    return people


def holders(member, license_id):
    with transaction(SYSTEM) as session:
        return [one.name for one in seats.show(session.get_one(License, (member.id, license_id))).holders]


def test_a_month_of_three_seats_then_two_more_then_the_renewal():
    member = make_member(paid=1000_00)
    license_id = buy(member, ONE_TIME, quantity=3)
    assert (found(member, license_id).seats, found(member, license_id).quantity) == (3, 3)
    seen = preview(member, license_id, 2)
    assert (seen.gone.left, seen.gone.total) == (17, 30)
    assert seen.quote.total_minor == 21_54  # 2 × 19.00 × 17/30 = 21.5333…, rounded up
    assert seen.next_term_minor == 5 * PRICE
    order = add(member, license_id, 2)
    assert (order.total_minor, order.tax_minor, order.price_minor) == (21_54, tax_included(21_54, 600), PRICE)
    assert found(member, license_id).seats == 5
    renew(NEXT)
    assert orders_of(member) == [("purchase", 3, 57_00), ("seats", 2, 21_54), ("renewal", 5, 95_00)]
    assert paid_money(member) == 1000_00 - 57_00 - 21_54 - 95_00
    # the partner's share: 70 % of what is left without tax, of each charge by itself
    net = [total - tax_included(total, 600) for total in (57_00, 21_54, 95_00)]
    assert accounts(member.id)[Account.PARTNER_PENDING] == sum(one - round(Fraction(one * 3, 10)) for one in net)


def test_the_parts_of_a_term_sum_to_the_whole_however_often_seats_are_added():
    member = make_member(paid=1000_00)
    license_id = buy(member, ONE_TIME)
    for _n in range(6):
        add(member, license_id, 1)
    more = sum(total for kind, _count, total in orders_of(member) if kind == "seats")
    assert more == ceil(Fraction(6 * PRICE * 17, 30))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 29), st.integers(1, 9)), min_size=1, max_size=5), price=st.integers(1, 5_000))
def test_whatever_is_added_costs_its_days_exactly(app, steps, price):
    set_listing(ONE_TIME, price_minor=price)
    pricing._offered.clear()
    member = make_member(paid=100_000_00)
    license_id = buy(member, ONE_TIME)
    exact = Fraction(0)
    for day, count in sorted(steps):
        add(member, license_id, count, at=AT + timedelta(days=day))
        exact += Fraction(price * count * (30 - day), 30)
    charged = sum(total for kind, _count, total in orders_of(member) if kind == "seats")
    assert charged == ceil(exact)
    assert found(member, license_id).seats == 1 + sum(count for _day, count in steps)


def test_the_same_id_again_is_the_same_purchase():
    member = make_member(paid=1000_00)
    license_id, id = buy(member, ONE_TIME), new_id()
    first = add(member, license_id, 2, id=id)
    with transaction(acting_for(member)):
        again = seat_orders.add(member.id, license_id, seat_orders.Wanted(id, 2, first.total_minor), at=NEXT + timedelta(days=5), placed_by=None)
    assert (again.id, again.total_minor) == (first.id, first.total_minor)
    assert found(member, license_id).seats == 3
    with transaction(acting_for(member)), pytest.raises(IdReused):
        seat_orders.add(member.id, license_id, seat_orders.Wanted(id, 3, first.total_minor), at=LATER, placed_by=None)


def test_too_little_money_and_another_price_change_nothing():
    member = make_member(paid=20_00)
    license_id = buy(member, ONE_TIME)
    shown = preview(member, license_id, 3).quote.total_minor
    with pytest.raises(InsufficientFunds), transaction(acting_for(member)):
        seat_orders.add(member.id, license_id, seat_orders.Wanted(new_id(), 3, shown), at=LATER, placed_by=None)
    with transaction(SYSTEM) as session:
        member_id = session.query(License.member_id).filter_by(id=license_id).scalar()
    wanted = seat_orders.Wanted(new_id(), 1, 1)
    with transaction(Actor(kind="member", role="buyer", member_id=member_id)), pytest.raises(pricing.PriceChanged):
        seat_orders.add(member_id, license_id, wanted, at=LATER, placed_by=None)
    with transaction(SYSTEM) as session:
        assert session.get_one(License, (member_id, license_id)).seats == 1
        assert session.query(Order).filter_by(member_id=member_id).count() == 1


def test_once_a_seat_costs_what_the_store_asks_today():
    member = make_member(paid=1000_00)
    license_id = buy(member, CRM_ONLY, quantity=2)
    set_listing(CRM_ONLY, price_minor=120_00)
    order = add(member, license_id, 3)
    assert (order.total_minor, found(member, license_id).seats) == (360_00, 5)
    assert paid_money(member) == 1000_00 - 198_00 - 360_00
    set_listing(CRM_ONLY, licensed_per="member")
    with transaction(acting_for(member)), pytest.raises(seat_orders.SeatsNotChangeable):
        seat_orders.preview(member.id, license_id, 1, at=LATER)
    set_listing(CRM_ONLY, state="archived")
    with transaction(acting_for(member)), pytest.raises(pricing.NotForSale):
        seat_orders.preview(member.id, license_id, 1, at=LATER)


def test_a_term_keeps_the_price_that_was_agreed_to_for_added_seats_too():
    member = make_member(paid=1000_00)
    license_id = buy(member, ONE_TIME)
    set_listing(ONE_TIME, price_minor=99_00)
    assert add(member, license_id, 2).total_minor == 21_54


def test_fewer_wait_for_the_next_term_and_who_came_last_loses_the_seat():
    member = make_member(paid=1000_00)
    license_id = buy(member, ONE_TIME, quantity=4)
    give(member, license_id, 4)
    assert lower(member, license_id, 2).next_seats == 2
    assert holders(member, license_id) == ["P0", "P1", "P2", "P3"]
    renew(NEXT)
    assert orders_of(member)[-1] == ("renewal", 2, 2 * PRICE)
    assert holders(member, license_id) == ["P0", "P1"]
    with transaction(SYSTEM) as session:
        told = session.query(Notice).filter_by(member_id=member.id, kind="license_seats_lost").one()
    assert (told.details["seats"], told.details["names"]) == (2, ["P2", "P3"])


def test_a_reduction_can_be_taken_back_and_an_addition_drops_it():
    member = make_member(paid=1000_00)
    license_id = buy(member, ONE_TIME, quantity=3)
    lower(member, license_id, 1)
    assert lower(member, license_id, 3).next_seats is None
    lower(member, license_id, 1)
    add(member, license_id, 1)
    renew(NEXT)
    assert orders_of(member)[-1] == ("renewal", 4, 4 * PRICE)
    for wrong in (0, 5):
        with transaction(acting_for(member)), pytest.raises(Invalid):
            seat_orders.lower(member.id, license_id, wrong, at=AFTER)
    with transaction(acting_for(member)):
        license_terms.cancel(member.id, license_id, at=NEXT)
    with transaction(acting_for(member)), pytest.raises(license_terms.NotRenewing):
        seat_orders.lower(member.id, license_id, 1, at=NEXT)


def test_short_of_money_fewer_seats_bring_it_back():
    member = make_member(paid=3 * PRICE + PRICE)
    license_id = buy(member, ONE_TIME, quantity=3)
    renew(NEXT)
    assert found(member, license_id).state == "suspended"
    with transaction(acting_for(member)), pytest.raises(seat_orders.SeatsNotChangeable):
        seat_orders.preview(member.id, license_id, 1, at=NEXT)
    at = NEXT + timedelta(hours=2)
    lower(member, license_id, 1, at=at)
    renew(at)
    assert (found(member, license_id).state, found(member, license_id).seats) == ("active", 1)
    assert paid_money(member) == 0


def test_after_the_last_of_a_month_the_term_still_has_its_own_days():
    start = datetime(2026, 8, 31, 4, 0, tzinfo=UTC)  # to the end of 29 September: the 30th is the anchor of a short month
    member = make_member(paid=1000_00)
    license_id = buy(member, ONE_TIME, at=start)
    seen = preview(member, license_id, 1, at=start)
    assert (seen.gone.left, seen.gone.total, seen.quote.total_minor) == (30, 30, PRICE)
    renew(found(member, license_id).ends_at)
    seen = preview(member, license_id, 1, at=datetime(2026, 10, 1, 4, 0, tzinfo=UTC))
    assert (seen.gone.left, seen.gone.total) == (30, 31)  # 30 September to 30 October


def test_a_price_without_tax_adds_the_tax_of_all_seats_once():
    set_listing(ONE_TIME, excludes_tax=True, price_minor=9_99)
    pricing._offered.clear()
    member = make_member(paid=1000_00)
    wanted = orders.Wanted(new_id(), 10_59, 3)  # 9.99 and 6 % of it
    with transaction(acting_for(member)):
        placed = orders.place(member.id, ONE_TIME, wanted, at=AT)
    assert (placed.total_minor, placed.tax_minor) == (31_77, 1_80)  # 29.97 and its tax, 1.7982
    order = add(member, placed.license_id, 2, at=AT)
    assert order.total_minor == 52_95 - 31_77  # five seats cost 49.95 and 3.00 of tax
    assert order.excludes_tax
    renew(NEXT)
    assert orders_of(member)[-1] == ("renewal", 5, 52_95)


def test_a_coupon_lowers_the_first_charge_of_all_seats_and_nothing_later():
    with transaction(SYSTEM):
        coupons.create(coupons.Wanted(new_id(), "SEATS20", "CNY", percent_bp=2_000), at=AT)
    member = make_member(paid=1000_00)
    with transaction(acting_for(member)):
        placed = orders.place(member.id, ONE_TIME, orders.Wanted(new_id(), PRICE, 5, coupon="seats20"), at=AT)
    assert (placed.total_minor, placed.discount_minor) == (76_00, 19_00)
    assert found(member, placed.license_id).seats == 5
    add(member, placed.license_id, 2)
    renew(NEXT)
    assert orders_of(member)[1:] == [("seats", 2, 21_54), ("renewal", 7, 133_00)]


def refund(member, order_id, amount, licence="revoke"):
    finance = Actor(kind="staff", role="finance", user_id=make_user("finance").id, name="F")
    with transaction(finance):
        code = next(iter(approvals.REASONS))
        return order_refunds.propose(member.id, order_id, new_id(), amount, licence, code, "as agreed", finance, at=LATER)


def test_a_refund_of_added_seats_takes_just_these():
    member = make_member(paid=1000_00)
    license_id = buy(member, ONE_TIME, quantity=2)
    order = add(member, license_id, 2)
    give(member, license_id, 4, at=LATER)
    lower(member, license_id, 3)
    refund(member, order.id, 21_54)
    kept = found(member, license_id)
    assert (kept.state, kept.seats, kept.next_seats) == ("active", 2, None)
    assert holders(member, license_id) == ["P0", "P1"]
    assert paid_money(member) == 1000_00 - 38_00
    assert accounts(member.id)[Account.PARTNER_PENDING] == 25_09  # of 35.85 without tax, our 30 % are 10.76
    renew(NEXT)
    assert orders_of(member)[-1] == ("renewal", 2, 38_00)


def test_a_partial_refund_leaves_the_seats():
    member = make_member(paid=1000_00)
    license_id = buy(member, ONE_TIME, quantity=2)
    order = add(member, license_id, 2)
    refund(member, order.id, 10_00, "keep")
    assert found(member, license_id).seats == 4


def test_a_refund_of_the_purchase_that_revokes_ends_the_licence_with_all_its_seats():
    member = make_member(paid=1000_00)
    license_id = buy(member, ONE_TIME, quantity=2)
    add(member, license_id, 2)
    refund(member, license_id, 38_00)
    assert found(member, license_id).state == "ended"
    with transaction(acting_for(member)), pytest.raises(seats.NotPerSeat):
        seat_orders.preview(member.id, license_id, 1, at=LATER)


def test_added_seats_have_a_document_of_their_own():
    member = make_member(paid=1000_00)
    license_id = buy(member, ONE_TIME, quantity=2)
    order = add(member, license_id, 2)
    document_jobs.issue_all(LATER + timedelta(days=2))
    from billing.document.document_models import DocumentLine

    with transaction(SYSTEM) as session:
        assert session.query(DocumentLine).filter_by(member_id=member.id, transaction_id=order.id).one().gross_minor == 21_54
