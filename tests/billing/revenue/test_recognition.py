"""Deferred revenue is earned day by day (books, move 10): exactly, once, at its own instant, however late the job comes."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import Engine, select, text

from billing.approval import corrections
from billing.ledger import ledger_queries
from billing.ledger.accounts import Account as A
from billing.refund import refunds
from billing.revenue import recognition, recognition_jobs
from billing.revenue.recognition_models import Deferral, RecognitionDay
from billing.subscription import subscription_charges, subscription_ends, subscription_previews
from billing.subscription.subscription_charges import ChangeTo
from billing.subscription.subscription_ends import EndNow
from billing.subscription.subscription_models import SubscriptionCharge
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from membership import subscriptions
from membership.models import Member
from membership.subscription_models import Subscription
from tests.billing import subscription_world as world
from tests.billing.books import accounts, as_owner, assert_books_hold
from tests.factories import ENTITY

AT = world.AT  # noon of June 15 in Shanghai
DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 6, 15, 16, 0, tzinfo=UTC)  # the end of June 15 there


OF_MEMBERS = (
    "deferral", "recognition_day", "posting", "ledger_transaction", "subscription_motion", "subscription_charge", "subscription_request", "subscription",
    "wallet_grant", "lot", "wallet", "ledger_position", "notice", "outbox", "member", "book where kind = 'member'",
)  # fmt: skip


@pytest.fixture
def member(app: Flask) -> Member:
    world.sell()
    return world.member_with(paid=100_000_00)


def total(account: A, at: datetime) -> int:
    """The balance of an account over all books as of an instant."""
    with transaction(SYSTEM):
        found = {b.account: b.credit_minor - b.debit_minor for b in ledger_queries.trial_balance("CNY", at)}
    return found.get(account, 0)


def days() -> dict[date, int]:
    with transaction(SYSTEM) as session:
        return {row.day: row.amount_minor for row in session.scalars(select(RecognitionDay).order_by(RecognitionDay.day))}


def entries(owner: Engine) -> list[tuple[datetime, int]]:
    """Effective instant and amount of each entry."""
    with owner.connect() as connection:
        rows = connection.execute(
            text(
                "select t.effective_at, case p.source when 26 then p.amount_minor else -p.amount_minor end from ledger_transaction t"
                " join posting p on p.book_id = t.book_id and p.transaction_id = t.id where t.kind = 'recognition' order by 1"
            )
        ).all()
    return [(at, amount) for at, amount in rows]


def net_of(price: int) -> int:
    return price - round(price * 600 / 10_600)


def end_of(day: int, month: int = 6) -> datetime:
    """The first instant after a local day of 2026."""
    return datetime(2026, month, day, 16, 0, tzinfo=UTC)


def give_back(member: Member, charge: Subscription, net: int, at: datetime) -> None:
    with transaction(SYSTEM):
        refunds.refund_charge(
            member.id, charge.id, refund_id=new_id(), request_hash=request_hash("test", net=net), parts=[refunds.Part(A.DEFERRED_REVENUE, net)], at=at
        )


def test_a_month_is_earned_day_by_day_and_sums_to_the_whole(member: Member, owner: Engine) -> None:
    world.subscribe(member, rank=2, seats=5, at=AT)  # June 15 to July 15: 30 days, the first of which counts in full
    net = net_of(world.month_price(2, 5))
    assert total(A.DEFERRED_REVENUE, AT) == net
    assert recognition_jobs.recognise_days(MIDNIGHT - timedelta(seconds=1)) == 0  # the day is not over
    assert recognition_jobs.recognise_days(MIDNIGHT) == 1
    assert recognition_jobs.recognise_days(MIDNIGHT) == 0  # done
    assert recognition_jobs.recognise_days(MIDNIGHT + 40 * DAY) == 40
    amounts = days()
    assert sum(amounts.values()) == net
    assert [round(net * n / 30 + 1e-9) for n in range(1, 31)] == [sum(list(amounts.values())[:n]) for n in range(1, 31)]
    assert list(amounts.values())[30:] == [0] * 11  # nothing after the service period, and the days are done all the same
    written = entries(owner)
    assert len(written) == 30
    assert written[0][0] == MIDNIGHT - timedelta(microseconds=1)
    assert (total(A.DEFERRED_REVENUE, MIDNIGHT + 40 * DAY), total(A.SUBSCRIPTION_REVENUE, MIDNIGHT + 40 * DAY)) == (0, net)
    assert_books_hold()


def test_an_as_of_question_answers_the_same_however_late_the_job_came(member: Member) -> None:
    """One run after two months against a run every night: the same balance at the end of each day."""
    world.subscribe(member, rank=3, seats=7, at=AT)
    world.sell("ops")
    world.subscribe(member, rank=1, seats=2, period="year", line="ops", at=AT)
    recognition_jobs.recognise_days(end_of(20))
    nightly = {n: total(A.DEFERRED_REVENUE, end_of(n) - timedelta(microseconds=1)) for n in range(15, 21)}
    recognition_jobs.recognise_days(end_of(15, month=8))
    assert {n: total(A.DEFERRED_REVENUE, end_of(n) - timedelta(microseconds=1)) for n in range(15, 21)} == nightly
    assert len(set(nightly.values())) == 6
    assert_books_hold()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_long_run_equals_many_short_ones(app: Flask, owner: Engine, seed: int) -> None:
    """The same subscriptions, recognised in one go and in random cuts: the same entries to the cent."""

    def play(cuts: list[datetime]) -> list[tuple[datetime, int]]:
        chance = random.Random(seed)
        world_of = [world.member_with(paid=10_000_000_00) for _ in range(3)]
        for number, one in enumerate(world_of):
            began = AT + timedelta(hours=number * 31)
            world.subscribe(one, rank=chance.randint(1, 4), seats=chance.randint(1, 9), period=["month", "quarter", "year"][number], at=began)
        for cut in cuts:
            recognition_jobs.recognise_days(cut)
        assert_books_hold()
        found = entries(owner)
        as_owner(owner, "set local session_replication_role = replica; " + "; ".join(f"delete from {table}" for table in OF_MEMBERS))
        return found

    world.sell()
    end, chance = AT + 100 * DAY, random.Random(seed)
    cuts = sorted(AT + timedelta(minutes=chance.randint(0, 100 * 24 * 60)) for _ in range(12))
    assert play([end]) == play([*cuts, end]) == play([AT + n * DAY for n in range(101)])


def test_a_member_that_pays_late_is_earned_for_when_it_has_paid(member: Member, owner: Engine) -> None:
    """A renewal due on July 15 and paid on July 18: on that day four days are earned at once, and never before."""
    poor = world.member_with(paid=world.month_price(2, 5))
    world.subscribe(poor, rank=2, seats=5, at=AT)
    world.renew_all(end_of(14, month=7))
    recognition_jobs.recognise_days(end_of(17, month=7))
    world.put_in(poor, 1_000_00, at=datetime(2026, 7, 18, 4, 0, tzinfo=UTC))
    recognition_jobs.recognise_days(end_of(19, month=7))
    net, amounts = net_of(world.month_price(2, 5)), days()
    assert [amounts[date(2026, 7, n)] for n in (15, 16, 17)] == [0, 0, 0]
    assert amounts[date(2026, 7, 18)] == round(net * 4 / 31)
    assert amounts[date(2026, 7, 18)] + amounts[date(2026, 7, 19)] == round(net * 5 / 31)
    assert_books_hold()


def test_what_came_too_late_for_its_day_is_earned_with_the_next(member: Member) -> None:
    """A charge of June 15 that was committed after the night's run."""
    other = world.member_with(paid=1_000_00)
    world.subscribe(other, rank=1, seats=1, at=AT - DAY)
    recognition_jobs.recognise_days(MIDNIGHT)
    world.subscribe(member, rank=2, seats=5, at=MIDNIGHT - timedelta(seconds=1))
    recognition_jobs.recognise_days(MIDNIGHT + DAY)
    with transaction(SYSTEM) as session:
        late = session.scalars(select(Deferral).where(Deferral.member_id == member.id)).one()
    assert late.recognised_minor == round(net_of(world.month_price(2, 5)) * 2 / 30)
    assert_books_hold()


