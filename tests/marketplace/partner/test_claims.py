"""Claims for money back, with the books behind them; amounts in minor units (fen)."""

import dataclasses
import uuid
from datetime import datetime, timedelta

import pytest
from flask import Flask

from billing.approval import approvals
from billing.ledger.accounts import Account as A
from billing.refund.refunds import RefundTooLarge
from core.actor import Actor
from core.db import SYSTEM, transaction
from core.errors import Conflict, IdReused, Invalid, NotFound
from core.ids import new_id
from marketplace.partner import claims, partner_payables
from marketplace.store.listing_models import Listing
from membership.models import Member
from tests.billing.books import accounts
from tests.factories import make_member
from tests.marketplace.order.test_order_refunds import member, partner, read  # noqa: F401 (fixtures)
from tests.marketplace.partner.test_payouts import BOSS, CLERK, buy
from tests.marketplace.services_world import accept, deliver, offer_service, order_service

DAY = timedelta(days=1)
SELLER = Actor(kind="publisher", role="publisher", name="Seller", user_id=new_id())


def file(member: Member, order_id: uuid.UUID, amount: int, at: datetime, id: uuid.UUID | None = None) -> uuid.UUID:  # noqa: F811
    with transaction(Actor(kind="member", role="owner", member_id=member.id)):
        return claims.file(member.id, order_id, claims.Wanted(id or new_id(), amount, "it does not work"), at=at, filed_by=None).id


def state(member: Member, claim_id: uuid.UUID) -> str:  # noqa: F811
    with transaction(SYSTEM):
        return claims.show(member.id, claim_id).claim.state


def test_an_open_claim_keeps_the_share_where_it_is(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner, at)
    claim_id = file(member, order_id, 63_60, at + 13 * DAY)
    assert partner_payables.release_due(at + 15 * DAY) == 0
    assert accounts(member.id)[A.PARTNER_PENDING] == 140_00
    assert claims.escalate_due(at + 18 * DAY - timedelta(seconds=1)) == 0
    assert claims.escalate_due(at + 18 * DAY) == 1
    with transaction(SYSTEM), pytest.raises(claims.ClaimDecided):
        claims.accept(member.id, claim_id, 63_60, "keep", "", SELLER, at=at + 18 * DAY)
    with transaction(SYSTEM):
        claims.accept(member.id, claim_id, 63_60, "keep", "it was broken", CLERK, at=at + 19 * DAY)
    assert (state(member, claim_id), read(member, order_id)) == ("accepted", ("completed", 63_60, "active"))
    assert partner_payables.release_due(at + 19 * DAY) == 1
    assert accounts(partner.publisher_id)[A.PARTNER_DUE] == 98_00


def test_the_publisher_agrees_and_decides_about_the_licence_by_name(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner, at)
    claim_id = file(member, order_id, 212_00, at)
    with transaction(SYSTEM), pytest.raises(Invalid) as told:
        claims.accept(member.id, claim_id, 212_00, "", "", SELLER, at=at)
    assert set(told.value.fields) == {"licence"}
    with transaction(SYSTEM):
        claims.accept(member.id, claim_id, 212_00, "revoke", "", SELLER, at=at)
    assert (state(member, claim_id), read(member, order_id)) == ("accepted", ("refunded", 212_00, "ended"))


def test_an_objection_brings_it_to_us_and_a_refusal_says_why(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner, at)
    before = accounts(member.id)
    claim_id = file(member, order_id, 100_00, at)
    with transaction(SYSTEM):
        claims.object_to(member.id, claim_id, "it works as described", at=at + DAY)
    with transaction(SYSTEM), pytest.raises(Invalid):
        claims.reject(member.id, claim_id, "no", CLERK, at=at + DAY)
    with transaction(SYSTEM):
        claims.reject(member.id, claim_id, "we have tried it and it works", CLERK, at=at + DAY)
    assert (state(member, claim_id), accounts(member.id)) == ("rejected", before)
    with transaction(SYSTEM), pytest.raises(claims.ClaimDecided):
        claims.accept(member.id, claim_id, 1, "keep", "", CLERK, at=at + DAY)
    assert partner_payables.release_due(at + 14 * DAY) == 1


def test_above_the_limit_it_waits_for_a_second_person(member: Member, partner: Listing, at: datetime, app: Flask) -> None:  # noqa: F811
    settings = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(settings, approval_limit_minor=100_00)
    try:
        order_id = buy(member, partner, at)
        claim_id = file(member, order_id, 150_00, at)
        ways = (
            (lambda id: approvals.reject(id, BOSS, at=at, note="not so fast"), "escalated", at),
            (lambda id: approvals.approve(id, BOSS, at=at), "accepted", at + DAY),
        )
        for decide, after, decided_at in ways:
            with transaction(SYSTEM):
                waiting = claims.accept(member.id, claim_id, 150_00, "keep", "it was broken", CLERK, at=decided_at)
                refund_id = waiting.refund_id
            assert state(member, claim_id) == "approving"
            assert partner_payables.release_due(at + 20 * DAY) == 0
            with transaction(SYSTEM):
                decide(refund_id)
            assert state(member, claim_id) == after
        assert read(member, order_id)[1] == 150_00
    finally:
        app.extensions["settings"] = settings


def test_what_is_refused(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner, at)
    with pytest.raises(claims.TooLate):
        file(member, order_id, 1, at + 14 * DAY)
    for amount, error in ((0, Invalid), (212_01, RefundTooLarge)):
        with pytest.raises(error):
            file(member, order_id, amount, at)
    with pytest.raises(NotFound):
        file(make_member(), order_id, 1, at)
    id = file(member, order_id, 10_00, at)
    assert file(member, order_id, 10_00, at, id) == id
    with pytest.raises(IdReused):
        file(member, order_id, 11_00, at, id)
    with pytest.raises(Conflict):
        file(member, order_id, 10_00, at)
    with transaction(SYSTEM), pytest.raises(Invalid):
        claims.accept(member.id, id, 10_01, "keep", "", CLERK, at=at)
    for _again in range(2):
        with transaction(Actor(kind="member", role="owner", member_id=member.id)):
            claims.withdraw(member.id, id, at=at)
    assert file(member, order_id, 10_00, at) != id


def test_a_milestone_can_be_claimed_back_too(app: Flask, at: datetime) -> None:
    buyer = make_member(paid=2_000_00)
    partner_id = offer_service(at)
    service_id = order_service(buyer, at)
    deliver(buyer, service_id, 1, at)
    accept(buyer, service_id, 1, at)
    with transaction(SYSTEM):
        from marketplace.service import services

        charge_id = services.show(buyer.id, service_id).milestones[0].charge_id
    assert charge_id
    claim_id = file(buyer, charge_id, 106_00, at + DAY)
    with transaction(SYSTEM):
        claims.accept(buyer.id, claim_id, 106_00, "keep", "", SELLER, at=at + DAY)
    books = accounts(buyer.id)
    assert (books[A.PARTNER_PENDING], books[A.TAX_PAYABLE], books[A.COMMISSION_REVENUE]) == (140_00, 12_00, 60_00)
    assert partner_payables.release_due(at + 14 * DAY) == 1
    assert accounts(partner_id)[A.PARTNER_DUE] == 140_00
