"""No sequence of changes gives a member more than it paid for (upgrade → use → downgrade, and every other): random histories search for one.

The second model knows only what is on the price list and which days something could be used: each day costs the highest rate that was held in it,
a rate being the list price of a term by its days. It computes with exact fractions, so nothing is forgiven: what was used and what is left in the
wallet may never be more than the money that was put in, not by the hundredth part of a fen.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any, ClassVar

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import select, text

from billing.subscription import subscription_charges, subscription_ends
from billing.subscription import subscription_previews as previews
from billing.subscription.subscription_charges import ChangeTo, Start
from billing.subscription.subscription_ends import EndNow
from billing.subscription.subscription_models import SubscriptionCharge
from core.db import SYSTEM, db, transaction
from core.errors import AppError
from core.ids import new_id
from membership import motions, pauses, proration, subscriptions
from membership.subscription_models import Subscription
from membership.terms import local_day, start_of_day
from tests.billing import subscription_world as world
from tests.billing.books import assert_books_hold
from tests.factories import AT

ZONE = "Asia/Shanghai"
RANKS, SEATS, PERIODS = st.integers(1, 4), st.integers(1, 12), st.sampled_from(["month", "quarter", "year"])
DAYS = {"month": range(28, 32), "quarter": range(89, 93), "year": range(365, 367)}
GIVEN_BACK = text(
    "select o.id, sum(p.amount_minor) filter (where p.source = 20) as paid, sum(p.amount_minor) filter (where p.source = 21) as bonus,"
    " (select coalesce(sum(f.amount_minor), 0) from refund_line f join wallet_grant g on g.member_id = f.member_id and g.id = f.grant_id"
    "   where f.member_id = :m and f.original_id = o.id and g.kind = 'paid') as paid_back,"
    " (select coalesce(sum(f.amount_minor), 0) from refund_line f join wallet_grant g on g.member_id = f.member_id and g.id = f.grant_id"
    "   where f.member_id = :m and f.original_id = o.id and g.kind = 'bonus') as bonus_back"
    " from ledger_transaction o join posting p on p.book_id = o.book_id and p.transaction_id = o.id"
    " where o.book_id = :m and o.kind = 'subscription' group by o.id"
)

HISTORY = text("select * from subscription_history where member_id = :m order by term, seq")  # the charge of a plain renewal is its motion (decision 0064)


def listed(rank: int, seats: int, period: str) -> int:
    return world.month_price(rank, seats) * world.TIMES[period]


class Value(RuleBasedStateMachine):
    """One member, one product line. Rules are what a member can do; time passes through every renewal and resumption on its way."""

    empty: ClassVar[Callable[[], None]]  # set by the test
    unit: ClassVar[str]  # how terms are divided: by seconds, what is used is the rate times the time it was held

    @initialize(paid=st.integers(500_00, 9_000_00), bonus=st.integers(0, 2_000_00), hour=st.integers(0, 23))
    def begin(self, paid: int, bonus: int, hour: int) -> None:
        type(self).empty()
        db.session.expunge_all()
        world.sell()
        self.member = world.member_with()
        self.at = AT + timedelta(hours=hour)
        self.paid_in = self.bonus_in = 0
        self.seconds = Fraction(0)  # used, where terms are divided by seconds
        self.days: dict[tuple[Any, date | datetime], Fraction] = {}  # the highest rate held on a day, of each subscription
        self.lengths: dict[tuple[Any, int], int] = {}
        self.owed: dict[tuple[Any, int], dict[date | datetime, Fraction]] = {}  # used in a term that is not paid yet, by subscription and term
        self.refused: Counter[str] = Counter()
        self.put_in(paid, bonus)

    @rule(paid=st.integers(1, 3_000_00), bonus=st.integers(0, 800_00))
    def put_in(self, paid: int, bonus: int) -> None:
        if paid + bonus:
            self.paid_in, self.bonus_in = self.paid_in + paid, self.bonus_in + bonus
            world.put_in(self.member, paid, bonus, at=self.at)
            self.see()

    @precondition(lambda self: not self.one())
    @rule(
        rank=RANKS,
        seats=SEATS,
        period=PERIODS,
        is_trial=st.sampled_from([False, False, True]),
        converts=st.booleans(),
        years=st.sampled_from([None, None, 2, 3]),
    )
    def start(self, rank: int, seats: int, period: str, is_trial: bool, converts: bool, years: int | None) -> None:
        wish = {"product_line": "crm", "rank": rank, "seats": seats, "period": period, "is_trial": is_trial, "converts": converts,
                "commitment_years": years if period == "year" and not is_trial else None}  # fmt: skip

        def act() -> None:
            seller = subscriptions.seller_of(self.member.id)
            price = previews.of_start(self.member.id, seller, subscriptions.Wish(**wish), at=self.at).amount_minor
            subscription_charges.start(self.member.id, Start(id=new_id(), price_minor=price, **wish), at=self.at)

        if self.act(act) and not is_trial:  # coming back pays what was used unpaid before
            for days in self.owed.values():
                self.days.update({("owed", day): rate for day, rate in days.items()})
            self.owed.clear()
            self.see()

    @precondition(lambda self: self.one())
    @rule(rank=st.none() | RANKS, seats=st.none() | SEATS, period=st.none() | PERIODS, effective=st.sampled_from(["auto", "now", "now", "term_end"]))
    def change(self, rank: int | None, seats: int | None, period: str | None, effective: str) -> None:
        one = self.one()

        def act() -> None:
            shown = previews.of_change(
                subscriptions.show(self.member.id, one.id), subscriptions.seller_of(self.member.id), rank, seats, at=self.at, period=period, effective=effective
            )
            shown = subscription_charges.with_wallet(shown, self.member.id, at=self.at)
            before = world_balance(self.member.id, self.at)
            subscription_charges.change(
                self.member.id, one.id, ChangeTo(new_id(), shown.amount_minor, rank, seats, period, effective, shown.priced_at), at=self.at
            )
            assert world_balance(self.member.id, self.at) - before == -shown.amount_minor == shown.balance_after_minor - before

        self.act(act)

    @precondition(lambda self: self.one())
    @rule()
    def end(self) -> None:
        one = self.one()

        def act() -> None:
            row = subscriptions.show(self.member.id, one.id)
            shown = subscription_ends.preview_end(row, subscriptions.seller_of(self.member.id), at=self.at)
            subscription_ends.end_now(self.member.id, one.id, EndNow(new_id(), shown.amount_minor, shown.priced_at), at=self.at)

        self.act(act)

    @precondition(lambda self: self.one())
    @rule(how=st.sampled_from([subscription_ends.cancel, subscription_ends.resume, subscription_ends.unpause]))
    def switch(self, how: Callable[..., Any]) -> None:
        one = self.one()
        self.act(lambda: how(self.member.id, one.id, at=self.at))

    @precondition(lambda self: self.one())
    @rule(days=st.none() | st.integers(1, 60))
    def pause(self, days: int | None) -> None:
        one, day = self.one(), days and local_day(self.at, ZONE) + timedelta(days=days)
        self.act(lambda: subscription_ends.pause(self.member.id, one.id, day or None, at=self.at))

    @precondition(lambda self: self.one() and self.one().state == "active")
    @rule(days=st.integers(1, 40), then=st.integers(20, 70))
    def come_back_and_stay(self, days: int, then: int) -> None:
        """A pause that really happens, and what follows it, on to the next term."""
        self.pause(None)
        self.time_passes(24 * days)
        if (one := self.one()) and one.state == "paused":
            self.switch(subscription_ends.unpause)
        self.time_passes(24 * then)

    @rule(hours=st.one_of(st.integers(0, 30), st.integers(1, 60).map(lambda days: 24 * days)))
    def time_passes(self, hours: int) -> None:
        until = self.at + timedelta(hours=hours)
        while True:
            one = self.one()
            due = [at for at in (one.next_attempt_at, one.resumes_at) if at is not None] if one else []
            event = max(min(due), self.at) if due else until
            if event > until or not due:
                self.wait(until)
                return
            self.wait(event)
            with transaction(SYSTEM):
                over = pauses.due(event, 10)
                for member_id, subscription_id in over:
                    subscription_ends.unpause(member_id, subscription_id, at=event)
            assert over or world.renew_all(event).examined, "nothing happened to what was due"
            self.see()

    @invariant()
    def nobody_has_more_than_it_paid_for(self) -> None:
        if not hasattr(self, "member"):
            return
        paid, bonus = world.balance(self.member, self.at)
        used = sum(self.days.values(), self.seconds)
        assert used + paid + bonus <= self.paid_in + self.bonus_in, self.refused
        assert (paid, bonus) <= (self.paid_in, self.bonus_in)
        assert bonus <= self.bonus_in
        with transaction(SYSTEM) as session:
            for _id, drawn_paid, drawn_bonus, paid_back, bonus_back in session.execute(GIVEN_BACK, {"m": self.member.id}):
                assert paid_back <= (drawn_paid or 0)
                assert bonus_back <= (drawn_bonus or 0)

    @invariant()
    def what_is_paid_is_used_or_left_to_use(self) -> None:
        """The other side: nothing is lost but a rounding a term, and days that two terms were paid for (a new start or period on one day)."""
        if not hasattr(self, "member"):
            return
        one = self.one()
        with transaction(SYSTEM) as session:
            rows = session.scalars(select(SubscriptionCharge).where(SubscriptionCharge.member_id == self.member.id, SubscriptionCharge.state == "paid")).all()
            steps = session.execute(HISTORY, {"m": self.member.id}).all()
            spent = sum(row.amount_minor for row in rows)
            assert spent == self.paid_in + self.bonus_in - sum(world_balances(self.member.id, self.at))
            assert sum(step.amount_minor for step in steps) == spent
            arr = motions.arr_of(one) if one else 0
            assert sum(step.arr_after_minor - step.arr_before_minor for step in steps) == arr
            for sub in {step.subscription_id for step in steps}:
                own = [step for step in steps if step.subscription_id == sub]
                assert [step.arr_before_minor for step in own[1:]] == [step.arr_after_minor for step in own[:-1]]
            if one and one.state in ("active", "paused") and self.at < one.term_end:
                worth = proration.worth_of(one, self.at, ZONE)
                of_term = [row for row in rows if row.term == one.term and row.subscription_id == one.id and row.service_until == one.term_end]
                assert sum(row.amount_minor for row in of_term) == worth.paid_minor
                assert one.term_price_minor == listed(one.rank, one.seats, one.period)

    def teardown(self) -> None:
        if hasattr(self, "member"):
            assert_books_hold()

    def act(self, what: Callable[[], None]) -> bool:
        """Do it as the member; what is refused has changed nothing."""
        before = world.balance(self.member, self.at)
        try:
            with transaction(world.owner_of(self.member)):
                what()
        except AppError as refusal:
            self.refused[refusal.code] += 1
            assert world.balance(self.member, self.at) == before
            return False
        self.see()
        return True

    def one(self) -> Any:
        with transaction(SYSTEM) as session:
            found = session.scalar(select(Subscription).where(Subscription.member_id == self.member.id, Subscription.state != "ended"))
        db.session.expunge_all()
        return found

    def length(self, one: Any) -> int:
        """Units of a term as it began: no pause may make more of them."""
        days = (local_day(one.term_end, ZONE) - local_day(one.term_start, ZONE)).days
        if (one.id, one.term) not in self.lengths:
            assert one.paused_units == 0
            assert days in DAYS[one.period]
            self.lengths[one.id, one.term] = days if self.unit == "day" else (one.term_end - one.term_start) // proration.SECOND
        return self.lengths[one.id, one.term]

    def unpaid(self) -> SubscriptionCharge:
        with transaction(SYSTEM) as session:
            of = select(SubscriptionCharge).where(SubscriptionCharge.member_id == self.member.id, SubscriptionCharge.state == "unpaid")
            return session.scalars(of).one()

    def wait(self, until: datetime) -> None:
        """Day by day to an instant; midnight itself belongs to the day that begins, and what happens then happens first."""
        one = self.one()
        if self.unit == "second" and one and one.state == "active" and until > self.at:
            length = self.length(one)
            held = Fraction((min(until, one.term_end) - self.at) // timedelta(microseconds=1), 1_000_000)
            self.seconds += Fraction(listed(one.rank, one.seats, one.period)) * held / length
        elif self.unit == "second" and one and one.state == "past_due" and one.suspended_at is None and until > self.at:
            unpaid = self.unpaid()
            held = Fraction((until - self.at) // timedelta(microseconds=1), 1_000_000)
            length = (unpaid.service_until - unpaid.service_from) // proration.SECOND
            self.owed.setdefault((one.id, one.term + 1), {})[self.at] = unpaid.amount_minor * held / length
        day = local_day(self.at, ZONE) + timedelta(days=1)
        while start_of_day(day, ZONE) < until:
            self.at = start_of_day(day, ZONE)
            self.see()
            day += timedelta(days=1)
        self.at = max(self.at, until)
        if start_of_day(local_day(self.at, ZONE), ZONE) != self.at:
            self.see()

    def see(self) -> None:
        """Note the rate of what can be used today."""
        one, day = self.one(), local_day(self.at, ZONE)
        if one is None:
            return
        for key in [key for key in self.owed if key[0] == one.id and key[1] <= one.term and one.state != "past_due"]:
            self.days.update({(one.id, used): rate for used, rate in self.owed.pop(key).items()})  # it was paid after all
        if one.state == "past_due" and one.suspended_at is None and self.unit == "day":
            unpaid = self.unpaid()
            length = (local_day(unpaid.service_until, ZONE) - local_day(unpaid.service_from, ZONE)).days
            self.owed.setdefault((one.id, one.term + 1), {})[day] = Fraction(unpaid.amount_minor, length)
        elif one.state == "active" and self.at < one.term_end:
            rate = Fraction(listed(one.rank, one.seats, one.period), self.length(one))
            if self.unit == "day":
                self.days[one.id, day] = max(self.days.get((one.id, day), Fraction(0)), rate)


def world_balances(member_id: Any, at: datetime) -> tuple[int, int]:
    from billing.wallet import balances

    found = balances.balance(member_id, "CNY", at=at)
    return found.paid_minor, found.bonus_minor


def world_balance(member_id: Any, at: datetime) -> int:
    return sum(world_balances(member_id, at))


def search(empty: Callable[[], None], unit: str, examples: int, steps: int) -> None:
    machine = type("Histories", (Value,), {"empty": staticmethod(empty), "unit": unit})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate],
            derandomize=False,
        ),
    )  # fmt: skip


@pytest.mark.parametrize("unit", ["day", "second"])
def test_no_sequence_of_changes_gives_more_than_was_paid_for(app: Flask, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], proration_unit=unit))
    search(request.getfixturevalue("_emptying"), unit, examples=10, steps=20)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("unit", ["day", "second"])
def test_nor_does_any_of_many_long_ones(app: Flask, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], proration_unit=unit))
    search(request.getfixturevalue("_emptying"), unit, examples=60, steps=50)