def test_bonus_is_no_revenue(app: Flask) -> None:
    """Paid 1,000 with 100 bonus: what the bonus bought is a discount, so lifetime revenue is what was paid for it."""
    world.sell()
    member = world.member_with(paid=1_000_00, bonus=100_00)
    world.subscribe(member, rank=2, seats=5, at=AT)
    deferred = total(A.DEFERRED_REVENUE, AT)
    assert deferred < net_of(world.month_price(2, 5))
    recognition_jobs.recognise_days(MIDNIGHT + 40 * DAY)
    assert (total(A.SUBSCRIPTION_REVENUE, MIDNIGHT + 40 * DAY), total(A.DEFERRED_REVENUE, MIDNIGHT + 40 * DAY)) == (deferred, 0)
    assert_books_hold()


def test_what_staff_give_back_lowers_the_price_of_the_whole_period(member: Member) -> None:
    """After ten of thirty days a third is given back and the subscription goes on: the days gone are made good for at once, the others earn less."""
    subscription = world.subscribe(member, rank=2, seats=5, at=AT)
    net = net_of(world.month_price(2, 5))
    back = net // 3
    recognition_jobs.recognise_days(end_of(24))
    used = sum(days().values())
    assert used == round(net * 10 / 30)
    give_back(member, subscription, back, at=datetime(2026, 6, 25, 3, 0, tzinfo=UTC))
    recognition_jobs.recognise_days(end_of(30, month=7))
    amounts = days()
    assert sum(amounts[date(2026, 6, n)] for n in range(15, 25)) == used
    assert amounts[date(2026, 6, 25)] == round(net * 11 / 30) - round(back * 11 / 30) - used
    assert all(abs(amounts[date(2026, 6, n)] - (net - back) / 30) <= 1 for n in range(26, 31))
    assert sum(amounts.values()) == net - back
    assert total(A.DEFERRED_REVENUE, end_of(30, month=7)) == 0
    assert_books_hold()


