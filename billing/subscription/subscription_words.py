"""What editions, periods, states and motions are called."""

from flask_babel import LazyString, gettext
from flask_babel import lazy_gettext as _l

PERIODS: dict[str, LazyString] = {
    "month": _l("Monthly"), "quarter": _l("Quarterly"), "year": _l("Yearly"), "maintenance": _l("Bought once, with yearly maintenance"),
    "once": _l("Bought once"),
}  # fmt: skip
PER: dict[str, LazyString] = {
    "month": _l("a month"), "quarter": _l("a quarter"), "year": _l("a year"), "maintenance": _l("a year of maintenance"), "once": _l("once"),
}  # fmt: skip
DEPLOYMENTS: dict[str, LazyString] = {"saas": _l("In our cloud (SaaS)"), "private": _l("Private deployment")}
LICENSINGS: dict[str, LazyString] = {"rental": _l("Rental"), "perpetual": _l("Perpetual licence")}
STATES: dict[str, tuple[LazyString, str]] = {
    "trialing": (_l("Trial"), "info"), "active": (_l("Active"), "ok"), "past_due": (_l("Payment due"), "danger"), "suspended": (_l("Suspended"), "danger"),
    "paused": (_l("Paused"), "warn"), "ended": (_l("Ended"), ""),
}  # fmt: skip
MOTIONS: dict[str, LazyString] = {
    "new": _l("Started"), "renewal": _l("Renewed"), "seats": _l("Seats changed"), "upgrade": _l("Edition raised"), "downgrade": _l("Edition lowered"),
    "cancel": _l("Cancelled for the end of the term"), "resume": _l("Cancellation taken back"), "past_due": _l("Renewal not paid"), "lapse": _l("Ended"),
    "period": _l("Period changed"), "pause": _l("Paused"), "unpause": _l("Resumed"), "credit": _l("Unused time given back"),
}  # fmt: skip
FEATURES: dict[str, LazyString] = {
    "lead": _l("Leads"), "contact": _l("Contacts"), "calendar": _l("Calendar"), "message": _l("Messages"), "opportunity": _l("Opportunities"),
    "public_pool": _l("Public pool"), "import": _l("Import"), "joint_follow_up": _l("Joint follow-up"), "report": _l("Reports"), "api": _l("API access"),
    "sandbox": _l("Sandbox"),
    "order": _l("Order management"), "invoice": _l("Invoices"), "automation": _l("Automation"), "app": _l("Apps"), "settings": _l("Settings"),
}  # fmt: skip
LIMITS: dict[str, LazyString] = {"records": _l("Records"), "api_calls_per_day": _l("API calls a day"), "storage_gb": _l("Storage (GB)")}


def word(words: dict[str, LazyString], code: str) -> str:
    """A code's word in the page's language; one that is not known is shown as it came."""
    return str(words[code]) if code in words else gettext(code.replace("_", " "))
