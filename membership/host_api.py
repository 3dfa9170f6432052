"""Host versions for machines: a member's system says what it runs, staff correct it, the operator names the current release."""

import uuid
from typing import Any

from core import audit
from core.access import MEMBERS, requires
from core.actor import ROLES, actor
from core.clock import now
from core.db import transaction
from core.openapi import Blueprint
from core.schemas import fails
from membership import catalogue, hosts, members
from membership.catalogue_models import ProductLine
from membership.host_schemas import CurrentReleaseIn, HostsOut, HostVersionIn, MemberHostIn, ProductLineOut, ProductLinesOut

blp = Blueprint("host_api", __name__, url_prefix="/api/v1", description="Which version of the products members run")


@blp.get("/product-lines")
@blp.response(200, ProductLinesOut)
@fails(blp, 401)
@requires(*ROLES)
def list_product_lines() -> dict[str, Any]:
    """The vendor's products and their current releases."""
    with transaction(actor()):
        return {"items": catalogue.product_lines()}


@blp.post("/product-lines/<code>/release")
@blp.arguments(CurrentReleaseIn)
@blp.response(200, ProductLineOut)
@fails(blp, 401, 403, 404, 422)
@requires("operator")
def create_release(release_in: dict[str, Any], code: str) -> ProductLine:
    """Name the current release: members run it unless theirs is known to be another. Apps that do not work with it are hidden from then on."""
    with transaction(actor()):
        return change_release(code, release_in["version"])


def change_release(code: str, version: str) -> ProductLine:
    """Name the current release, on record. Raises Invalid, NotFound."""
    before, line = hosts.release(code, version)
    audit.record("product_line.release", code, at=now(), before={"release": before}, after={"release": line.release})
    return line


@blp.get("/host-versions")
@blp.response(200, HostsOut)
@fails(blp, 401, 403)
@requires(*MEMBERS)
def list_host_versions() -> dict[str, Any]:
    """What the member runs, of every product line."""
    with transaction(actor()):
        return {"items": hosts.of_member(actor().member)}


@blp.post("/host-versions")
@blp.arguments(HostVersionIn)
@blp.response(200, HostsOut)
@fails(blp, 401, 403, 404, 422)
@requires("owner", "buyer")
def report_host_version(reported: dict[str, Any]) -> dict[str, Any]:
    """For the host itself: say which version runs, after each upgrade. Apps are held against it at purchase, install and update."""
    acting = actor()
    with transaction(acting):
        hosts.record(acting.member, reported["product_line"], reported["version"], "reported", at=now())
        return {"items": hosts.of_member(acting.member)}


@blp.post("/members/<uuid:member_id>/host-versions")
@blp.arguments(MemberHostIn)
@blp.response(200, HostsOut)
@fails(blp, 401, 403, 404, 422)
@requires("operator", "csm")
def enter_host_version(entered: dict[str, Any], member_id: uuid.UUID) -> dict[str, Any]:
    """Enter what a member's host runs, where it cannot say so itself."""
    with transaction(actor()):
        enter(member_id, entered["product_line"], entered["version"])
        return {"items": hosts.of_member(member_id)}


def enter(member_id: uuid.UUID, line: str, version: str | None) -> None:
    """Staff's word on a member's host, on record; no version: the current release. Raises Invalid, NotFound."""
    member, at = members.find(member_id), now()
    known = {host.line.code: host for host in hosts.of_member(member_id)}
    if version is None:
        hosts.forget(member_id, line)
    else:
        hosts.record(member_id, line, version, "entered", at=at)
    before = known[line].version if line in known and known[line].source else None
    after = {"product_line": line, "version": version}
    audit.record("host_version.enter", member.number, at=at, member_id=member_id, before={"product_line": line, "version": before}, after=after)
