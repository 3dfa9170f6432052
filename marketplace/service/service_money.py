"""The money of a milestone: taken out of what the order holds, or given back of it (books, moves 3 and 11)."""

from datetime import datetime

from billing.ledger.accounts import Account
from billing.wallet import holds
from billing.wallet.wallets import Target
from core.actor import actor
from core.db import db
from core.ids import derived, request_hash
from core.money import tax_included
from marketplace.order import pricing
from marketplace.order.order_models import Order
from marketplace.service.service_models import ServiceMilestone, ServiceOrder


def capture(order: ServiceOrder, one: ServiceMilestone, amount_minor: int, at: datetime) -> None:
    """Take a milestone's price, or a part of it, out of the hold: a purchase of its own, with the commission that was agreed."""
    if amount_minor == one.amount_minor:
        net = amount_minor - one.tax_minor - one.commission_minor
        tax, targets = one.tax_minor, [
            Target(Account.COMMISSION_REVENUE, one.commission_minor, one.bonus_limit_minor), Target(Account.TAX_PAYABLE, one.tax_minor),
            Target(Account.PARTNER_PENDING, net),
        ]  # fmt: skip
    else:
        tax = tax_included(amount_minor, order.tax_rate_bp)
        targets = list(pricing.targets_of(amount_minor, tax, order.commission_bp, order.bonus_limit_bp))
    charge_id = derived("milestone", order.member_id, order.id, one.position)
    content = request_hash("milestone", order=order.id, position=one.position, amount=amount_minor)
    taken = holds.capture(
        order.member_id, order.id, charge_id, content, [target for target in targets if target.amount_minor], at=at, memo=one.name_zh,
        created_by=actor().user_id,
    )  # fmt: skip
    db.session.add(
        Order(
            member_id=order.member_id, id=charge_id, request_hash=content, listing_id=order.listing_id, version=order.version, quantity=1,
            price_minor=amount_minor, total_minor=amount_minor, tax_minor=tax, currency=order.currency, paid_minor=taken.paid_minor,
            bonus_minor=taken.bonus_minor, credit_minor=0, balance_after_minor=taken.balance_after_minor, state="completed", refunded_minor=0,
            offer_id=None, csm_id=None, placed_by=order.placed_by, at=at, kind="milestone", license_id=None,
        )
    )  # fmt: skip
    one.charge_id, one.captured_minor = charge_id, amount_minor


def give_back(order: ServiceOrder, one: ServiceMilestone, amount_minor: int, at: datetime, reason: str | None) -> None:
    """Let go of a milestone's money, or of a part of it."""
    release_id = derived("milestone-release", order.member_id, order.id, one.position)
    holds.release(
        order.member_id, order.id, release_id, amount_minor, at=at, reason=reason, created_by=actor().user_id, as_member=False, for_order=True
    )  # fmt: skip
