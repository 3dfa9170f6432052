"""The renewal run: what it charges, what it tells, and that nobody is charged twice or skipped."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from billing.ledger.accounts import Account as A
from billing.ledger.ledger_models import LedgerTransaction
from billing.renewal import renewal_jobs, renewals
from billing.subscription import subscription_ends
from billing.subscription.subscription_models import SubscriptionCharge
from billing.wallet import wallets
from core import clock
from core.actor import SYSTEM
from core.db import transaction
from membership import notices
from membership.models import Member
from membership.notice_models import Notice
from membership.subscription_models import Subscription
from tests.billing import subscription_world as world
from tests.billing.books import accounts, assert_books_hold

AT = world.AT
END = datetime(2026, 7, 14, 16, tzinfo=UTC)  # July 15, midnight in Shanghai
GRACE = timedelta(days=14)


@pytest.fixture
def member(app: Flask) -> Member:
    world.sell()
    return world.member_with()


def told(member: Member, *, unread: bool = True) -> list[str]:
    with transaction(SYSTEM):
        return sorted(n.kind for n in notices.list_newest(member.id) if n.read_at is None or not unread)


def motions(subscription: Subscription) -> list[tuple[str, int, int, int]]:
    with transaction(SYSTEM) as session:
        found = session.execute(
            text("select motion, amount_minor, arr_before_minor, arr_after_minor from subscription_history where subscription_id = :id order by at, term, seq"),
            {"id": subscription.id},
        )
        return [(m.motion, m.amount_minor, m.arr_before_minor, m.arr_after_minor) for m in found]


def charge_of(subscription: Subscription, term: int) -> SubscriptionCharge:
    with transaction(SYSTEM) as session:
        found = session.get_one(SubscriptionCharge, (subscription.member_id, renewals.charge_id(subscription.id, term)))
    return world._apart(found)  # type: ignore[no-any-return]


def test_a_renewal_pays_defers_and_begins_where_the_term_ended(member: Member) -> None:
    world.put_in(member, 1_000_00)
    subscription = world.subscribe(member)
    assert world.renew_all(END - timedelta(seconds=1)).examined == 0
    assert world.renew_all(END + timedelta(minutes=7)) == renewals.RunResult(1, renewed=1)
    held = world.now_of(subscription)
    assert (held.term, held.state, held.term_start, held.term_end) == (2, "active", END, datetime(2026, 8, 14, 16, tzinfo=UTC))
    assert held.next_attempt_at == held.term_end
    charge = charge_of(subscription, 2)
    assert (charge.amount_minor, charge.tax_minor, charge.service_from, charge.service_until, charge.state) == (300_00, 16_98, END, held.term_end, "paid")
    assert accounts(member.id) == {
        A.STRIPE_CLEARING: -1_000_00, A.WALLET_PAID: 400_00, A.DEFERRED_REVENUE: 2 * (300_00 - 16_98), A.TAX_PAYABLE: 2 * 16_98,
    }  # fmt: skip
    assert motions(subscription) == [("new", 300_00, 0, 3_600_00), ("renewal", 300_00, 3_600_00, 3_600_00)]
    assert told(member) == []  # nothing to attend to (decision 0024)
    assert_books_hold()


def test_a_renewal_brings_what_was_planned_at_the_prices_of_its_first_day(member: Member) -> None:
    world.put_in(member, 1_000_00)
    subscription = world.subscribe(member, rank=3, seats=8)
    world.change(member, subscription, 0, rank=1, seats=2)
    world.reprice("crm", END, factor=2)
    world.reprice("crm", END + timedelta(days=1), factor=9)
    world.announce(subscription, valid_from=END)
    world.renew_all(END + timedelta(days=3))
    held = world.now_of(subscription)
    assert (held.rank, held.seats, held.next_rank, held.next_seats, held.term_price_minor) == (1, 2, None, None, 2 * world.month_price(1, 2))
    steps = motions(subscription)
    assert Counter(step[0] for step in steps) == {"new": 1, "renewal": 1, "downgrade": 1, "seats": 1}
    assert [before for _name, _amount, before, _after in steps[1:]] == [after for *_rest, after in steps[:-1]]  # without a gap, in this order
    assert sum(after - before for _name, _amount, before, after in steps) == 12 * held.term_price_minor
    assert world.balance(member) == (1_000_00 - world.month_price(3, 8) - 2 * world.month_price(1, 2), 0)


def test_a_cancelled_one_ends_with_its_term_uncharged(member: Member) -> None:
    world.put_in(member, 1_000_00)
    subscription = world.subscribe(member)
    with transaction(world.owner_of(member)):
        subscription_ends.cancel(member.id, subscription.id, at=AT)
    assert world.renew_all(END + timedelta(hours=2)) == renewals.RunResult(1, ended=1)
    held = world.now_of(subscription)
    assert (held.state, held.ended_at, held.next_attempt_at) == ("ended", END, None)
    assert world.balance(member) == (700_00, 0)
    assert motions(subscription)[-1] == ("lapse", 0, 3_600_00, 0)
    assert told(member) == ["subscription_ended"]


def test_short_of_money_it_is_past_due_told_once_and_the_next_top_up_pays_it(member: Member) -> None:
    world.put_in(member, 350_00)
    subscription = world.subscribe(member)
    assert world.renew_all(END) == renewals.RunResult(1, past_due=1)
    assert world.renew_all(END).examined == 0
    assert [world.renew_all(END + timedelta(days=day)).past_due for day in (1, 2, 3)] == [1, 0, 1]  # by the retry plan
    held = world.now_of(subscription)
    assert (held.state, held.failed_attempts, held.term, held.term_end) == ("past_due", 3, 1, END)
    assert charge_of(subscription, 2).state == "unpaid"
    assert told(member) == ["subscription_past_due"]
    with transaction(SYSTEM) as session:
        notice = session.scalars(select(Notice).where(Notice.member_id == member.id)).one()
        assert (notice.details["amount_minor"], notice.details["missing_minor"], notice.details["until"]) == (300_00, 250_00, "2026-07-29")
        assert "250" in notices.sentence(notice)
    assert world.put_in(member, 100_00, at=END + timedelta(days=4)) == 0  # still too little
    later = END + timedelta(days=5)
    assert world.put_in(member, 150_00, at=later) == 1
    held = world.now_of(subscription)
    assert (held.state, held.term, held.term_start, held.term_end) == ("active", 2, END, datetime(2026, 8, 14, 16, tzinfo=UTC))
    charge = charge_of(subscription, 2)
    assert (charge.state, charge.due_at, charge.paid_at) == ("paid", END, later)
    assert told(member) == []  # never active and past due at once
    assert [m[0] for m in motions(subscription)] == ["new", "past_due", "renewal"]
    assert world.balance(member, later) == (0, 0)
    assert_books_hold()


def test_after_the_days_of_grace_it_lapses_and_owes_nothing(member: Member) -> None:
    world.put_in(member, 300_00)
    subscription = world.subscribe(member)
    world.renew_all(END)
    assert [day for day in range(1, 14) if world.renew_all(END + timedelta(days=day)).examined] == [1, 3, 7]
    assert world.renew_all(END + GRACE) == renewals.RunResult(1, lapsed=1)
    held = world.now_of(subscription)
    assert (held.state, held.ended_at) == ("ended", END + GRACE)
    assert charge_of(subscription, 2).state == "void"
    assert [m[0] for m in motions(subscription)] == ["new", "past_due", "lapse"]
    assert told(member) == ["subscription_lapsed"]
    assert world.put_in(member, 900_00, at=END + GRACE) == 0
    assert world.balance(member) == (900_00, 0)


def test_cancelling_what_is_past_due_ends_it_at_once(member: Member) -> None:
    world.put_in(member, 300_00)
    subscription = world.subscribe(member)
    world.renew_all(END)
    with transaction(world.owner_of(member)):
        subscription_ends.cancel(member.id, subscription.id, at=END + timedelta(days=1))
    assert world.now_of(subscription).state == "ended"
    assert charge_of(subscription, 2).state == "void"
    assert told(member) == []
    assert world.put_in(member, 900_00, at=END + timedelta(days=2)) == 0


def test_a_trial_without_money_is_past_due_for_its_first_term(member: Member) -> None:
    subscription = world.subscribe(member, is_trial=True)
    assert world.renew_all(subscription.term_end).past_due == 1
    assert world.put_in(member, 300_00, at=subscription.term_end + timedelta(days=2)) == 1
    assert [m for m in motions(subscription) if m[0] != "past_due"] == [("new", 300_00, 0, 3_600_00)]


def test_several_subscriptions_of_one_wallet_are_paid_in_the_order_their_terms_ended(member: Member) -> None:
    for line in ("ops", "erp", "bi"):
        world.sell(line)
    world.put_in(member, 1_800_00)
    began = {"ops": AT + timedelta(days=1), "crm": AT, "bi": AT + timedelta(days=2), "erp": AT + timedelta(days=2, hours=1)}
    subscriptions = {line: world.subscribe(member, line=line, at=at) for line, at in sorted(began.items(), key=lambda item: item[1])}
    assert world.renew_all(END + timedelta(days=5), limit=1) == renewals.RunResult(4, renewed=2, past_due=2)
    states = {line: world.now_of(one).state for line, one in subscriptions.items()}
    assert states == {"crm": "active", "ops": "active", "bi": "past_due", "erp": "past_due"}
    assert world.put_in(member, 300_00, at=END + timedelta(days=6)) == 1
    assert world.now_of(subscriptions["bi"]).state == "active"
    assert world.now_of(subscriptions["erp"]).state == "past_due"


def test_one_that_is_several_terms_behind_catches_up(member: Member) -> None:
    world.put_in(member, 10_000_00)
    subscription = world.subscribe(member, at=datetime(2026, 1, 31, 2, tzinfo=UTC))
    assert world.renew_all(datetime(2026, 6, 1, tzinfo=UTC)).renewed == 4
    held = world.now_of(subscription)
    assert (held.term, held.term_end) == (5, datetime(2026, 6, 29, 16, tzinfo=UTC))  # June 30: May 31 was not forgotten


def test_a_frozen_wallet_is_past_due_and_one_without_a_price_is_parked(member: Member, owner: Any) -> None:
    world.put_in(member, 1_000_00)
    frozen, parked = world.subscribe(member), world.member_with(paid=1_000_00)
    odd = world.subscribe(parked)
    with owner.begin() as connection:
        connection.execute(text("update wallet set state = 'frozen' where member_id = :m"), {"m": member.id})
        connection.execute(text("update subscription set next_rank = 1, period = 'quarter' where id = :s"), {"s": odd.id})
        connection.execute(text("delete from edition_price where rank = 1 and period = 'quarter'"))
    assert world.renew_all(END) == renewals.RunResult(2, past_due=1, parked=1)
    assert world.now_of(frozen).state == "past_due"
    assert world.now_of(odd).state == "active"
    assert world.balance(parked) == (700_00, 0)


def due_world(count: int, paid: int = 700_00) -> list[Subscription]:
    world.sell()
    return [world.subscribe(world.member_with(paid=paid)) for _ in range(count)]


def charged_once(subscriptions: list[Subscription], terms: int = 1) -> None:
    """Each was renewed exactly so many times, and the ledger says the same."""
    with transaction(SYSTEM) as session:
        counts = Counter(session.scalars(select(LedgerTransaction.book_id).where(LedgerTransaction.kind == "subscription")))
        found = {s.id: s.term for s in session.scalars(select(Subscription))}
    assert counts == {s.member_id: 1 + terms for s in subscriptions}
    assert found == {s.id: 1 + terms for s in subscriptions}
    assert_books_hold()


def test_a_run_that_dies_midway_has_done_whole_batches_and_the_next_one_does_the_rest(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    subscriptions = due_world(9)
    monkeypatch.setattr(clock, "now", lambda: END)
    monkeypatch.setattr(renewal_jobs, "now", lambda: END)
    monkeypatch.setattr(renewals, "batch_size", lambda: 4)
    monkeypatch.setattr(renewals, "lanes", lambda: 1)
    renew, calls = renewals.renew_due, []

    def dies(*args: Any, **more: Any) -> renewals.RunResult:
        done = renew(*args, **more)
        calls.append(done)
        if len(calls) >= 2:
            raise RuntimeError("killed after everything was written, before the commit")
        return done

    with monkeypatch.context() as broken:
        broken.setattr(renewals, "renew_due", dies)
        with pytest.raises(RuntimeError):
            renewal_jobs.renew_due_subscriptions()
    with transaction(SYSTEM) as session:
        assert Counter(session.scalars(select(Subscription.term))) == {1: 5, 2: 4}
    assert renewal_jobs.renew_due_subscriptions().renewed == 5
    charged_once(subscriptions)


def test_two_runs_at_once_share_the_work(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    subscriptions = due_world(24)
    monkeypatch.setattr(renewal_jobs, "now", lambda: END)
    monkeypatch.setattr(renewals, "batch_size", lambda: 3)
    gate, results, failures = threading.Barrier(2), [], []

    def run() -> None:
        with app.app_context():
            gate.wait()
            try:
                results.append(renewal_jobs.renew_due_subscriptions())
            except Exception as failure:
                failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert sum(result.renewed for result in results) == 24
    charged_once(subscriptions)


def test_lanes_serve_each_wallet_in_order(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wallet can pay for one of its two subscriptions: the one whose term ended first, though a lane has the others in its stretch."""
    world.sell()
    world.sell("ops")
    members = [world.member_with(paid=900_00) for _n in range(8)]
    early = [world.subscribe(member, at=AT + timedelta(days=n)) for n, member in enumerate(members)]
    late = [world.subscribe(member, line="ops", at=AT + timedelta(days=20 - n)) for n, member in enumerate(members)]
    monkeypatch.setattr(renewals, "batch_size", lambda: 3)
    monkeypatch.setattr(renewals, "lanes", lambda: 2)
    done = renewal_jobs.renew_due_subscriptions(END + timedelta(days=21))
    assert (done.renewed, done.past_due) == (8, 8)
    assert {world.now_of(one).state for one in early} == {"active"}
    assert {world.now_of(one).state for one in late} == {"past_due"}
    assert_books_hold()


