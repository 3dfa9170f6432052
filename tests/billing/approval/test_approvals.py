"""Two-person approval: proposed by one, decided by another above a limit, done once; goodwill, adjustments, write-offs and corrections through it."""

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from billing.approval import adjustments, approvals
from billing.approval.approval_models import Approval
from billing.approval.corrections import NotCorrectable
from billing.ledger.accounts import Account as A
from billing.wallet import wallets
from billing.wallet.wallet_moves import MoneyNotThere
from core.actor import Actor
from core.audit import AuditEntry
from core.db import SYSTEM, db, transaction
from core.errors import IdReused, Invalid
from core.ids import new_id
from membership.models import ApiKey, Member
from tests.billing.books import accounts, as_owner, assert_books_hold
from tests.billing.stories import buy_own, sweep, top_up, wallet
from tests.factories import make_member

LIMIT = 500_00


@pytest.fixture
def member(app: Flask) -> Iterator[Member]:
    """A member with an empty wallet, under a limit of 500; when the story is told, all books must hold."""
    settings = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(settings, approval_limit_minor=LIMIT, approval_window_hours=24)
    member = make_member()
    db.session.expunge(member)
    yield member
    app.extensions["settings"] = settings
    assert_books_hold()


@pytest.fixture
def clerk(app: Flask) -> Callable[[str], Actor]:
    """`clerk("Anna")`: somebody of finance."""

    def make(name: str) -> Actor:
        return Actor(kind="staff", role="finance", name=name, user_id=new_id())

    return make


def gift(member: Member, amount: int, acting: Actor, at: datetime, *, id: uuid.UUID | None = None, code: str = "service_failure", reason: str = "") -> Approval:
    with transaction(SYSTEM):
        return adjustments.give_goodwill(member, id or new_id(), amount, 30, code, reason, acting, at=at)


def test_13_goodwill_up_to_the_limit_is_given_at_once(member: Member, clerk: Callable[[str], Actor], at: datetime) -> None:
    one = gift(member, LIMIT, clerk("Anna"), at)
    assert (one.state, one.needs_second, one.decided_by) == ("done", False, None)
    assert accounts(member.id) == {A.GOODWILL: -LIMIT, A.WALLET_BONUS: LIMIT}
    assert sweep(at + timedelta(days=30)) == 1
    assert accounts(member.id) == {}


def test_13_above_the_limit_somebody_else_decides(member: Member, clerk: Callable[[str], Actor], at: datetime) -> None:
    anna, boris = clerk("Anna"), clerk("Boris")
    one = gift(member, LIMIT + 1, anna, at)
    assert (one.state, accounts(member.id)) == ("proposed", {})
    for wrong in (anna, Actor(kind="staff", role="finance", name="key", api_key_id=new_id())):
        with pytest.raises(approvals.NeedsAnother), transaction(SYSTEM):
            approvals.approve(one.id, wrong, at=at)
    for _again in range(2):
        with transaction(SYSTEM):
            assert approvals.approve(one.id, boris, at=at, note="fine").state == "done"
    assert accounts(member.id) == {A.GOODWILL: -LIMIT - 1, A.WALLET_BONUS: LIMIT + 1}
    with transaction(SYSTEM) as session:
        trail = session.execute(select(AuditEntry.action, AuditEntry.reason).order_by(AuditEntry.at, AuditEntry.id)).all()
    assert [tuple(row) for row in trail] == [("goodwill.propose", ""), ("goodwill.approve", "fine")]
    for decided in (approvals.approve, approvals.reject):
        with pytest.raises(approvals.Decided), transaction(SYSTEM):
            decided(one.id, clerk("Clara"), at=at, note="no")


def test_the_database_itself_refuses_a_decision_upon_ones_own(member: Member, clerk: Callable[[str], Actor], at: datetime, owner: object) -> None:
    anna = clerk("Anna")
    one = gift(member, LIMIT + 1, anna, at)
    with pytest.raises(IntegrityError, match="approval_second_check"):
        as_owner(owner, "update approval set state = 'done', decided_by = proposed_by, decided_at = proposed_at where id = :id", id=one.id)  # type: ignore[arg-type]


