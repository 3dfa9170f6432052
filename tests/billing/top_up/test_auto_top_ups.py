"""Automatic top-ups: one for a burst, never above the cap, stopped after failures, by the month of the legal entity."""

import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select, text, update

from billing.ledger.accounts import Account
from billing.payment import payment_methods, stripe_gateway
from billing.payment.stripe_gateway import Outcome
from billing.top_up import auto_top_ups, top_up_jobs, top_ups
from billing.top_up.auto_top_ups import Limits, NotStopped, Standing, Terms, judge
from billing.top_up.top_up_models import AutoTopUp, TopUp
from billing.wallet import balance_warnings, balances, holds, wallet_jobs, wallets
from core.clock import now
from core.db import SYSTEM, db, transaction
from core.embedded.stripe import Stripe
from core.errors import AppError, NotFound
from core.ids import derived, new_id, request_hash
from membership.models import Member
from membership.notice_models import Notice
from tests.billing.books import assert_books_hold
from tests.billing.conftest import Cardholder
from tests.factories import AT, make_member
from tests.sign_in import bearer, client_as

Make = Callable[..., Cardholder]
SHANGHAI = ZoneInfo("Asia/Shanghai")
TERMS = Terms(200_00, 1_000_00, 3_000_00)


def switch_on(member: Member, terms: Terms = TERMS, at: datetime = AT) -> None:
    with transaction(SYSTEM):
        auto_top_ups.switch_on(member.id, terms, at=at, set_by=None)


def sweep(at: datetime) -> list[Any]:
    with transaction(SYSTEM):
        return auto_top_ups.start_due(at=at)


def attempts(member: Member) -> list[TopUp]:
    with transaction(SYSTEM) as session:
        session.expire_all()
        return list(session.scalars(select(TopUp).where(TopUp.member_id == member.id, TopUp.auto_number.is_not(None)).order_by(TopUp.auto_number)))


def spend(member: Member, amount: int, at: datetime = AT) -> None:
    with transaction(SYSTEM):
        target = wallets.Target(Account.STORE_REVENUE, amount, amount)
        wallets.charge(wallets.ChargeRequest(member.id, new_id(), request_hash("x"), "purchase", "CNY", at, (target,)))


def state_of(member: Member) -> tuple[str, str | None]:
    with transaction(SYSTEM) as session:
        one = session.get_one(AutoTopUp, member.id, populate_existing=True)
        return one.state, one.stop_reason


def told(member: Member) -> list[str]:
    with transaction(SYSTEM) as session:
        return list(session.scalars(select(Notice.kind).where(Notice.member_id == member.id).order_by(Notice.at, Notice.kind)))


def a_card(member: Member) -> None:
    with transaction(SYSTEM):
        payment_methods.save(member.id, stripe_gateway.Card(f"pm_{member.number}", "visa", "4242", 12, 2035), at=AT - timedelta(days=1))


@pytest.fixture
def member(app: Flask) -> Member:
    """A member with a saved card (Stripe is not asked) and 300 in its wallet."""
    made = make_member(paid=300_00)
    a_card(made)
    return made


def outcome(member: Member, what: str, at: datetime) -> None:
    """What became of the attempt on its way."""
    one = attempts(member)[-1]
    with transaction(SYSTEM):
        if what == "settled":
            top_ups.settle(member.id, one.id, at=at)
        else:
            top_ups.fail(member.id, one.id, stripe_gateway.DECLINED, at=at)


def test_below_the_threshold_and_not_at_it(member: Member) -> None:
    switch_on(member)
    spend(member, 100_00)
    assert sweep(AT) == [], "200 is not below 200"
    spend(member, 1)
    assert sweep(AT) == [(member.id, derived("auto_top_up", member.id, 1))]
    (one,) = attempts(member)
    assert (one.amount_minor, one.method, one.state, one.auto_number, one.created_by) == (1_000_00, "card", "pending", 1, None)


