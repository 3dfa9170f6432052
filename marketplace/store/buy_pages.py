"""Buying on pages: one confirmation over the wallet as it is, and what the purchase did."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from billing.wallet import balances
from billing.wallet.wallets import InsufficientFunds
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import transaction
from core.errors import AppError
from core.ids import new_id
from core.navigation import url_if
from marketplace.license import licenses
from marketplace.order import coupons, listing_bundles, orders, previews, pricing
from marketplace.order.order_models import Order
from marketplace.service import service_lists
from marketplace.store import listings
from marketplace.store.compatibility import Incompatible
from marketplace.store.store_pages import granted_by, standing_of, store
from marketplace.store.store_schemas import BuyForm, QuantityForm
from membership import entitlements


def _top_up_url(missing_minor: int, slug: str, quantity: int, coupon: str) -> str | None:
    """The top-up of what is missing, with the way back to this purchase."""
    back = url_for("store.buy", slug=slug, quantity=quantity if quantity > 1 else None, coupon=coupon or None)
    return url_if("wallet.new_top_up", amount_minor=missing_minor, return_to=back) or url_if("wallet.show_wallet")


@store.route("/store/<slug>/buy", methods=["GET", "POST"])
@requires("owner", "buyer")
def buy(slug: str) -> ResponseReturnValue:
    """One confirmation that shows the wallet before and after; sending it buys."""
    if request.method == "GET":
        try:
            wanted = QuantityForm().load(request.args.to_dict())
        except ValidationError as error:
            return _confirmation(slug, 1, errors=error.messages, status=422)
        return _confirmation(slug, wanted["quantity"], wanted["coupon"])
    try:
        form = BuyForm().load(request.form.to_dict())
    except ValidationError as error:
        return _confirmation(slug, 1, errors=error.messages, given=request.form, status=422)
    acting, at = actor(), now()
    try:
        with transaction(acting):
            read = form.pop("version")
            wanted = orders.Wanted(**(form | {"coupon": form["coupon"] or None}))
            if read and orders.replayed(acting.member, slug, wanted) is None:
                pricing.confirm_terms(pricing.offered(slug), read)
            placed = orders.place(acting.member, slug, wanted, at=at, placed_by=acting.user_id)
    except orders.AlreadyOwned:
        return _to_owned(slug)
    except (pricing.NotForSale, Incompatible):
        raise
    except AppError as error:
        return _confirmation(
            slug, form["quantity"], form["coupon"], failure=error, form_id=None if error.code == "id_reused" else form["id"], given=request.form
        )
    return redirect(url_for("store.show_order", order_id=placed.id))


def _to_owned(slug: str) -> ResponseReturnValue:
    acting = actor()
    with transaction(acting):
        license = licenses.of_listing(acting.member, listings.find_on_show(slug).listing.id)
    flash(_("You own this already. Nothing was charged."), "info")
    return redirect(url_for("apps.show_app", license_id=license.id) if license else url_for("apps.list_apps"))


def _confirmation(
    slug: str, quantity: int, coupon: str = "", *, errors: Any = None, failure: AppError | None = None, form_id: uuid.UUID | None = None,
    given: Mapping[str, str] | None = None, status: int = 200,
) -> ResponseReturnValue:  # fmt: skip
    """The page to confirm on: the quote that will be charged, laid on the wallet as it is."""
    acting, at = actor(), now()
    with transaction(acting):
        terms = pricing.offered(slug)
        quantity = quantity if terms.is_counted else 1
        shown = listings.find_on_show(slug, standing_of(acting))
        if not shown.is_usable:
            flash(entitlements.sentence(shown.verdict) if shown.verdict else "", "warning")
            return redirect(url_for("store.show_listing", slug=slug))
        if not terms.is_repeatable and (license_id := licenses.owned_listings(acting.member).get(terms.id)):
            flash(_("You own this already. Nothing was charged."), "info")
            return redirect(url_for("apps.show_app", license_id=license_id))
        discount, errors = _lowered(terms, quantity, coupon, at, errors)
        quote = pricing.quote(acting.member, terms, quantity, at=at, discount_minor=discount, is_judged=True)  # as shown
        by_run = quote if terms.pricing == "usage" else None
        quote = quote.without_charge() if by_run else quote
        parts = listing_bundles.parts(acting.member, terms, at=at, discount_minor=discount) if terms.kind == "bundle" else []
        quote = listing_bundles.whole(terms, parts, quote.tax_rate_bp) if parts else quote
        balance, grants = balances.contents(acting.member, terms.currency, at=at)
        preview = previews.of(quote, grants, 0 if parts else balance.credit_minor)
        current = next(one for one in listings.public_versions(terms.id) if one.number == terms.version)
        page = render_template(
            "storefront/buy.html", listing=shown.listing, publisher=shown.publisher, terms=terms, quote=quote, preview=preview, balance=balance,
            current=current, quantity=quantity, coupon=coupon, by_run=by_run, parts=parts, granted=granted_by(shown.listing, current),
            given=given or {}, form_id=form_id or new_id(), errors=errors, failure=failure,
            top_up_url=_top_up_url(preview.missing_minor, slug, quantity, coupon if discount else "") if preview.missing_minor else None,
            is_short=isinstance(failure, InsufficientFunds) or bool(preview.missing_minor),
        )  # fmt: skip
    return page, failure.status if failure else 422 if errors else status


def _lowered(terms: pricing.Offered, quantity: int, coupon: str, at: datetime, errors: Any) -> tuple[int, Any]:
    """What a code takes off the price shown, and what is wrong with it."""
    if not coupon:
        return 0, errors
    try:
        full = terms.paid_minor(quantity, pricing.rate_of(actor().member, terms, at))
        return coupons.discount(coupons.find(actor().member, coupon, terms, at=at), full), errors
    except coupons.CouponRefused as error:
        return 0, (errors or {}) | {"coupon": error.detail}


@store.get("/orders/<uuid:order_id>")
@requires(*MEMBERS)
def show_order(order_id: uuid.UUID) -> ResponseReturnValue:
    """What a purchase did: the wallet before and after, the licence, the download. What belongs to a licence or a service is shown there."""
    acting = actor()
    with transaction(acting) as session:
        order = session.get(Order, (acting.member, order_id))
        if order and order.license_id:  # a renewal, a run, a part that was owned
            return redirect(url_for("apps.show_app", license_id=order.license_id))
        if order and order.kind == "milestone":
            return redirect(url_for("services.show_service", service_id=service_lists.of_charge(acting.member, order_id)))
        owned = licenses.owned(acting.member, order_id)
        is_bundle = owned.order.kind == "bundle"
        return render_template(
            "storefront/order.html", owned=owned, order=owned.order, listing=owned.listing, license=owned.license,
            parts=listing_bundles.part_orders(acting.member, order_id) if is_bundle else [], taken=listing_bundles.taken(owned.order) if is_bundle else None,
        )  # fmt: skip
