"""Which version a member's host runs, who says so, and that declared host versions are really compared."""

import pytest
from flask import Flask
from flask_babel import force_locale
from sqlalchemy import text

from core.actor import Actor
from core.db import SYSTEM, transaction
from core.errors import Invalid, NotFound
from membership import entitlements, hosts
from membership.catalogue_models import ProductLine
from membership.entitlements import Standing, Verdict
from membership.models import Member
from tests.factories import AT, make_member
from tests.membership.test_entitlements import subscribe, world  # noqa: F401 (a fixture)
from tests.sign_in import bearer, client_as

pytestmark = pytest.mark.usefixtures("world")


def acting_for(member: Member) -> Actor:
    return Actor(kind="member", role="owner", member_id=member.id)


def versions(member: Member) -> dict[str, tuple[str, str | None]]:
    with transaction(acting_for(member)):
        return {host.line.code: (host.version, host.source) for host in hosts.of_member(member.id)}


def test_a_member_runs_the_current_release_unless_it_is_known_otherwise(app: Flask) -> None:
    member, other = make_member(), make_member()
    with transaction(SYSTEM):
        assert hosts.release("crm", "1.6")[0] == "1.0"
    assert versions(member) == {"crm": ("1.6", None), "ops": ("1.0", None)}
    with transaction(acting_for(member)):
        hosts.record(member.id, "crm", " 1.2 ", "reported", at=AT)
    with transaction(acting_for(member)):
        hosts.record(member.id, "crm", "1.3", "reported", at=AT)  # after an upgrade
    assert versions(member)["crm"] == ("1.3", "reported")
    assert versions(other)["crm"] == ("1.6", None)
    with transaction(SYSTEM):
        hosts.release("crm", "1.7")
        assert entitlements.standing_of(member.id).versions == {"crm": "1.3", "ops": "1.0"}
        assert entitlements.standing_of(other.id).versions == {"crm": "1.7", "ops": "1.0"}
        hosts.forget(member.id, "crm")
    assert versions(member)["crm"] == ("1.7", None)


@pytest.mark.parametrize("version", ["", "v1", "1.", "1.2.3.4.5", "1.0rc1", "1.0; drop", "１.0", "1234567.0", "1.0\n2.0"])
def test_what_is_no_release_number_is_refused(app: Flask, version: str) -> None:
    member = make_member()
    acting, member_id = acting_for(member), member.id
    with pytest.raises(Invalid), transaction(acting):
        hosts.record(member_id, "crm", version, "reported", at=AT)
    with pytest.raises(NotFound), transaction(acting):
        hosts.record(member_id, "no-such-product", "1.0", "reported", at=AT)


@pytest.mark.parametrize(
    ("ranks", "asked", "expected"),
    [
        ({}, ("crm", 0, [], ">=1.0,<2.0"), Verdict(True)),
        ({}, ("crm", 0, [], ">=2.0,<3.0"), Verdict(False, "host_too_old", "crm", needed_version=">=2.0,<3.0", version="1.5")),
        ({}, ("ops", 0, [], "<2.0"), Verdict(False, "host_too_new", "ops", needed_version="<2.0", version="2.1")),
        ({"crm": 1}, (None, 0, [], ">=2.0"), Verdict(False, "host_too_old", "crm", needed_version=">=2.0", version="1.5")),  # its own lines count
        ({"ops": 1}, (None, 0, [], ">=2.0"), Verdict(True)),
        ({}, (None, 0, [], ">=2.0"), Verdict(True)),  # no line of its own: any will do
        ({"crm": 1, "ops": 3}, (None, 2, [], "<2.0"), Verdict(False, "host_too_new", "ops", needed_version="<2.0", version="2.1")),  # not one line has both
        ({"crm": 1}, ("crm", 3, [], ">=2.0"), Verdict(False, "edition_too_low", "crm", 3)),  # the edition first
        ({"tel": 1}, ("tel", 0, [], ">=2.0"), Verdict(True)),  # a line whose version nobody knows
    ],
)
def test_the_edition_and_the_host_must_fit_on_one_line(ranks: dict[str, int], asked: tuple, expected: Verdict) -> None:
    with transaction(SYSTEM):
        assert entitlements.verdict(Standing(ranks, {"crm": "1.5", "ops": "2.1"}), *asked) == expected


