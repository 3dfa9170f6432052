"""Revenue by month and kind, upsell by CSM, and ARR movements that add up."""

import random
from datetime import UTC, date, datetime, timedelta

from flask import Flask

from core.db import SYSTEM, transaction
from operations import revenue
from tests.billing import subscription_world as world
from tests.factories import AT, make_member, make_user
from tests.operations.factories import make_listing, make_motion, make_order, make_subscription
from tests.sign_in import bearer, client_as

SHANGHAI = "Asia/Shanghai"


def test_a_month_is_the_legal_entitys_month(app: Flask) -> None:
    subscription = make_subscription(make_member())
    make_motion(subscription, "new", at=datetime(2026, 5, 31, 15, 59, tzinfo=UTC), amount=100)
    make_motion(subscription, "renewal", at=datetime(2026, 5, 31, 16, 0, tzinfo=UTC), amount=200)
    with transaction(SYSTEM):
        may, june = revenue.by_month(revenue.Period(date(2026, 5, 1), date(2026, 6, 1), SHANGHAI), "CNY")
    assert (may.by_kind["new"], may.total_minor) == (100, 100)
    assert (june.by_kind["renewal"], june.total_minor) == (200, 200)


def test_kinds_shares_and_upsell(app: Flask) -> None:
    member, csm = make_member(), make_user("csm", name="陈静")
    subscription, listing = make_subscription(member), make_listing(price_minor=30_000, repeatable=True)
    for motion, amount, who in (
        ("new", 1000, None),
        ("renewal", 5000, None),
        ("seats", 700, csm.id),
        ("upgrade", 900, csm.id),
        ("downgrade", -300, csm.id),
        ("cancel", -50, None),
    ):
        make_motion(subscription, motion, at=AT, amount=amount, csm_id=who)
    make_order(member, listing, csm_id=csm.id)
    make_order(member, listing)
    make_order(member, listing, state="refunded", csm_id=csm.id)
    period = revenue.Period(date(2026, 6, 1), date(2026, 6, 1), SHANGHAI)
    with transaction(SYSTEM):
        months, upsell = revenue.by_month(period, "CNY"), revenue.by_csm(period, "CNY")
        nothing = revenue.by_month(period, "USD")
    assert months[0].by_kind == {"new": 1000, "renewal": 5000, "seats": 700, "edition": 600, "store": 60_000, "credit": -50}
    assert revenue.outside_renewals(months) == (67_250 - 5000) / 67_250
    assert [(row.name, row.sales, row.total_minor, row.by_kind) for row in upsell] == [("陈静", 3, 31_600, {"store": 30_000, "seats": 700, "edition": 900})]
    assert nothing[0].total_minor == 0
    assert revenue.outside_renewals(nothing) is None


def test_movements_add_up_for_any_history(app: Flask) -> None:
    chance, members = random.Random(4), [make_member() for _ in range(4)]
    chains: list[list[tuple[datetime, int, int]]] = []
    for member in members:
        subscription, arr, at = make_subscription(member), 0, datetime(2026, 1, 3, tzinfo=UTC)
        chain = []
        for _ in range(8):
            after = chance.choice([0, 1000, 2000, 5000])
            make_motion(subscription, "new" if arr == 0 else "lapse" if after == 0 else "upgrade", at=at, before=arr, after=after)
            chain.append((at, arr, after))
            arr, at = after, at + timedelta(days=chance.randint(5, 40))
        chains.append(chain)
    for month in range(1, 8):
        since, until = datetime(2026, month, 1, tzinfo=UTC), datetime(2026, month + 1, 1, tzinfo=UTC)
        with transaction(SYSTEM):
            moved = revenue.movement(since, until, "CNY")

        def standing(at: datetime) -> int:
            return sum(next((after for when, _before, after in reversed(chain) if when < at), 0) for chain in chains)

        assert moved.opening_minor == standing(since)
        assert moved.closing_minor == moved.running_minor == standing(until)
        assert moved.opening_minor + moved.new_minor + moved.expansion_minor - moved.contraction_minor - moved.churn_minor == moved.closing_minor
        inside = [(before, after) for chain in chains for when, before, after in chain if since <= when < until]
        assert moved.new_minor == sum(after for before, after in inside if before == 0)
        assert moved.churn_minor == sum(before for before, after in inside if after == 0)


def test_what_was_asked_for_just_before_the_run_but_done_after_it_is_the_last_state(app: Flask) -> None:
    world.sell()
    member = world.member_with(paid=9_000_00)
    subscription = world.subscribe(member, rank=2, seats=5)
    run_at = subscription.term_end + timedelta(seconds=1)
    world.renew_all(run_at)  # its plain renewal has the instant of the run, and the order of its term
    upgrade = world.month_price(3, 5) - world.month_price(2, 5)
    world.change(member, subscription, upgrade, at=run_at - timedelta(milliseconds=1), rank=3)
    with transaction(SYSTEM):
        moved = revenue.movement(AT, run_at + timedelta(days=1), "CNY")
    assert (moved.closing_minor, moved.running_minor, moved.difference_minor) == (12 * world.month_price(3, 5), 12 * world.month_price(3, 5), 0)


def test_page_csv_and_json_show_the_same_figures(app: Flask) -> None:
    subscription = make_subscription(make_member())
    make_motion(subscription, "new", at=AT, amount=1_234_56, before=0, after=1_234_56)
    make_motion(subscription, "downgrade", at=AT + timedelta(hours=1), amount=-34_56, before=1_234_56, after=1_000_00)
    client = client_as(app, "finance")
    page = client.get("/csm/revenue?from=2026-05&to=2026-06&lang=en")
    assert page.status_code == 200
    assert "1,234.56" in page.text
    assert "difference 0.00" in page.text
    export = client.get("/csm/revenue.csv?from=2026-05&to=2026-06&lang=en")
    assert export.text.splitlines()[2] == "2026-06,1234.56,0.00,0.00,-34.56,0.00,0.00,1200.00,CNY"
    answer = app.test_client().get("/api/v1/revenue?from=2026-05&to=2026-06", headers=bearer("finance"))
    assert [row["total_minor"] for row in answer.json["months"]] == [0, 1_200_00]
    assert answer.json["months"][1]["edition_minor"] == -34_56


def test_wrong_months_are_told(app: Flask) -> None:
    make_member()
    client = client_as(app, "csm")
    for query in ("from=June", "from=2026-13", "from=2026-06&to=2026-05", "from=1990-01&to=2026-05"):
        assert client.get(f"/csm/revenue?{query}").status_code == 422
        assert client.get(f"/csm/revenue.csv?{query}").status_code == 422
        assert app.test_client().get(f"/api/v1/revenue?{query}", headers=bearer("csm")).status_code == 422
    assert client.get("/csm/revenue").status_code == 200
    assert client_as(app, "reviewer").get("/csm/revenue").status_code == 403
