"""Five hundred purchases, each given back twice by twenty workers at once: exactly five hundred succeed."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from flask import Flask

from billing.ledger.accounts import Account as A
from billing.refund import refunds
from billing.refund.refunds import RefundTooLarge
from billing.wallet import wallets
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from tests.billing.books import accounts, assert_books_hold
from tests.factories import AT, make_member

pytestmark = pytest.mark.long
PURCHASES, MEMBERS, WORKERS = 500, 10, 20
GROSS, TAX = 1_060, 60


def buy(member_id: uuid.UUID) -> uuid.UUID:
    """One purchase that bonus pays a part of; its id."""
    targets = (wallets.Target(A.STORE_REVENUE, GROSS - TAX, GROSS - TAX), wallets.Target(A.TAX_PAYABLE, TAX))
    request = wallets.ChargeRequest(member_id, new_id(), request_hash("buy"), "purchase", "CNY", AT, targets)
    assert wallets.charge(request).status == "new"
    return request.id


def test_each_purchase_is_given_back_once(app: Flask) -> None:
    members = [make_member(paid=600_00, bonus=100_00).id for _ in range(MEMBERS)]
    before = {member: accounts(member) for member in members}
    with transaction(SYSTEM):
        bought = [(member, buy(member)) for member in members for _ in range(PURCHASES // MEMBERS)]
    twice = bought * 2
    Random(7).shuffle(twice)
    parts = [refunds.Part(A.STORE_REVENUE, GROSS - TAX), refunds.Part(A.TAX_PAYABLE, TAX)]

    def give_back(which: tuple[uuid.UUID, uuid.UUID]) -> str:
        """Each try under an id of its own, as two clerks would."""
        member_id, order_id = which
        with app.app_context():
            try:
                with transaction(SYSTEM):
                    made = refunds.refund_charge(member_id, order_id, refund_id=new_id(), request_hash=request_hash("back"), parts=parts, at=AT)
            except RefundTooLarge:
                return "refused"
            return made.status

    with ThreadPoolExecutor(WORKERS) as pool:
        assert Counter(pool.map(give_back, twice)) == {"new": PURCHASES, "refused": PURCHASES}
    assert_books_hold()
    assert {member: accounts(member) for member in members} == before
