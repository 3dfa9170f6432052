"""Shares that become due in a batch: the very entries that one order after another would have written, and never over a claim or a refund."""

import threading
import time
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from billing.ledger.accounts import Account as A
from billing.refund import refunds
from billing.revenue import partner_shares
from billing.wallet import wallet_moves, wallets
from billing.wallet.wallet_moves import Entry, Move
from core.db import SYSTEM, db, transaction
from core.ids import new_id, request_hash
from marketplace.order import order_refunds
from marketplace.partner import claims, partner_payables
from marketplace.store.listing_models import Listing
from membership.models import Member
from tests.billing.books import assert_books_hold
from tests.billing.stories import top_up
from tests.factories import ENTITY, make_member
from tests.marketplace.order.test_order_refunds import CLERK, DAY, buy, member, partner  # noqa: F401 (fixtures)
from tests.operations.factories import make_listing

ENTRIES = text(
    "select t.book_id, t.id, t.kind, t.currency, t.seq, t.effective_at, t.recorded_at, t.request_hash, t.amount_minor, t.paid_after_minor, t.bonus_after_minor,"
    " t.memo, t.reverses_id, p.n, p.source, p.target, p.amount_minor as moved, p.grant_id"
    " from ledger_transaction t join posting p on p.book_id = t.book_id and p.transaction_id = t.id"
    " where t.kind = 'partner_share' order by t.book_id, t.seq, p.n"
)
POSITIONS = text("select book_id, currency, last_seq from ledger_position where last_seq > 0 order by 1")
WALLETS = text("select member_id, last_seq, last_effective_at, paid_minor, bonus_minor from wallet order by 1")
RELEASES = text("select * from partner_release order by member_id, order_id")
Books = tuple[list[Any], ...]


def second_partner(at: datetime) -> str:
    """Another partner with a listing of the same price."""
    listing = make_listing("other-script", price_minor=212_00)
    with transaction(SYSTEM) as session:
        other = new_id()
        session.execute(
            text(
                "insert into publisher select (jsonb_populate_record(p, jsonb_build_object('id', cast(:other as uuid), 'code', 'other'))).*"
                " from publisher p limit 1"
            ),
            {"other": other},
        )
        session.execute(text("update publisher set kind = 'partner', commission_bp = 2000 where id = :id"), {"id": other})
        session.execute(
            text("update listing set publisher_id = :p, bonus_limit_bp = 0, tax_rate_bp = 600, revision = revision + 1 where id = :id"),
            {"p": other, "id": listing.id},
        )
        wallets.open_book(other, "partner", ENTITY, "CNY", at)
    db.session.expunge_all()
    return listing.slug


def orders_of_all_kinds(first: Member, listing: Listing, at: datetime) -> None:
    """Seven sales of two partners to four members: untouched, given back in part and in whole, and claimed."""
    other = second_partner(at)
    members = [first]
    for _n in range(3):
        members.append(make_member())
        db.session.expunge(members[-1])
        top_up(members[-1], at, 1_000_00, 100_00)
    bought = [(one, buy(one, slug, 212_00, at + n * timedelta(hours=1))) for n, one in enumerate(members) for slug in (listing.slug, other)]
    for (one, order_id), amount in zip(bought, (0, 63_60, 212_00, 10_01, 0, 0, 1, 0), strict=True):
        if amount:
            with transaction(SYSTEM):
                order_refunds.propose(one.id, order_id, new_id(), amount, "keep", "customer_request", "", CLERK, at=at + DAY)
    one, order_id = bought[-1]
    with transaction(SYSTEM):
        claims.file(one.id, order_id, claims.Wanted(new_id(), 50_00, "does not work"), at=at + DAY, filed_by=None)


def read() -> Books:
    return tuple(list(map(tuple, db.session.execute(query).all())) for query in (ENTRIES, POSITIONS, WALLETS))


def books() -> Books:
    with transaction(SYSTEM):
        return read()


