"""Offers as customers decide on them, and as the CSM follows them."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import Schema, ValidationError, fields, validate
from sqlalchemy import case, func, select

from billing.wallet import balances
from core.access import MEMBERS, requires
from core.actor import actor
from core.clock import now
from core.db import db, transaction
from core.errors import AppError
from core.formats import span
from core.navigation import url_if
from core.paging import Page, keyset
from marketplace.order import previews, pricing
from marketplace.publisher.publisher_models import Publisher
from marketplace.store import compatibility, store_pages
from marketplace.store.listing_models import Listing
from membership import entitlements
from membership.entitlements import Standing
from membership.models import Member
from operations import offers
from operations.csm_pages import csm
from operations.models import Offer

offer_pages = Blueprint("offers", __name__, url_prefix="/offers")


@dataclass(frozen=True, slots=True)
class Card:
    """An offer as its customer sees it: what accepting would do to the wallet, or why it cannot be accepted yet."""

    shown: offers.Shown
    preview: previews.Preview | None
    obstacle: str
    upgrade_url: str | None
    top_up_url: str | None


def for_store(member_id: uuid.UUID, at: datetime) -> list[store_pages.Recommended]:
    """What the store's front page recommends: open offers, then listings that do what the member's people repeat."""
    return [
        store_pages.Recommended(
            one.listing.name_zh, one.listing.name_en, one.reason,
            url_for("offers.list_offers", _anchor=f"o-{one.offer.id}") if one.offer else url_for("store.show_listing", slug=one.listing.slug),
            _("saves about %(time)s a month", time=span(one.minutes_saved_a_month)) if one.minutes_saved_a_month else None,
        )
        for one in offers.recommended_for(member_id, at=at)
    ]  # fmt: skip


@offer_pages.get("/")
@requires(*MEMBERS)
def list_offers() -> ResponseReturnValue:
    """What is recommended to this member, and what became of earlier offers."""
    return _page()


class AcceptanceForm(Schema):
    """The price the customer was shown, of all seats."""

    price_minor = fields.Integer(required=True, validate=validate.Range(min=0))

    class Meta:
        unknown = "exclude"


@offer_pages.post("/<uuid:offer_id>/acceptance")
@requires("owner", "buyer")
def create_acceptance(offer_id: uuid.UUID) -> ResponseReturnValue:
    """Buy what is offered: the wallet pays, once."""
    acting = actor()
    try:
        form = AcceptanceForm().load(request.form.to_dict())
        with transaction(acting):
            _offer, order = offers.accept(acting.member, offer_id, form["price_minor"], acting, at=now())
    except ValidationError as error:
        return _page(errors=error.messages, status=422)
    except offers.NotOffered:
        raise
    except AppError as error:
        return _page(errors={"_form": _in_words(error)}, status=error.status)
    flash(_("Bought. You find it under My apps."), "success")
    return redirect(url_for("store.show_order", order_id=order.id))


def _in_words(error: AppError) -> str:
    """The failure, and always that nothing was charged."""
    nothing = _("Nothing was charged.")
    return error.detail if nothing in error.detail else f"{error.detail} {nothing}"


class RefusalForm(Schema):
    """Why not; may stay empty."""

    reason = fields.String(load_default="", validate=validate.Length(max=offers.REASON_MAX))

    class Meta:
        unknown = "exclude"


@offer_pages.post("/<uuid:offer_id>/refusal")
@requires("owner", "buyer")
def create_refusal(offer_id: uuid.UUID) -> ResponseReturnValue:
    """Decline it, with a reason if one likes."""
    try:
        form = RefusalForm().load(request.form.to_dict())
        with transaction(actor()):
            offers.decline(actor().member, offer_id, form["reason"], at=now())
    except ValidationError as error:
        return _page(errors=error.messages, status=422)
    except offers.NotOffered:
        raise
    except AppError as error:
        return _page(errors={"_form": error.detail}, status=error.status)
    flash(_("Declined. Thank you for telling us."), "success")
    return redirect(url_for("offers.list_offers"))


def _page(*, errors: Any = None, status: int = 200) -> ResponseReturnValue:
    acting, at = actor(), now()
    with transaction(acting) as session:
        shown = offers.list_shown(acting.member, at=at)
        open_ones = [one for one in shown if one.is_open]
        publishers = {p.id: p for p in session.scalars(select(Publisher))} if open_ones else {}
        standing = entitlements.standing_of(acting.member) if open_ones else Standing()
        member = session.get_one(Member, acting.member)
        grants = balances.open_grants(acting.member, member.currency, at=at)
        obstacles: dict[entitlements.Verdict, str] = {}
        cards = [_card(one, publishers[one.listing.publisher_id], standing, grants, obstacles, at) for one in open_ones]
    return render_template(
        "account/offers.html", cards=cards, closed=[one for one in shown if not one.is_open], errors=errors, may_buy=acting.role in ("owner", "buyer"),
        nav_badges={"offers.list_offers": len(cards)},
    ), status  # fmt: skip


def _card(shown: offers.Shown, publisher: Publisher, standing: Standing, grants: Any, obstacles: dict[entitlements.Verdict, str], at: datetime) -> Card:
    """The price laid on the wallet as `pricing.quote` and the charge would do it, without asking the database for each offer."""
    listing = shown.listing
    if listing.state != "published" or listing.current_version is None:
        return Card(shown, None, _("The store does not offer this any more."), None, None)
    verdict = compatibility.obstacle(listing, standing)
    if verdict is not None:
        if verdict not in obstacles:
            obstacles[verdict] = entitlements.sentence(verdict)
        return Card(shown, None, obstacles[verdict], compatibility.help_url(verdict), None)
    terms = pricing.terms_of(listing, publisher, listing.current_version)
    preview = previews.of(pricing.quote(shown.offer.member_id, terms, shown.offer.seats or 1, at=at, is_judged=True), grants)
    return Card(shown, preview, "", None, _top_up_url(preview.missing_minor) if preview.missing_minor else None)


def _top_up_url(missing_minor: int) -> str | None:
    """The top-up of what is missing, with the way back to the offers."""
    back = url_for("offers.list_offers")
    return url_if("wallet.new_top_up", amount_minor=missing_minor, return_to=back) or url_if("wallet.show_wallet")


# The CSM's side.


@csm.get("/offers", endpoint="list_offers")
@requires("csm", "operator")
def list_sent() -> ResponseReturnValue:
    """Offers with what became of them."""
    acting, at = actor(), now()
    state = request.args.get("state", "")
    mine = acting.role == "csm" and request.args.get("whose") != "all"
    statement = select(Offer)
    if state in offers.STATES:
        statement = statement.where(Offer.state == state)
    if mine:
        statement = statement.where(Offer.csm_id == acting.user_id)
    with transaction(acting) as session:
        page: Page[Offer] = keyset(session, statement, [Offer.sent_at, Offer.id], request.args.get("after"))
        names = {listing.id: listing for listing in session.scalars(select(Listing).where(Listing.id.in_({one.listing_id for one in page.items})))}
        buyers = {member.id: member for member in session.scalars(select(Member).where(Member.id.in_({one.member_id for one in page.items})))}
        results = _results(acting.user_id if mine else None)
    return render_template(
        "csm/offers.html", page=page, listings=names, members=buyers, results=results, state=state, mine=mine, may_own=acting.role == "csm", at=at
    )


def _results(csm_id: uuid.UUID | None) -> Any:
    """How many offers were sent, decided and accepted, and what the accepted ones brought."""
    count, state = func.count(), Offer.state
    statement = select(
        count.label("sent"),
        count.filter(state == "sent").label("waiting"),
        count.filter(state == "accepted").label("accepted"),
        count.filter(state.in_(("accepted", "declined", "expired"))).label("decided"),
        func.coalesce(func.sum(case((state == "accepted", Offer.price_minor))), 0).label("won_minor"),
    )
    return db.session.execute(statement.where(Offer.csm_id == csm_id) if csm_id else statement).one()


@csm.post("/members/<uuid:member_id>/offers/<uuid:offer_id>/withdrawal")
@requires("csm", "operator")
def create_withdrawal(member_id: uuid.UUID, offer_id: uuid.UUID) -> ResponseReturnValue:
    """Take an open offer back."""
    try:
        with transaction(actor()):
            offers.withdraw(member_id, offer_id, at=now())
    except offers.OfferClosed as error:
        flash(error.detail, "warning")
    else:
        flash(_("The offer is withdrawn."), "success")
    return redirect(url_for("csm.show_member", member_id=member_id) + "#offers")
