"""The chart of accounts (books.md). A ledger account is (book, kind, currency); these are the kinds."""

from enum import IntEnum


class Account(IntEnum):
    """Codes as stored in `account_kind`; a test holds both lists against each other."""

    STRIPE_CLEARING = 10
    BANK = 11
    MEMBER_RECEIVABLE = 12
    DISPUTE_RECEIVABLE = 13
    PARTNER_RECEIVABLE = 14
    WALLET_PAID = 20
    WALLET_BONUS = 21
    BONUS_DISCOUNT = 22
    REFUND_PENDING = 23
    REFUND_LIABILITY = 24
    DISPUTE_RESERVE = 25
    DEFERRED_REVENUE = 26
    TAX_PAYABLE = 27
    PARTNER_PENDING = 28
    PARTNER_DUE = 29
    UNCLAIMED_PROPERTY = 30
    SUBSCRIPTION_REVENUE = 40
    STORE_REVENUE = 41
    SERVICE_REVENUE = 42
    COMMISSION_REVENUE = 43
    BREAKAGE_REVENUE = 44
    PAYMENT_FEES = 50
    DISPUTE_FEES = 51
    BAD_DEBT = 52
    GOODWILL = 53
    INTERBOOK = 90
