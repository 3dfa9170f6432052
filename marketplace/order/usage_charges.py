"""Prices by use: an agreement without a charge, a hold for each run, its capture when the run succeeds, its release when it does not.

What runs may cost in a calendar month of the seller's zone is capped by what the buyer approved: charges of the month and everything
that is reserved now count together.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import text

from billing.wallet import holds, wallets
from billing.wallet.hold_models import Hold
from core import audit
from core.actor import actor
from core.db import db
from core.errors import Conflict, Invalid
from core.formats import money
from core.ids import derived, request_hash
from core.money import tax_included
from marketplace.license import license_terms
from marketplace.license.license_models import License
from marketplace.order import order_entries, pricing
from marketplace.order.order_models import Order
from marketplace.publisher.publisher_models import Publisher
from marketplace.store.listing_models import Listing
from membership import subscriptions, terms

MOST_CAP_MINOR = 10**12


class CapReached(Conflict):
    """One more run would cost more this month than the buyer approved. `used_minor` counts what is reserved."""

    code = "usage_cap_reached"


class NotByUse(Conflict):
    """This licence has no price by use."""

    code = "not_by_use"


@dataclass(frozen=True, slots=True)
class Month:
    """What a licence has cost in a calendar month so far, and what is reserved for runs under way."""

    charged_minor: int
    held_minor: int
    cap_minor: int
    runs: int

    @property
    def left_minor(self) -> int:
        """What runs may still cost; nothing where the cap was lowered below what is used."""
        return max(0, self.cap_minor - self.charged_minor - self.held_minor)


# One statement, so that a capture counts exactly once: as reserved before it and as charged after it.
_USED = text("""
select (select coalesce(sum(o.total_minor), 0)::bigint from store_order o
    where o.member_id = :member and o.license_id = :license and o.kind = 'usage' and o.at >= :since and o.at < :until),
  (select coalesce(sum(h.amount_minor - h.captured_minor - h.released_minor), 0)::bigint from run r
    join hold h on h.member_id = r.member_id and h.id = r.hold_id
    where r.member_id = :member and r.license_id = :license and h.state = 'open' and h.expires_at > :at),
  (select count(*) from store_order o
    where o.member_id = :member and o.license_id = :license and o.kind = 'usage' and o.at >= :since and o.at < :until)
""")


def check_cap(cap_minor: int | None, price_minor: int) -> int:
    """A cap that admits one run at least. Raises Invalid."""
    if cap_minor is None or not price_minor <= cap_minor <= MOST_CAP_MINOR:
        raise Invalid(_("Set what runs may cost in a month: at least one run's price."), field="monthly_cap_minor")
    return cap_minor


def agree(
    member_id: uuid.UUID, order_id: uuid.UUID, content: bytes, bought: pricing.Offered, cap_minor: int | None, *, at: datetime, placed_by: uuid.UUID | None
) -> Order:
    """The order and licence of a price by use: nothing is charged, and what a run costs is frozen with the cap. Raises Invalid, Incompatible."""
    cap = check_cap(cap_minor, bought.price_minor)
    quote = pricing.quote(member_id, bought, 1, at=at)
    entry = order_entries.Entry(member_id, order_id, content, quote.without_charge(), at, placed_by, kind="agreement")
    order = order_entries.charge_and_record(entry)
    license = order_entries.license_of(order, is_exclusive=True)
    license.price_minor, license.monthly_cap_minor = bought.price_minor, cap
    license.commission_bp, license.tax_rate_bp, license.bonus_limit_bp = bought.commission_bp, bought.tax_rate_bp, bought.bonus_limit_bp
    db.session.flush()
    return order


def month_of(license: License, at: datetime) -> Month:
    """What the licence has cost in the calendar month of `at`, in the seller's zone."""
    assert license.monthly_cap_minor is not None
    timezone = subscriptions.seller_of(license.member_id).timezone
    first = terms.local_day(at, timezone).replace(day=1)
    since, until = terms.start_of_day(first, timezone), terms.start_of_day(terms.add_months(first, 1, 1), timezone)
    charged, held, runs = db.session.execute(_USED, {"member": license.member_id, "license": license.id, "since": since, "until": until, "at": at}).one()
    return Month(charged, held, license.monthly_cap_minor, runs)