def test_a_charge_that_is_corrected_was_never_revenue(member: Member) -> None:
    subscription = world.subscribe(member, rank=2, seats=5, at=AT)
    recognition_jobs.recognise_days(end_of(24))
    with transaction(SYSTEM):
        corrections.correct(member.id, subscription.id, id=new_id(), at=datetime(2026, 6, 25, 3, 0, tzinfo=UTC), memo="charged by mistake")
    recognition_jobs.recognise_days(end_of(25))
    assert sum(days().values()) == 0
    recognition_jobs.recognise_days(end_of(30, month=7))
    assert all(abs(amount) <= 1 for day, amount in days().items() if day > date(2026, 6, 25))
    assert (total(A.DEFERRED_REVENUE, end_of(30, 7)), total(A.SUBSCRIPTION_REVENUE, end_of(30, 7))) == (0, 0)
    assert_books_hold()


def test_recognition_is_not_corrected_by_hand(member: Member) -> None:
    world.subscribe(member, at=AT)
    recognition_jobs.recognise_days(MIDNIGHT)
    with transaction(SYSTEM) as session:
        entry = session.execute(text("select id from ledger_transaction where kind = 'recognition'")).scalar_one()
    with pytest.raises(corrections.NotCorrectable), transaction(SYSTEM):
        corrections.correct(ENTITY, entry, id=new_id(), at=MIDNIGHT, memo="no")


def test_what_is_given_back_after_it_was_earned_is_taken_back_at_once(member: Member) -> None:
    subscription = world.subscribe(member, rank=2, seats=5, at=AT)
    net = net_of(world.month_price(2, 5))
    recognition_jobs.recognise_days(end_of(20, month=7))
    give_back(member, subscription, net, at=datetime(2026, 7, 21, 3, 0, tzinfo=UTC))
    recognition_jobs.recognise_days(end_of(21, month=7))
    assert days()[date(2026, 7, 21)] == -net
    assert (total(A.SUBSCRIPTION_REVENUE, end_of(21, 7)), total(A.DEFERRED_REVENUE, end_of(21, 7))) == (0, 0)
    assert_books_hold()


