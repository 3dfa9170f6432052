"""Tables of the billing room. Those of the ledger are written by SQL functions of the `ledger` role alone."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Identity, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base

HOT = {"postgresql_with": {"fillfactor": "50"}}


class Book(Base):
    """A set of ledger accounts kept apart: a member's (same id as the member), a legal entity's house book, or a partner's."""

    __tablename__ = "book"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]  # member | house | partner
    entity_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("legal_entity.id"))
    __table_args__ = (CheckConstraint("kind in ('member', 'house', 'partner')", name="kind"),)


class AccountKind(Base):
    """The chart of accounts. A ledger account is (book, kind, currency)."""

    __tablename__ = "account_kind"
    code: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(unique=True)
    category: Mapped[str]  # asset | liability | income | expense | between
    is_own_part: Mapped[bool]  # our revenue, now or deferred: where a lot's discount is taken back


class LedgerTransaction(Base):
    """One entry in a book: never updated, never deleted. `id` is the idempotency key within the book."""

    __tablename__ = "ledger_transaction"
    book_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # its wallet or position refers to the book
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]  # top_up | purchase | subscription | refund | expiry | bank | correction …
    currency: Mapped[str]
    seq: Mapped[int]  # position within the book and currency; what pages sort by
    effective_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    request_hash: Mapped[bytes]
    amount_minor: Mapped[int]  # effect on the wallet: + in, − out; 0 where it does not touch it
    paid_after_minor: Mapped[int | None]
    bonus_after_minor: Mapped[int | None]
    reverses_id: Mapped[uuid.UUID | None]
    memo: Mapped[str | None]
    __table_args__ = (
        Index("ledger_transaction_seq_idx", "book_id", "currency", "seq", unique=True),
        Index("ledger_transaction_effective_idx", "book_id", "currency", "effective_at", "seq"),
        Index("ledger_transaction_reverses_idx", "book_id", "reverses_id", postgresql_where=text("reverses_id is not null")),
    )


class Posting(Base):
    """A move `source → target`: the source is debited, the target credited; unbalanced is not expressible."""

    __tablename__ = "posting"
    book_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    transaction_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    source: Mapped[int] = mapped_column(SmallInteger)
    target: Mapped[int] = mapped_column(SmallInteger)
    amount_minor: Mapped[int]
    grant_id: Mapped[uuid.UUID | None]  # the grant a wallet move drew on or fed
    __table_args__ = (CheckConstraint("amount_minor > 0 and source <> target", name="move"),)


class Wallet(Base):
    """A member's prepaid money in one currency: cached balances, proven against the postings by `flask ledger verify`."""

    __tablename__ = "wallet"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("book.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    paid_minor: Mapped[int]
    bonus_minor: Mapped[int]
    held_minor: Mapped[int]
    state: Mapped[str]  # open | frozen
    last_seq: Mapped[int]
    last_effective_at: Mapped[datetime]
    next_expiry_at: Mapped[datetime | None]  # the earliest expiry among its open grants
    credit_limit_minor: Mapped[int] = mapped_column(server_default="0")  # what the member may owe us beyond its money (books, move 12)
    receivable_minor: Mapped[int] = mapped_column(server_default="0")  # what it owes: the balance of `member_receivable`
    __table_args__ = (
        CheckConstraint("paid_minor >= 0 and bonus_minor >= 0 and held_minor >= 0 and held_minor <= paid_minor + bonus_minor", name="never_below_zero"),
        CheckConstraint("state in ('open', 'frozen')", name="state"),
        CheckConstraint("credit_limit_minor >= 0", name="credit_limit"),
        Index("wallet_next_expiry_idx", "next_expiry_at", postgresql_where=text("next_expiry_at is not null")),
        HOT,
    )


class Lot(Base):
    """A paid grant and the bonus granted with it; the bonus is a discount earned back as the lot's face is spent (books, Lots and bonus)."""

    __tablename__ = "lot"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    currency: Mapped[str]
    face_minor: Mapped[int]  # paid + bonus
    discount_minor: Mapped[int]  # = the bonus
    spent_minor: Mapped[int]
    expired_minor: Mapped[int]
    earned_minor: Mapped[int]  # of the discount, what spending has earned back so far
    __table_args__ = (
        CheckConstraint("face_minor > 0 and discount_minor between 0 and face_minor", name="face"),
        CheckConstraint("spent_minor >= 0 and expired_minor >= 0 and spent_minor + expired_minor <= face_minor", name="spent"),
        CheckConstraint("earned_minor between 0 and discount_minor", name="earned"),
        HOT,
    )


class Grant(Base):
    """Money of one kind put into a wallet at once, with a priority and an expiry; spending draws on grants in a defined order."""

    __tablename__ = "wallet_grant"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    currency: Mapped[str]
    lot_id: Mapped[uuid.UUID | None]  # None: no bonus came with it
    kind: Mapped[str]  # paid | bonus
    granted_minor: Mapped[int]
    remaining_minor: Mapped[int]
    held_minor: Mapped[int]
    priority: Mapped[int]  # lower is spent first
    granted_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    is_open: Mapped[bool]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "currency"], ["wallet.member_id", "wallet.currency"]),
        ForeignKeyConstraint(["member_id", "lot_id"], ["lot.member_id", "lot.id"]),
        CheckConstraint("remaining_minor between 0 and granted_minor and held_minor between 0 and remaining_minor", name="remaining"),
        CheckConstraint("kind in ('paid', 'bonus')", name="kind"),
        Index("wallet_grant_open_idx", "member_id", "currency", postgresql_where=text("is_open")),
        HOT,
    )


