"""Bank transfers (books.md, move 2): credited once with what arrived, whatever was announced."""

import threading
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from billing.ledger.accounts import Account
from billing.top_up import bank_transfers, top_ups
from billing.top_up.top_up_models import BankAccount, TopUp
from billing.wallet import balances
from core.audit import AuditEntry
from core.clock import now
from core.db import SYSTEM, transaction
from core.errors import Invalid, NotFound
from core.ids import new_id
from membership.models import Member
from membership.notice_models import Notice
from tests.billing.books import accounts, assert_books_hold
from tests.factories import ENTITY, make_entity, make_member, make_top_up_offer


@pytest.fixture
def member(app: Flask) -> Member:
    """A member who may transfer money to us."""
    make_entity()
    with transaction(SYSTEM) as session:
        session.add(BankAccount(entity_id=ENTITY, currency="CNY", holder="示例软件有限公司", bank="示例银行", number="6222", code="000"))
    make_top_up_offer((100_000, 10_000), (200_000, 30_000), starts_at=now() - timedelta(days=1), ends_at=now() + timedelta(days=1))
    return make_member()


def _announce(member: Member, amount_minor: int, id=None) -> TopUp:  # type: ignore[no-untyped-def]
    with transaction(SYSTEM):
        return top_ups.start(member.id, top_ups.Wanted(id or new_id(), amount_minor, "bank_transfer"), at=now(), created_by=None)[0]


def _confirm(top_up: TopUp, received_minor: int, number: str = "B-1") -> TopUp:
    with transaction(SYSTEM):
        return bank_transfers.confirm(top_up.member_id, top_up.id, received_minor, number, at=now())


def test_the_money_crosses_from_the_house_to_the_member(member: Member) -> None:
    top_up = _announce(member, 100_000)
    assert accounts(member.id) == {}
    _confirm(top_up, 100_000)
    _confirm(top_up, 100_000)
    assert accounts(ENTITY) == {Account.BANK: -100_000, Account.INTERBOOK: 100_000}
    assert accounts(member.id) == {
        Account.INTERBOOK: -100_000, Account.WALLET_PAID: 100_000, Account.BONUS_DISCOUNT: -10_000, Account.WALLET_BONUS: 10_000,
    }  # fmt: skip
    with transaction(SYSTEM) as session:
        entry = session.scalars(select(AuditEntry)).one()
        assert (entry.action, entry.after and entry.after["received_minor"]) == ("bank_transfer.confirm", 100_000)
        assert session.scalars(select(Notice.kind)).all() == ["top_up_settled"]
    assert_books_hold()


@pytest.mark.parametrize(("received", "bonus"), [(99_999, 0), (150_000, 10_000), (200_000, 30_000)])
def test_another_amount_counts_as_it_arrived(member: Member, received: int, bonus: int) -> None:
    done = _confirm(_announce(member, 100_000), received)
    assert (done.amount_minor, done.received_minor, done.bonus_minor) == (100_000, received, bonus)
    with transaction(SYSTEM):
        balance = balances.balance(member.id, "CNY", at=now())
    assert (balance.paid_minor, balance.bonus_minor) == (received, bonus)
    assert_books_hold()


def test_a_transfer_is_confirmed_once_and_each_bank_number_too(member: Member) -> None:
    member_id = member.id
    first, second = _announce(member, 5_000), _announce(member, 6_000)
    _confirm(first, 5_000)
    with pytest.raises(bank_transfers.NotPending):
        _confirm(first, 6_000)
    with pytest.raises(bank_transfers.TransferKnown):
        _confirm(second, 6_000)
    with pytest.raises(Invalid):
        _confirm(second, 0, "B-2")
    assert accounts(member_id)[Account.WALLET_PAID] == 5_000


def test_a_cancelled_transfer_stays_cancelled(member: Member) -> None:
    top_up = _announce(member, 5_000)
    for _ in range(2):
        with transaction(SYSTEM):
            bank_transfers.cancel(member.id, top_up.id, "no money came", at=now())
    with pytest.raises(bank_transfers.NotPending):
        _confirm(top_up, 5_000)
    with transaction(SYSTEM) as session:
        assert session.scalars(select(AuditEntry.action)).all() == ["bank_transfer.cancel"]
    done = _announce(member, 6_000)
    _confirm(done, 6_000)
    with transaction(SYSTEM), pytest.raises(bank_transfers.NotPending):
        bank_transfers.cancel(member.id, done.id, "too late", at=now())


def test_several_people_confirming_at_once_credit_once(member: Member, app: Flask) -> None:
    top_up, start, failures = _announce(member, 5_000), threading.Barrier(6), []

    def run() -> None:
        with app.app_context():
            start.wait()
            try:
                _confirm(top_up, 5_000)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert accounts(member.id) == {Account.INTERBOOK: -5_000, Account.WALLET_PAID: 5_000}
    assert accounts(ENTITY) == {Account.BANK: -5_000, Account.INTERBOOK: 5_000}


def test_an_id_that_two_members_made_asks_whose(member: Member) -> None:
    other, same = make_member(), new_id()
    for one in (member, other):
        _announce(one, 5_000, same)
    with transaction(SYSTEM):
        with pytest.raises(Invalid):
            bank_transfers.find(same)
        assert bank_transfers.find(same, other.id).member_id == other.id
        with pytest.raises(NotFound):
            bank_transfers.find(new_id())