def test_small_steps_do_not_pass_the_limit(member: Member, clerk: Callable[[str], Actor], at: datetime) -> None:
    anna = clerk("Anna")
    assert gift(member, 300_00, anna, at).state == "done"
    assert gift(member, 200_01, anna, at).state == "proposed"
    assert gift(member, 200_00, anna, at).state == "done"
    assert gift(member, 200_00, clerk("Boris"), at).state == "done"
    assert gift(member, 500_00, anna, at + timedelta(hours=24)).state == "done"


def test_a_rejection_moves_nothing_and_says_why(member: Member, clerk: Callable[[str], Actor], at: datetime) -> None:
    one = gift(member, LIMIT + 1, clerk("Anna"), at)
    boris = clerk("Boris")
    with pytest.raises(Invalid), transaction(SYSTEM):
        approvals.reject(one.id, boris, at=at, note=" ")
    with transaction(SYSTEM):
        assert approvals.reject(one.id, boris, at=at, note="too much").note == "too much"
    assert accounts(member.id) == {}


def test_a_proposal_sent_twice_is_one_and_other_content_is_refused(member: Member, clerk: Callable[[str], Actor], at: datetime) -> None:
    anna, id = clerk("Anna"), new_id()
    for _again in range(2):
        assert gift(member, 100_00, anna, at, id=id).id == id
    with pytest.raises(IdReused):
        gift(member, 100_01, anna, at, id=id)
    assert accounts(member.id)[A.WALLET_BONUS] == 100_00
    with pytest.raises(Invalid):
        gift(member, 1, anna, at, code="because")
    with pytest.raises(Invalid):
        gift(member, 1, anna, at, code="other", reason="eh")
    with pytest.raises(Invalid):
        gift(member, 0, anna, at)


def test_behind_a_key_stands_whoever_made_it(member: Member, clerk: Callable[[str], Actor], at: datetime) -> None:
    anna = clerk("Anna")
    with transaction(SYSTEM) as session:
        key = ApiKey(id=new_id(), prefix="x", key_hash=b"x", name="k", role="finance", member_id=None, created_by=anna.user_id, created_at=at, revoked_at=None)
        session.add(key)
    one = gift(member, LIMIT + 1, Actor(kind="staff", role="finance", name="key", api_key_id=key.id), at)
    with pytest.raises(approvals.NeedsAnother), transaction(SYSTEM):
        approvals.approve(one.id, anna, at=at)


def test_two_people_at_once_decide_once(member: Member, clerk: Callable[[str], Actor], at: datetime, app: Flask) -> None:
    one = gift(member, LIMIT + 1, clerk("Anna"), at)
    people = [clerk(f"P{n}") for n in range(6)]

    def decide(acting: Actor) -> str:
        with app.app_context():
            try:
                with transaction(SYSTEM):
                    return approvals.approve(one.id, acting, at=at).state
            except approvals.Decided:
                return "late"

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(decide, people)) == ["done"] + ["late"] * 5
    assert accounts(member.id)[A.WALLET_BONUS] == LIMIT + 1


def test_what_a_rehearsal_shows_is_what_approval_does(member: Member, clerk: Callable[[str], Actor], at: datetime) -> None:
    top_up(member, at, 1_000_00, 100_00)
    purchase = top_up(member, at, 600_00)
    with transaction(SYSTEM):
        one = adjustments.correct(member.id, purchase, new_id(), "duplicate", "", clerk("Anna"), at=at)
    assert one.state == "proposed"
    before = accounts(member.id)
    with transaction(SYSTEM) as session:
        done, error, undo = approvals.rehearse(approvals.find(one.id), at=at)
        assert (done.entries if done else None, error) == ([(member.id, one.id)], None)
        shown = session.execute(text("select source, target, amount_minor from posting where transaction_id = :t order by n"), {"t": one.id}).all()
        undo()
    assert accounts(member.id) == before
    with transaction(SYSTEM) as session:
        approvals.approve(one.id, clerk("Boris"), at=at)
        assert session.execute(text("select source, target, amount_minor from posting where transaction_id = :t order by n"), {"t": one.id}).all() == shown


