"""A publisher's figures: by month and listing, money given back taken off, in few queries, its own only."""

import csv
import io
from datetime import UTC, date, datetime, timedelta

import pytest
from flask_babel import force_locale
from sqlalchemy import event

from billing.revenue import partner_shares
from core.actor import Actor
from core.db import SYSTEM, db, transaction
from core.ids import derived, new_id
from marketplace.license import downloads, installs
from marketplace.order.order_models import Order
from marketplace.publisher import publisher_figures
from marketplace.run.run_models import Run
from marketplace.store import reviews
from marketplace.store.listing_models import Listing
from tests.billing.books import assert_books_hold
from tests.factories import AT, make_member, make_user
from tests.marketplace.order.test_order_refunds import refund
from tests.marketplace.store_world import FREE, ONE_TIME, acting_for, buy, open_store, set_listing
from tests.sign_in import client_as, signed_in

ZONE = "Asia/Shanghai"
HARBOR = Actor(kind="publisher", role="publisher", name="Pat", publisher_id=derived("publisher", "harbor-automation"))
JUNE, JULY = date(2026, 6, 1), date(2026, 7, 1)
LATER = AT + timedelta(days=20)  # in July


@pytest.fixture
def ids(app):
    with force_locale("en"):
        found = open_store(FREE, ONE_TIME)
        with transaction(SYSTEM) as session:
            session.get(Listing, found[FREE]).publisher_id = HARBOR.publisher_id
            session.get(Listing, found[ONE_TIME]).publisher_id = HARBOR.publisher_id
        set_listing(ONE_TIME, required_rank=0, product_line=None, required_features=[], pricing="one_time", period=None, price_minor=21_200, tax_rate_bp=600,
                    bonus_limit_bp=0)  # fmt: skip
        yield found


def report(at=LATER, acting=HARBOR, **more):
    with transaction(acting):
        return publisher_figures.report(acting.publisher_id, ZONE, at=at, **more)


def test_earnings_are_the_share_of_the_ledger_less_what_was_given_back(ids):
    """212 with 12 tax, 30% commission: 140 for the partner; half given back in July takes 70 of it."""
    member = make_member(paid=100_000)
    order_id = buy(member, ONE_TIME)
    june = report(AT + timedelta(hours=1)).total(month=JUNE)
    assert (june.orders, june.sold_minor, june.earned_minor, june.refunded_minor) == (1, 21_200, 14_000, 0)
    refund(member, order_id, 10_600, LATER - timedelta(days=1))
    found = report()
    june, july, whole = found.total(month=JUNE), found.total(month=JULY), found.total()
    assert (june.sold_minor, june.earned_minor, june.refunded_minor) == (21_200, 14_000, 0)
    assert (july.sold_minor, july.earned_minor, july.refunded_minor) == (0, -7_000, 10_600)
    assert (whole.earned_minor, whole.refunded_minor, whole.orders) == (7_000, 10_600, 1)
    assert_books_hold()


def test_a_refund_after_the_share_was_released_takes_as_much(ids):
    member = make_member(paid=100_000)
    order_id = buy(member, ONE_TIME)
    with transaction(SYSTEM):
        assert partner_shares.release(member.id, order_id, HARBOR.publisher_id, "CNY", at=LATER - timedelta(days=2)) == 14_000
    assert report().total().earned_minor == 14_000
    refund(member, order_id, 10_600, LATER - timedelta(days=1))
    assert report().total().earned_minor == 7_000
    assert_books_hold()


def test_a_commission_that_changes_later_changes_nothing_earned(ids):
    from marketplace.publisher.publisher_models import Publisher

    buy(make_member(paid=100_000), ONE_TIME)
    with transaction(SYSTEM) as session:
        session.get(Publisher, HARBOR.publisher_id).commission_bp = 9000
    assert report().total().earned_minor == 14_000