def test_refusals_in_words(app: Flask) -> None:
    old, new = (Verdict(False, reason, "crm", needed_version=">=2.0,<3.0", version="1.5") for reason in ("host_too_old", "host_too_new"))
    with app.test_request_context(), transaction(SYSTEM), force_locale("en"):
        assert entitlements.sentence(old) == "Needs version 2.0 or newer, below 3.0 of CRM; yours is 1.5, which is too old."
        assert "has not been released" in entitlements.sentence(new)
    with app.test_request_context(), transaction(SYSTEM), force_locale("zh"):
        assert "客户云" in entitlements.sentence(old)
        assert "1.5" in entitlements.sentence(old)


def test_one_query_tells_the_standing(app: Flask) -> None:
    member = make_member()
    subscribe(member, "crm", 2)
    subscribe(member, "ops", 3, "ended")
    with transaction(acting_for(member)):
        assert entitlements.standing_of(member.id) == Standing({"crm": 2}, {"crm": "1.0", "ops": "1.0"})


def test_a_host_reports_by_api_and_staff_correct_it(app: Flask) -> None:
    member = make_member()
    client = app.test_client()
    answer = client.post("/api/v1/host-versions", json={"product_line": "crm", "version": "1.4.2"}, headers=bearer("buyer", member))
    assert answer.status_code == 200
    assert answer.json["items"][0] == {"product_line": "crm", "version": "1.4.2", "release": "1.0", "source": "reported", "at": answer.json["items"][0]["at"]}
    assert client.post("/api/v1/host-versions", json={"product_line": "crm", "version": "x"}, headers=bearer("buyer", member)).status_code == 422
    assert client.post("/api/v1/host-versions", json={"product_line": "x", "version": "1"}, headers=bearer("buyer", member)).status_code == 404
    path = f"/api/v1/members/{member.id}/host-versions"
    assert client.post(path, json={"product_line": "crm", "version": "1.5"}, headers=bearer("csm")).json["items"][0]["source"] == "entered"
    assert client.post(path, json={"product_line": "crm", "version": None}, headers=bearer("operator")).json["items"][0]["source"] is None
    assert client.post(path, json={"product_line": "crm", "version": "1.5"}, headers=bearer("finance")).status_code == 403
    released = client.post("/api/v1/product-lines/crm/release", json={"version": "2.0"}, headers=bearer("operator"))
    assert released.json["release"] == "2.0"
    assert client.post("/api/v1/product-lines/nope/release", json={"version": "2.0"}, headers=bearer("operator")).status_code == 404
    lines = client.get("/api/v1/product-lines", headers=bearer("viewer", member)).json["items"]
    assert {one["code"]: one["release"] for one in lines} == {"crm": "2.0", "ops": "1.0"}
    with transaction(SYSTEM) as session:
        told = session.execute(
            text("select action, before, after from audit_entry where action in ('host_version.enter', 'product_line.release') order by at, id")
        )
        assert [(row.action, row.before, row.after) for row in told] == [
            ("host_version.enter", {"product_line": "crm", "version": "1.4.2"}, {"product_line": "crm", "version": "1.5"}),
            ("host_version.enter", {"product_line": "crm", "version": "1.5"}, {"product_line": "crm", "version": None}),
            ("product_line.release", {"release": "1.0"}, {"release": "2.0"}),
        ]


def test_pages_show_and_correct_it(app: Flask) -> None:
    member = make_member()
    own = client_as(app, "viewer", member).get("/host-versions?lang=en").text
    assert "the current release" in own
    operator = client_as(app, "operator")
    path = f"/members/{member.id}/host-versions"
    assert operator.post(path, data={"product_line": "crm", "version": "0.9"}).status_code == 303
    assert "our team" in client_as(app, "owner", member).get("/host-versions?lang=en").text
    refused = operator.post(f"{path}?lang=en", data={"product_line": "crm", "version": "new"})
    assert refused.status_code == 422
    assert 'value="new"' in refused.text
    assert client_as(app, "csm").post(path, data={"product_line": "crm", "version": ""}).status_code == 303
    assert versions(member)["crm"] == ("1.0", None)
    assert operator.post("/operator/releases/crm", data={"version-crm": "1.8"}).status_code == 303
    assert operator.post("/operator/releases/crm", data={"version-crm": "latest"}).status_code == 422
    with transaction(SYSTEM) as session:
        assert session.get_one(ProductLine, "crm").release == "1.8"