def test_14_what_cannot_be_done_any_more_stays_proposed(member: Member, clerk: Callable[[str], Actor], at: datetime) -> None:
    wrong = top_up(member, at, 600_00)
    with transaction(SYSTEM):
        one = adjustments.correct(member.id, wrong, new_id(), "duplicate", "", clerk("Anna"), at=at)
    purchase = buy_own(member, at, 1)
    books = accounts(member.id)
    with transaction(SYSTEM):
        _done, error, undo = approvals.rehearse(approvals.find(one.id), at=at)
        undo()
    assert isinstance(error, MoneyNotThere)
    boris = clerk("Boris")
    with pytest.raises(MoneyNotThere), transaction(SYSTEM):
        approvals.approve(one.id, boris, at=at)
    assert accounts(member.id) == books
    with transaction(SYSTEM) as session:
        assert session.get_one(Approval, one.id, populate_existing=True).state == "proposed"
    with pytest.raises(adjustments.RefundInstead), transaction(SYSTEM):
        adjustments.correct(member.id, purchase.id, new_id(), "duplicate", "", boris, at=at)
    with transaction(SYSTEM):
        approvals.reject(one.id, boris, at=at, note="spent")


def test_14_a_correction_below_the_limit_is_done_and_cannot_be_proposed_again(member: Member, clerk: Callable[[str], Actor], at: datetime) -> None:
    anna, wrong = clerk("Anna"), top_up(member, at, 100_00, 10_00)
    with transaction(SYSTEM):
        assert adjustments.correct(member.id, wrong, new_id(), "duplicate", "", anna, at=at).state == "done"
    assert accounts(member.id) == {}
    with pytest.raises(NotCorrectable), transaction(SYSTEM):
        adjustments.correct(member.id, wrong, new_id(), "duplicate", "", anna, at=at)


def adjust(member: Member, amount: int, direction: str, account: str, acting: Actor, at: datetime) -> Approval:
    with transaction(SYSTEM):
        return adjustments.adjust(member, new_id(), amount, direction, account, "billing_error", "", acting, at=at)


def test_an_adjustment_gives_paid_money_or_takes_it_never_more_than_there_is(member: Member, clerk: Callable[[str], Actor], at: datetime) -> None:
    anna = clerk("Anna")
    adjust(member, 80_00, "give", "service_revenue", anna, at)
    assert wallet(member, at) == (80_00, 0)
    adjust(member, 30_00, "take", "service_revenue", anna, at)
    assert accounts(member.id) == {A.SERVICE_REVENUE: -50_00, A.WALLET_PAID: 50_00}
    with pytest.raises(wallets.InsufficientFunds):
        adjust(member, 50_01, "take", "service_revenue", anna, at)
    for direction, account in (("take", "goodwill"), ("give", "unclaimed_property"), ("give", "wallet_paid"), ("up", "bank")):
        with pytest.raises(Invalid):
            adjust(member, 1, direction, account, anna, at)
    assert accounts(member.id) == {A.SERVICE_REVENUE: -50_00, A.WALLET_PAID: 50_00}


def test_9_what_a_member_will_not_pay_is_written_off_up_to_what_it_owes(member: Member, clerk: Callable[[str], Actor], at: datetime, owner: object) -> None:
    from billing.wallet.wallet_moves import Entry, Move, post

    with transaction(SYSTEM):  # as a lost dispute leaves it
        post(Entry(member.id, new_id(), b"x", "dispute_lost", "CNY", at, [Move(A.MEMBER_RECEIVABLE, A.STRIPE_CLEARING, 700_00)]))
    anna = clerk("Anna")

    def write_off(amount: int) -> Approval:
        with transaction(SYSTEM):
            return adjustments.write_off(member, new_id(), amount, "uncollectible", "", anna, at=at)

    assert write_off(400_00).state == "done"
    assert accounts(member.id) == {A.STRIPE_CLEARING: 700_00, A.MEMBER_RECEIVABLE: -300_00, A.BAD_DEBT: -400_00}
    with pytest.raises(adjustments.NothingOwed) as told, transaction(SYSTEM):
        adjustments.write_off(member, new_id(), 300_01, "uncollectible", "", clerk("Boris"), at=at)
    assert told.value.extra == {"owed_minor": 300_00}
