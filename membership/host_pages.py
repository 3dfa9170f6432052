"""Host versions on pages: what a member runs, staff's correction of it, and the operator's current releases."""

import uuid

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from marshmallow import ValidationError

from core.access import MEMBERS, requires
from core.actor import actor
from core.db import transaction
from core.errors import AppError
from membership import catalogue, hosts, members
from membership.host_api import change_release, enter
from membership.host_schemas import HostForm, ReleaseForm

host_pages = Blueprint("hosts", __name__)


@host_pages.get("/host-versions")
@requires(*MEMBERS)
def list_hosts() -> ResponseReturnValue:
    """The member's own: which version of each product it runs, and where that is known from."""
    with transaction(actor()):
        return render_template("account/hosts.html", hosts=hosts.of_member(actor().member))


@host_pages.get("/members/<uuid:member_id>/host-versions")
@requires("operator", "csm")
def show_member(member_id: uuid.UUID) -> ResponseReturnValue:
    """A member's versions, to be corrected."""
    return _member_page(member_id)


@host_pages.post("/members/<uuid:member_id>/host-versions")
@requires("operator", "csm")
def enter_version(member_id: uuid.UUID) -> ResponseReturnValue:
    """Enter what a member's host runs; an empty field stands for the current release."""
    given = request.form.to_dict()
    try:
        form = HostForm().load(given)
        with transaction(actor()):
            enter(member_id, form["product_line"], form["version"].strip() or None)
    except ValidationError as error:
        return _member_page(member_id, given=given, errors=error.messages_dict), 422
    except AppError as error:
        if error.status == 404:
            raise
        return _member_page(member_id, given=given, errors=error.fields), error.status
    flash(_("Noted. Apps are held against it from now on."), "success")
    return redirect(url_for("hosts.show_member", member_id=member_id), 303)


def _member_page(member_id: uuid.UUID, *, given: dict[str, str] | None = None, errors: object = None) -> str:
    with transaction(actor()):
        return render_template(
            "operator/member_hosts.html", member=members.find(member_id), hosts=hosts.of_member(member_id), given=given or {}, errors=errors
        )  # fmt: skip


@host_pages.get("/operator/releases")
@requires("operator")
def list_releases() -> ResponseReturnValue:
    """The current release of each product line."""
    return _releases_page()


@host_pages.post("/operator/releases/<code>")
@requires("operator")
def create_release(code: str) -> ResponseReturnValue:
    """Name another current release."""
    given = request.form.to_dict()
    try:
        form = ReleaseForm().load({"version": given.get(f"version-{code}", "")})
        with transaction(actor()):
            line = change_release(code, form["version"])
            name, version = line.code, line.release
    except ValidationError as error:
        return _releases_page({code: given.get(f"version-{code}", "")}, error.messages_dict.get("version")), 422
    except AppError as error:
        if error.status == 404:
            raise
        return _releases_page({code: given.get(f"version-{code}", "")}, error.detail), error.status
    flash(_("%(version)s is the current release of %(line)s now.", version=version, line=name.upper()), "success")
    return redirect(url_for("hosts.list_releases"), 303)


def _releases_page(given: dict[str, str] | None = None, error: object = None) -> str:
    with transaction(actor()):
        return render_template("operator/releases.html", lines=catalogue.product_lines(), given=given or {}, error=error)
