"""What the audit trail's fields are called, and how their values are said. A test finds every field that is recorded; each has its name here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from core import formats
from core.audit import AuditEntry
from core.navigation import ROLE_NAMES
from membership import member_facts

FIELDS: dict[str, LazyString] = {
    "account": _l("Account"), "address_en": _l("Address in English"), "address_zh": _l("Address in Chinese"), "amount_minor": _l("Amount"),
    "announced_minor": _l("Amount announced"), "attempt": _l("Attempt"), "automates": _l("What it replaces"), "bank": _l("Bank reference"),
    "bank_transaction": _l("Bank reference"), "base_minor": _l("Base price"), "before_minor": _l("Limit before"),
    "bonus_days": _l("The bonus lives for (days)"), "bonus_minor": _l("Bonus"), "book_id": _l("Book"), "by": _l("Changed by"), "category": _l("Category"),
    "channel": _l("How it buys"), "check": _l("Check"), "closing_minor": _l("Owed to the partner"), "code": _l("Code"),
    "commitment_years": _l("Commitment in years"), "count": _l("Number of keys"), "csm": _l("Customer success manager"), "currency": _l("Currency"),
    "current_version": _l("Version on sale"), "days": _l("Days"), "deployment": _l("Where it runs"), "description_en": _l("Description in English"),
    "description_zh": _l("Description in Chinese"), "direction": _l("Direction"), "documents": _l("Number of documents"), "email": _l("E-mail"),
    "ends_at": _l("Ends at"), "excludes_tax": _l("Price without tax"), "file": _l("File"), "first_only": _l("First purchase only"),
    "industry": _l("Industry"), "invoice_grouping": _l("Invoices"), "is_repeatable": _l("May be bought again"), "kind": _l("Kind"), "licence": _l("Licence"),
    "licensed_per": _l("One licence is for"), "licensing": _l("Rented or bought"), "limit_minor": _l("Credit limit"), "listing": _l("Listing"),
    "listing_id": _l("Listing"), "method": _l("Method"), "minutes_saved": _l("Minutes saved by one run"), "month": _l("Month"),
    "monthly_cap_minor": _l("Monthly limit"), "most_uses": _l("How many uses"), "name": _l("Name"), "name_en": _l("Name in English"),
    "name_zh": _l("Name in Chinese"), "next_attempt_at": _l("Tried again at"), "next_seats": _l("Seats from the next term on"), "now": _l("Clock before"),
    "order_id": _l("Order"), "owner": _l("Owner"), "paid_minor": _l("Paid to the partner"), "parked_at": _l("Parked since"),
    "parked_reason": _l("Parked because"), "partner": _l("Partner"), "parts": _l("Listings it holds"), "percent_bp": _l("Percent of the price"),
    "period": _l("How it is paid"), "phone": _l("Phone"), "price_minor": _l("Price"), "prices_exclude_tax": _l("New prices without tax"),
    "pricing": _l("How it is priced"), "product_line": _l("Product line"), "publisher_id": _l("Publisher"), "quarantined": _l("Under quarantine"),
    "rank": _l("Edition"), "rate_bp": _l("Tax rate"), "reason_code": _l("Kind of reason"), "received_minor": _l("Amount arrived"),
    "release": _l("Current version"), "released_minor": _l("Given back"), "reports": _l("Number of reports"), "required_features": _l("Features it needs"),
    "required_rank": _l("Required edition"), "returned_minor": _l("Given back"), "role": _l("Role"), "sales_cycle": _l("Sales cycle"),
    "seat_minor": _l("Price per seat"), "seats": _l("Seats"), "sha256": _l("Checksum (SHA-256)"), "size": _l("Size"), "stars": _l("Stars"),
    "starts_at": _l("Starts at"), "state": _l("State"), "summary_en": _l("Summary in English"), "summary_zh": _l("Summary in Chinese"),
    "tax_number": _l("Tax number"), "text": _l("Text"), "tiers": _l("Steps (top-up, bonus)"), "to": _l("Clock after"), "top_up_id": _l("Top-up"),
    "transaction_id": _l("Transaction"), "trial_days": _l("Trial, in days"), "valid_from": _l("Holds from"), "version": _l("Version"),
    "was": _l("Kind of entry"), "words": _l("Searched for"),
}  # fmt: skip
STATES: dict[str, LazyString] = {
    "archived": _l("archived"), "cancelled": _l("called off"), "confirmed": _l("confirmed by our bank"), "deprecated": _l("deprecated"),
    "discarded": _l("discarded"), "disputed": _l("in dispute"), "done": _l("carried out"), "draft": _l("draft"), "expired": _l("run out"),
    "failed": _l("did not succeed"), "in_review": _l("in review"), "open": _l("still open"), "paid": _l("paid out"), "pending": _l("under way"),
    "prepared": _l("prepared"), "proposed": _l("proposed"), "published": _l("on sale"), "queued": _l("in line"), "ready": _l("ready"),
    "rejected": _l("rejected"), "released": _l("given back"), "removed": _l("removed"), "running": _l("running"), "sent": _l("sent"),
    "settled": _l("arrived and booked"), "withdrawn": _l("withdrawn"), "yanked": _l("yanked"),
}  # fmt: skip
CODES: dict[str, dict[str, LazyString]] = {
    "channel": member_facts.CHANNEL_NAMES, "industry": member_facts.INDUSTRY_NAMES, "role": ROLE_NAMES, "sales_cycle": member_facts.SALES_CYCLE_NAMES,
    "size": member_facts.SIZE_NAMES, "state": STATES,
}  # fmt: skip
MONEY = frozenset({"tiers"})  # besides what ends in _minor
INSTANTS = frozenset({"now", "to", "valid_from"})  # besides what ends in _at


@dataclass(frozen=True, slots=True)
class Change:
    """One field of an entry in words; None stands for a side that the entry does not tell."""

    name: str
    before: str | None
    after: str | None


def changes(entry: AuditEntry, currency: str | None = None) -> list[Change]:
    """What an entry says has changed, in the page's language; `currency` is that of amounts which name none."""
    before, after = entry.before or {}, entry.after or {}
    stated = after.get("currency") or before.get("currency") or currency
    return [
        Change(str(FIELDS.get(key, key)), *(_said(key, side[key], stated) if key in side else None for side in (before, after)))
        for key in [*after, *(key for key in before if key not in after)]
        if not (key in before and key in after and before[key] == after[key])
    ]


def _said(key: str, value: Any, currency: str | None) -> str:
    if value is None or value == "":
        return formats.MISSING
    if isinstance(value, bool):
        return str(_("Yes") if value else _("No"))
    if isinstance(value, dict):
        return "; ".join(_said(key, one, currency) for one in value.values())
    if isinstance(value, list):
        return ("; " if any(isinstance(one, list) for one in value) else " / ").join(_said(key, one, currency) for one in value)
    if key in CODES:
        return str(CODES[key].get(value, value))
    say = _kind(key, currency)
    try:
        return say(value) if say else str(value)
    except (TypeError, ValueError):  # an entry is never changed: one of former times may keep something else
        return str(value)


def _kind(key: str, currency: str | None) -> Callable[[Any], str] | None:
    """How values of a field are printed, where that is known."""
    if key.endswith("_minor") or key in MONEY:
        return lambda value: formats.money(value, currency) if currency else formats.minor(value)
    if key.endswith("_at") or key in INSTANTS:
        return lambda value: formats.datetime(datetime.fromisoformat(value))
    if key.endswith("_bp"):
        return lambda value: f"{formats.number(value / 100)}%"
    return None