def test_paused_time_earns_nothing(member: Member, owner: Engine) -> None:
    """Paused from June 20 to July 5, so the term ends 15 days later; the rows are those of decision 0021."""
    subscription = world.subscribe(member, rank=2, seats=5, at=AT)
    net = net_of(world.month_price(2, 5))
    pause = "insert into subscription_pause values (:m, :id, :s, 1, :asked, :since, null)"
    as_owner(owner, pause, m=member.id, id=new_id(), s=subscription.id, asked=end_of(18), since=end_of(19))
    recognition_jobs.recognise_days(end_of(4, month=7))
    assert sum(days().values()) == round(net * 5 / 30)
    over = "update subscription_pause set until_at = :till; update subscription_charge set service_until = service_until + interval '15 days'"
    as_owner(owner, over, till=end_of(4, month=7))
    recognition_jobs.recognise_days(end_of(5, month=7))
    assert sum(days().values()) == round(net * 6 / 30)
    recognition_jobs.recognise_days(end_of(29, month=7))
    assert sum(days().values()) == net
    recognition_jobs.recognise_days(end_of(31, month=7))
    assert sum(days().values()) == net
    assert_books_hold()


def test_when_a_subscription_ends_nothing_is_left_to_earn(member: Member, owner: Engine) -> None:
    subscription = world.subscribe(member, rank=2, seats=5, at=AT)
    recognition_jobs.recognise_days(end_of(19))
    as_owner(owner, "update subscription set state = 'ended', ended_at = :at where id = :s", s=subscription.id, at=end_of(19) + timedelta(hours=5))
    recognition_jobs.recognise_days(end_of(21))
    net, amounts = net_of(world.month_price(2, 5)), days()
    assert amounts[date(2026, 6, 20)] == net - round(net * 5 / 30)
    assert amounts[date(2026, 6, 21)] == 0
    assert_books_hold()


def cut_short() -> None:
    with transaction(SYSTEM):
        assert len(recognition.recognise(MIDNIGHT)) == 1
        raise ZeroDivisionError


def test_a_run_that_is_cut_short_leaves_whole_days(member: Member) -> None:
    world.subscribe(member, at=AT)
    with pytest.raises(ZeroDivisionError):
        cut_short()
    assert days() == {}
    assert recognition_jobs.recognise_days(MIDNIGHT + DAY) == 2
    assert_books_hold()


def test_the_proof_finds_a_wrong_schedule(member: Member, owner: Engine) -> None:
    world.subscribe(member, at=AT)
    recognition_jobs.recognise_days(MIDNIGHT + DAY)
    as_owner(owner, "update deferral set recognised_minor = recognised_minor + 1")
    with pytest.raises(AssertionError, match="recognised revenue"):
        assert_books_hold()
    as_owner(owner, "update deferral set recognised_minor = recognised_minor - 1, deferred_minor = deferred_minor + 7")
    with pytest.raises(AssertionError, match="deferral"):
        assert_books_hold()


def test_nothing_is_written_into_members_books(member: Member) -> None:
    world.subscribe(member, at=AT)
    before = accounts(member.id)
    recognition_jobs.recognise_days(MIDNIGHT + 3 * DAY)
    assert accounts(member.id) == before
    assert set(accounts(ENTITY)) == {A.DEFERRED_REVENUE, A.SUBSCRIPTION_REVENUE}


# --- with the functions that pause, end and change subscriptions ---------------------------------------------------------------------------------


def lines_of(subscription: Subscription) -> list[tuple[int, int]]:
    """Deferred and recognised of each line of a subscription's charges."""
    with transaction(SYSTEM) as session:
        rows = session.execute(
            select(Deferral.deferred_minor, Deferral.recognised_minor)
            .join(SubscriptionCharge, (SubscriptionCharge.member_id == Deferral.member_id) & (SubscriptionCharge.id == Deferral.charge_id))
            .where(SubscriptionCharge.subscription_id == subscription.id)
            .order_by(SubscriptionCharge.paid_at)
        )
        return [(row[0], row[1]) for row in rows]