def test_a_later_subscription_waits_while_another_run_holds_the_earlier_one(member: Member, app: Flask) -> None:
    world.sell("ops")
    world.put_in(member, 900_00)
    first, second = world.subscribe(member), world.subscribe(member, line="ops", at=AT + timedelta(hours=1))
    with transaction(SYSTEM) as session:
        session.execute(text("select from subscription where id = :id for no key update"), {"id": first.id})
        results: list[renewals.RunResult] = []

        def other_run() -> None:
            with app.app_context(), transaction(SYSTEM):
                results.append(renewals.renew_due(END))

        thread = threading.Thread(target=other_run)
        thread.start()
        thread.join(30)
    assert results == [renewals.RunResult(examined=1)]
    assert world.renew_all(END) == renewals.RunResult(2, renewed=1, past_due=1)
    assert (world.now_of(first).state, world.now_of(second).state) == ("active", "past_due")


def test_a_top_up_and_a_run_at_once_charge_once(member: Member, app: Flask) -> None:
    """The top-up holds the wallet and asks for the subscription; a run holds the subscription and asks for the wallet."""
    world.put_in(member, 300_00)
    subscription = world.subscribe(member)
    world.renew_all(END)
    later = END + timedelta(days=1)
    started, results = threading.Event(), []

    def run() -> None:
        with app.app_context(), transaction(SYSTEM) as session:
            session.execute(text("set local lock_timeout = '20s'"))
            started.set()
            results.append(renewals.renew_due(later))

    with transaction(SYSTEM):
        wallets.credit(wallets.Credit(member.id, world.new_id(), world.request_hash("x"), "top_up", "CNY", later, 300_00))
        thread = threading.Thread(target=run)
        thread.start()
        started.wait(10)
        thread.join(1)  # it waits for the wallet, holding the subscription
        assert renewals.pay_unpaid(member.id, at=later) == 0
    thread.join(30)
    assert results == [renewals.RunResult(1, renewed=1)]
    assert world.now_of(subscription).state == "active"
    assert world.balance(member, later) == (0, 0)


def test_a_batch_takes_the_same_number_of_statements_for_5_and_for_40(app: Flask) -> None:
    from sqlalchemy import event

    from core.db import db

    counts = []
    for size in (5, 40):
        due = [world.subscribe(world.member_with(paid=700_00)) for _ in range(size)] if counts else due_world(size)
        statements: list[str] = []
        event.listen(db.engine, "before_cursor_execute", lambda *args, seen=statements: seen.append(args[2]))
        with transaction(SYSTEM):
            assert renewals.renew_due(END).renewed == len(due)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 10