class RefundLine(Base):
    """Which part of which charge a refund gave back, and to which grant; taking a refund back writes negative amounts."""

    __tablename__ = "refund_line"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    refund_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    original_id: Mapped[uuid.UUID]
    account: Mapped[int] = mapped_column(SmallInteger)  # what the charge had fed
    grant_id: Mapped[uuid.UUID | None]  # the grant that had paid; None: the credit limit
    amount_minor: Mapped[int]
    __table_args__ = (
        ForeignKeyConstraint(["member_id", "refund_id"], ["ledger_transaction.book_id", "ledger_transaction.id"]),
        CheckConstraint("amount_minor <> 0", name="amount"),
        Index("refund_line_original_idx", "member_id", "original_id"),
    )


class TopUp(Base):
    """Money on its way into a wallet: pending until Stripe or finance says that it arrived."""

    __tablename__ = "top_up"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # the client's id
    request_hash: Mapped[bytes]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    bonus_minor: Mapped[int]  # promised by the offer in force when it was started
    bonus_days: Mapped[int | None]  # how long that bonus lives once it is there
    bonus_priority: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    offer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("top_up_offer.id"))  # whose promise it is
    auto_number: Mapped[int | None]  # the member's n-th automatic one; None: somebody asked for it
    method: Mapped[str]  # card | bank_transfer
    state: Mapped[str]  # pending | settled | failed | cancelled
    failure: Mapped[str | None]  # a reason in words a customer understands
    stripe_payment_intent: Mapped[str | None]
    payment_method_id: Mapped[uuid.UUID | None]
    bank_reference: Mapped[str | None]  # what the member writes on the transfer
    bank_transaction: Mapped[str | None]  # the bank's own number of the transfer that arrived
    received_minor: Mapped[int | None]  # what arrived by transfer, where it may differ from the announced amount
    created_by: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]  # when the sweep last asked Stripe
    __table_args__ = (
        CheckConstraint("amount_minor > 0 and bonus_minor >= 0", name="amount"),
        CheckConstraint("method in ('card', 'bank_transfer')", name="method"),
        CheckConstraint("state in ('pending', 'settled', 'failed', 'cancelled')", name="state"),
        Index("top_up_pending_idx", "created_at", postgresql_where=text("state = 'pending'")),
        Index(None, "member_id", "created_at"),
        Index("top_up_payment_intent_idx", "stripe_payment_intent", unique=True),
        Index("top_up_bank_transaction_idx", "bank_transaction", unique=True),
        Index(None, "id"),
        Index("top_up_auto_idx", "member_id", "auto_number", unique=True, postgresql_where=text("auto_number is not null")),
        # However many purchases call for it: one at a time on its way.
        Index("top_up_auto_pending_idx", "member_id", unique=True, postgresql_where=text("auto_number is not null and state = 'pending'")),
        Index("top_up_offer_idx", "offer_id", postgresql_where=text("offer_id is not null")),
    )


