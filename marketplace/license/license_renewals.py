"""Terms that end: recurring licences are charged and prolonged, trials and cancelled ones end. In batches, with ids derived from licence and term.

A batch is one transaction of the caller: killed anywhere, nothing of it has happened, and the next run does it again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import ColumnElement, exists, func, insert, or_, select
from sqlalchemy.orm import defer

from billing.wallet import wallets
from billing.wallet.wallet_models import Wallet
from core.db import SYSTEM, db, transaction
from core.ids import derived, request_hash
from core.money import gross_of, tax_included
from core.settings import Settings
from marketplace.license import license_terms
from marketplace.license.license_models import License
from marketplace.order import pricing
from marketplace.order.order_models import Order
from marketplace.seat import seats
from marketplace.store import compatibility
from marketplace.store.listing_models import Listing
from marketplace.store.listings import ON_SHOW
from membership import entitlements, notices, subscriptions, terms
from membership.models import Member

BATCH = 200


@dataclass(frozen=True, slots=True)
class _Due:
    """A licence whose term is over, and the charge of the next one."""

    license: License
    listing: Listing
    seller: subscriptions.Seller
    charge: wallets.ChargeRequest | None  # None: it is not to be renewed
    total_minor: int = 0  # of the term, with tax
    unit_minor: int = 0  # of one piece of it
    tax_minor: int = 0


def renew_all(at: datetime) -> int:
    """Everything that is due, batch by batch, each in a transaction of its own; returns how many licences were looked at."""
    total = 0
    while True:
        with transaction(SYSTEM):
            done = renew_due(at)
        total += done
        if done < BATCH:
            return total


def renew_due(at: datetime, most: int = BATCH) -> int:
    """Renew or end licences whose term is over, within the caller's transaction; returns how many there were.

    Two runs share the work. Licences of one member are served in the order in which their terms ended.
    """
    rows = db.session.execute(
        select(License, Listing)
        .join(Listing, Listing.id == License.listing_id)
        .where(or_(License.next_attempt_at <= at, _can_pay_again(at)))
        .order_by(License.next_attempt_at, License.member_id, License.id)
        .limit(most)
        .with_for_update(key_share=True, skip_locked=True, of=License)
        .options(defer(Listing.search), defer(Listing.description_zh), defer(Listing.description_en))
    ).all()
    due = [_judged(license, listing, at) for license, listing in rows]
    due.sort(key=lambda one: (one.license.member_id, one.license.ends_at, one.license.id))  # in which order wallets are locked
    charges = [one.charge for one in due if one.charge]
    results = {(result.member_id, result.id): result for result in wallets.charge_many(charges)} if charges else {}
    settings: Settings = current_app.extensions["settings"]
    for one in due:
        result = results[(one.license.member_id, one.charge.id)] if one.charge else None
        if result is None:
            _end(one, at)
        elif result.status in ("new", "replayed"):
            _prolong(one, result, at)
        else:
            _wait(one, at, settings)
    db.session.flush()
    return len(due)


def _can_pay_again(at: datetime) -> ColumnElement[bool]:
    """Suspended, and the wallet holds the price of a term again: not left waiting for its next attempt."""
    has = Wallet.paid_minor + Wallet.bonus_minor - Wallet.held_minor >= _due_minor(at)
    topped_up = Wallet.last_effective_at > License.suspended_at
    return (License.state == "suspended") & (License.suspended_at < at) & exists().where(Wallet.member_id == License.member_id, has, topped_up)


def _due_minor(at: datetime) -> ColumnElement[int]:
    """What the next term costs, with tax, in SQL."""
    entity = select(Member.entity_id).where(Member.id == License.member_id).scalar_subquery()
    rate = func.coalesce(License.tax_rate_bp, func.tax_rate_at(entity, at))
    pieces = func.coalesce(License.next_seats, License.seats, License.quantity)
    return func.gross_of(License.price_minor * pieces, rate, License.excludes_tax)


def pieces_of(license: License) -> int:
    """How many pieces the next term is charged for: seats, or what was bought."""
    return license.next_seats or license.seats or license.quantity


def _judged(license: License, listing: Listing, at: datetime) -> _Due:
    """What is to become of it. A listing that is gone, or that the member's edition no longer admits, is not charged again."""
    seller = subscriptions.seller_of(license.member_id)
    wanted = license.auto_renews and license.state != "trial" and listing.state in ON_SHOW
    verdict = compatibility.judge(compatibility.of_edition(listing), entitlements.standing_of(license.member_id)) if wanted else None
    if verdict is None or not verdict.allowed:
        return _Due(license, listing, seller, None, license.price_minor * pieces_of(license))
    rate = seller.tax_rate_at(at) if license.tax_rate_bp is None else license.tax_rate_bp
    unit, total = (gross_of(n * license.price_minor, rate if license.excludes_tax else 0) for n in (1, pieces_of(license)))
    tax = tax_included(total, rate)
    term = license.term + 1
    content = request_hash("license.renewal", license=license.id, term=term, amount_minor=total)
    targets = pricing.targets_of(total, tax, license.commission_bp, license.bonus_limit_bp)
    order_id = derived("license-renewal", license.member_id, license.id, term)
    return _Due(
        license, listing, seller, wallets.ChargeRequest(license.member_id, order_id, content, "purchase", listing.currency, at, targets), total, unit, tax
    )


