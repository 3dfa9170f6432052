"""Price lists without tax (decision 0049): what is shown, charged, renewed, announced and written on the invoice is net, tax and their sum, to the unit."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from html import unescape
from math import floor

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing.document import document_jobs
from billing.document.document_contents import Buyer, Seller, invoice
from billing.ledger.accounts import Account
from billing.renewal import renewal_jobs
from billing.subscription import coming_terms, subscription_charges, subscription_overview, subscription_previews
from billing.subscription.price_changes import Change, effect, schedule
from billing.subscription.subscription_charges import ChangeTo, PriceChanged, Start
from core.audit import AuditEntry
from core.db import SYSTEM, transaction
from core.ids import new_id
from core.money import gross_of, tax_included
from membership import catalogue, subscriptions, taxes
from membership.catalogue_models import EditionPrice
from membership.models import Member
from membership.subscription_models import Subscription
from tests.billing import subscription_world as world
from tests.billing.books import accounts, assert_books_hold
from tests.billing.document.test_document_contents import entry
from tests.billing.document.test_documents import documents
from tests.factories import AT, ENTITY, make_user
from tests.sign_in import signed_in

MIDNIGHT = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)  # 1 July begins in Shanghai
TICK = timedelta(microseconds=1)
BASE, SEAT = 333_33, 7_75  # awkward on purpose: 6% and 9% of them are no whole fen
VAT = ("增值税", "VAT")


@pytest.fixture(autouse=True)
def _forget(app: Flask) -> Iterator[None]:
    taxes.forget()
    yield
    taxes.forget()


def oracle(net: int, rate_bp: int) -> tuple[int, int]:
    """Tax and sum, by the definition: half a unit and more goes up."""
    tax = floor(Fraction(net) * rate_bp / 10_000 + Fraction(1, 2))
    return tax, net + tax


def list_net(since: datetime = world.LONG_AGO, base: int = BASE, seat: int = SEAT, rank: int = 2) -> None:
    """Edition 2 by the month, stated without tax, from an instant on."""
    with transaction(SYSTEM) as session:
        session.merge(
            EditionPrice(product_line="crm", rank=rank, currency="CNY", period="month", valid_from=since, base_minor=base, seat_minor=seat, excludes_tax=True)
        )


def rates(first_day: date, rate_bp: int, at: datetime = AT, **more: bool) -> None:
    with transaction(SYSTEM):
        taxes.add_rate(ENTITY, first_day, rate_bp, VAT, at=at, **more)


def previewed(member: Member, seats: int, at: datetime, rank: int = 2) -> subscription_previews.Preview:
    with transaction(SYSTEM):
        wish = subscriptions.Wish(product_line="crm", rank=rank, period="month", seats=seats)
        return subscription_previews.of_start(member.id, subscriptions.seller_of(member.id), wish, at=at)


def start(member: Member, price: int, seats: int = 3, at: datetime = AT) -> Subscription:
    wanted = Start(id=new_id(), product_line="crm", rank=2, period="month", seats=seats, price_minor=price)
    with transaction(world.owner_of(member)):
        subscription_charges.start(member.id, wanted, at=at)
    with transaction(SYSTEM):
        found = subscriptions.show(member.id, wanted.id)
    return world._apart(found)  # type: ignore[no-any-return]


@settings(max_examples=2_000)
@given(st.integers(0, 10**12), st.integers(0, 10_000))
def test_the_tax_inside_the_sum_is_the_tax_that_was_added(net: int, rate_bp: int) -> None:
    tax, gross = oracle(net, rate_bp)
    assert gross_of(net, rate_bp) == gross
    assert tax_included(gross, rate_bp) == tax


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10_000), st.booleans()), min_size=50, max_size=50))
def test_sql_and_python_put_the_same_tax_on_top(app: Flask, cases: Sequence[tuple[int, int, bool]]) -> None:
    with transaction(SYSTEM) as session:
        found = session.execute(
            text(
                "select gross_of(n, r, x), tax_inside(gross_of(n, r, x), r)"
                " from unnest(cast(:n as bigint[]), cast(:r as bigint[]), cast(:x as boolean[])) with ordinality y(n, r, x, k) order by k"
            ),
            dict(zip("nrx", map(list, zip(*cases, strict=True)), strict=True)),
        ).all()
    for (net, rate, excludes), (gross, tax) in zip(cases, found, strict=True):
        assert gross == (gross_of(net, rate) if excludes else net)
        assert tax == (oracle(net, rate)[0] if excludes else tax_included(net, rate))


@given(st.integers(0, 10**8), st.integers(1, 500), st.integers(0, 10**6), st.integers(0, 3_000))
def test_an_invoice_states_what_the_list_states_and_the_tax_that_was_posted(base: int, seats: int, seat: int, rate: int) -> None:
    net = base + seats * seat
    if not net:
        return
    tax, gross = oracle(net, rate)
    charged = entry(
        kind="subscription", motion="new", seats=seats, base_minor=base, seat_minor=seat, excludes_tax=True, consumed_minor=gross, consumed_tax_minor=tax
    )
    document = invoice([charged], Seller({}, "UTC", (taxes.Rate(taxes.BEGINNING, rate),), None), Buyer({}, "zh", "charge"))
    assert (document["net_minor"], document["tax_minor"], document["gross_minor"]) == (net, tax, gross)
    assert all(line["net_minor"] == line["quantity"] * line["unit_minor"] and line["unit_excludes_tax"] for line in document["lines"])
    assert [one["rate_bp"] for one in document["taxes"]] == [rate] or tax == tax_included(gross, document["taxes"][0]["rate_bp"])


def test_a_subscription_is_begun_renewed_and_billed_by_a_net_list(app: Flask) -> None:
    world.sell()
    list_net()
    rates(date(2026, 7, 1), 900)
    member, net = world.member_with(paid=9_000_00), BASE + 3 * SEAT
    (tax, gross), (tax_9, gross_9) = oracle(net, 600), oracle(net, 900)
    assert gross_of(BASE, 600) + 3 * gross_of(SEAT, 600) != gross  # rounded line by line it would be another sum
    shown = previewed(member, 3, AT)
    assert [(line.kind, line.amount_minor) for line in shown.lines] == [("base", BASE), ("seats", 3 * SEAT), ("added_tax", tax)]
    assert (shown.amount_minor, shown.tax_minor, shown.next and shown.next.price_minor) == (gross, tax, gross_9)
    with pytest.raises(PriceChanged) as refused:
        start(member, net)
    assert refused.value.extra["price_minor"] == gross
    subscription = start(member, gross)
    assert subscription.term_price_minor == gross
    assert world.balance(member) == (9_000_00 - gross, 0)
    assert (accounts(member.id)[Account.DEFERRED_REVENUE], accounts(member.id)[Account.TAX_PAYABLE]) == (net, tax)
    with transaction(world.owner_of(member)):
        (item,) = subscription_overview.of_member(member.id, timedelta(days=14), at=AT).running
    assert item.next.price_minor == gross_9
    assert world.renew_all(subscription.term_end).renewed == 1
    assert world.now_of(subscription).term_price_minor == gross_9
    assert world.balance(member) == (9_000_00 - gross - gross_9, 0)
    assert (accounts(member.id)[Account.DEFERRED_REVENUE], accounts(member.id)[Account.TAX_PAYABLE]) == (2 * net, tax + tax_9)
    document_jobs.issue_all(subscription.term_end + timedelta(hours=1))
    first, second = (one for one in documents(member) if one.kind == "invoice")
    for bill, rate, posted in ((first, 600, tax), (second, 900, tax_9)):
        assert (bill.content["net_minor"], bill.tax_minor, bill.content["taxes"][0]["rate_bp"]) == (net, posted, rate)
        assert [(line["quantity"], line["unit_minor"], line["net_minor"]) for line in bill.content["lines"]] == [(1, BASE, BASE), (3, SEAT, 3 * SEAT)]
    assert_books_hold()


def test_the_price_of_a_net_list_follows_the_rate_at_midnight(app: Flask) -> None:
    world.sell()
    list_net()
    rates(date(2026, 7, 1), 900)
    member, net = world.member_with(paid=9_000_00), BASE + 3 * SEAT
    for at, rate in ((MIDNIGHT - TICK, 600), (MIDNIGHT, 900)):
        assert previewed(member, 3, at).amount_minor == gross_of(net, rate)
    with pytest.raises(PriceChanged) as refused:  # shown a minute before midnight, sent after it
        start(member, gross_of(net, 600), at=MIDNIGHT)
    assert refused.value.extra["price_minor"] == gross_of(net, 900)
    assert world.balance(member) == (9_000_00, 0)


def test_more_and_fewer_seats_cost_the_difference_of_the_sums(app: Flask) -> None:
    world.sell()
    list_net()
    member = world.member_with(paid=9_000_00)
    subscription = start(member, gross_of(BASE + 3 * SEAT, 600))
    step = gross_of(BASE + 8 * SEAT, 600) - gross_of(BASE + 3 * SEAT, 600)
    done = world.change(member, subscription, step, seats=8)  # on its first day: the whole difference
    assert (done.amount_minor, world.now_of(subscription).term_price_minor) == (step, gross_of(BASE + 8 * SEAT, 600))
    later, now_is = AT + timedelta(days=9), world.now_of(subscription)
    with transaction(world.owner_of(member)):
        less = subscription_previews.of_change(now_is, subscriptions.seller_of(member.id), None, 3, at=later, effective="now").amount_minor
        back = subscription_charges.change(member.id, subscription.id, ChangeTo(new_id(), less, seats=3, effective="now"), at=later)
    assert -step < back.amount_minor < 0
    assert world.now_of(subscription).term_price_minor == gross_of(BASE + 3 * SEAT, 600)
    spent = gross_of(BASE + 3 * SEAT, 600) + step + back.amount_minor
    assert world.balance(member) == (9_000_00 - spent, 0)
    held = accounts(member.id)
    assert held[Account.DEFERRED_REVENUE] + held[Account.TAX_PAYABLE] == spent
    assert_books_hold()


def test_a_commitment_locks_the_net_price_and_its_instalments_follow_the_rate(app: Flask) -> None:
    world.sell()
    with transaction(SYSTEM) as session:
        for since, times in ((world.LONG_AGO, 1), (AT + timedelta(days=60), 2)):
            session.merge(EditionPrice(product_line="crm", rank=2, currency="CNY", period="year", valid_from=since, base_minor=times * BASE,
                                       seat_minor=times * SEAT, excludes_tax=True))  # fmt: skip
    rates(date(2027, 1, 1), 900)
    member, net = world.member_with(paid=9_000_00), BASE + 3 * SEAT
    wanted = Start(id=new_id(), product_line="crm", rank=2, period="year", seats=3, price_minor=gross_of(net, 600), commitment_years=2)
    with transaction(world.owner_of(member)):
        subscription_charges.start(member.id, wanted, at=AT)
    with transaction(SYSTEM):
        first = world._apart(subscriptions.show(member.id, wanted.id))
        shown = coming_terms.after(first, at=AT)
    assert (shown.is_instalment, shown.price_minor) == (True, gross_of(net, 900))
    assert world.renew_all(first.term_end).renewed == 1
    assert world.now_of(first).term_price_minor == gross_of(net, 900)
    assert world.balance(member, first.term_end) == (9_000_00 - gross_of(net, 600) - gross_of(net, 900), 0)
    assert accounts(member.id)[Account.TAX_PAYABLE] == oracle(net, 600)[0] + oracle(net, 900)[0]
    assert_books_hold()


def test_stating_prices_without_tax_from_a_day_on_makes_nobody_pay_more_unannounced(app: Flask) -> None:
    world.sell()
    member, old = world.member_with(paid=90_000_00), world.month_price(2, 5)
    subscription = world.subscribe(member)
    rates(date(2026, 7, 1), 600, prices_exclude_tax=True)
    with transaction(SYSTEM):
        assert [taxes.prices_exclude_tax("CNY", at) for at in (MIDNIGHT - TICK, MIDNIGHT)] == [False, True]
    other = world.member_with()
    assert previewed(other, 5, MIDNIGHT, rank=3).amount_minor == world.month_price(3, 5)  # a price that is there keeps its meaning
    assert world.renew_all(subscription.term_end).renewed == 1
    assert world.now_of(subscription).term_price_minor == old
    ends = world.now_of(subscription).term_end
    change = Change("crm", 2, "CNY", "month", ends - timedelta(days=3), 200_00, 20_00, excludes_tax=True)  # the same numbers, now without tax
    with transaction(SYSTEM):
        found = effect(change)
        assert (found.dearer, found.arr_after_minor) == (1, 12 * gross_of(old, 600))
        schedule(change, at=subscription.term_end + TICK)
    assert world.renew_all(ends).renewed == 1
    assert world.now_of(subscription).term_price_minor == old  # nobody was told
    ends = world.now_of(subscription).term_end
    for day in range(40):
        renewal_jobs.tell_members(ends - timedelta(days=31) + timedelta(days=day))
    with transaction(SYSTEM) as session:
        told = session.execute(text("select applies_from, old_minor, new_minor from price_notice where subscription_id = :id"), {"id": subscription.id}).all()
    assert [(one.old_minor, one.new_minor) for one in told] == [(old, gross_of(old, 600))]
    while world.now_of(subscription).term_end <= told[0].applies_from:
        assert world.renew_all(world.now_of(subscription).term_end).renewed == 1
    assert world.now_of(subscription).term_price_minor == gross_of(old, 600)
    assert_books_hold()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(base=st.integers(0, 10**7), seat=st.integers(0, 10**5), seats=st.integers(1, 300), excludes=st.booleans(), rate=st.sampled_from([0, 300, 600, 1_300]))
def test_the_renewal_run_and_python_price_a_term_alike(app: Flask, base: int, seat: int, seats: int, excludes: bool, rate: int) -> None:
    subscription, began = _world_of_one(app)
    price = EditionPrice(
        product_line="crm", rank=2, currency="CNY", period="month", valid_from=began, base_minor=base, seat_minor=seat, excludes_tax=excludes
    )  # fmt: skip
    with transaction(SYSTEM) as session:
        session.merge(price)
        session.execute(text("update legal_entity set tax_rate_bp = :rate"), {"rate": rate})
        session.execute(text("update subscription set seats = :seats, priced_at = null where id = :id"), {"seats": seats, "id": subscription.id})
        session.flush()
        found = session.execute(
            text("select n.price_minor, n.tax_minor, n.same_minor, n.between_minor from next_terms(array(select s from subscription s)) n")
        ).one()
        expected = catalogue.term_price(price, seats, (replace(taxes.Rate(taxes.BEGINNING, rate)),), subscription.term_end)
        session.rollback()
    assert tuple(found) == (expected, tax_included(expected, rate), expected, expected)
    if excludes:
        assert found.tax_minor == oracle(base + seats * seat, rate)[0]


def _world_of_one(app: Flask) -> tuple[Subscription, datetime]:
    """One subscription, made for the first example and found by the others."""
    with transaction(SYSTEM) as session:
        known = session.scalar(text("select id from subscription limit 1"))
        if known:
            member_id = session.scalar(text("select member_id from subscription limit 1"))
            return world._apart(subscriptions.show(member_id, known)), world.LONG_AGO
    world.sell()
    return world.subscribe(world.member_with(paid=9_000_00)), world.LONG_AGO


def test_finance_sees_what_becomes_of_a_price_and_states_prices_without_tax_from_a_day_on(app: Flask) -> None:
    world.sell()
    client = signed_in(app, make_user("finance"))
    sent = {"entity_id": str(ENTITY), "first_day": "2031-01-01", "rate": "9", "rate_name_zh": "增值税", "rate_name_en": "VAT", "prices": "exclude"}
    url = "/finance/legal-entities/tax-rates?lang=en"
    page = unescape(client.post(url, data={**sent, "sample": "99.99", "step": "preview"}).text)
    for words in ("¥99.99", "Tax on top", "¥9.00", "¥108.99", "¥99.99 for this number the day before"):
        assert words in page
    page = unescape(client.post(url, data={**sent, "prices": "include", "sample": "109.00", "step": "preview"}).text)
    assert "Tax inside it" in page
    with transaction(SYSTEM):
        assert len(taxes.schedule_of(ENTITY)) == 1  # a preview sets nothing
    for wrong in ({"prices": "perhaps"}, {"sample": "much"}, {"first_day": "0001-01-01", "step": "preview"}):
        assert client.post(url, data={**sent, **wrong}).status_code == 422
    assert client.post(url, data=sent).status_code == 303
    assert "without tax" in client.get("/finance/legal-entities?lang=en").text
    with transaction(SYSTEM) as session:
        noted = session.query(AuditEntry).filter_by(action="tax_rate.add").one()
    assert noted.before == {"rate_bp": 600, "prices_exclude_tax": False}
    assert (noted.after or {})["prices_exclude_tax"] is True
    price = {"edition": "crm/2", "period": "month", "currency": "CNY", "base": "300.00", "seat": "20.00", "valid_from": "2031-01-01"}
    assert "comes on top of these prices" in client.get("/finance/prices/new", query_string={**price, "lang": "en"}).text
    assert client.post("/finance/prices", data=price).status_code == 303
    assert client.post("/finance/prices", data={**price, "valid_from": "2030-12-31"}).status_code == 303
    with transaction(SYSTEM) as session:
        listed = session.query(EditionPrice).filter_by(rank=2, base_minor=300_00).order_by(EditionPrice.valid_from)
        assert [one.excludes_tax for one in listed] == [False, True]