def one_by_one(at: datetime) -> Books:
    """What one order after another writes, by the general moves; taken back afterwards."""
    with transaction(SYSTEM) as session:
        tried = session.begin_nested()
        for row in session.execute(text(f"{partner_payables._READY} order by o.member_id, o.id")).all():
            wallet_moves.lock(row.member_id, "CNY", at=at)
            share = next((x for x in refunds.shares(row.member_id, row.id) if x.account is A.PARTNER_PENDING), None)
            if share is None or not share.open_minor:
                continue
            id, content = partner_shares.release_id(row.member_id, row.id), request_hash("partner_share", charge=row.id)
            for book, move in (
                (row.member_id, Move(A.PARTNER_PENDING, A.INTERBOOK, share.open_minor)),
                (row.publisher_id, Move(A.INTERBOOK, A.PARTNER_DUE, share.open_minor)),
            ):
                wallet_moves.post(Entry(book, id, content, "partner_share", "CNY", at, [move]))
        found = read()
        tried.rollback()
    return found


def test_a_batch_writes_the_books_of_one_after_another(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    orders_of_all_kinds(member, partner, at)
    later = at + 16 * DAY
    expected = one_by_one(later)
    assert books()[0] == []
    assert len(expected[0]) == 2 * 6  # of eight orders one is given back whole, one is claimed
    assert partner_payables.release_due(later) == 7  # the one that was given back is settled too, with nothing
    assert books() == expected
    with transaction(SYSTEM) as session:
        rows = session.execute(RELEASES).all()
    assert sorted((row.refunded_minor, row.share_minor) for row in rows)[-1] == (212_00, 0)
    assert all(row.total_minor == row.refunded_minor + row.tax_minor + row.commission_minor + row.share_minor for row in rows)
    assert partner_payables.release_due(later) == 0
    assert books() == expected


def test_small_batches_write_the_same(member: Member, partner: Listing, at: datetime, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    orders_of_all_kinds(member, partner, at)
    expected = one_by_one(at + 16 * DAY)
    monkeypatch.setattr(partner_payables, "BATCH", 2)
    assert partner_payables.release_due(at + 16 * DAY) == 7
    assert books() == expected


def test_one_that_was_released_alone_before_is_only_written_down(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner.slug, 212_00, at)
    with transaction(SYSTEM):
        assert partner_shares.release(member.id, order_id, partner.publisher_id, "CNY", at=at + 15 * DAY) == 140_00
    before = books()
    with transaction(SYSTEM):
        assert partner_shares.release(member.id, order_id, partner.publisher_id, "CNY", at=at + 15 * DAY) == 0
    assert partner_payables.release_due(at + 16 * DAY) == 1
    assert books() == before
    with transaction(SYSTEM) as session:
        assert session.execute(text("select share_minor, entry_id from partner_release")).one() == (140_00, partner_shares.release_id(member.id, order_id))


def test_a_claim_that_is_filed_while_the_run_waits_for_the_wallet_stops_it(app: Flask, member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    order_id = buy(member, partner.slug, 212_00, at)
    done: list[int] = []

    def run() -> None:
        with app.app_context():
            done.append(partner_payables.release_due(at + 15 * DAY))

    with transaction(SYSTEM) as session:
        claims.file(member.id, order_id, claims.Wanted(new_id(), 50_00, "does not work"), at=at + DAY, filed_by=None)
        session.flush()
        wallet_moves.lock(member.id, "CNY", at=at + DAY)
        thread = threading.Thread(target=run)
        thread.start()
        _wait_until_somebody_waits(session.scalar(text("select pg_backend_pid()")))
    thread.join()
    assert done == [0]
    assert books()[0] == []
    assert_books_hold()


def _wait_until_somebody_waits(pid: int) -> None:
    """Until another connection waits for a lock of ours."""
    for _try in range(200):
        with db.engine.connect() as connection:
            if connection.scalar(text("select count(*) from pg_stat_activity a where :pid = any (pg_blocking_pids(a.pid))"), {"pid": pid}):
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


def test_a_release_of_what_was_never_charged_is_a_bug(member: Member, partner: Listing, at: datetime) -> None:  # noqa: F811
    with pytest.raises(Exception, match="a share is a part of a charge"), transaction(SYSTEM):
        partner_shares.release(member.id, uuid.uuid4(), partner.publisher_id, "CNY", at=at)
