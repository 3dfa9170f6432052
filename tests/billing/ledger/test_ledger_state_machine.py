"""Random histories of two wallets against the simple model; after every step the books must hold and equal its prediction."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

import pytest
from flask import Flask, current_app
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from billing.ledger.accounts import Account as A
from billing.wallet import holds, wallets
from core.db import SYSTEM, db, transaction
from core.ids import new_id, request_hash
from core.settings import CONSUMPTION_ORDERS
from tests.billing.books import accounts, first_difference, settled_top_up
from tests.billing.ledger_model import Part, WalletModel
from tests.factories import AT, make_member

WHO = st.integers(0, 1)
AMOUNT = st.integers(1, 400)
LIMIT = st.sampled_from([0, 0, 150])
MIXES = [  # which accounts a charge feeds, and whether bonus may pay a part at all
    ((A.STORE_REVENUE, True),),
    ((A.STORE_REVENUE, False),),
    ((A.DEFERRED_REVENUE, True), (A.TAX_PAYABLE, False)),
    ((A.COMMISSION_REVENUE, True), (A.TAX_PAYABLE, False), (A.PARTNER_PENDING, False)),
    ((A.TAX_PAYABLE, False), (A.PARTNER_PENDING, False)),
    ((A.SERVICE_REVENUE, True), (A.STORE_REVENUE, True)),
]


@st.composite
def parts(draw: st.DrawFn) -> list[Part]:
    chosen = draw(st.sampled_from(MIXES))
    amounts = [draw(st.integers(0, 60)) for _ in chosen]
    amounts[0] += not sum(amounts)
    return [(account, amount, draw(st.integers(0, amount)) if bonus else 0) for (account, bonus), amount in zip(chosen, amounts, strict=True)]


class Ledger(RuleBasedStateMachine):
    """Two members; each rule does one thing to the real ledger and to the model, and compares the answers."""

    empty: ClassVar[Callable[[], None]]  # set by the tests

    @initialize(order=st.sampled_from(CONSUMPTION_ORDERS), limits=st.tuples(LIMIT, LIMIT))
    def open_wallets(self, order: str, limits: tuple[int, int]) -> None:
        current_app.extensions["settings"] = replace(current_app.extensions["settings"], consumption_order=order)
        self.order = order
        type(self).empty()  # each history starts from nothing, so that a failure can be made small
        db.session.expunge_all()
        self.members = [make_member().id for _ in range(2)]
        self.models = [WalletModel(credit_limit=limit) for limit in limits]
        with transaction(SYSTEM) as session:
            for member, limit in zip(self.members, limits, strict=True):
                session.execute(text("select set_credit_limit(:m, 'CNY', :l)"), {"m": member, "l": limit})
        self.at = AT
        self.written: list[tuple[int, object]] = []
        for who in range(2):
            self.top_up(who, 300, 100, 2, A.STRIPE_CLEARING)

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours: int) -> None:
        self.at += timedelta(hours=hours)

    @rule(who=WHO, paid=AMOUNT, bonus=st.one_of(st.just(0), AMOUNT), days=st.integers(0, 6), source=st.sampled_from([A.STRIPE_CLEARING, A.BANK]))
    def top_up(self, who: int, paid: int, bonus: int, days: int, source: A) -> None:
        expires_at = self.at + timedelta(days=days) if days else None
        credit = wallets.Credit(
            self.members[who],
            new_id(),
            request_hash("top-up", paid=paid, bonus=bonus),
            "top_up",
            "CNY",
            self.at,
            paid,
            bonus,
            source=source,
            bonus_expires_at=expires_at,
        )
        self._credit(who, credit, settled=True)

    @rule(who=WHO, bonus=AMOUNT, days=st.integers(1, 6), priority=st.integers(-1, 1))
    def goodwill(self, who: int, bonus: int, days: int, priority: int) -> None:
        credit = wallets.Credit(
            self.members[who], new_id(), request_hash("gift", bonus=bonus), "goodwill", "CNY", self.at, 0, bonus, bonus_source=A.GOODWILL,
            bonus_expires_at=self.at + timedelta(days=days), priority=priority,
        )  # fmt: skip
        self._credit(who, credit)

    @rule(who=WHO, parts=parts(), back=st.sampled_from([0, 0, 0, 30]))
    def charge(self, who: int, parts: list[Part], back: int) -> None:
        """One charge as the product makes it: when it fails, its transaction is undone, due expiry included."""
        self._charge(who, parts, self.at - timedelta(hours=back))

    @rule(who=WHO, extra=AMOUNT)
    def charge_too_much(self, who: int, extra: int) -> None:
        self._charge(who, [(A.STORE_REVENUE, self.models[who].balance + self.models[who].credit_limit + extra, 10**6)], self.at)

    @rule(who=WHO, hours=st.integers(0, 60), own=st.booleans())
    def spend_everything(self, who: int, hours: int, own: bool) -> None:
        """Use up what is left (some of it perhaps expired), so that lots come to their end."""
        self.at += timedelta(hours=hours)
        self.sweep()
        if not self.models[who].free:
            self.top_up(who, 100 + self.models[who].owed, 50, 1, A.BANK)
        usable = self.models[who].grants
        total, bonus = self.models[who].free, sum(grant.remaining - grant.held for grant in usable if grant.kind == "bonus")
        targets = [(A.STORE_REVENUE, total, bonus)] if own else [(A.STORE_REVENUE, bonus, bonus), (A.PARTNER_PENDING, total - bonus, 0)]
        self._charge(who, [part for part in targets if part[1]], self.at)

    @rule(charges=st.lists(st.tuples(WHO, parts(), st.integers(0, 30)), min_size=2, max_size=6), again=st.booleans(), apart=st.integers(0, 30))
    def charge_a_batch(self, charges: list[tuple[int, list[Part], int]], again: bool, apart: int) -> None:
        """One call for several wallets, several requests each, at several instants, one perhaps twice: served in order, no failure undoes a neighbour."""
        requests = [self._request(who, part, self.at + timedelta(hours=apart * (hours > 20))) for who, part, hours in charges]
        if again:
            charges, requests = [*charges, charges[0]], [*requests, requests[0]]
        with transaction(SYSTEM):
            results = wallets.charge_many(requests)
        for (who, part, _hours), request, result in zip(charges, requests, results, strict=True):
            self._compare(who, part, request, result)

    @rule(who=WHO, amount=st.integers(1, 150), share=st.integers(0, 100), hours=st.integers(1, 90))
    def reserve(self, who: int, amount: int, share: int, hours: int) -> None:
        self.sweep()  # so that a refusal, which undoes its transaction, has nothing to undo
        id, ends, bonus, missing = new_id(), self.at + timedelta(hours=hours), amount * share // 100, 0
        try:
            with transaction(SYSTEM):
                holds.place(self.members[who], holds.Wanted(id, amount, "project", ends, bonus), at=self.at, created_by=None)
        except wallets.InsufficientFunds as failure:
            missing = failure.extra["missing_minor"]
        assert missing == self.models[who].hold(id, amount, bonus, ends, self.at, self.order)

    @rule(data=st.data(), who=WHO, part=parts(), in_batch=st.booleans())
    def capture(self, data: st.DataObject, who: int, part: list[Part], in_batch: bool) -> None:
        """A charge out of what a hold reserves, alone or among others; of a hold that is used up, ended or somebody else's it is refused."""
        hold_id = data.draw(st.sampled_from([new_id(), *self.models[0].holds, *self.models[1].holds]))
        request = replace(self._request(who, part, self.at), hold_id=hold_id)
        other = self._request(who, part, self.at)
        with transaction(SYSTEM) as session:
            results = wallets.charge_many([other, request] if in_batch else [request])
            if results[-1].status == "new":
                session.execute(holds._NOTE, {"member": request.member_id, "hold": hold_id, "id": request.id, "by": None})
        for asked, result in zip([other, request] if in_batch else [request], results, strict=True):
            self._compare(who, part, asked, result)

    @rule(data=st.data(), who=WHO)
    def release(self, data: st.DataObject, who: int) -> None:
        self.sweep()
        waiting = [id for id, hold in self.models[who].holds.items() if hold.is_open]
        if not waiting:
            return
        id = data.draw(st.sampled_from(waiting))
        with transaction(SYSTEM):
            holds.release(self.members[who], id, new_id(), None, at=self.at, reason="done", created_by=None, as_member=True)
        self.models[who].release(self.models[who].holds[id])
        self.models[who].expire(self.at)

    @rule(data=st.data(), same=st.booleans())
    def send_again(self, data: st.DataObject, same: bool) -> None:
        if not self.written:
            return
        who, first = data.draw(st.sampled_from(self.written))
        status, balance = ("replayed" if same else "id_reused"), self.models[who].first[first.id][1]  # type: ignore[attr-defined]
        again = first if same else _with_other_hash(first)
        with transaction(SYSTEM):
            (result,) = wallets.charge_many([again]) if isinstance(again, wallets.ChargeRequest) else wallets.credit_many([again])
        assert (result.status, result.balance_after_minor) == (status, balance)

    @rule(who=WHO, share=st.integers(1, 100))
    def recognise(self, who: int, share: int) -> None:
        """Moves beside the wallet, sent twice; other content under the same id is refused."""
        amount = self.models[who].accounts[A.DEFERRED_REVENUE] * share // 100
        if amount < 1:
            return
        id, hash, moves = new_id(), request_hash("recognise"), [(A.DEFERRED_REVENUE, A.SUBSCRIPTION_REVENUE, amount)]
        for _again in range(2):
            with transaction(SYSTEM):
                assert wallets.post_moves(self.members[who], id, hash, "recognition", "CNY", self.at, moves) == self.models[who].post(id, hash, moves)
        with pytest.raises(IntegrityError, match="reused with other content"), transaction(SYSTEM):
            wallets.post_moves(self.members[who], id, request_hash("other"), "recognition", "CNY", self.at, moves)

    @rule()
    def sweep(self) -> None:
        with transaction(SYSTEM) as session:
            done = session.scalar(text("select expire_due(:at, 1000)"), {"at": self.at})
        assert done == sum(model.expire(self.at) for model in self.models)

    @invariant()
    def books_hold_and_equal_the_model(self) -> None:
        for member, model in zip(self.members, self.models, strict=True):
            real = accounts(member)
            assert real == {account: amount for account, amount in model.accounts.items() if amount}
            assert sum(real.values()) == 0
            assert real.get(A.WALLET_PAID, 0) >= 0
            assert real.get(A.WALLET_BONUS, 0) >= 0
            with transaction(SYSTEM) as session:
                remaining = dict(session.execute(text("select id, remaining_minor from wallet_grant where member_id = :m"), {"m": member}).all())
                written = session.scalar(text("select count(*) from ledger_transaction where book_id = :m"), {"m": member})
            assert remaining == {grant.id: grant.remaining for grant in model.grants}
            assert written == model.transactions  # a failed step wrote nothing
        with transaction(SYSTEM) as session:
            assert (difference := first_difference(session)) is None, str(difference)

    def _credit(self, who: int, credit: wallets.Credit, settled: bool = False) -> None:
        with transaction(SYSTEM) as session:
            if settled:
                session.add(settled_top_up(credit))
            result = wallets.credit(credit)
        model = self.models[who]
        expected = model.credit(
            credit.id,
            credit.request_hash,
            credit.paid_minor,
            credit.bonus_minor,
            credit.source,
            credit.bonus_source,
            credit.bonus_expires_at,
            credit.priority,
            credit.at,
        )
        assert (result.status, result.balance_after_minor) == (expected, model.balance)
        self.written.append((who, credit))

    def _request(self, who: int, parts: list[Part], at: datetime) -> wallets.ChargeRequest:
        return wallets.ChargeRequest(
            self.members[who], new_id(), request_hash("charge", parts=parts), "purchase", "CNY", at, tuple(wallets.Target(*part) for part in parts)
        )

    def _charge(self, who: int, parts: list[Part], at: datetime) -> None:
        request = self._request(who, parts, at)
        before, told = accounts(self.members[who]), 0
        try:
            with transaction(SYSTEM):
                result = wallets.charge(request)
        except wallets.InsufficientFunds as failure:
            told = failure.extra["missing_minor"]
        if told:
            assert accounts(self.members[who]) == before
            with transaction(SYSTEM):  # the same again, kept this time: it says the same, and only due expiry stays
                (result,) = wallets.charge_many([request])
            assert result.missing_minor == told
        self._compare(who, parts, request, result)

    def _compare(self, who: int, parts: list[Part], request: wallets.ChargeRequest, result: wallets.ChargeResult) -> None:
        model = self.models[who]
        before = model.balance
        expected = model.charge(request.id, request.request_hash, parts, request.at, self.order, request.hold_id)
        assert (result.status, result.missing_minor) == expected
        if result.status == "replayed":
            assert result.balance_after_minor == model.first[request.id][1]
            return
        assert result.balance_after_minor == model.balance
        if result.status == "new":
            total = sum(part[1] for part in parts)
            assert result.paid_minor + result.bonus_minor + result.credit_minor == total <= before + model.credit_limit
            self.written.append((who, request))


def _with_other_hash(first: object) -> object:
    return replace(first, request_hash=request_hash("something else"))  # type: ignore[type-var]


COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": False, "database": None, "phases": (Phase.generate,)}


@pytest.fixture(autouse=True)
def _settings_come_back(app: Flask) -> Iterator[None]:
    before = app.extensions["settings"]
    yield
    app.extensions["settings"] = before


def test_random_histories_equal_the_model(app: Flask, request: pytest.FixtureRequest) -> None:
    Ledger.empty = staticmethod(request.getfixturevalue("_emptying"))  # type: ignore[assignment]
    run_state_machine_as_test(Ledger, settings=settings(max_examples=25, stateful_step_count=25, **COMMON))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_long_random_histories_equal_the_model(app: Flask, request: pytest.FixtureRequest) -> None:
    Ledger.empty = staticmethod(request.getfixturevalue("_emptying"))  # type: ignore[assignment]
    run_state_machine_as_test(Ledger, settings=settings(max_examples=250, stateful_step_count=60, **COMMON))
