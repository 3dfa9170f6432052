"""Holds: reserved at once, captured in parts, given back, ended at their instant; what is held is never spent twice."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from billing.ledger.accounts import Account as A
from billing.wallet import balances, holds, wallet_jobs, wallets
from billing.wallet.hold_models import Hold
from billing.wallet.wallets import HoldClosed, HoldExceeded, InsufficientFunds, WalletFrozen
from core.db import SYSTEM, db, transaction
from core.errors import Forbidden, IdReused, Invalid
from core.ids import new_id, request_hash
from membership.models import Member
from tests.billing.books import accounts, assert_books_hold, first_difference
from tests.factories import AT, make_member
from tests.sign_in import bearer

DAY = timedelta(days=1)


def place(member: Member, amount: int, at: datetime = AT, **more: Any) -> Hold:
    wanted = holds.Wanted(more.pop("id", None) or new_id(), amount, more.pop("reason", "a service"), **more)
    with transaction(SYSTEM) as session:
        made = holds.place(member.id, wanted, at=at, created_by=None)
        session.expunge(made)  # to be read after a later transaction has failed
        return made


def capture(member: Member, hold_id: uuid.UUID, amount: int, at: datetime = AT, id: uuid.UUID | None = None) -> wallets.ChargeResult:
    with transaction(SYSTEM):
        return holds.capture_service(member.id, hold_id, id or new_id(), amount, at=at, memo=None, created_by=None)


def release(member: Member, hold_id: uuid.UUID, amount: int | None = None, at: datetime = AT, id: uuid.UUID | None = None, as_member: bool = True) -> Hold:
    with transaction(SYSTEM):
        return holds.release(member.id, hold_id, id or new_id(), amount, at=at, reason=None, created_by=None, as_member=as_member)


def spend(member: Member, amount: int, at: datetime = AT) -> wallets.ChargeResult:
    with transaction(SYSTEM):
        target = wallets.Target(A.STORE_REVENUE, amount, amount)
        return wallets.charge(wallets.ChargeRequest(member.id, new_id(), request_hash("x"), "purchase", "CNY", at, (target,)))


def money(member: Member, at: datetime = AT) -> tuple[int, int, int, int]:
    """paid, bonus, held, available"""
    with transaction(SYSTEM):
        found = balances.balance(member.id, "CNY", at=at)
    return found.paid_minor, found.bonus_minor, found.held_minor, found.available_minor


def draws(member: Member, hold_id: uuid.UUID) -> dict[str, int]:
    with transaction(SYSTEM) as session:
        rows = session.execute(
            text("select g.kind, sum(d.remaining_minor) from hold_draw d join wallet_grant g on g.id = d.grant_id where d.hold_id = :h group by 1"),
            {"h": hold_id},
        )
        return {kind: int(amount) for kind, amount in rows if amount}


def test_reserve_capture_in_parts_and_give_back_the_rest(app: Flask) -> None:
    member = make_member(paid=1_000_00, bonus=100_00)
    hold = place(member, 500_00)
    assert (hold.state, hold.amount_minor, hold.expires_at) == ("open", 500_00, AT + 7 * DAY)
    assert money(member) == (1_000_00, 100_00, 500_00, 600_00)
    assert draws(member, hold.id) == {"bonus": 100_00, "paid": 400_00}
    assert accounts(member.id)[A.WALLET_PAID] == 1_000_00, "a hold is no move"
    first = capture(member, hold.id, 200_00)
    assert (first.bonus_minor, first.paid_minor) == (100_00, 100_00)
    assert money(member) == (900_00, 0, 300_00, 600_00)
    with pytest.raises(HoldExceeded) as refused:
        capture(member, hold.id, 300_01)
    assert refused.value.extra["missing_minor"] == 1
    capture(member, hold.id, 250_00)
    with transaction(SYSTEM):
        assert holds.show(member.id, hold.id).captured_minor == 450_00
    closed = release(member, hold.id)
    assert (closed.state, closed.captured_minor, closed.released_minor, closed.closed_at) == ("released", 450_00, 50_00, AT)
    assert money(member) == (650_00, 0, 0, 650_00)
    books = accounts(member.id)
    assert books[A.TAX_PAYABLE] == 25_47  # 450.00 with 6% inside, although it came in two parts
    with pytest.raises(HoldClosed):
        capture(member, hold.id, 1)
    with pytest.raises(HoldClosed):
        release(member, hold.id)
    with transaction(SYSTEM):
        assert [(c.kind, c.amount_minor) for c in holds.changes_of(member.id, hold.id)][-1] == ("release", 50_00)
    assert_books_hold()


def test_a_hold_that_is_used_up_is_closed_to_the_cent(app: Flask) -> None:
    member = make_member(paid=100_00, bonus=94_34)
    hold = place(member, 100_00)
    assert draws(member, hold.id) == {"bonus": 94_34, "paid": 5_66}, "bonus pays no tax"
    for _ in range(99):
        capture(member, hold.id, 1_01 if _ == 0 else 1_00)
    last = capture(member, hold.id, 99)
    with transaction(SYSTEM):
        assert holds.show(member.id, hold.id).state == "captured"
    assert last.balance_after_minor == 94_34
    assert accounts(member.id)[A.TAX_PAYABLE] == 5_66
    assert money(member) == (94_34, 0, 0, 94_34)
    assert_books_hold()


def test_what_is_held_is_not_spent(app: Flask) -> None:
    member = make_member(paid=100_00)
    place(member, 80_00)
    with pytest.raises(InsufficientFunds) as refused:
        spend(member, 20_01)
    assert refused.value.extra["missing_minor"] == 1
    with pytest.raises(InsufficientFunds) as refused:
        place(member, 20_01)
    assert refused.value.extra["missing_minor"] == 1
    spend(member, 20_00)
    assert money(member) == (80_00, 0, 80_00, 0)
    assert_books_hold()


def test_the_same_id_is_the_same_hold_capture_and_release(app: Flask) -> None:
    member, id = make_member(paid=100_00), new_id()
    first = place(member, 50_00, id=id)
    assert place(member, 50_00, id=id).id == first.id
    with pytest.raises(IdReused):
        place(member, 49_00, id=id)
    taken, given = new_id(), new_id()
    assert capture(member, id, 20_00, id=taken).status == "new"
    assert capture(member, id, 20_00, id=taken).status == "replayed"
    with pytest.raises(IdReused):
        capture(member, id, 21_00, id=taken)
    release(member, id, 10_00, id=given)
    assert release(member, id, 10_00, id=given).released_minor == 10_00
    with pytest.raises(IdReused):
        release(member, id, 9_00, id=given)
    assert money(member) == (80_00, 0, 20_00, 60_00)
    with pytest.raises(IdReused):
        capture(member, id, 10_00, id=given)
    with pytest.raises(IdReused):
        release(member, id, 20_00, id=taken)
    release(member, id)
    assert capture(member, id, 20_00, id=taken).status == "replayed", "also after the hold is closed"
    assert place(member, 50_00, id=id).state == "released"
    assert_books_hold()


@pytest.mark.parametrize("order", ["bonus_first", "paid_first", "proportional"])
def test_a_hold_draws_in_the_order_of_consumption_and_can_be_captured_to_the_end(app: Flask, order: str) -> None:
    import dataclasses

    before = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(before, consumption_order=order)
    try:
        member = make_member(paid=300_00, bonus=100_00)
        hold = place(member, 200_00)
        assert draws(member, hold.id) == {"bonus_first": {"bonus": 100_00, "paid": 100_00}, "paid_first": {"paid": 200_00},
                                          "proportional": {"bonus": 50_00, "paid": 150_00}}[order]  # fmt: skip
        release(member, hold.id, 33_33)
        for amount in (50_00, 66_67, 50_00):
            capture(member, hold.id, amount)
        assert money(member)[2] == 0
    finally:
        app.extensions["settings"] = before
    assert_books_hold()


def test_it_ends_at_its_instant_also_when_the_job_is_late(app: Flask) -> None:
    member = make_member(paid=100_00)
    hold, end = place(member, 100_00, expires_at=AT + DAY), AT + DAY
    just_before = end - timedelta(microseconds=1)
    assert money(member, just_before)[3] == 0
    assert money(member, end) == (100_00, 0, 0, 100_00), "nobody has swept"
    with pytest.raises(HoldClosed):
        capture(member, hold.id, 1, at=end)
    spend(member, 100_00, at=end)
    with transaction(SYSTEM):
        found = holds.show(member.id, hold.id)
        assert (found.state, found.closed_at, found.released_minor) == ("expired", end, 100_00)
        assert holds.expire_due(at=end + DAY) == 0
    assert_books_hold()


def test_the_job_ends_what_has_ended_and_nothing_else(app: Flask) -> None:
    members = [make_member(paid=100_00) for _ in range(3)]
    ending = [place(member, 10_00, expires_at=AT + (number + 1) * DAY) for number, member in enumerate(members) for _ in range(2)]
    with transaction(SYSTEM):
        assert holds.expire_due(at=AT + 2 * DAY) == 4
    with transaction(SYSTEM):
        assert Counter(holds.show(hold.member_id, hold.id).state for hold in ending) == {"expired": 4, "open": 2}
    assert [money(member, AT + 2 * DAY)[2] for member in members] == [0, 0, 20_00]
    assert wallet_jobs.expire_holds() == 2, "by the clock it is later than all of them"
    assert_books_hold()


def test_held_money_does_not_expire_until_it_is_given_back(app: Flask) -> None:
    member = make_member(paid=100_00, bonus=50_00, bonus_expires_at=AT + DAY)
    hold = place(member, 60_00, expires_at=AT + 5 * DAY, bonus_limit_minor=30_00)
    assert draws(member, hold.id) == {"bonus": 30_00, "paid": 30_00}
    later = AT + 2 * DAY
    assert money(member, later) == (100_00, 30_00, 60_00, 70_00), "20 of the bonus has expired, 30 is held"
    with transaction(SYSTEM) as session:
        session.scalar(text("select expire_due(:at, 100)"), {"at": later})
    assert money(member, later) == (100_00, 30_00, 60_00, 70_00)
    assert capture(member, hold.id, 20_00, at=later).bonus_minor > 0
    assert_books_hold()
    release(member, hold.id, at=later)
    paid, bonus, held, available = money(member, later)
    assert (bonus, held, available) == (0, 0, paid), "what came back was past its date"
    assert_books_hold()


def test_an_ended_hold_gives_back_and_what_is_past_its_date_expires_with_it(app: Flask) -> None:
    member = make_member(paid=100_00, bonus=50_00, bonus_expires_at=AT + DAY)
    place(member, 50_00, expires_at=AT + 2 * DAY, bonus_limit_minor=50_00)
    assert money(member, AT + 3 * DAY) == (100_00, 0, 0, 100_00)
    with transaction(SYSTEM):
        assert holds.expire_due(at=AT + 3 * DAY) == 1
    assert money(member, AT + 3 * DAY) == (100_00, 0, 0, 100_00)
    assert A.WALLET_BONUS not in accounts(member.id)
    assert_books_hold()


def test_a_frozen_wallet_reserves_and_captures_nothing(app: Flask, owner: Any) -> None:
    member = make_member(paid=100_00)
    hold = place(member, 50_00)
    with owner.begin() as connection:
        connection.execute(text("update wallet set state = 'frozen'"))
    with pytest.raises(WalletFrozen):
        place(member, 1_00)
    with pytest.raises(WalletFrozen):
        capture(member, hold.id, 1_00)
    assert release(member, hold.id).state == "released", "it may still be given back"


def test_ends_that_make_no_sense_are_refused(app: Flask) -> None:
    member = make_member(paid=100_00)
    for end in (AT, AT - DAY, AT + 91 * DAY):
        with pytest.raises(Invalid):
            place(member, 1_00, expires_at=end)
    assert money(member)[2] == 0


def test_what_we_have_placed_a_member_does_not_give_back(app: Flask) -> None:
    member = make_member(paid=100_00)
    hold = place(member, 50_00, by_member=False)
    with pytest.raises(Forbidden):
        release(member, hold.id)
    with pytest.raises(Forbidden):
        capture(member, hold.id, 1_00)
    assert release(member, hold.id, as_member=False).state == "released"


def test_a_hundred_holds_and_purchases_at_once_never_exceed_what_is_available(app: Flask) -> None:
    member = make_member(paid=800_00, bonus=200_00)
    start, results = threading.Barrier(20), []

    def act(number: int) -> None:
        with app.app_context():
            start.wait()
            for step in range(10):
                try:
                    made: object = place(member, 9_70) if (number + step) % 2 else spend(member, 9_70)
                    results.append("hold" if isinstance(made, Hold) else "purchase")
                except InsufficientFunds:
                    results.append("refused")

    threads = [threading.Thread(target=act, args=(number,)) for number in range(20)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    counts = Counter(results)
    assert len(results) == 200
    paid, bonus, held, available = money(member)
    assert held == 9_70 * counts["hold"]
    assert paid + bonus == 1_000_00 - 9_70 * counts["purchase"]
    assert available >= 0
    assert counts["hold"] + counts["purchase"] >= 100
    assert available < 9_70 + 200_00 // 10, "nobody was refused without need (a hold's tax takes no bonus)"
    assert_books_hold()


def test_captures_and_releases_of_one_hold_at_once_share_it_exactly(app: Flask) -> None:
    member = make_member(paid=100_00)
    hold, start, results = place(member, 100_00), threading.Barrier(10), []

    def act(number: int) -> None:
        with app.app_context():
            start.wait()
            for _ in range(6):
                try:
                    if number % 2:
                        capture(member, hold.id, 3_00)
                    else:
                        release(member, hold.id, 3_00)
                    results.append("done")
                except (HoldExceeded, HoldClosed) as refused:
                    results.append(refused.code)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(10)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert Counter(results) == {"done": 33, "hold_exceeded": 27}
    with transaction(SYSTEM):
        found = holds.show(member.id, hold.id)
        assert found.captured_minor + found.released_minor == 99_00
    assert money(member)[2] == 1_00
    assert_books_hold()


PROOF = text("""
select w.held_minor = coalesce(sum(g.held_minor), 0) and w.paid_minor + w.bonus_minor >= w.held_minor
  and bool_and(g.held_minor = (select coalesce(sum(d.remaining_minor), 0) from hold_draw d where d.member_id = g.member_id and d.grant_id = g.id))
  and not exists (select from hold h where h.amount_minor <> h.captured_minor + h.released_minor
    + (select coalesce(sum(d.remaining_minor), 0) from hold_draw d where d.member_id = h.member_id and d.hold_id = h.id))