def reserve(license: License, run_id: uuid.UUID, *, at: datetime, by: uuid.UUID | None) -> Hold | None:
    """Set a run's price aside, under the licence's lock; None where runs cost nothing (another kind of price, or a trial).

    The hold carries the run's id. Raises CapReached (with `cap_minor`, `used_minor`, `license_id`), InsufficientFunds, WalletFrozen.
    """
    if license.monthly_cap_minor is None:
        return None
    license = license_terms.locked(license.member_id, license.id)  # runs of this licence take their places one by one
    month, listing = month_of(license, at), db.session.get_one(Listing, license.listing_id)
    if license.price_minor > month.left_minor:
        used = month.charged_minor + month.held_minor
        words = _(
            "Runs of this app may cost %(cap)s a month, and %(used)s of it is used. An owner can raise the limit on the app's page.",
            cap=money(month.cap_minor, listing.currency), used=money(used, listing.currency),
        )  # fmt: skip
        raise CapReached(words, field="monthly_cap_minor", cap_minor=month.cap_minor, used_minor=used, license_id=str(license.id))
    targets, _tax = _targets(license, at)
    bonus = sum(target.bonus_minor for target in targets)
    wanted = holds.Wanted(run_id, license.price_minor, f"{listing.name_zh} / {listing.name_en}", bonus_limit_minor=bonus, by_member=False)
    return holds.place(license.member_id, wanted, at=at, created_by=by)


def _targets(license: License, at: datetime) -> tuple[tuple[wallets.Target, ...], int]:
    rate = subscriptions.seller_of(license.member_id).tax_rate_at(at) if license.tax_rate_bp is None else license.tax_rate_bp
    tax = tax_included(license.price_minor, rate)
    return pricing.targets_of(license.price_minor, tax, license.commission_bp, license.bonus_limit_bp), tax


def settle(member_id: uuid.UUID, hold_id: uuid.UUID, license_id: uuid.UUID, version: str, *, at: datetime, by: uuid.UUID | None) -> Order:
    """Charge a run that succeeded, out of its hold, as an order of kind `usage`. Raises HoldClosed, WalletFrozen; then nothing is charged.

    It is taxed at the rate that held when the money was set aside: the run was ordered then.
    """
    order_id = derived("usage", member_id, hold_id)
    first = db.session.get(Order, (member_id, order_id))
    if first is not None:
        return first
    license, hold = license_terms.locked(member_id, license_id), holds.show(member_id, hold_id)
    listing = db.session.get_one(Listing, license.listing_id)
    publisher = db.session.get_one(Publisher, listing.publisher_id)
    targets, tax = _targets(license, hold.created_at)
    content = request_hash("usage", hold=hold_id, license=license_id)
    charged = holds.capture(member_id, hold_id, order_id, content, targets, at=at, memo=None, created_by=by)
    offered = pricing.terms_of(listing, publisher, version)
    quote = pricing.Quote(offered, 1, license.price_minor, license.price_minor, tax, 0, targets, 0, "")
    entry = order_entries.Entry(member_id, order_id, content, quote, at, by, kind="usage", license_id=license_id, price_minor=license.price_minor)
    return order_entries.record(entry, charged)


def release(member_id: uuid.UUID, hold_id: uuid.UUID, *, at: datetime) -> None:
    """Give back what was set aside for a run that failed: it costs nothing. One that is over already stays as it is."""
    if holds.show(member_id, hold_id).state != "open":
        return
    holds.release(member_id, hold_id, derived("usage-release", member_id, hold_id), None, at=at, reason="run failed", created_by=None, as_member=False)


def change_cap(member_id: uuid.UUID, license_id: uuid.UUID, cap_minor: int, *, at: datetime) -> License:
    """Approve another monthly limit; it holds from the next run on. Raises NotFound, NotByUse, Invalid."""
    license = license_terms.locked(member_id, license_id)
    if license.monthly_cap_minor is None or license.state == "ended":
        raise NotByUse(_("This licence has no price by use."))
    before, license.monthly_cap_minor = license.monthly_cap_minor, check_cap(cap_minor, license.price_minor)
    db.session.flush()
    if before != cap_minor:
        after = {"monthly_cap_minor": cap_minor, "by": actor().name}
        audit.record("license.cap", license_id, at=at, member_id=member_id, before={"monthly_cap_minor": before}, after=after)
    return license
