"""Random histories that also give back: refunds, money back to cards, disputes and corrections, against the simple model.

It is the ledger's own state machine with more rules, so that giving back meets everything else that happens to a wallet.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from flask import Flask
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from billing.approval import corrections
from billing.ledger.accounts import Account as A
from billing.ledger.ledger_models import LedgerTransaction
from billing.refund import card_refunds, disputes, refunds
from billing.refund.refund_models import CardRefund
from billing.refund.refunds import Part as RefundPart
from billing.top_up import top_ups
from billing.wallet import wallets
from core.db import SYSTEM, db, transaction
from core.errors import AppError
from core.ids import new_id, request_hash
from core.settings import CONSUMPTION_ORDERS
from tests.billing import ledger_model
from tests.billing.books import accounts
from tests.billing.ledger.test_ledger_state_machine import AMOUNT, COMMON, LIMIT, WHO, Ledger
from tests.billing.refund.refund_model import GivingWallet
from tests.billing.stripe_says import dispute_event

PICK = st.integers(0, 10**6)  # which of what there is


class Giving(Ledger):
    """Two members; each rule does one thing to the real ledger and to the model, and compares the answers."""

    empty: ClassVar[Callable[[], None]]

    @initialize(order=st.sampled_from(CONSUMPTION_ORDERS), limits=st.tuples(LIMIT, LIMIT))
    def open_wallets(self, order: str, limits: tuple[int, int]) -> None:
        super().open_wallets(order, limits)
        self.models = [GivingWallet(**vars(model)) for model in self.models]

    def _of(self, who: int, kind: type) -> list[object]:
        return [one for whose, one in self.written if whose == who and isinstance(one, kind)]

    def _charge_of(self, who: int, pick: int) -> wallets.ChargeRequest | None:
        found = self._of(who, wallets.ChargeRequest)
        return found[pick % len(found)] if found else None  # type: ignore[return-value]

    def _top_up_of(self, who: int, pick: int) -> wallets.Credit:
        there = {grant.id for grant in self.models[who].grants}
        found = [one for one in self._of(who, wallets.Credit) if one.id in there]  # type: ignore[attr-defined]
        return found[pick % len(found)]  # type: ignore[return-value]

    @rule(who=WHO, amount=st.integers(1, 150), share=st.integers(0, 100), hours=st.integers(1, 90))
    def reserve(self, who: int, amount: int, share: int, hours: int) -> None:
        """Nothing is reserved in a frozen wallet."""
        if not self.models[who].is_frozen:
            super().reserve(who, amount, share, hours)

    @rule(data=st.data(), who=WHO)
    def release(self, data: st.DataObject, who: int) -> None:
        super().release(data, who)

    def _charge(self, who: int, parts: list[ledger_model.Part], at: object) -> None:
        if not self.models[who].is_frozen:
            super()._charge(who, parts, at)  # type: ignore[arg-type]
            return
        before = accounts(self.members[who])
        with pytest.raises(wallets.WalletFrozen), transaction(SYSTEM):
            wallets.charge(self._request(who, parts, at))  # type: ignore[arg-type]
        assert accounts(self.members[who]) == before

    @rule(who=WHO, pick=PICK, percent=st.integers(1, 120), again=st.booleans())
    def refund(self, who: int, pick: int, percent: int, again: bool) -> None:
        """A part of a charge, spread over its accounts; perhaps twice, perhaps too much."""
        charge = self._charge_of(who, pick)
        if charge is None:
            return
        model, id = self.models[who], new_id()
        still = model.parts_open(charge.id)
        amount = max(1, sum(left for _account, left in still) * percent // 100)
        for _time in range(1 + again):
            before = accounts(self.members[who])
            told = _answer(lambda: self._spread_refund(who, charge, id, amount))
            if amount > sum(left for _account, left in still):
                assert (told, accounts(self.members[who])) == ("refund_too_large", before)
                return
            if _time == 0:
                parts = [(part.account, part.amount_minor) for part in refunds.spread([refunds.Share(a, left, left) for a, left in still], amount)]
            assert told == model.refund(id, request_hash("refund", amount=amount), charge.id, parts, self.at)

    def _spread_refund(self, who: int, charge: wallets.ChargeRequest, id: object, amount: int) -> str:
        member = self.members[who]
        with transaction(SYSTEM):
            found = refunds.shares(member, charge.id)
            known = db.session.get(LedgerTransaction, (member, id)) is not None
            parts = [RefundPart(A.STORE_REVENUE, 1)] if known else refunds.spread(found, amount)
            return refunds.refund_charge(
                member,
                charge.id,
                refund_id=id,
                request_hash=request_hash("refund", amount=amount),
                parts=parts,
                at=self.at,  # type: ignore[arg-type]
            ).status

    @rule(who=WHO, pick=PICK, account=st.sampled_from([A.STORE_REVENUE, A.TAX_PAYABLE, A.PARTNER_PENDING, A.DEFERRED_REVENUE]), amount=st.integers(1, 70))
    def refund_one_account(self, who: int, pick: int, account: A, amount: int) -> None:
        """One account of a charge alone, which it may not have fed at all."""
        charge = self._charge_of(who, pick)
        if charge is None:
            return
        id, content, member = new_id(), request_hash("one", amount=amount), self.members[who]

        def give() -> str:
            with transaction(SYSTEM):
                return refunds.refund_charge(member, charge.id, refund_id=id, request_hash=content, parts=[RefundPart(account, amount)], at=self.at).status

        assert _answer(give) == self.models[who].refund(id, content, charge.id, [(account, amount)], self.at)

    @rule(who=WHO, pick=PICK, amount=AMOUNT, all_of_it=st.booleans())
    def back_to_the_card(self, who: int, pick: int, amount: int, all_of_it: bool) -> None:
        """Money of a top-up leaves the wallet on its way to the card."""
        top_up, model, id = self._top_up_of(who, pick), self.models[who], new_id()
        amount = model.refundable(top_up.id) or amount if all_of_it else amount

        def begin() -> str:
            with transaction(SYSTEM):
                refund = card_refunds.ask(top_ups.show(self.members[who], top_up.id), id, amount, at=self.at, by=None)
                card_refunds.begin(refund, at=self.at)
            return "new"

        assert _answer(begin) == model.begin(id, top_up.id, amount, self.at)

    @rule(who=WHO, pick=PICK, outcome=st.sampled_from(["confirmed", "confirmed", "failed"]))
    def card_refund_ends(self, who: int, pick: int, outcome: str) -> None:
        """Stripe says what became of it; it may say so twice, and change its mind for the worse."""
        model = self.models[who]
        if not model.outgoing:
            return
        id = list(model.outgoing)[pick % len(model.outgoing)]
        if outcome == "confirmed" and model.outgoing[id].state == "failed":
            return
        with transaction(SYSTEM) as session:
            refund = session.get_one(CardRefund, (self.members[who], id), with_for_update=True, populate_existing=True)
            told = card_refunds.confirm(refund, at=self.at) if outcome == "confirmed" else card_refunds.fail(refund, "no", at=self.at)
        assert told == model.end(id, outcome, self.at)

    @rule(who=WHO, pick=PICK, share=st.sampled_from([100, 100, 40]), twice=st.booleans())
    def chargeback(self, who: int, pick: int, share: int, twice: bool) -> None:
        """A cardholder contests a payment, or a part of it."""
        top_up, model = self._top_up_of(who, pick), self.models[who]
        intent, amount = f"pi_{top_up.id.hex}", max(1, top_up.paid_minor * share // 100)
        if intent in model.disputes:
            return
        event = dispute_event("charge.dispute.created", intent, amount, "needs_response", id=f"du_{intent}", fee=15)
        for _time in range(1 + twice):
            with transaction(SYSTEM):
                top_ups.show(self.members[who], top_up.id).stripe_payment_intent = intent
                db.session.flush()
                disputes.heard(event, self.at)
            model.dispute(intent, top_up.id, amount, 15, self.at)

    @rule(who=WHO, pick=PICK, outcome=st.sampled_from(["won", "lost"]))
    def chargeback_ends(self, who: int, pick: int, outcome: str) -> None:
        """The bank decides; a second decision changes nothing."""
        model = self.models[who]
        if not model.disputes:
            return
        intent = list(model.disputes)[pick % len(model.disputes)]
        one = model.disputes[intent]
        topped_up = next(credit.paid_minor for credit in self._of(who, wallets.Credit) if credit.id == one.top_up)  # type: ignore[attr-defined]
        with transaction(SYSTEM):
            disputes.heard(dispute_event("charge.dispute.closed", intent, one.amount, outcome, id=f"du_{intent}", fee=15), self.at)
        model.decide(intent, outcome, topped_up, self.at)

    @rule(who=WHO, pick=PICK)
    def correct(self, who: int, pick: int) -> None:
        """The reverse of any entry that was written, where that is still possible."""
        found = [one for whose, one in self.written if whose == who]
        one, model, id, member = found[pick % len(found)], self.models[who], new_id(), self.members[who]

        def reverse() -> str:
            with transaction(SYSTEM):
                corrections.correct(member, one.id, id=id, at=self.at, memo="wrong")  # type: ignore[attr-defined]
            return "new"

        told = _answer(reverse)
        if isinstance(one, wallets.ChargeRequest):
            content = request_hash(corrections.KIND, book=member, transaction=one.id)
            assert told == model.correct_charge(id, content, one.id, self.at)
            return
        assert isinstance(one, wallets.Credit)
        bonus_id = uuid.UUID(hashlib.md5(f"bonus:{one.id}".encode()).hexdigest())
        granted = {one.id: (one.paid_minor - model.settled[one.id], one.source), bonus_id: (one.bonus_minor, one.bonus_source)}
        parts = [(grant, *granted[grant.id]) for grant in model.grants if grant.id in granted and granted[grant.id][0]]
        assert told == model.correct_credit(one.id, parts, one.source, self.at)


def _answer(step: Callable[[], str]) -> str:
    """What a step says, or the code of its refusal."""
    try:
        return step()
    except AppError as error:
        return error.code


@pytest.fixture(autouse=True)
def _settings_come_back(app: Flask) -> Iterator[None]:
    before = app.extensions["settings"]
    yield
    app.extensions["settings"] = before


def test_giving_back_equals_the_model(app: Flask, request: pytest.FixtureRequest) -> None:
    Giving.empty = staticmethod(request.getfixturevalue("_emptying"))  # type: ignore[assignment]
    run_state_machine_as_test(Giving, settings=settings(max_examples=25, stateful_step_count=30, **COMMON))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_long_histories_of_giving_back_equal_the_model(app: Flask, request: pytest.FixtureRequest) -> None:
    Giving.empty = staticmethod(request.getfixturevalue("_emptying"))  # type: ignore[assignment]
    run_state_machine_as_test(Giving, settings=settings(max_examples=250, stateful_step_count=60, **COMMON))