from wallet w join wallet_grant g using (member_id, currency) where w.member_id = :m group by w.member_id, w.currency
""")


class Holds(RuleBasedStateMachine):
    """Whatever is placed, captured, given back, spent, ended and expired: what is held is what the holds still hold."""

    empty: ClassVar[Callable[[], None]]

    @initialize()
    def begin(self) -> None:
        type(self).empty()
        db.session.expunge_all()
        self.at = AT
        self.member = make_member(paid=300, bonus=100, bonus_expires_at=AT + 2 * DAY)
        self.placed: list[uuid.UUID] = []

    @rule(hours=st.sampled_from([1, 7, 30]))
    def time_passes(self, hours: int) -> None:
        self.at += timedelta(hours=hours)

    @rule(paid=st.integers(1, 200), bonus=st.integers(0, 100), days=st.integers(1, 4))
    def top_up(self, paid: int, bonus: int, days: int) -> None:
        with transaction(SYSTEM):
            wallets.credit(
                wallets.Credit(
                    self.member.id, new_id(), request_hash("c"), "opening_balance", "CNY", self.at, paid, bonus, bonus_expires_at=self.at + days * DAY
                )
            )

    @rule(amount=st.integers(1, 200), hours=st.integers(1, 60), share=st.one_of(st.none(), st.integers(0, 100)))
    def a_hold_is_placed(self, amount: int, hours: int, share: int | None) -> None:
        available = money(self.member, self.at)[3]
        try:
            limit = None if share is None else amount * share // 100
            hold = place(self.member, amount, self.at, expires_at=self.at + timedelta(hours=hours), bonus_limit_minor=limit)
            self.placed.append(hold.id)
            assert money(self.member, self.at)[3] == available - amount
        except InsufficientFunds as refused:
            assert refused.extra["missing_minor"] >= amount - available  # noqa: PT017
            assert money(self.member, self.at)[3] == available

    @rule(data=st.data(), amount=st.integers(1, 120), what=st.sampled_from(["capture", "release", "release all"]))
    def a_hold_is_used(self, data: st.DataObject, amount: int, what: str) -> None:
        if not self.placed:
            return
        id = data.draw(st.sampled_from(self.placed))
        with transaction(SYSTEM):
            hold = holds.show(self.member.id, id)
        left = hold.amount_minor - hold.captured_minor - hold.released_minor
        ended = hold.state != "open" or (hold.expires_at is not None and hold.expires_at <= self.at)
        try:
            if what == "capture":
                capture(self.member, id, amount, self.at)
            else:
                release(self.member, id, amount if what == "release" else None, self.at)
            assert not ended
            assert amount <= left or what == "release all"
        except HoldClosed:
            assert ended
        except HoldExceeded:
            assert not ended
            assert amount > left or (what == "capture" and hold.bonus_limit_minor > hold.amount_minor - hold.amount_minor * 6 // 106 - 2)

    @rule(amount=st.integers(1, 200))
    def something_is_bought(self, amount: int) -> None:
        available = money(self.member, self.at)[3]
        try:
            spend(self.member, amount, self.at)
            assert amount <= available
        except InsufficientFunds as refused:
            assert refused.extra["missing_minor"] == amount - available  # noqa: PT017

    @rule(which=st.sampled_from(["holds", "money"]))
    def a_sweep_runs(self, which: str) -> None:
        before = money(self.member, self.at)
        with transaction(SYSTEM) as session:
            if which == "holds":
                holds.expire_due(at=self.at)
            else:
                session.scalar(text("select expire_due(:at, 100)"), {"at": self.at})
        assert money(self.member, self.at) == before, "a sweep writes down what was so already"

    @invariant()
    def what_is_held_is_what_holds_hold(self) -> None:
        with transaction(SYSTEM) as session:
            assert session.scalar(PROOF, {"m": self.member.id})
            assert (difference := first_difference(session)) is None, str(difference)
        assert money(self.member, self.at)[3] >= 0


def test_no_history_of_holds_loses_a_cent(app: Flask, request: pytest.FixtureRequest) -> None:
    Holds.empty = staticmethod(request.getfixturevalue("_emptying"))
    run_state_machine_as_test(Holds, settings=settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)))


def test_the_api_of_holds(app: Flask) -> None:
    member, client = make_member(paid=100_00, bonus=10_00), app.test_client()
    key, base = bearer("buyer", member), "/api/v1/wallet/holds"
    body = {"id": str(new_id()), "amount_minor": 60_00, "reason": "consulting"}
    made = client.post(base, json=body, headers=key)
    assert (made.status_code, made.get_json()["state"], made.get_json()["left_minor"]) == (201, "open", 60_00)
    assert client.post(base, json=body, headers=key).get_json()["id"] == body["id"]
    short = client.post(base, json=body | {"id": str(new_id())}, headers=key)
    assert (short.status_code, short.get_json()["code"], short.get_json()["missing_minor"]) == (402, "insufficient_funds", 10_00)
    assert client.get("/api/v1/wallet", headers=key).get_json()["available_minor"] == 50_00
    one = f"{base}/{body['id']}"
    taken = client.post(f"{one}/captures", json={"id": str(new_id()), "amount_minor": 40_00}, headers=key)
    assert taken.status_code == 201
    assert (taken.get_json()["bonus_minor"], taken.get_json()["paid_minor"], taken.get_json()["hold"]["left_minor"]) == (10_00, 30_00, 20_00)
    too_much = client.post(f"{one}/captures", json={"id": str(new_id()), "amount_minor": 20_01}, headers=key)
    assert (too_much.status_code, too_much.get_json()["code"], too_much.get_json()["missing_minor"]) == (409, "hold_exceeded", 1)
    back = client.post(f"{one}/release", json={"id": str(new_id())}, headers=key)
    assert (back.status_code, back.get_json()["state"]) == (200, "released")
    closed = client.post(f"{one}/captures", json={"id": str(new_id()), "amount_minor": 1}, headers=key)
    assert (closed.status_code, closed.get_json()["code"]) == (409, "hold_closed")
    shown = client.get(one, headers=bearer("viewer", member)).get_json()
    assert [(change["kind"], change["amount_minor"]) for change in shown["changes"]] == [("capture", 40_00), ("release", 20_00)]
    assert [hold["id"] for hold in client.get(f"{base}?state=released", headers=key).get_json()["items"]] == [body["id"]]
    assert client.get(f"{base}?state=open", headers=key).get_json()["items"] == []
    assert client.post(base, json=body, headers=bearer("viewer", member)).status_code == 403
    assert client.get(one, headers=bearer("viewer", make_member())).status_code == 404
    assert client.post(base, json=body | {"id": str(new_id()), "expires_at": "2020-01-01T00:00:00Z"}, headers=key).status_code == 422
    assert_books_hold()