class BankAccount(Base):
    """Where members transfer to: one account a legal entity and currency. Without one, no bank transfer is offered."""

    __tablename__ = "bank_account"
    entity_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("legal_entity.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    bank: Mapped[str]
    number: Mapped[str]
    code: Mapped[str]  # CNAPS or BIC


class StripeCustomer(Base):
    """The member's customer at Stripe."""

    __tablename__ = "stripe_customer"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)


class PaymentMethod(Base):
    """A saved card: Stripe's id and what people recognise it by, never its number."""

    __tablename__ = "payment_method"
    member_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    stripe_id: Mapped[str]
    brand: Mapped[str]
    last4: Mapped[str]
    exp_month: Mapped[int]
    exp_year: Mapped[int]
    is_default: Mapped[bool]
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class StripeEvent(Base):
    """A signed event as it came, kept before it is acted on; its id makes a duplicate harmless."""

    __tablename__ = "stripe_event"
    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    payload: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]
    processed_at: Mapped[datetime | None]
    error: Mapped[str | None]
    __table_args__ = (Index("stripe_event_waiting_idx", "received_at", postgresql_where=text("processed_at is null")),)


class SubscriptionCharge(Base):
    """What a subscription cost for a service period; its id is the ledger transaction's. Unpaid ones are what the next top-up pays.

    A negative one is a credit: unused service given back (`credits_id` says from which charge). Each amount, a credit's too, is spread evenly over its own
    service period less the pauses in it (`SubscriptionPause`): summed up, that is what has been used of the term (decision 0021).
    """

    __tablename__ = "subscription_charge"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # derived from subscription and term, or the client's id of a change
    subscription_id: Mapped[uuid.UUID]
    motion: Mapped[str]  # new | renewal | seats | upgrade | period | maintenance | arrears; of a credit: downgrade | seats | period | cancel
    term: Mapped[int]
    currency: Mapped[str]
    amount_minor: Mapped[int]  # tax included
    tax_minor: Mapped[int]
    service_from: Mapped[datetime]
    service_until: Mapped[datetime]  # moves with the term's end when a pause is over
    state: Mapped[str]  # paid | unpaid | void
    due_at: Mapped[datetime]
    paid_at: Mapped[datetime | None]
    credits_id: Mapped[uuid.UUID | None]  # of a credit: the charge that it gives back a part of
    run_id: Mapped[uuid.UUID | None]  # the renewal run that paid it; None: a top-up, or the member itself
    service_units: Mapped[int | None]  # how many proration units it covers; None: a whole term
    is_deferred: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # taken up into the schedule of recognition
    motion_rank: Mapped[int | None]  # these four where the charge is its motion, too: a plain renewal (view subscription_history)
    motion_seats: Mapped[int | None]
    arr_before_minor: Mapped[int | None]
    arr_after_minor: Mapped[int | None]
    __table_args__ = (
        CheckConstraint("state in ('paid', 'unpaid', 'void')", name="state"),
        CheckConstraint(
            "service_until > service_from and case when credits_id is null then amount_minor >= 0 and tax_minor between 0 and amount_minor"
            " else amount_minor < 0 and tax_minor between amount_minor and 0 and state = 'paid' end",
            name="amounts",
        ),
        CheckConstraint("service_units > 0", name="service_units"),
        Index("subscription_charge_new_idx", "member_id", "id", postgresql_where=text("state = 'paid' and not is_deferred")),
        Index("subscription_charge_unpaid_idx", "member_id", "due_at", postgresql_where=text("state = 'unpaid'")),
        Index("subscription_charge_paid_at_idx", "paid_at", postgresql_using="brin", postgresql_with={"pages_per_range": 32}),
    )


class LedgerPosition(Base):
    """Last sequence number of a house or partner book, which have no wallet row to count in."""

    __tablename__ = "ledger_position"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    book_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("book.id"))
    currency: Mapped[str]
    last_seq: Mapped[int]
    __table_args__ = (Index("ledger_position_book_idx", "book_id", "currency", unique=True),)
