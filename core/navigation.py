"""The shell's navigation: which pages each role is offered, in the order of its day.

An entry appears as soon as its endpoint exists, so a feature adds its pages without touching the shell.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, current_app, request, url_for
from flask_babel import LazyString
from flask_babel import lazy_gettext as _l

PRODUCT_NAME = _l("Jade Balance")


@dataclass(frozen=True)
class NavItem:
    """One entry: an endpoint, its words, and an icon of `static/icons.svg`."""

    endpoint: str
    label: LazyString
    icon: str


CUSTOMER = [
    NavItem("store.home", _l("Store"), "store"),
    NavItem("offers.list_offers", _l("Recommended"), "offer"),
    NavItem("apps.list_apps", _l("My apps"), "apps"),
    NavItem("services.list_services", _l("Services"), "check"),
    NavItem("wallet.show_wallet", _l("Wallet"), "wallet"),
    NavItem("documents.list_documents", _l("Invoices"), "document"),
    NavItem("subscriptions.show_subscriptions", _l("Subscription"), "subscription"),
    NavItem("team.list_users", _l("Team"), "team"),
]
NAVIGATION: dict[str, list[NavItem]] = {
    "owner": CUSTOMER,
    "buyer": CUSTOMER,
    "viewer": CUSTOMER,
    "finance": [
        NavItem("finance.prepaid_balances", _l("Prepaid balances"), "wallet"),
        NavItem("finance.list_top_ups", _l("Top-ups"), "top-up"),
        NavItem("finance.list_top_up_offers", _l("Top-up offers"), "offer"),
        NavItem("finance.list_coupons", _l("Coupons"), "offer"),
        NavItem("finance.list_bundles", _l("Bundles"), "apps"),
        NavItem("finance.renewals", _l("Renewals"), "subscription"),
        NavItem("finance.list_prices", _l("Prices"), "list"),
        NavItem("finance.list_approvals", _l("Approvals"), "check"),
        NavItem("claims.list_all_claims", _l("Claims"), "alert"),
        NavItem("finance.list_payouts", _l("Payouts"), "wallet"),
        NavItem("partner_services.list_disputes", _l("Disputed services"), "list"),
        NavItem("finance.statement_index", _l("Statements"), "document"),
        NavItem("finance.show_deferred_revenue", _l("Deferred revenue"), "chart"),
        NavItem("finance.list_documents", _l("Documents"), "document"),
        NavItem("finance.ledger", _l("Ledger"), "ledger"),
    ],
    "csm": [
        NavItem("csm.worklist", _l("Worklist"), "list"),
        NavItem("csm.list_members", _l("Members"), "team"),
        NavItem("csm.revenue", _l("Revenue"), "chart"),
        NavItem("csm.list_offers", _l("Offers"), "offer"),
    ],
    "reviewer": [
        NavItem("review.queue", _l("Review queue"), "check"),
        NavItem("stewardship.list_listings", _l("Listings"), "store"),
        NavItem("review_reports.list_reports", _l("Reported reviews"), "alert"),
        NavItem("partner_services.list_disputes", _l("Disputed services"), "list"),
    ],
    "operator": [
        NavItem("operator.list_members", _l("Members"), "team"),
        NavItem("operator.list_people", _l("Users"), "user"),
        NavItem("operator.list_api_keys", _l("API keys"), "key"),
        NavItem("hosts.list_releases", _l("Releases"), "apps"),
        NavItem("operator.list_audit", _l("Audit"), "ledger"),
        NavItem("operator.status", _l("Status"), "chart"),
        NavItem("operator.show_clock", _l("Clock"), "clock"),
    ],
    "publisher": [
        NavItem("publisher.list_listings", _l("My listings"), "store"),
        NavItem("partner_services.list_services", _l("Services"), "check"),
        NavItem("claims.list_publisher_claims", _l("Claims"), "alert"),
        NavItem("earnings.show_earnings", _l("Earnings"), "wallet"),
        NavItem("publishing.show_figures", _l("Figures"), "chart"),
        NavItem("publishing.list_keys", _l("API keys"), "key"),
    ],
}
ROLE_NAMES = {
    "owner": _l("Owner"),
    "buyer": _l("Buyer"),
    "viewer": _l("Viewer"),
    "finance": _l("Finance"),
    "csm": _l("Customer success"),
    "reviewer": _l("Reviewer"),
    "operator": _l("Operator"),
    "publisher": _l("Publisher"),
}


@dataclass(frozen=True)
class NavLink:
    """An entry ready to print; `badge` is a count, or zero for none."""

    href: str
    label: LazyString
    icon: str
    current: bool
    badge: int = 0


def navigation(role: str | None, current: str | None = None, badges: dict[str, int] | None = None) -> list[NavLink]:
    """The links of a role. A page below an entry names that entry in `current` (or shares its blueprint alone)."""
    items = [item for item in NAVIGATION.get(role or "", []) if item.endpoint in current_app.view_functions]
    here = current or request.endpoint or ""
    if here not in {item.endpoint for item in items}:
        siblings = [item.endpoint for item in items if item.endpoint.split(".")[0] == here.split(".")[0]]
        here = siblings[0] if len(siblings) == 1 else ""
    return [NavLink(url_for(item.endpoint), item.label, item.icon, item.endpoint == here, (badges or {}).get(item.endpoint, 0)) for item in items]


def url_if(endpoint: str, **values: object) -> str | None:
    """The URL of an endpoint, or `None` while no feature provides it."""
    return url_for(endpoint, **values) if endpoint in current_app.view_functions else None  # type: ignore[arg-type]


def init_app(app: Flask) -> None:
    """Give templates the product's name, `navigation(...)`, `url_if(...)` and the current `actor`."""

    @app.context_processor
    def _context() -> dict[str, object]:
        from core.actor import actor

        return {
            "product_name": PRODUCT_NAME,
            "navigation": navigation,
            "url_if": url_if,
            "role_names": ROLE_NAMES,
            "current_actor": actor(),
        }
