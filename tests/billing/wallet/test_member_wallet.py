"""Finance's view of a wallet: its money, its holds, and the credit limit that two people agree on when it is large."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from billing.approval import approvals
from billing.approval.approvals import NeedsAnother
from billing.ledger.accounts import Account
from billing.payment import payment_methods, stripe_gateway
from billing.top_up import auto_top_ups
from billing.wallet import balances, credit_limits, holds, wallets
from core.actor import Actor
from core.clock import now
from core.db import SYSTEM, db, transaction
from core.errors import IdReused
from core.ids import new_id, request_hash
from membership.models import Member, User
from tests.billing.books import accounts, assert_books_hold
from tests.factories import make_member, make_top_up_offer, make_user
from tests.sign_in import bearer, client_as, signed_in


def acting(user: User) -> Actor:
    return Actor(kind="staff", role="finance", name=user.name, user_id=user.id)


def limit_of(member: Member) -> int:
    with transaction(SYSTEM):
        return balances.balance(member.id, "CNY", at=now()).credit_limit_minor


def buy(member: Member, amount: int) -> wallets.ChargeResult:
    with transaction(SYSTEM):
        target = wallets.Target(Account.STORE_REVENUE, amount, amount)
        return wallets.charge(wallets.ChargeRequest(member.id, new_id(), request_hash("x"), "purchase", "CNY", now(), (target,)))


def propose(member: Member, user: User, limit: int, id: Any = None) -> Any:
    with transaction(SYSTEM):
        return credit_limits.propose(member, id or new_id(), limit, "contract", "", acting(user), at=now())


def test_a_small_limit_is_set_at_once_and_a_large_one_by_two(app: Flask) -> None:
    member, one, other = make_member(paid=10_00), make_user("finance"), make_user("finance")
    assert propose(member, one, 500_00).state == "done"
    assert limit_of(member) == 500_00
    large = propose(member, one, 5_000_00)
    assert (large.state, limit_of(member)) == ("proposed", 500_00)
    with pytest.raises(NeedsAnother), transaction(SYSTEM):
        approvals.approve(large.id, acting(one), at=now())
    with transaction(SYSTEM):
        approvals.approve(large.id, acting(other), at=now())
    assert limit_of(member) == 5_000_00
    assert propose(member, one, 0).state == "done", "lowering needs nobody else"
    assert limit_of(member) == 0


def test_the_same_proposal_again_changes_nothing(app: Flask) -> None:
    member, one, id = make_member(), make_user("finance"), new_id()
    assert propose(member, one, 300_00, id).id == propose(member, one, 300_00, id).id
    with pytest.raises(IdReused):
        propose(member, one, 400_00, id)
    assert limit_of(member) == 300_00


def test_a_purchase_on_credit_never_passes_the_limit_and_the_next_top_up_pays_it(app: Flask) -> None:
    member = make_member(paid=10_00)
    propose(member, make_user("finance"), 100_00)
    buy(member, 60_00)
    assert accounts(member.id)[Account.MEMBER_RECEIVABLE] == -50_00
    with pytest.raises(wallets.InsufficientFunds) as refused:
        buy(member, 50_01)
    assert refused.value.extra["missing_minor"] == 1
    with pytest.raises(wallets.InsufficientFunds), transaction(SYSTEM):
        holds.place(member.id, holds.Wanted(new_id(), 1, "a limit is not money"), at=now(), created_by=None)
    with transaction(SYSTEM):
        wallets.credit(wallets.Credit(member.id, new_id(), request_hash("in"), "opening_balance", "CNY", now(), 80_00))
    with transaction(SYSTEM):
        found = balances.balance(member.id, "CNY", at=now())
    assert (found.receivable_minor, found.paid_minor) == (0, 30_00)
    assert_books_hold()


def test_the_page_shows_the_wallet_and_sets_the_limit(app: Flask) -> None:
    member, user = make_member(paid=100_00, name="晨光零售"), make_user("finance")
    finance = signed_in(app, user)
    with transaction(SYSTEM):
        hold = holds.place(member.id, holds.Wanted(new_id(), 30_00, "consulting", by_member=False), at=now(), created_by=None)
    url = f"/finance/members/{member.id}/wallet"
    page = finance.get(f"{url}?lang=en").text
    for words in ("¥70.00", "¥100.00", "¥30.00", "consulting", "placed by us", "晨光零售"):
        assert words in page
    assert page.count("btn-primary") == 1
    form = {"id": str(new_id()), "limit": "250.00", "reason_code": "contract"}
    assert finance.post(f"/finance/members/{member.id}/credit-limit", data=form).status_code == 303
    assert "¥250.00" in finance.get(f"{url}?lang=en").text
    wrong = finance.post(f"/finance/members/{member.id}/credit-limit?lang=en", data=form | {"id": str(new_id()), "limit": "-5"})
    assert (wrong.status_code, "Enter an amount like" in wrong.text) == (422, True)
    assert finance.post(f"/finance/members/{member.id}/credit-limit", data=form | {"id": str(new_id()), "reason_code": "no"}).status_code == 422
    waits = finance.post(f"/finance/members/{member.id}/credit-limit", data=form | {"id": str(new_id()), "limit": "99,000"}, follow_redirects=True)
    assert waits.status_code == 200
    assert limit_of(member) == 250_00
    none = finance.post(f"/finance/members/{member.id}/holds/{hold.id}/release?lang=en", data={"id": str(new_id())})
    assert none.status_code == 422
    given = {"id": str(new_id()), f"reason-{hold.id}": "the order fell through"}
    assert finance.post(f"/finance/members/{member.id}/holds/{hold.id}/release", data=given).status_code == 303
    assert "Given back" in finance.get(f"{url}?lang=en").text
    assert finance.post(f"/finance/members/{member.id}/holds/{hold.id}/release", data=given | {"id": str(new_id())}).status_code == 409
    assert finance.get(f"/finance/members/{new_id()}/wallet").status_code == 404
    assert client_as(app, "owner", member).get(url).status_code == 403


def test_the_api_of_finance(app: Flask) -> None:
    member, client, key = make_member(paid=100_00), app.test_client(), bearer("finance")
    base = f"/api/v1/finance/members/{member.id}"
    assert client.get(f"{base}/wallet", headers=key).get_json()["available_minor"] == 100_00
    body = {"id": str(new_id()), "limit_minor": 100_00, "reason_code": "contract"}
    done = client.post(f"{base}/credit-limit", json=body, headers=key)
    assert (done.status_code, done.get_json()["state"], done.get_json()["limit_minor"]) == (200, "done", 100_00)
    waits = client.post(f"{base}/credit-limit", json=body | {"id": str(new_id()), "limit_minor": 10_000_00}, headers=key).get_json()
    assert (waits["state"], waits["needs_second"]) == ("proposed", True)
    assert client.get(f"{base}/wallet", headers=bearer("operator")).get_json()["credit_limit_minor"] == 100_00
    with transaction(SYSTEM):
        hold = holds.place(member.id, holds.Wanted(new_id(), 30_00, "consulting", by_member=False), at=now(), created_by=None)
    assert [one["id"] for one in client.get(f"{base}/holds?state=open", headers=key).get_json()["items"]] == [str(hold.id)]
    back = client.post(f"{base}/holds/{hold.id}/release", json={"id": str(new_id()), "reason": "not needed"}, headers=key)
    assert (back.status_code, back.get_json()["state"]) == (200, "released")
    assert client.get(f"/api/v1/finance/members/{new_id()}/wallet", headers=key).status_code == 404


def test_pages_ask_the_same_few_questions_however_much_there_is(app: Flask) -> None:
    member = make_member(paid=1_000_00)
    finance, owner = client_as(app, "finance"), client_as(app, "owner", member)
    pages = [(finance, f"/finance/members/{member.id}/wallet"), (finance, "/finance/top-up-offers"), (owner, "/wallet"), (owner, "/wallet/auto-top-up")]

    def count() -> list[int]:
        counts = []
        for client, path in pages:
            seen: list[str] = []
            listen = lambda *args, seen=seen: seen.append(args[2])  # noqa: E731
            event.listen(db.engine, "before_cursor_execute", listen)
            assert client.get(path).status_code == 200
            event.remove(db.engine, "before_cursor_execute", listen)
            counts.append(len(seen))
        return counts

    for _ in range(2):
        with transaction(SYSTEM):
            holds.place(member.id, holds.Wanted(new_id(), 1_00, "x"), at=now(), created_by=None)
            payment_methods.save(member.id, stripe_gateway.Card(f"pm_{new_id()}", "visa", "4242", 12, 2035), at=now())
            auto_top_ups.switch_on(member.id, auto_top_ups.Terms(1_00, 1_00, 1_00), at=now(), set_by=None)
        make_top_up_offer((100_00, 10_00), starts_at=now())
    few = count()
    for number in range(20):
        with transaction(SYSTEM):
            holds.place(member.id, holds.Wanted(new_id(), 1_00, "x"), at=now(), created_by=None)
            gift = wallets.Credit(member.id, new_id(), request_hash("g"), "goodwill", "CNY", now(), 0, 100 + number, bonus_source=Account.GOODWILL)
            wallets.credit(gift)
        make_top_up_offer((100_00, 10_00), starts_at=now())
    assert count() == few
    assert max(few) <= 12, few
