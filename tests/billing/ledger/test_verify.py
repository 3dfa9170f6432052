# ruff: noqa: E501 (a case of the table reads best on one line)
"""`flask ledger verify` finds each kind of difference and names it; every corruption here is rolled back."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import Connection, Engine, text

from billing.ledger import verify
from billing.ledger.accounts import Account as A
from billing.subscription.subscription_models import SubscriptionCharge
from billing.wallet import wallets
from core.db import SYSTEM, transaction
from core.ids import new_id, request_hash
from membership.catalogue_models import Edition, ProductLine
from membership.models import Member
from membership.subscription_models import Subscription
from tests.billing.books import as_owner, first_difference, settled_top_up
from tests.billing.document.test_documents import CORRUPTIONS as DOCUMENTS
from tests.factories import AT, ENTITY, make_member
from tests.marketplace.partner.test_payouts import BROKEN as PARTNERS

CONSTRAINTS = (
    "alter table wallet drop constraint wallet_never_below_zero_check",
    "alter table wallet drop constraint wallet_member_id_fkey",
    "alter table lot drop constraint lot_spent_check",
    "alter table lot drop constraint lot_earned_check",
    "alter table wallet_grant drop constraint wallet_grant_remaining_check",
    "alter table license_seat drop constraint license_seat_license_fkey, drop constraint license_seat_user_fkey",
)
BONUS = "(select id from wallet_grant where kind = 'bonus' and lot_id is not null)"
BOUGHT = "(select id from ledger_transaction where kind = 'purchase')"
REFUNDED = (
    "insert into refund_line (member_id, refund_id, n, original_id, account, grant_id, amount_minor) select t.book_id, t.id, 1, o.id, {account},"
    " (select id from wallet_grant where kind = 'paid'), {amount} from ledger_transaction t, ledger_transaction o where t.kind = 'subscription' and o.kind = 'purchase'"
)
DISPUTED = (
    "insert into dispute (member_id, id, stripe_id, top_up_id, currency, amount_minor, fee_minor, reserved_minor, owed_minor, bonus_minor, reason, state, opened_at)"
    " select member_id, gen_random_uuid(), 'dp', id, 'CNY', 5, 0, 3, 0, 0, 'fraudulent', 'open', created_at from top_up"
)
# What is done to the books, the check that must find it, what must be named, and both figures.
CORRUPTIONS = {
    "paid balance": ("update wallet set paid_minor = paid_minor + 1", "wallet balance", "paid", "78801", "78800"),
    "bonus balance": ("update wallet set bonus_minor = bonus_minor - 1", "wallet balance", "bonus", "6999", "7000"),
    "held above the balance": ("update wallet set held_minor = 900000", "never below zero", "held", "900000", "at most 85800"),
    "balance below zero": ("update wallet set paid_minor = -1", "never below zero", "held", "0", "at most 6999"),
    "posting without transaction": ("insert into posting select book_id, gen_random_uuid(), 1, 10, 41, 5 from posting limit 1", "posting without transaction", "transaction", "missing", "1 posting"),
    "amount of a posting": ("update posting set amount_minor = amount_minor + 5 where source = 20 and target = 28", "wallet balance", "paid", "78800", "78795"),
    "balance after": (f"update ledger_transaction set paid_after_minor = 1 where id = {BOUGHT}", "chain", "paid_after", "1", "83800"),
    "bonus after": (f"update ledger_transaction set bonus_after_minor = 1 where id = {BOUGHT}", "chain", "bonus_after", "1", "5000"),
    "amount of a transaction": (f"update ledger_transaction set amount_minor = -1 where id = {BOUGHT}", "chain", "amount", "-1", "-21200"),
    "gap in the sequence": ("update ledger_transaction set seq = 9 where kind = 'subscription'", "chain", "sequence number", "5", "4"),
    "time running back": ("update ledger_transaction set effective_at = effective_at - interval '9 days' where kind = 'subscription'", "chain", "effective_at", "2026-06-06", "not before 2026-06-15"),
    "last sequence of a wallet": ("update wallet set last_seq = last_seq + 1", "position", "last sequence number", "6", "5"),
    "last sequence of the house": ("update ledger_position set last_seq = 7", "position", "last sequence number", "7", "1"),
    "last instant": ("update wallet set last_effective_at = last_effective_at - interval '9 days'", "position", "last effective_at", "2026-06-06", "2026-06-15"),
    "remaining of a grant": (f"update wallet_grant set remaining_minor = 1 where id = {BONUS}", "grant", "remaining", "1", "5000"),
    "granted": (f"update wallet_grant set granted_minor = granted_minor + 1 where id = {BONUS}", "grant", "granted", "10001", "10000"),
    "closed too early": (f"update wallet_grant set is_open = false where id = {BONUS}", "grant", "open", "false", "true"),
    "kind of a grant": (f"update wallet_grant set kind = 'paid' where id = {BONUS}", "grant", "remaining", "5000", "0"),
    "posting on another grant": (f"update posting set grant_id = {BONUS} where source = 20 and target = 28", "grant", "remaining", "78800", "92800"),
    "posting on no grant": ("update posting set grant_id = null where source = 20 and target = 28", "grant", "remaining", "78800", "92800"),
    "held nowhere": ("update wallet set held_minor = 5", "wallet against grants", "held", "5", "0"),
    "expiry too late": ("update wallet set next_expiry_at = next_expiry_at + interval '1 day'", "wallet against grants", "next_expiry_at", "2026-07-16", "not after 2026-07-15"),
    "expiry forgotten": ("update wallet set next_expiry_at = null", "wallet against grants", "next_expiry_at", "none", "not after 2026-07-15"),
    "face of a lot": ("update lot set face_minor = face_minor + 1", "lot", "face", "110001", "110000"),
    "discount of a lot": ("update lot set discount_minor = discount_minor + 1", "lot", "discount", "10001", "10000"),
    "spent of a lot": ("update lot set spent_minor = spent_minor - 1", "lot", "spent", "26199", "26200"),
    "expired of a lot": ("update lot set expired_minor = expired_minor + 1", "lot", "expired", "1", "0"),
    "earned of a lot": ("update lot set earned_minor = earned_minor + 1", "bonus discount", "earned back of the lots", "-7617", "-7618"),
    "discount on the wrong side": ("update posting set source = target, target = source where target = 22", "bonus discount", "earned back of the lots", "-7618", "-12382"),
    "between books": (f"update posting set amount_minor = amount_minor + 1 where source = 90 and book_id <> '{ENTITY}'", "between books", "interbook", "-1", "0"),
    "settled top-up without money": ("insert into top_up (member_id, id, request_hash, currency, amount_minor, bonus_minor, method, state, created_at)"
        " select member_id, gen_random_uuid(), '', 'CNY', 77, 0, 'card', 'settled', created_at from top_up", "top-up", "paid", "77", "no transaction"),
    "money without settled top-up": ("update top_up set state = 'pending'", "top-up", "paid", "no settled top-up", "100000"),
    "amount of a top-up": ("update top_up set amount_minor = amount_minor + 1", "top-up", "paid", "100001", "100000"),
    "bonus of a top-up": ("update top_up set bonus_minor = 1", "top-up", "bonus", "1", "10000"),
    "transaction without book": ("delete from book where kind = 'member'", "transaction without book", "book", "missing", ""),
    "a hold that reserves nothing": ("insert into hold (member_id, id, request_hash, currency, amount_minor, created_at, bonus_limit_minor, by_member)"
        " select member_id, gen_random_uuid(), '', currency, 10, '2026-06-15', 0, true from wallet", "hold", "remaining", "10", "0"),
    "held for nobody": ("update wallet_grant set held_minor = 5 where kind = 'paid'", "held", "held", "5", "0"),
    "owed by nobody": ("update wallet set receivable_minor = 7", "receivable", "receivable", "7", "0"),
    "seat of no licence": ("insert into license_seat (member_id, id, license_id, user_id, assigned_at)"
        " select id, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), created_at from member", "seats of a licence", "seats held", "1", "at most 0"),
    "licence of another listing": ("insert into license (member_id, id, listing_id, version, quantity, state, is_exclusive, starts_at)"
        " select member_id, id, '00000000-0000-0000-0000-000000000007', '1', 1, 'active', false, at from store_order", "licence", "listing",
        "00000000-0000-0000-0000-000000000007", "00000000-0000-0000-0000-000000000008"),
    "order of no listing": (
        "update store_order set listing_id = '00000000-0000-0000-0000-000000000007'; update license set listing_id = '00000000-0000-0000-0000-000000000007'",
        "order of a listing", "listing", "00000000", "no listing",
    ),
    "amount of an order": ("update store_order set price_minor = 1, total_minor = quantity", "order", "total", "1", "21200"),
    "order without transaction": ("update store_order set id = gen_random_uuid()", "order", "total", "21200", "no transaction"),
    "amount of a subscription charge": ("update subscription_charge set amount_minor = 1, tax_minor = 0", "subscription charge", "amount", "1", "5000"),
    "charge said to be paid": ("update subscription_charge set state = 'paid' where state = 'unpaid'", "subscription charge", "amount", "4200", "no transaction"),
    "charge of no subscription": (
        "update subscription_charge set subscription_id = '00000000-0000-0000-0000-000000000007' where state = 'unpaid'",
        "subscription of charges and motions", "subscription", "00000000", "missing",
    ),
    "run without a figure": (
        "update subscription_charge set run_id = member_id where state = 'paid'", "renewal run", "renewed", "0", "1",
    ),
    "more given back than charged": (REFUNDED.format(amount=14001, account=28), "refund", "given back", "14001", "from 0 to 14000"),
    "given back what was not charged": (REFUNDED.format(amount=1, account=41), "refund", "given back", "1", "from 0 to 0"),
    "given back less than nothing": (REFUNDED.format(amount=-1, account=28), "refund", "given back", "-1", "from 0 to 14000"),
    "refunded more than the order says": ("update store_order set refunded_minor = 7", "order refund", "refunded", "7", "0"),
    "a refund on its way without money": ("insert into card_refund (member_id, id, top_up_id, method, currency, amount_minor, bonus_minor, state, requested_at)"
        " select member_id, gen_random_uuid(), id, 'card', 'CNY', 5, 0, 'pending', created_at from top_up", "money on its way", "refunds on their way", "5", "0"),
    "a dispute without money": (DISPUTED, "money on its way", "reserve of disputes", "3", "0"),
    "open in a dispute": (DISPUTED, "frozen", "state", "open", "frozen"),
    "given back without a move": (REFUNDED.format(amount=5, account=28), "refund line", "lines", "5", "-5000"),
    "deferred of a charge": (f"insert into deferral select book_id, id, id, '{ENTITY}', currency, 77, 0, '2026-06-15', true from ledger_transaction where kind = 'subscription'",
        "deferral", "deferred", "77", "4545"),
    "a day that the house book does not know": (f"insert into recognition_day values ('{ENTITY}', 'CNY', '2026-06-15', 33, '2026-06-16')", "recognised revenue", "recognised of the days", "33", "0"),
}  # fmt: skip


@pytest.fixture
def member(app: Flask, owner: Engine) -> Member:
    """A member with a lot (1,000 + 100), a goodwill bonus, a partner purchase, a subscription, and a payout between books."""
    member = make_member()
    with transaction(SYSTEM) as session:
        top_up = wallets.Credit(
            member.id, new_id(), request_hash("t"), "top_up", "CNY", AT, 1_000_00, 100_00, bonus_expires_at=AT + timedelta(days=30),
            moves=((A.PAYMENT_FEES, A.STRIPE_CLEARING, 29_00),),
        )  # fmt: skip
        session.add(settled_top_up(top_up))
        wallets.credit(top_up)
        gift = wallets.Credit(
            member.id,
            new_id(),
            request_hash("g"),
            "goodwill",
            "CNY",
            AT,
            0,
            20_00,
            bonus_source=A.GOODWILL,
            priority=1,
            bonus_expires_at=AT + timedelta(days=60),
        )
        parts = (wallets.Target(A.COMMISSION_REVENUE, 60_00, 50_00), wallets.Target(A.TAX_PAYABLE, 12_00), wallets.Target(A.PARTNER_PENDING, 140_00))
        order = wallets.charge(wallets.ChargeRequest(member.id, new_id(), request_hash("o"), "purchase", "CNY", AT, parts))
        wallets.credit(gift)
        paid = wallets.charge(
            wallets.ChargeRequest(member.id, new_id(), request_hash("s"), "subscription", "CNY", AT, (wallets.Target(A.DEFERRED_REVENUE, 50_00),))
        )
        subscribe(session, member, paid.id)
    payout(member)
    as_owner(owner, ORDER, member=member.id, id=order.id)
    return member


ORDER = (
    "insert into publisher values ('00000000-0000-0000-0000-000000000009', 'p', 'p', 'p', 'partner', true, 3000);"
    "insert into listing (id, slug, publisher_id, kind, category, name_zh, name_en, summary_zh, summary_en, description_zh, description_en, state, revision, pricing,"
    " currency, price_minor, tax_rate_bp, bonus_limit_bp, is_repeatable, required_rank, required_features, minutes_saved, automates, rating_sum, rating_count, updated_at, is_quarantined)"
    " values ('00000000-0000-0000-0000-000000000008', 's', '00000000-0000-0000-0000-000000000009', 'rpa', 'c', 'n', 'n', 's', 's', 'd', 'd', 'published', 1, 'one_time',"
    " 'CNY', 21200, 600, 0, true, 0, '{}', 0, '{}', 0, 0, '2026-06-01', false);"
    "insert into store_order (member_id, id, request_hash, listing_id, version, quantity, price_minor, total_minor, tax_minor, currency, paid_minor, bonus_minor,"
    " balance_after_minor, state, at) values (:member, :id, '', '00000000-0000-0000-0000-000000000008', '1', 1, 21200, 21200, 1200, 'CNY', 16200, 5000, 88800, 'completed', '2026-06-15')"
)


def subscribe(session, member: Member, charge_id) -> None:  # type: ignore[no-untyped-def]
    session.add(ProductLine(code="crm", name_zh="CRM", name_en="CRM"))
    session.flush()
    session.add(Edition(product_line="crm", rank=1, code="entry", name_zh="入门版", name_en="Entry", features=[], limits={}))
    session.flush()
    term = {"term_start": AT, "term_end": AT + timedelta(days=30)}
    subscription = Subscription(
        member_id=member.id, id=new_id(), product_line="crm", rank=1, period="month", currency="CNY", seats=1, state="active", term=1, anchor_day=15, started_at=AT,
        term_price_minor=50_00, cancel_at_term_end=False, deployment="saas", licensing="rental", failed_attempts=0, **term,
    )  # fmt: skip
    session.add(subscription)
    session.flush()
    for charge, amount, state in ((charge_id, 50_00, "paid"), (new_id(), 42_00, "unpaid")):
        session.add(SubscriptionCharge(
            member_id=member.id, id=charge, subscription_id=subscription.id, motion="new", term=1, currency="CNY", amount_minor=amount, tax_minor=0,
            service_from=AT, service_until=AT + timedelta(days=30), state=state, due_at=AT,
        ))  # fmt: skip


def payout(member: Member) -> None:
    with transaction(SYSTEM):
        wallets.post_moves(ENTITY, new_id(), request_hash("p"), "payout", "CNY", AT, [(A.BANK, A.INTERBOOK, 971_00)])
        wallets.post_moves(member.id, new_id(), request_hash("p"), "payout", "CNY", AT, [(A.INTERBOOK, A.STRIPE_CLEARING, 971_00)])


@pytest.fixture
def books(member: Member, owner: Engine) -> Iterator[Connection]:
    """The owner's connection without the constraints that would refuse most of what follows; nothing of it stays."""
    with owner.connect() as connection, connection.begin() as changes:
        for statement in CONSTRAINTS:
            connection.execute(text(statement))
        yield connection
        changes.rollback()