def _prolong(one: _Due, result: wallets.ChargeResult, at: datetime) -> None:
    """The next term begins where the last one ended, or now where the licence was suspended in between."""
    license, charge = one.license, one.charge
    assert charge is not None
    assert license.period is not None
    assert license.ends_at is not None
    begins = at if license.suspended_at else license.ends_at
    anchor = terms.local_day(at, one.seller.timezone).day if license.suspended_at else license.anchor_day
    assert anchor is not None
    db.session.execute(
        insert(Order),
        {
            "member_id": license.member_id, "id": charge.id, "request_hash": charge.request_hash, "listing_id": license.listing_id, "version": license.version,
            "quantity": pieces_of(license), "price_minor": one.unit_minor, "total_minor": one.total_minor, "excludes_tax": license.excludes_tax,
            "tax_minor": one.tax_minor, "currency": charge.currency, "paid_minor": result.paid_minor, "bonus_minor": result.bonus_minor,
            "credit_minor": result.credit_minor, "balance_after_minor": result.balance_after_minor, "state": "completed", "at": at,
            "kind": "renewal", "license_id": license.id,
        },
    )  # fmt: skip
    if license.suspended_at:
        _tell("license_restored", one, at)
    license.state, license.suspended_at, license.anchor_day, license.term = "active", None, anchor, license.term + 1
    license.ends_at = license.next_attempt_at = terms.term_end(begins, license.period, anchor, one.seller.timezone)
    if license.seats is not None:
        license.seats, license.next_seats, license.worth_offset = pieces_of(license), None, 0
        db.session.flush()
        seats.fit(license, one.listing, at=at)


def _wait(one: _Due, at: datetime, settings: Settings) -> None:
    """The wallet cannot pay: suspended, tried again, and over after the days of grace. The member is told once of each."""
    license = one.license
    since = license.suspended_at or at
    if at >= since + timedelta(days=settings.license_grace_days):
        _end(one, at)
        return
    if license.suspended_at is None:
        _tell("license_suspended", one, at)
    license.state, license.suspended_at, license.next_attempt_at = "suspended", since, at + timedelta(hours=settings.license_retry_hours)


def _end(one: _Due, at: datetime) -> None:
    kind = "trial_over" if one.license.state == "trial" else "license_over"
    license_terms.end(one.license, at)
    _tell(kind, one, at)


def _tell(kind: str, one: _Due, at: datetime) -> None:
    license, listing = one.license, one.listing
    details = {
        "name_zh": listing.name_zh, "name_en": listing.name_en, "slug": listing.slug, "license_id": str(license.id),
        "amount_minor": one.total_minor, "currency": listing.currency,
    }  # fmt: skip
    notices.tell(license.member_id, kind, details, at=at, key=f"{kind}:{license.id}:{license.term}")
