"""The CSM's console: who needs somebody, the list of members, and everything about one of them."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import Schema, ValidationError, fields, pre_load, validate
from sqlalchemy import select

from billing.wallet import balances
from core.access import requires
from core.actor import actor
from core.charts import Chart, Spark, bar_chart, sparkline
from core.clock import now
from core.db import db, transaction
from core.errors import AppError, Invalid, NotFound
from core.formats import local, number, span
from core.ids import new_id
from marketplace.license import licenses
from marketplace.order import pricing
from marketplace.store import compatibility
from marketplace.store.listing_models import Listing
from membership import entitlements, member_facts, members
from membership.catalogue_models import Edition
from membership.models import User
from membership.subscription_models import Subscription
from operations import activity, directory, member_parts, offers, repetition, time_saved, timeline, words, worklist

csm = Blueprint("csm", __name__, url_prefix="/csm")
SHOWN_AT_ONCE = 30
NO_NUMBER = "Enter a number of seats."  # translated where it is shown


@csm.app_context_processor
def _words() -> dict[str, Any]:
    return {"words": words}


@csm.app_template_filter("weeks_spark")
def weeks_spark(weeks: list[int] | None) -> Spark:
    """Eight weeks of user-days as a small line with a sentence."""
    values = [float(value) for value in weeks or []]
    label = _("User-days a week, the latest last: %(values)s", values=", ".join(number(value) for value in values)) if values else _("No use yet")
    return sparkline(values or [0.0], label=label)


@csm.get("/", endpoint="worklist")
@requires("csm", "operator")
def show_worklist() -> ResponseReturnValue:
    """Who needs somebody, why now, how much money hangs on it."""
    acting, at, whose = actor(), now(), request.args.get("whose", "")
    mine = acting.user_id if acting.role == "csm" and whose != "all" else None
    with transaction(acting):
        grace = current_app.extensions["settings"].past_due_grace_days
        found = worklist.build(mine, grace_days=grace, at=at)
        if mine and not whose and not found.items:  # a CSM without members of its own sees everybody's
            mine, found = None, worklist.build(None, grace_days=grace, at=at)
    shown = len(found.items) if request.args.get("rows") == "all" else SHOWN_AT_ONCE
    return render_template("csm/worklist.html", found=found, items=found.items[:shown], mine=mine is not None, may_own=acting.role == "csm", at=at)


class MembersQuery(Schema):
    """Filters of the member list."""

    q = fields.String(load_default="")
    industry = fields.String(load_default="")
    size = fields.String(load_default="", validate=validate.OneOf(("", *member_facts.SIZES)))
    trend = fields.String(load_default="", validate=validate.OneOf(("", *directory.TRENDS)))
    whose = fields.String(load_default="", validate=validate.OneOf(("", "mine")))
    sort = fields.String(load_default="number", validate=validate.OneOf(tuple(directory.SORTS)))
    after = fields.String(load_default=None)


@csm.get("/members")
@requires("csm", "operator")
def list_members() -> ResponseReturnValue:
    """Members with what their people do."""
    acting = actor()
    try:
        query = MembersQuery(unknown="exclude").load(request.args.to_dict())
    except ValidationError:
        return redirect(url_for("csm.list_members"))
    mine = acting.user_id if query["whose"] == "mine" and acting.role == "csm" else None
    wanted = directory.Wanted(query["q"], query["industry"], query["size"], query["trend"], mine, query["sort"])
    with transaction(acting):
        rows, after, total = directory.find(wanted, query["after"])
        industries = members.industries()
    return render_template(
        "csm/members.html", rows=rows, after=after, total=total, query=query, industries=industries, may_own=acting.role == "csm",
        is_filtered=any(query[name] for name in ("q", "industry", "size", "trend", "whose")),
    )  # fmt: skip


@csm.get("/members/<uuid:member_id>")
@requires("csm", "operator")
def show_member(member_id: uuid.UUID) -> ResponseReturnValue:
    """Everything about one member, on one page."""
    acting, at, settings = actor(), now(), current_app.extensions["settings"]
    with transaction(acting) as session:
        member = worklist.snapshot(member_id, at=at)
        if member is None:
            raise NotFound(_("There is no such member."))
        found = worklist.causes(member, grace_days=settings.past_due_grace_days, at=at)
        routines = repetition.match(repetition.of_member(member_id, at=at), repetition.listings_for_toil())
        sent = offers.list_shown(member_id, at=at, limit=20)
        apps = time_saved.apps_of(member_id, at)
        uses = activity.uses(member_id, member.activity.day if member.activity else at.date())
        happened = timeline.of_member(member_id)
        subscriptions = session.execute(
            select(Subscription, Edition)
            .join(Edition, (Edition.product_line == Subscription.product_line) & (Edition.rank == Subscription.rank))
            .where(Subscription.member_id == member_id)
            .order_by(Subscription.ended_at.is_not(None), Subscription.term_end.desc())
        ).all()
        people = session.scalars(select(User).where(User.member_id == member_id).order_by(User.name)).all()
    owned = {one.listing.id for one, _minutes in apps}
    offered = {one.listing.id for one in sent if one.is_open}
    reasons = [words.cause(one, member) for one in found] + words.facts(member)
    in_short = {
        "opportunities": member_parts.routines(routines, owned | offered), "offers": member_parts.offers(sent), "use": member_parts.use(member),
        "money": member_parts.contract(member, [(row[0], row[1]) for row in subscriptions]), "apps": member_parts.apps(apps),
        "timeline": member_parts.timeline(happened), "people": member_parts.people(len(people)),
    }  # fmt: skip
    return render_template(
        "csm/member.html", member=member, causes=found, reasons=reasons[:3], routines=routines, offers=sent, apps=apps, uses=uses,
        chart=_use_chart(uses), happened=happened, subscriptions=subscriptions, people=people, owned=owned, offered=offered,
        next_action=_next_action(member, found), at=at,
        seen={use.name: use for use in uses.people}, names={user.external_ref: user.name for user in people}, in_short=in_short,
    )  # fmt: skip


def _use_chart(uses: activity.Uses) -> Chart | None:
    """User-days of twelve weeks; None where there was no use at all."""
    if not any(uses.weeks):
        return None
    labels = [str(n - len(uses.weeks) + 1).replace("-", "−") if n < len(uses.weeks) - 1 else "0" for n in range(len(uses.weeks))]
    return bar_chart(
        labels, {_("User-days"): [use.user_days if use else 0 for use in uses.weeks]}, title=_("User-days a week (0: this week)"), first_column=_("Week"),
        label=_("User-days a week, from %(first)s twelve weeks ago to %(last)s this week",
                first=uses.weeks[0].user_days if uses.weeks[0] else 0, last=uses.weeks[-1].user_days if uses.weeks[-1] else 0),
    )  # fmt: skip


def _next_action(member: worklist.Snapshot, found: list[worklist.Cause]) -> tuple[str, str]:
    """The one thing to do now: words and where."""
    if found and found[0].kind != "toil":
        verb, anchor = words.VERBS[found[0].kind]
        return str(verb), f"#{anchor}"
    return _("Recommend"), url_for("csm.new_offer", member_id=member.id, listing=member.toil_slug if found else None)


class OfferForm(Schema):
    """A recommendation as it is written on the page."""

    id = fields.UUID(required=True)
    listing = fields.String(required=True, validate=validate.Length(1, 200))
    reason = fields.String(required=True, validate=validate.Length(1, offers.REASON_MAX))
    seats = fields.Integer(load_default=None, allow_none=True, error_messages={"invalid": NO_NUMBER})

    @pre_load
    def _blank(self, given: dict[str, str], **_kwargs: Any) -> dict[str, Any]:
        """An empty field says nothing of seats."""
        return {**given, "seats": given.get("seats", "").strip() or None}

    class Meta:
        unknown = "exclude"


@csm.get("/members/<uuid:member_id>/offers/new")
@requires("csm", "operator")
def new_offer(member_id: uuid.UUID) -> ResponseReturnValue:
    """Write a recommendation; the reason is prefilled where a routine stands behind it."""
    return _offer_page(member_id, {"listing": request.args.get("listing", ""), "id": str(new_id())})


@csm.post("/members/<uuid:member_id>/offers")
@requires("csm", "operator")
def create_offer(member_id: uuid.UUID) -> ResponseReturnValue:
    """Send it: the member is told at once. With the button for its price it is only worked out."""
    acting, given = actor(), {"listing": "", "id": str(new_id())} | request.form.to_dict()
    if given.get("do") == "price":
        return _offer_page(member_id, given)
    try:
        form = OfferForm().load(given)
        with transaction(acting):
            days = current_app.extensions["settings"].offer_days
            offers.send(member_id, offers.Wanted(form["id"], form["listing"], form["reason"], form["seats"]), acting, days=days, at=now())
    except ValidationError as error:
        return _offer_page(member_id, given, errors=error.messages, status=422)
    except NotFound:
        raise
    except AppError as error:
        kept = {**given, "id": str(new_id())} if error.code == "id_reused" else given
        return _offer_page(member_id, kept, errors=error.fields or {"_form": error.detail}, status=error.status)
    flash(_("The recommendation is sent; the member sees it now."), "success")
    return redirect(url_for("csm.show_member", member_id=member_id) + "#offers")


def _offer_page(member_id: uuid.UUID, form: dict[str, Any], *, errors: Any = None, status: int = 200) -> ResponseReturnValue:
    at = now()
    with transaction(actor()):
        member = members.find(member_id)
        taken = set(licenses.owned_listings(member_id)) | {one.listing.id for one in offers.list_shown(member_id, at=at) if one.is_open}
        on_sale = db.session.scalars(
            select(Listing)
            .where(Listing.state == "published", Listing.pricing != "usage", Listing.current_version.is_not(None), Listing.currency == member.currency)
            .order_by(Listing.slug)
        ).all()
        choice = [listing for listing in on_sale if listing.id not in taken or listing.is_repeatable or listing.slug == form["listing"]]
        chosen = next((listing for listing in choice if listing.slug == form["listing"]), None)
        standing = entitlements.standing_of(member_id)
        refused = {one.slug: verdict for one in choice if (verdict := compatibility.obstacle(one, standing))}
        obstacle = entitlements.sentence(refused[chosen.slug]) if chosen and chosen.slug in refused else ""
        prices = {listing.slug: pricing.shown_minor(listing, at, member_id) for listing in choice}
        balance = balances.balance(member_id, member.currency, at=at)
        toil = _best_toil(member_id, chosen, at) if chosen else None
        if not form.get("reason") and not errors:
            form["reason"] = _reason(chosen, toil)
        seats, wrong = _seats(chosen, form)
        errors = errors or wrong
        total_minor = pricing.shown_minor(chosen, at, member_id, seats or 1) if chosen else 0
    page = render_template(
        "csm/new_offer.html", member=member, choice=choice, chosen=chosen, prices=prices, form=form, toil=toil, balance=balance, errors=errors,
        seats=seats, total_minor=total_minor, refused=refused, obstacle=obstacle,
    )  # fmt: skip
    return page, status


def _seats(chosen: Listing | None, form: Mapping[str, str]) -> tuple[int | None, dict[str, str] | None]:
    """How many seats of what is chosen are priced, and what is wrong with the number."""
    if chosen is None:
        return None, None
    try:
        return offers.seats_of(chosen, OfferForm(only=("seats",)).load({"seats": form.get("seats", "")})["seats"]), None
    except ValidationError:
        return None, {"seats": NO_NUMBER}
    except Invalid as error:
        return None, {"seats": error.detail}


def _best_toil(member_id: uuid.UUID, listing: Listing, at: datetime) -> repetition.Toil | None:
    """The routine that this listing saves most of."""
    if not listing.automates.get("steps"):
        return None
    matched = [toil for toil in repetition.match(repetition.of_member(member_id, at=at), [listing]) if toil.listing]
    return max(matched, key=lambda toil: toil.minutes_saved_a_month, default=None)


def _reason(listing: Listing | None, toil: repetition.Toil | None) -> str:
    """A first draft, with the figures of the routine."""
    if listing is None or toil is None:
        return ""
    found = toil.found
    return str(_(
        "Your team repeated “%(steps)s” %(runs)s times in 60 days (%(users)s people). “%(name)s” does it for you and saves about %(time)s a month.",
        steps=words.steps(found.steps), runs=found.runs, users=found.users, name=local(listing), time=span(toil.minutes_saved_a_month),
    ))  # fmt: skip