def test_sound_books_have_no_difference(books: Connection) -> None:
    assert verify.first_difference(books) is None
    assert first_difference(books) is None
    assert verify.summary(books) == {"books": 2, "wallets": 1, "transactions": 6, "postings": 13}


@pytest.mark.parametrize("case", CORRUPTIONS)
def test_a_corruption_is_found_and_named(books: Connection, member: Member, case: str) -> None:
    statement, check, what, recorded, derived = CORRUPTIONS[case]
    assert books.execute(text(statement)).rowcount >= 1
    found = {difference.check: difference for difference in verify.differences(books)}
    assert check in found, f"not found; instead: {[str(d) for d in found.values()]}"
    at_once = first_difference(books)
    assert at_once
    assert at_once.check == next(iter(found))  # what other tests ask finds it too
    difference = found[check]
    assert difference.what == what
    assert difference.recorded.startswith(recorded), str(difference)
    assert difference.derived.startswith(derived), str(difference)
    named = "all books" if check == "between books" else str(ENTITY if "house" in case else member.id)
    assert named in difference.subject
    assert str(difference) == f"{check}: {difference.subject}: {what}: recorded {difference.recorded}, the ledger says {difference.derived}"


def test_every_check_has_a_corruption(books: Connection) -> None:
    assert {check for _s, check, *_rest in (*CORRUPTIONS.values(), *DOCUMENTS.values(), *PARTNERS.values())} == set(verify.CHECKS)


def test_the_command_says_what_it_proved_and_fails_at_a_difference(app: Flask, member: Member, owner: Engine) -> None:
    good = app.test_cli_runner().invoke(args=["ledger", "verify"])
    assert good.exit_code == 0, good.output
    assert "The books hold: 2 books, 1 wallets, 6 transactions, 13 postings" in good.output
    as_owner(owner, "update wallet set paid_minor = paid_minor + 1")
    bad = app.test_cli_runner().invoke(args=["ledger", "verify"])
    assert bad.exit_code == 1
    assert f"DIFFERENCE wallet balance: book {member.id}, wallet CNY: paid: recorded 78801, the ledger says 78800" in bad.output