def test_a_pause_by_the_member_earns_nothing_and_the_rest_comes_after_it(member: Member) -> None:
    subscription = world.subscribe(member, rank=2, seats=5, at=AT)
    net = net_of(world.month_price(2, 5))
    with transaction(world.owner_of(member)):
        subscription_ends.pause(member.id, subscription.id, None, at=AT + 4 * DAY)  # June 19 counts as used
    recognition_jobs.recognise_days(AT + 11 * DAY)
    assert sum(days().values()) == round(net * 5 / 30)
    with transaction(world.owner_of(member)):
        subscription_ends.unpause(member.id, subscription.id, at=AT + 12 * DAY)
    recognition_jobs.recognise_days(AT + 13 * DAY)
    assert sum(days().values()) == round(net * 6 / 30)
    end = world.now_of(subscription).term_end
    recognition_jobs.recognise_days(end)
    assert sum(days().values()) == net
    assert total(A.DEFERRED_REVENUE, end) == 0
    assert_books_hold()


@pytest.mark.parametrize("is_late", [False, True])
def test_ending_now_leaves_as_revenue_what_was_used(member: Member, is_late: bool) -> None:
    """Ten of thirty days used, the rest given back: exactly what was kept is revenue, whether the nights before were recognised in time or not."""
    subscription = world.subscribe(member, rank=2, seats=5, at=AT)
    at = AT + 9 * DAY  # June 24, the tenth day
    if not is_late:
        recognition_jobs.recognise_days(at)
    with transaction(world.owner_of(member)):
        seller = subscriptions.seller_of(member.id)
        shown = subscription_ends.preview_end(subscriptions.show(member.id, subscription.id), seller, at=at)
        done = subscription_ends.end_now(member.id, subscription.id, EndNow(new_id(), shown.amount_minor), at=at)
    assert done.amount_minor < 0
    kept = total(A.DEFERRED_REVENUE, at) + total(A.SUBSCRIPTION_REVENUE, at)
    recognition_jobs.recognise_days(end_of(24))
    assert (total(A.DEFERRED_REVENUE, end_of(24)), total(A.SUBSCRIPTION_REVENUE, end_of(24))) == (0, kept)
    assert abs(kept - net_of(world.month_price(2, 5)) * 10 / 30) <= 2
    net = net_of(world.month_price(2, 5))
    assert [sum(list(days().values())[:n]) for n in range(1, 10)] == [round(net * n / 30) for n in range(1, 10)]
    recognition_jobs.recognise_days(end_of(30, month=7))
    assert sum(days().values()) == kept
    assert_books_hold()


def test_a_downgrade_now_is_earned_at_the_lower_rate(member: Member) -> None:
    """From edition 3 to 1 on the tenth day: the days after it earn what the lower edition costs, and all of it is earned by the end of the term."""
    subscription = world.subscribe(member, rank=3, seats=5, at=AT)
    at = AT + 9 * DAY
    with transaction(world.owner_of(member)):
        now, seller = subscriptions.show(member.id, subscription.id), subscriptions.seller_of(member.id)
        shown = subscription_previews.of_change(now, seller, 1, None, at=at, effective="now")
        wanted = ChangeTo(new_id(), shown.amount_minor, 1, None, effective="now")
        subscription_charges.change(member.id, subscription.id, wanted, at=at)
    assert shown.amount_minor < 0
    recognition_jobs.recognise_days(end_of(31, month=7))
    amounts = days()
    high, low = net_of(world.month_price(3, 5)) / 30, net_of(world.month_price(1, 5)) / 30
    assert all(abs(amounts[date(2026, 6, n)] - high) <= 1 for n in range(15, 24))
    assert all(abs(amounts[date(2026, 6, n)] - low) <= 2 for n in range(25, 31))
    assert total(A.DEFERRED_REVENUE, end_of(31, month=7)) == 0
    assert sum(deferred for deferred, _done in lines_of(subscription)) == sum(amounts.values())
    assert_books_hold()
