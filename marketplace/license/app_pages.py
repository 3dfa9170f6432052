"""My apps: what a member has bought, how it is used, its download and its review."""

import uuid
from collections.abc import Mapping, Sequence

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from core.access import MEMBERS, requires
from core.actor import Actor, actor
from core.clock import now
from core.db import transaction
from marketplace.copy import copies, payload
from marketplace.license import app_runs, choosing, downloads, installs, licenses
from marketplace.order import usage_charges
from marketplace.release.version_models import ListingVersion
from marketplace.run import runs
from marketplace.seat import seats
from marketplace.store import contents, listings, reviews
from marketplace.store.store_schemas import ReviewForm
from membership import entitlements
from membership.entitlements import Standing
from membership.models import Member

apps = Blueprint("apps", __name__)


@apps.get("/apps")
@requires(*MEMBERS)
def list_apps() -> ResponseReturnValue:
    """Everything the member has a licence of."""
    acting = actor()
    with transaction(acting):
        owned = licenses.list_owned(acting.member)
        per_seat = [one.license.id for one in owned if one.license.seats is not None]
        standing, saves = (
            entitlements.standing_of(acting.member),
            app_runs.minutes_saved(owned, {slug: one.month for slug, one in app_runs.of_member(acting.member, now()).items()}),
        )
        updates = {one.license.id: number for one in owned if (number := choosing.update_of(one, standing))}
        return render_template(
            "storefront/apps.html", owned=owned, packs=licenses.list_packs(acting.member), updates=updates, edited=copies.edited_licenses(acting.member),
            taken=seats.taken(acting.member, per_seat), mine=seats.held_by(acting, per_seat), saves=saves, saved=sum(filter(None, saves.values())),
        )  # fmt: skip


@apps.get("/apps/<uuid:license_id>")
@requires(*MEMBERS)
def show_app(license_id: uuid.UUID) -> ResponseReturnValue:
    """One app: how to use it, its sample, its versions, what was paid."""
    return page(license_id)


def page(license_id: uuid.UUID, *, errors: object = None, form: Mapping[str, object] | None = None, status: int = 200) -> ResponseReturnValue:
    """The app's page, with what is wrong in one of its forms."""
    acting, at = actor(), now()
    with transaction(acting):
        owned = licenses.owned(acting.member, license_id)
        if owned.listing.kind == "bundle":
            return redirect(url_for("store.show_order", order_id=license_id))
        versions = listings.public_versions(owned.listing.id)
        standing = entitlements.standing_of(acting.member) if owned.update or not owned.license.installed_version else Standing()
        copy = copies.in_use(owned, standing)
        chosen = copy.version
        mine = reviews.mine(acting.member, owned.listing.id)
        values = form or {"stars": mine.stars if mine else "", "text": mine.text if mine else ""}
        rendered = render_template(
            "storefront/app.html", owned=owned, listing=owned.listing, license=owned.license, order=owned.order, chosen=chosen, versions=versions,
            publisher=licenses.publisher_of(owned.listing), installed=_installed(owned, versions), inside=contents.of(chosen.sha256),
            history=installs.history(acting.member, license_id), is_valid=licenses.is_valid(owned.license, at), mine=mine, form=values, errors=errors,
            can_run=owned.listing.kind in runs.KINDS, may_run=licenses.may_run(owned.license, acting), **_seats(owned, acting),
            copy=copy, can_edit=owned.listing.kind in payload.KINDS,
            update=choosing.update_of(owned, standing), held_back=choosing.held_back(owned, standing),
            month=usage_charges.month_of(owned.license, at) if owned.license.monthly_cap_minor else None,
            work=app_runs.of_member(acting.member, at).get(owned.listing.slug),
        )  # fmt: skip
    return rendered, status


def _seats(owned: licenses.Owned, acting: Actor) -> dict[str, object]:
    """What the page says of seats; `seats` is None where the licence is for the whole member."""
    found = seats.show(owned.license) if owned.license.seats is not None else None
    manages = acting.role in ("owner", "buyer")
    others = seats.candidates(owned.license, found) if found and found.free and manages else []
    return {"seats": found, "has_seat": seats.holds(owned.license, acting), "manages": manages, "candidates": others}


def _installed(owned: licenses.Owned, versions: Sequence[ListingVersion]) -> ListingVersion | None:
    return next((one for one in versions if one.number == owned.license.installed_version), None)


@apps.get("/apps/<uuid:license_id>/artifact")
@requires(*MEMBERS)
def download(license_id: uuid.UUID) -> ResponseReturnValue:
    """The bundle itself; `?version=` for another released version, `?original=1` for the publisher's whatever was edited. Recorded as a download."""
    acting, version = actor(), request.args.get("version")
    with transaction(acting):
        handout = downloads.hand_out(acting.member, license_id, at=now(), user_id=acting.user_id, version=version, original=request.args.get("original") == "1")
    return Response(handout.content, mimetype="application/zip", headers=handout.headers)


@apps.post("/apps/<uuid:license_id>/uninstall")
@requires("owner", "buyer")
def uninstall(license_id: uuid.UUID) -> ResponseReturnValue:
    """Say that the app is not used any more; the licence stays."""
    acting = actor()
    with transaction(acting):
        installs.uninstall(acting.member, license_id, at=now(), user_id=acting.user_id)
    flash(_("Uninstalled. Your licence stays, and you can install it again."), "success")
    return redirect(url_for("apps.show_app", license_id=license_id))


@apps.post("/apps/<uuid:license_id>/review")
@requires(*MEMBERS)
def write_review(license_id: uuid.UUID) -> ResponseReturnValue:
    """Write or change the member's review, shown under the organisation's name."""
    acting = actor()
    try:
        form = ReviewForm().load(request.form.to_dict())
    except ValidationError as error:
        return page(license_id, errors=error.messages, form=request.form.to_dict(), status=422)
    with transaction(acting) as session:
        owned = licenses.owned(acting.member, license_id)
        member = session.get(Member, acting.member)
        assert member is not None
        reviews.write(owned.license, form["stars"], form["text"], member.name, at=now())
        slug = owned.listing.slug
    flash(_("Thank you. Your review is on the listing's page."), "success")
    return redirect(url_for("store.show_listing", slug=slug, _anchor="reviews"))
