"""A customer is taken on by page and by API: with its wallet and owner or not at all, once, and with words beside the field that is wrong."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from billing.member import new_members
from billing.wallet import balances
from core.db import SYSTEM, transaction
from core.errors import IdReused
from core.ids import new_id
from membership import member_facts
from membership.entity_models import LegalEntity
from tests.billing.stories import top_up
from tests.factories import AT, ENTITY, make_entity, make_member, make_user
from tests.sign_in import bearer, client_as

FACTS = {"name": "蓝月商贸", "name_en": "Blue Moon", "industry": "retail", "size": "medium", "sales_cycle": "long", "channel": "agent"}


def form(**other: Any) -> dict[str, Any]:
    return {"id": str(new_id()), **FACTS, "number": "M00007", "owner.name": "李雷", "owner.email": "Li.Lei@Example.com", **other}


def body(**other: Any) -> dict[str, Any]:
    return {"id": str(new_id()), **FACTS, "owner": {"name": "李雷", "email": "li.lei@example.com"}, **other}


def rows(owner: Engine, table: str) -> list[dict[str, Any]]:
    with owner.connect() as connection:
        return [dict(row) for row in connection.execute(text(f'select * from "{table}"')).mappings()]


def counts(owner: Engine) -> list[int]:
    return [len(rows(owner, table)) for table in ("member", "wallet", "app_user", "audit_entry")]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    make_entity()
    return client_as(app, "operator", name="孙伟")


def test_one_form_makes_member_wallet_owner_and_the_way_in(app: Flask, client: FlaskClient, owner: Engine) -> None:
    csm = make_user("csm", name="林晓雯")
    answer = client.post("/operator/members", data=form(csm_id=str(csm.id)))
    assert answer.status_code == 303, answer.text
    (member,) = rows(owner, "member")
    assert {name: member[name] for name in FACTS} == FACTS
    assert (member["number"], member["currency"], member["entity_id"], member["csm_id"], member["state"]) == ("M00007", "CNY", ENTITY, csm.id, "active")
    with transaction(SYSTEM):
        assert balances.balance(member["id"], "CNY", at=AT).paid_minor == 0
    (entry,) = rows(owner, "audit_entry")
    assert (entry["action"], entry["subject"], entry["actor_name"], entry["member_id"]) == ("member.create", "M00007", "孙伟", member["id"])
    assert entry["after"]["owner"] == "li.lei@example.com"

    page = client.get(answer.location).text
    assert "M00007" in page
    path = re.search(r'value="http://localhost(/invitations/[^"]+)"', page)
    assert path
    guest = app.test_client()
    assert guest.post(path[1], data={"password": "a long enough sentence", "again": "a long enough sentence"}).status_code == 303
    assert guest.get("/wallet").status_code == 200
    assert client.get(answer.location).status_code == 302  # the link is used up


def test_a_new_member_can_be_worked_with(app: Flask, client: FlaskClient) -> None:
    id = uuid.UUID(form_id := str(new_id()))
    client.post("/operator/members", data=form(id=form_id))
    with transaction(SYSTEM) as session:
        from membership.models import Member

        member = session.get_one(Member, id)
    top_up(member, member.created_at, 500_00)
    with transaction(SYSTEM):
        assert balances.balance(id, "CNY", at=member.created_at).paid_minor == 500_00
    for role, path in (
        ("csm", f"/csm/members/{id}"),
        ("csm", "/csm/members"),
        ("finance", f"/finance/members/{id}/wallet"),
        ("operator", f"/operator/members/{id}"),
    ):
        assert "蓝月商贸" in client_as(app, role).get(f"{path}?lang=zh").text, path


def test_the_form_proposes_the_next_number(client: FlaskClient) -> None:
    assert 'value="M00001"' in client.get("/operator/members/new").text
    client.post("/operator/members", data=form(number="M00041"))
    assert 'value="M00042"' in client.get("/operator/members/new").text


@pytest.mark.parametrize(
    ("other", "field", "status"),
    [
        ({"name": " "}, "name", 422),
        ({"name": "长" * 101}, "name", 422),
        ({"name_en": "x" * 101}, "name_en", 422),
        ({"number": "会员 7"}, "number", 422),
        ({"number": "M" + "9" * 16}, "number", 422),
        ({"number": " taken-1"}, "number", 409),
        ({"industry": "piracy"}, "industry", 422),
        ({"size": ""}, "size", 422),
        ({"sales_cycle": "endless"}, "sales_cycle", 422),
        ({"channel": "x"}, "channel", 422),
        ({"csm_id": str(uuid.UUID(int=5))}, "csm_id", 422),
        ({"csm_id": "nobody"}, "csm_id", 422),
        ({"entity_id": str(uuid.UUID(int=5))}, "entity_id", 422),
        ({"owner.name": ""}, "owner.name", 422),
        ({"owner.email": ""}, "owner.email", 422),
        ({"owner.email": "no address"}, "owner.email", 422),
        ({"owner.email": "TAKEN@example.com"}, "owner.email", 409),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_kept(client: FlaskClient, owner: Engine, other: dict[str, str], field: str, status: int) -> None:
    client.post("/operator/members", data=form(number="TAKEN-1", **{"owner.email": "taken@example.com"}))
    before = counts(owner)
    answer = client.post("/operator/members", data=form(**other))
    assert answer.status_code == status
    assert f'href="#f-{field}"' in answer.text
    assert f'id="e-{field}"' in answer.text
    assert 'value="Li.Lei@Example.com"' in answer.text or field == "owner.email"
    assert counts(owner) == before


def test_all_that_was_left_empty_is_said_at_once(client: FlaskClient) -> None:
    answer = client.post("/operator/members", data={"id": str(new_id())})
    assert {field for field in ("name", "owner.name", "owner.email") if f'href="#f-{field}"' in answer.text} == {"name", "owner.name", "owner.email"}


def test_a_csm_who_left_takes_on_nobody(client: FlaskClient, owner: Engine) -> None:
    gone = make_user("csm")
    with owner.begin() as connection:
        connection.execute(text("update app_user set disabled_at = now() where id = :id"), {"id": gone.id})
    assert client.post("/operator/members", data=form(csm_id=str(gone.id))).status_code == 422


def test_sent_twice_it_is_one_member(client: FlaskClient, owner: Engine) -> None:
    sent = form()
    first, again = client.post("/operator/members", data=sent), client.post("/operator/members", data=sent)
    assert (first.status_code, again.status_code, first.location) == (303, 303, again.location)
    assert (len(rows(owner, "member")), len(rows(owner, "audit_entry"))) == (1, 1)
    other = client.post("/operator/members", data=sent | {"name": "另一家"})
    assert other.status_code == 409
    assert len(rows(owner, "member")) == 1


def test_two_at_once_with_one_id_make_one_member_and_two_without_a_number_two(app: Flask, owner: Engine) -> None:
    make_entity()

    def take_on(wanted: new_members.Wanted) -> uuid.UUID:
        with app.app_context(), transaction(SYSTEM):
            return new_members.create(wanted, at=AT)[1].id

    one = new_members.Wanted(new_id(), FACTS, "A", "a@example.com")
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(take_on, [one, one]))) == 1
        list(pool.map(take_on, [new_members.Wanted(new_id(), FACTS, "B", f"b{n}@example.com") for n in range(4)]))
    assert sorted(row["number"] for row in rows(owner, "member")) == ["M00001", "M00002", "M00003", "M00004", "M00005"]


def test_over_the_api_once_by_its_id(app: Flask, owner: Engine) -> None:
    make_entity()
    api, headers, sent = app.test_client(), bearer("operator"), body()
    made = api.post("/api/v1/members", json=sent, headers=headers)
    assert made.status_code == 201, made.json
    assert made.json["id"] == sent["id"]
    assert (made.json["number"], made.json["currency"], made.json["owner"]["email"]) == ("M00001", "CNY", "li.lei@example.com")
    assert "/invitations/" in made.json["owner"]["invitation_url"]
    api.patch(f"/api/v1/members/{sent['id']}", json={"name": "改名"}, headers=headers)
    again = api.post("/api/v1/members", json=sent, headers=headers)  # though it is called otherwise by now
    assert (again.status_code, again.json["id"], again.json["owner"]["id"]) == (201, sent["id"], made.json["owner"]["id"])
    other = api.post("/api/v1/members", json=sent | {"size": "small"}, headers=headers)
    assert (other.status_code, other.json["code"]) == (409, "id_reused")
    assert (len(rows(owner, "member")), len(rows(owner, "wallet"))) == (1, 1)
    guest = app.test_client()
    path = made.json["owner"]["invitation_url"].removeprefix("http://localhost")
    guest.post(path, data={"password": "a long enough sentence", "again": "a long enough sentence"})
    assert api.post("/api/v1/members", json=sent, headers=headers).json["owner"]["invitation_url"] is None


def test_an_id_that_is_a_book_already_is_refused(app: Flask, owner: Engine) -> None:
    """Else the new member would spend from the vendor's own book, or from somebody else's."""
    theirs, headers = make_member(paid=100_00), bearer("operator")
    for taken in (ENTITY, theirs.id):
        before = counts(owner)
        answer = app.test_client().post("/api/v1/members", json=body(id=str(taken)), headers=headers)
        assert (answer.status_code, answer.json["code"]) == (409, "id_reused")
        assert counts(owner) == before
    with transaction(SYSTEM), pytest.raises(IdReused):
        new_members.create(new_members.Wanted(ENTITY, FACTS, "A", "a@example.com"), at=AT)


@pytest.mark.parametrize(
    ("other", "field", "status"),
    [
        ({"number": "m00009"}, "number", 409),
        ({"currency": "USD"}, "currency", 422),
        ({"entity_id": str(uuid.UUID(int=9))}, "entity_id", 422),
        ({"owner": {"name": "A", "email": "x"}}, "owner.email", 422),
        ({"owner": {"name": "A", "email": "taken@example.com"}}, "owner.email", 409),
        ({"owner": {"name": " ", "email": "a@example.com"}}, "owner.name", 422),
        ({"owner": {}}, "owner.name", 422),
        ({"name": " "}, "name", 422),
        ({"size": "huge"}, "size", 422),
        ({"csm_id": str(uuid.UUID(int=9))}, "csm_id", 422),
        ({"id": "7"}, "id", 422),
        ({"state": "closed"}, "state", 422),
    ],
)
def test_the_api_names_the_field(app: Flask, owner: Engine, other: dict[str, Any], field: str, status: int) -> None:
    make_entity()
    headers = bearer("operator")
    assert (
        app.test_client().post("/api/v1/members", json=body(number="M00009", owner={"name": "T", "email": "taken@example.com"}), headers=headers).status_code
        == 201
    )
    before = counts(owner)
    answer = app.test_client().post("/api/v1/members", json=body(**other), headers=headers)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert field in [error["field"] for error in answer.json["errors"]]
    assert counts(owner) == before


def test_where_several_of_us_sell_it_is_said_who(app: Flask, client: FlaskClient, owner: Engine) -> None:
    other = new_id()
    with transaction(SYSTEM) as session:
        session.add(LegalEntity(id=other, name="Jade Balance Ltd.", currency="USD", timezone="UTC", tax_rate_bp=0))
    assert "Jade Balance Ltd. · USD" in client.get("/operator/members/new").text
    undecided = client.post("/operator/members", data=form())
    assert (undecided.status_code, 'href="#f-entity_id"' in undecided.text) == (422, True)
    assert client.post("/operator/members", data=form(entity_id=str(other))).status_code == 303
    answer = app.test_client().post("/api/v1/members", json=body(currency="CNY", owner={"name": "B", "email": "b@example.com"}), headers=bearer("operator"))
    assert answer.status_code == 201
    assert sorted((row["currency"], row["entity_id"]) for row in rows(owner, "member")) == [("CNY", ENTITY), ("USD", other)]
    assert sorted(row["currency"] for row in rows(owner, "wallet")) == ["CNY", "USD"]


def test_without_a_company_of_ours_the_page_says_so(app: Flask) -> None:
    client = client_as(app, "operator")
    assert "None of our companies" in client.get("/operator/members/new?lang=en").text
    assert client.post("/operator/members", data=form()).status_code == 422


@pytest.mark.parametrize("role", ["finance", "csm", "reviewer"])
def test_only_the_operator_takes_members_on(app: Flask, role: str) -> None:
    make_entity()
    client = client_as(app, role)
    assert client.get("/operator/members/new").status_code == 403
    assert client.post("/operator/members", data=form()).status_code == 403
    if role != "reviewer":
        assert app.test_client().post("/api/v1/members", json=body(), headers=bearer(role)).status_code == 403


def test_it_stands_in_the_document_of_the_api(app: Flask) -> None:
    paths = app.test_client().get("/api/v1/openapi.json").json["paths"]
    assert {"201", "409", "422"} <= set(paths["/api/v1/members"]["post"]["responses"])
    assert {"200", "404", "422"} <= set(paths["/api/v1/members/{member_id}"]["patch"]["responses"])
    assert set(member_facts.FACTS) >= set(FACTS)