def test_nothing_happens_where_it_is_off_or_money_by_card_is_coming(member: Member) -> None:
    spend(member, 200_00)
    assert sweep(AT) == []
    with transaction(SYSTEM):
        top_ups.start(member.id, top_ups.Wanted(new_id(), 50_00, "card"), at=AT, created_by=None)
    switch_on(member)
    assert sweep(AT) == [], "somebody is topping up by card already"


def test_held_and_expired_money_is_not_available(member: Member) -> None:
    with transaction(SYSTEM):
        wallets.credit(
            wallets.Credit(member.id, new_id(), request_hash("b"), "goodwill", "CNY", AT, 0, 500_00, bonus_source=Account.GOODWILL,
                           bonus_expires_at=AT + timedelta(hours=1))
        )  # fmt: skip
    switch_on(member)
    spend(member, 500_00)  # the gift, so 300 are left
    assert sweep(AT + timedelta(hours=2)) == []
    spend(member, 100_01, at=AT + timedelta(hours=2))
    assert len(sweep(AT + timedelta(hours=2))) == 1


def test_a_burst_of_purchases_and_sweeps_is_one_charge_of_the_card(app: Flask, no_webhook: Stripe, cardholder: Make) -> None:
    holder = cardholder(paid=1_000_00)
    switch_on(holder.member, at=now())

    def buy_and_sweep() -> None:
        with app.app_context():
            for _ in range(4):
                spend(holder.member, 24_00, at=now())
                for _member, top_up_id in sweep(now()):
                    top_up_jobs.pay(holder.member.id, top_up_id)

    threads = [threading.Thread(target=buy_and_sweep) for _ in range(10)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    (one,) = attempts(holder.member)
    intents = list(stripe_gateway.client().v1.payment_intents.list({"limit": 100}).auto_paging_iter())
    assert [intent.amount for intent in intents] == [1_000_00]
    (event,) = holder.events("payment_intent.succeeded")
    holder.deliver(event)
    assert holder.read(one.id).state == "settled"
    assert sweep(now() + timedelta(hours=1)) == []
    assert_books_hold()


def test_the_job_charges_the_saved_card_and_the_webhook_settles(webhook: str, cardholder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = cardholder(paid=10_00)
    switch_on(holder.member, at=now())
    monkeypatch.setattr(wallet_jobs.jobs, "enqueue", lambda job, *args, **_how: job(*args))  # the queue's own tests are elsewhere
    assert wallet_jobs.top_up_low_wallets() == 1
    (one,) = attempts(holder.member)
    assert holder.until_settled(one.id).settled_at
    assert wallet_jobs.top_up_low_wallets() == 0
    with transaction(SYSTEM):
        assert balances.balance(holder.member.id, "CNY", at=now()).available_minor == 1_010_00
    assert_books_hold()


def test_a_queue_that_is_away_loses_nothing(no_webhook: Stripe, cardholder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    def away(*_args: object, **_how: object) -> None:
        raise redis.ConnectionError("away")

    holder = cardholder(paid=10_00)
    switch_on(holder.member, at=now())
    monkeypatch.setattr(wallet_jobs.jobs, "enqueue", away)
    assert wallet_jobs.top_up_low_wallets() == 1
    with transaction(SYSTEM) as session:
        session.execute(update(TopUp).values(created_at=now() - timedelta(minutes=3)))
    top_up_jobs.check_pending()  # Stripe never heard of it: asked with the same key
    assert len(list(stripe_gateway.client().v1.payment_intents.list({"limit": 100}).auto_paging_iter())) == 1


def test_a_declining_card_is_tried_three_times_and_then_left_alone(no_webhook: Stripe, cardholder: Make) -> None:
    holder, at = cardholder("fails", paid=10_00), now()
    switch_on(holder.member, at=at)
    tried = []
    for minute in range(0, 60 * 12, 5):
        for _member, top_up_id in sweep(at + timedelta(minutes=minute)):
            tried.append(minute)
            top_up_jobs.pay(holder.member.id, top_up_id)
    assert tried == [0, 60, 120]
    assert state_of(holder.member) == ("stopped", "declined")
    assert told(holder.member).count("auto_top_up_stopped") == 1
    assert [one.state for one in attempts(holder.member)] == ["failed"] * 3
    with transaction(SYSTEM):
        auto_top_ups.resume(holder.member.id, at=at + timedelta(hours=12), set_by=None)
    assert len(sweep(at + timedelta(hours=12))) == 1, "an owner has switched it on again: one more is tried"
    with pytest.raises(NotStopped), transaction(SYSTEM):
        auto_top_ups.resume(holder.member.id, at=at, set_by=None)


def test_a_success_between_failures_starts_the_count_again(member: Member) -> None:
    switch_on(member, Terms(250_00, 250_00, 100_000_00))
    at = AT
    for what in ("failed", "failed", "settled", "failed", "failed"):
        spend(member, 100_00, at) if what == "failed" and not attempts(member) else None
        at += timedelta(hours=2)
        with transaction(SYSTEM):
            available = balances.balance(member.id, "CNY", at=at).available_minor
        spend(member, max(1, available - 100_00), at) if available > 100_00 else None
        assert len(sweep(at)) == 1, what
        outcome(member, what, at)
    assert state_of(member) == ("on", None)


def test_an_unknown_outcome_blocks_and_counts(no_webhook: Stripe, cardholder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    holder, at = cardholder(paid=10_00), AT
    monkeypatch.setattr(stripe_gateway, "pay", lambda *_a, **_k: Outcome("unknown"))
    switch_on(holder.member, Terms(200_00, 1_000_00, 1_500_00))
    ((_member, top_up_id),) = sweep(at)
    top_up_jobs.pay(holder.member.id, top_up_id)
    assert sweep(at + timedelta(days=3)) == [], "nobody knows whether the money is on its way"
    with transaction(SYSTEM) as session:
        standing = auto_top_ups.standing(session.get_one(AutoTopUp, holder.member.id), at=at)
        assert (standing.used_minor, standing.failures) == (1_000_00, 0)


def test_the_cap_holds_for_the_entitys_month_and_is_told_once(member: Member) -> None:
    switch_on(member, Terms(200_00, 1_000_00, 2_000_00))
    last_minute = datetime(2026, 6, 30, 23, 59, tzinfo=SHANGHAI).astimezone(UTC)
    for _ in range(2):
        at = AT + timedelta(days=len(attempts(member)))
        with transaction(SYSTEM):
            spend_all = balances.balance(member.id, "CNY", at=at).available_minor
        spend(member, spend_all, at)
        assert len(sweep(at)) == 1
        outcome(member, "settled", at)
    spend(member, 1_000_00, last_minute)
    for minutes in (5, 3, 0):
        assert sweep(last_minute - timedelta(minutes=minutes)) == []
    assert told(member).count("auto_top_up_capped") == 1
    assert last_minute.month == (last_minute + timedelta(minutes=1)).month == 6, "in UTC it is still June"
    assert len(sweep(last_minute + timedelta(minutes=1))) == 1, "in Shanghai it is July"


def test_switching_off_and_on_frees_no_part_of_the_cap(member: Member) -> None:
    terms = Terms(200_00, 1_000_00, 1_500_00)
    switch_on(member, terms)
    spend(member, 300_00)
    sweep(AT)
    outcome(member, "settled", AT)
    spend(member, 1_000_00)
    for hour in range(1, 4):
        with transaction(SYSTEM):
            auto_top_ups.switch_off(member.id, at=AT, set_by=None)
        switch_on(member, terms)
        assert sweep(AT + timedelta(hours=hour)) == []
    assert len(attempts(member)) == 1


def test_a_removed_card_stops_it_and_says_so(member: Member) -> None:
    switch_on(member)
    with transaction(SYSTEM) as session:
        card = payment_methods.list_cards(member.id)[0]
        payment_methods.remove(member.id, card.id, at=AT)
        session.flush()
    assert sweep(AT) == []
    assert state_of(member) == ("stopped", "no_card")
    assert told(member) == ["auto_top_up_stopped"]
    with pytest.raises(NotFound), transaction(SYSTEM):
        auto_top_ups.resume(member.id, at=AT, set_by=None)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        (Terms(200_00, 100_00, 300_00), "amount_minor"),
        (Terms(200_00, 1_000_00, 999_00), "cap_minor"),
        (Terms(0, 1_000_00, 2_000_00), "threshold_minor"),
        (Terms(10, 50, 2_000_00), "amount_minor"),
        (Terms(200_00, 1_000_00, 2_000_00, new_id()), "payment_method_id"),
    ],
)
def test_terms_that_make_no_sense_are_refused(member: Member, terms: Terms, field: str) -> None:
    with pytest.raises(AppError) as refused, transaction(SYSTEM):
        auto_top_ups.switch_on(member.id, terms, at=AT, set_by=None)
    assert list(refused.value.fields) == [field]
    with transaction(SYSTEM):
        assert auto_top_ups.show(member.id) is None


def test_a_frozen_wallet_is_not_topped_up(member: Member, owner: Any) -> None:
    switch_on(member)
    spend(member, 300_00)
    with owner.begin() as connection:
        connection.execute(text("update wallet set state = 'frozen'"))
    assert sweep(AT) == []


LIMITS = Limits(timedelta(minutes=10), timedelta(minutes=60), 3)
JULY = datetime(2026, 6, 30, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("standing", "verb", "next_at"),
    [
        (Standing(0, 0, None, None, JULY), "charge", AT + timedelta(minutes=10)),
        (Standing(2_000_00, 2, AT - timedelta(minutes=60), "failed", JULY), "charge", AT + timedelta(minutes=10)),
        (Standing(2_000_00, 2, AT - timedelta(minutes=59), "failed", JULY), "wait", AT + timedelta(minutes=1)),
        (Standing(1_000_00, 0, AT - timedelta(minutes=9), "settled", JULY), "wait", AT + timedelta(minutes=1)),
        (Standing(2_000_01, 0, None, None, JULY), "capped", JULY),
        (Standing(0, 3, None, None, JULY), "stop", AT),
    ],
)
def test_the_verdict(standing: Standing, verb: str, next_at: datetime) -> None:
    assert judge(TERMS, standing, LIMITS, at=AT) == auto_top_ups.Verdict(verb, next_at)


class AutoTopUps(RuleBasedStateMachine):
    """Whatever happens in whatever order: the limits that the owner agreed to hold."""

    empty: ClassVar[Callable[[], None]]

    @initialize()
    def begin(self) -> None:
        type(self).empty()
        db.session.expunge_all()
        self.at = AT + timedelta(days=12)  # near the end of a month
        self.member = make_member(paid=300_00)
        a_card(self.member)
        switch_on(self.member, at=self.at)

    @rule(minutes=st.sampled_from([1, 7, 30, 70, 600, 3_000]))
    def time_passes(self, minutes: int) -> None:
        self.at += timedelta(minutes=minutes)

    @rule()
    def everything_is_spent(self) -> None:
        with transaction(SYSTEM):
            available = balances.balance(self.member.id, "CNY", at=self.at).available_minor
        if available:
            spend(self.member, available, self.at)

    @rule(times=st.integers(1, 3))
    def the_sweep_runs(self, times: int) -> None:
        for _ in range(times):
            sweep(self.at)

    @rule(what=st.sampled_from(["settled", "failed", "failed"]))
    def an_outcome_is_known(self, what: str) -> None:
        if (known := attempts(self.member)) and known[-1].state == "pending":
            outcome(self.member, what, self.at)

    @rule(how=st.sampled_from(["off and on", "resume", "other terms"]))
    def an_owner_acts(self, how: str) -> None:
        with transaction(SYSTEM):
            if how == "resume" and state_of_row(self.member) == "stopped":
                auto_top_ups.resume(self.member.id, at=self.at, set_by=None)
            elif how == "off and on":
                auto_top_ups.switch_off(self.member.id, at=self.at, set_by=None)
        if how != "resume":
            switch_on(self.member, at=self.at)

    @invariant()
    def limits_hold(self) -> None:
        made = attempts(self.member)
        assert [one.auto_number for one in made] == list(range(1, len(made) + 1))
        assert sum(one.state == "pending" for one in made) <= 1
        months: dict[tuple[int, int], int] = {}
        for one in made:
            local = one.created_at.astimezone(SHANGHAI)
            counts = one.amount_minor if one.state != "failed" else 0
            months[local.year, local.month] = months.get((local.year, local.month), 0) + counts
        assert all(total <= TERMS.cap_minor for total in months.values()), months
        for before, after in itertools.pairwise(made):
            assert after.created_at - before.created_at >= timedelta(minutes=60 if before.state == "failed" else 10)


def state_of_row(member: Member) -> str:
    return db.session.get_one(AutoTopUp, member.id, populate_existing=True).state


def test_no_history_breaks_the_limits(app: Flask, _emptying: Callable[[], None]) -> None:  # noqa: PT019 (a function is what it gives)
    AutoTopUps.empty = staticmethod(_emptying)
    run_state_machine_as_test(AutoTopUps, settings=settings(max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)))


def test_the_page_says_what_will_happen_before_it_is_switched_on(app: Flask, member: Member) -> None:
    owner = client_as(app, "owner", member)
    with transaction(SYSTEM):
        card = payment_methods.list_cards(member.id)[0].id
    terms = {"threshold": "200", "amount": "1,000.00", "cap": "3000", "card": str(card)}
    preview = owner.get("/wallet/auto-top-up", query_string=terms | {"lang": "en"}).text
    assert "When available money falls below ¥200.00, your Visa •• 4242 is charged ¥1,000.00." in preview
    assert "At most ¥3,000.00" in preview
    assert preview.count("btn-primary") == 1
    with transaction(SYSTEM):
        assert auto_top_ups.show(member.id) is None, "looking switches nothing on"
    assert owner.post("/wallet/auto-top-up", data=terms).status_code == 303
    assert "It is on." in owner.get("/wallet/auto-top-up?lang=en").text
    wrong = owner.get("/wallet/auto-top-up", query_string=terms | {"lang": "en", "cap": "10"})
    assert wrong.status_code == 422
    assert "cannot be less than one charge" in wrong.text
    buyer = client_as(app, "buyer", member)
    assert buyer.post("/wallet/auto-top-up", data=terms).status_code == 403
    assert "Only an owner" in buyer.get("/wallet/auto-top-up?lang=en").text
    assert owner.post("/wallet/auto-top-up/end").status_code == 303
    assert state_of(member) == ("off", None)
    assert owner.post("/wallet/auto-top-up/resumption?lang=en").status_code == 409


def test_the_api_of_automatic_top_ups(app: Flask, member: Member) -> None:
    client, key = app.test_client(), bearer("owner", member)
    off = client.get("/api/v1/wallet/auto-top-up", headers=bearer("viewer", member)).get_json()
    assert (off["state"], off["amount_minor"], off["in_words"]) == ("off", None, [])
    body = {"threshold_minor": 200_00, "amount_minor": 1_000_00, "cap_minor": 3_000_00}
    on = client.put("/api/v1/wallet/auto-top-up", json=body, headers=key)
    assert on.status_code == 200
    assert {name: on.get_json()[name] for name in body} == body
    assert len(on.get_json()["in_words"]) == 4
    assert client.put("/api/v1/wallet/auto-top-up", json=body | {"cap_minor": 1}, headers=key).get_json()["errors"][0]["field"] == "cap_minor"
    assert client.put("/api/v1/wallet/auto-top-up", json=body, headers=bearer("buyer", member)).status_code == 403
    assert client.delete("/api/v1/wallet/auto-top-up", headers=key).get_json()["state"] == "off"


def test_a_warning_that_cannot_be_read_is_told_beside_its_field(app: Flask, member: Member) -> None:
    buyer = client_as(app, "buyer", member)
    page = buyer.post("/wallet/balance-warning?lang=en", data={"threshold": "a lot"})
    assert page.status_code == 422
    assert "<title>Error:" in page.text
    field = page.text[page.text.index('id="e-threshold"') :].partition("</div>")[0]
    assert "Enter an amount like 1,000.00." in field
    assert 'value="a lot"' in field, "what was typed is kept"
    with transaction(SYSTEM):
        assert balance_warnings.show(member.id) is None


def test_a_low_balance_is_told_once_each_time_it_falls(app: Flask, member: Member) -> None:
    def sweep_warnings() -> int:
        at = AT + timedelta(minutes=len(told(member)))
        with transaction(SYSTEM):
            return balance_warnings.tell_due(at=at)

    buyer = client_as(app, "buyer", member)
    assert buyer.post("/wallet/balance-warning", data={"threshold": "100.00"}).status_code == 303
    assert sweep_warnings() == 0
    spend(member, 200_01)
    assert [sweep_warnings() for _ in range(3)] == [1, 0, 0]
    with transaction(SYSTEM):
        wallets.credit(wallets.Credit(member.id, new_id(), request_hash("in"), "opening_balance", "CNY", AT, 500_00))
    assert sweep_warnings() == 0
    spend(member, 500_00)
    assert sweep_warnings() == 1
    assert told(member) == ["balance_low"] * 2
    buyer.post("/wallet/balance-warning", data={"threshold": ""})
    spend(member, 99_99)
    assert sweep_warnings() == 0
    client, key = app.test_client(), bearer("buyer", member)
    assert client.put("/api/v1/wallet/balance-warning", json={"threshold_minor": 5}, headers=key).get_json() == {"threshold_minor": 5}
    assert client.get("/api/v1/wallet/balance-warning", headers=key).get_json() == {"threshold_minor": 5}
    assert client.put("/api/v1/wallet/balance-warning", json={"threshold_minor": 0}, headers=key).status_code == 422


def test_ending_bonus_is_told_once_for_each_end_and_held_bonus_not_at_all(app: Flask) -> None:
    member, other = make_member(paid=1_00), make_member(paid=10_00, bonus=5_00, bonus_expires_at=AT + timedelta(days=3))
    for days, amount in ((3, 20_00), (3, 5_00), (10, 30_00), (20, 40_00)):
        with transaction(SYSTEM):
            one = wallets.Credit(member.id, new_id(), request_hash("b"), "goodwill", "CNY", AT, 0, amount, bonus_source=Account.GOODWILL,
                                 bonus_expires_at=AT + timedelta(days=days))  # fmt: skip
            wallets.credit(one)
    with transaction(SYSTEM):
        holds.place(other.id, holds.Wanted(new_id(), 5_00, "all of its bonus", bonus_limit_minor=5_00), at=AT, created_by=None)
    for expected in (2, 0):
        with transaction(SYSTEM):
            assert balance_warnings.tell_of_ending_bonus(at=AT, days=14) == expected
    assert told(other) == []
    with transaction(SYSTEM) as session:
        found = session.scalars(select(Notice).where(Notice.member_id == member.id).order_by(Notice.id)).all()
        assert sorted(notice.details["amount_minor"] for notice in found) == [25_00, 30_00]
    with transaction(SYSTEM):
        assert balance_warnings.tell_of_ending_bonus(at=AT + timedelta(days=7), days=14) == 1