def test_installs_updates_runs_and_ratings(ids):
    member, other = make_member(), make_member()
    licenses = [buy(one, FREE) for one in (member, other)]
    for one, license_id, at in ((member, licenses[0], AT), (member, licenses[0], LATER - timedelta(days=2)), (other, licenses[1], LATER - timedelta(days=3))):
        with transaction(acting_for(one)):
            downloads.hand_out(one.id, license_id, at=at, user_id=None, version=None)
    with transaction(acting_for(other)):
        installs.uninstall(other.id, licenses[1], at=LATER - timedelta(days=1), user_id=None)
    with transaction(acting_for(member)):
        reviews.write(reviews.license_for(member.id, ids[FREE]), 4, "good", "Ann", at=AT)
    with transaction(SYSTEM) as session:
        session.add_all(run_of(member, licenses[0], ids[FREE], state) for state in ("succeeded", "succeeded", "failed"))
    found = report()
    june, july = found.total(month=JUNE), found.total(month=JULY)
    assert (june.installs, june.updates, july.installs, july.updates) == (1, 0, 1, 0), "fetched again is neither"
    assert (june.uninstalls, july.uninstalls) == (0, 1)
    assert (june.runs, june.failed, june.failure_rate, june.rating, june.ratings) == (3, 1, 1 / 3, 4, 1)
    assert [(month, one.slug) for month, one, _figures in publisher_figures.rows_of(found)] == [(JUNE, FREE), (JULY, FREE)]


def run_of(member, license_id, listing_id, state):
    return Run(
        member_id=member.id, id=new_id(), request_hash=b"", license_id=license_id, listing_id=listing_id, version="1.0.0", sha256="", kind="robot_task",
        state=state, parameters={}, hold_id=None, requested_by=None, requested_by_name="", progress=None, steps=0, failure=None, log="", took_ms=10,
        queued_at=AT, started_at=AT, finished_at=AT,
    )  # fmt: skip


def test_months_are_those_of_the_reader(ids):
    """Half past midnight on the first of July in Shanghai is June in London."""
    buy(make_member(paid=100_000), ONE_TIME, at=datetime(2026, 6, 30, 16, 30, tzinfo=UTC))
    assert report().total(month=JULY).orders == 1
    with transaction(HARBOR):
        assert publisher_figures.report(HARBOR.publisher_id, "Europe/London", at=LATER).total(month=JUNE).orders == 1


def test_another_publisher_sees_nothing_of_it(ids):
    buy(make_member(paid=100_000), ONE_TIME)
    other = Actor(kind="publisher", role="publisher", publisher_id=derived("publisher", "yunqi-services"))
    found = report(acting=other)
    assert (found.listings, found.by_cell) == ([], {})
    with transaction(other) as session:  # with the filter forgotten
        for table in ("store_order", "order_refund", "posting", "run", "download"):
            columns = {"order_refund": "id", "run": "state", "posting": "amount_minor"}.get(table, "id")
            assert session.execute(db.text(f"select {columns} from {table}")).all() == [], table
    with transaction(HARBOR) as session:
        assert session.scalars(db.text("select distinct target from posting order by 1")).all() == [28], "of a sale, its own share alone"


def test_few_queries_however_many_months(app, ids):
    member = make_member(paid=10_000_00)
    buy(member, ONE_TIME)
    counted = []
    event.listen(db.engine, "before_cursor_execute", lambda *a: counted.append(a[2]))
    client = signed_in(app, make_user("publisher", publisher_id=HARBOR.publisher_id))
    counted.clear()
    assert client.get("/publisher/figures?months=36&lang=en").status_code == 200
    assert len(counted) <= 12, counted


def test_the_page_and_its_export(app, ids):
    buy(make_member(paid=100_000), ONE_TIME, at=datetime.now(UTC) - timedelta(minutes=1))
    client = client_as(app, "publisher", publisher_id=HARBOR.publisher_id)
    html = client.get("/publisher/figures?lang=en").text
    assert "140.00" in html
    assert "Earned by month" in html
    assert client.get(f"/publisher/figures?listing={ONE_TIME}&lang=zh").status_code == 200
    answer = client.get("/publisher/figures.csv?lang=en")
    header, row = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert dict(zip(header, row, strict=True)) | {"Month": ""} == {
        "Month": "", "Listing": ONE_TIME, "Orders": "1", "Trials": "0", "Sold, tax included": "212.00", "Given back": "0.00", "Earned": "140.00",
        "Currency": "CNY", "Installs": "0", "Updates": "0", "Uninstalls": "0", "App runs": "0", "Failed runs": "0", "Ratings": "0", "Average rating": "",
    }  # fmt: skip
    for path in ("/publisher/figures?listing=nothing", "/publisher/figures.csv?listing=nothing"):
        assert client.get(path).status_code == 404
    for months in ("0", "-1", "x", "99999", "1"):
        assert client.get(f"/publisher/figures?months={months}").status_code == 200
    with transaction(SYSTEM) as session:
        assert session.query(Order).count() == 1
