"""What editions allow, in one place."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask_babel import force_locale
from sqlalchemy import event

from core.db import SYSTEM, db, transaction
from core.ids import new_id
from membership import catalogue, entitlements
from membership.catalogue_models import Edition, EditionPrice, ProductLine
from membership.entitlements import Standing, Verdict
from membership.models import Member
from membership.subscription_models import Subscription
from tests.factories import AT, make_member

FEATURES = {1: ["lead"], 2: ["import"], 3: ["report"], 4: ["api"]}


@pytest.fixture
def world(app: Flask) -> None:
    with transaction(SYSTEM) as session:
        for line in ("crm", "ops"):
            session.add(ProductLine(code=line, name_zh={"crm": "客户云", "ops": "运营云"}[line], name_en=line.upper()))
            session.flush()
            for rank, features in FEATURES.items():
                limits = {"records": rank * 100}
                session.add(
                    Edition(product_line=line, rank=rank, code=f"e{rank}", name_zh=f"版{rank}", name_en=f"Edition {rank}", features=features, limits=limits)
                )
        session.flush()
        for since, base in ((AT - timedelta(days=100), 100_00), (AT, 120_00), (AT + timedelta(days=100), 150_00)):
            session.add(EditionPrice(product_line="crm", rank=1, currency="CNY", period="month", valid_from=since, base_minor=base, seat_minor=10_00))


def subscribe(member: Member, line: str, rank: int, state: str = "active") -> None:
    with transaction(SYSTEM) as session:
        session.add(Subscription(
            member_id=member.id, id=new_id(), product_line=line, rank=rank, period="month", currency="CNY", seats=3, state=state, term=1, anchor_day=15,
            started_at=AT, term_start=AT, term_end=AT + timedelta(days=30), term_price_minor=1, cancel_at_term_end=False, next_rank=None, next_seats=None,
            ended_at=None, deployment="saas", licensing="rental", next_attempt_at=None, failed_attempts=0,
        ))  # fmt: skip


@pytest.mark.usefixtures("world")
def test_running_subscriptions_count_and_ended_ones_do_not() -> None:
    member = make_member()
    subscribe(member, "crm", 4, "ended")
    subscribe(member, "crm", 2, "past_due")
    subscribe(member, "ops", 1, "trialing")
    with transaction(SYSTEM):
        assert entitlements.ranks_of(member.id) == {"crm": 2, "ops": 1}
        assert entitlements.may_use_feature(member.id, "crm", "lead")  # of a lower edition
        assert entitlements.may_use_feature(member.id, "crm", "import")
        assert not entitlements.may_use_feature(member.id, "crm", "report")
        assert not entitlements.may_use_feature(member.id, "ops", "import")
        assert entitlements.limit_of(member.id, "crm", "records") == 200
        assert entitlements.limit_of(member.id, "crm", "sandboxes") == 0
        assert entitlements.limit_of(new_id(), "crm", "records") == 0


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("ranks", "asked", "expected"),
    [
        ({}, (None, 0), Verdict(True)),
        ({}, ("crm", 0), Verdict(True)),
        ({"crm": 2}, ("crm", 2), Verdict(True)),
        ({"crm": 3}, ("crm", 2), Verdict(True)),
        ({"crm": 1}, ("crm", 2), Verdict(False, "edition_too_low", "crm", 2)),
        ({"ops": 4}, ("crm", 2), Verdict(False, "no_subscription", "crm", 2)),
        ({"crm": 2}, ("crm", 0, ["import"]), Verdict(True)),
        ({"crm": 1}, ("crm", 0, ["import"]), Verdict(False, "edition_too_low", "crm", 2)),
        ({"crm": 2}, ("crm", 2, ["import", "api"]), Verdict(False, "edition_too_low", "crm", 4)),
        ({"crm": 2}, ("crm", 3, ["import"]), Verdict(False, "edition_too_low", "crm", 3)),
        ({"crm": 4}, ("crm", 1, ["teleport"]), Verdict(False, "not_offered", "crm", None)),
        ({"ops": 2}, (None, 2), Verdict(True)),  # any line will do
        ({"ops": 1}, (None, 2), Verdict(False, "edition_too_low", "ops", 2)),
        ({}, (None, 0, ["report"]), Verdict(False, "no_subscription", "crm", 3)),
    ],
)
def test_verdicts(ranks: dict[str, int], asked: tuple, expected: Verdict) -> None:
    with transaction(SYSTEM):
        assert entitlements.verdict(Standing(ranks), *asked) == expected


@pytest.mark.usefixtures("world")
def test_many_verdicts_cost_one_query_and_see_a_new_edition_in_the_next_transaction() -> None:
    statements: list[str] = []
    with transaction(SYSTEM):
        listen = lambda _c, _k, statement, *_more: statements.append(statement)  # noqa: E731
        event.listen(db.engine, "before_cursor_execute", listen)
        try:
            for _ in range(50):
                entitlements.verdict(Standing({"crm": 1}), "crm", 1, ["report"])
        finally:
            event.remove(db.engine, "before_cursor_execute", listen)
    assert len(statements) == 1
    with transaction(SYSTEM) as session:
        session.get_one(Edition, ("crm", 1)).features = ["lead", "report"]
    with transaction(SYSTEM):
        assert entitlements.verdict(Standing({"crm": 1}), "crm", 1, ["report"]).allowed


@pytest.mark.usefixtures("world")
def test_refusals_in_words(app: Flask) -> None:
    for lang, expected in (("en", "Needs the Edition 3 edition of CRM or higher."), ("zh", "需要“客户云”版3或更高版本。")):
        with app.test_request_context(), force_locale(lang), transaction(SYSTEM):
            assert entitlements.sentence(entitlements.verdict(Standing({"crm": 1}), "crm", 3)) == expected
            assert entitlements.sentence(Verdict(True)) == ""
            assert entitlements.sentence(entitlements.verdict(Standing({"crm": 1}), "crm", 3, ["teleport"]))


@pytest.mark.usefixtures("world")
def test_a_price_change_has_a_date() -> None:
    with transaction(SYSTEM):
        for at, base in ((AT - timedelta(seconds=1), 100_00), (AT, 120_00), (AT + timedelta(days=99), 120_00), (AT + timedelta(days=100), 150_00)):
            assert catalogue.price("crm", 1, "CNY", "month", at).base_minor == base
            assert catalogue.prices("CNY", at)[("crm", 1, "month")].base_minor == base
        for wanted in (
            ("crm", 1, "CNY", "year", AT),
            ("crm", 2, "CNY", "month", AT),
            ("crm", 1, "USD", "month", AT),
            ("crm", 1, "CNY", "month", datetime(2000, 1, 1, tzinfo=UTC)),
        ):
            with pytest.raises(catalogue.NoPrice):
                catalogue.price(*wanted)


@pytest.mark.usefixtures("world")
def test_editions_nest() -> None:
    with transaction(SYSTEM):
        assert [e.rank for e in catalogue.editions("crm")] == [1, 2, 3, 4]
        assert catalogue.features_of("crm", 3) == {"lead", "import", "report"}
        assert catalogue.lowest_rank_with("crm", ["lead", "report"]) == 3
        assert catalogue.lowest_rank_with("crm", ["teleport"]) is None
        with pytest.raises(catalogue.NotFound):
            catalogue.edition("crm", 5)
