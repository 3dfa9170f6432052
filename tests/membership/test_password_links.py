"""A forgotten password: who may make a link for whom, what the link is worth, and what is left of it afterwards."""

import re
import uuid
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from core.ids import new_id
from membership import password_links, passwords
from membership.models import Member, User
from tests.factories import make_member, make_user
from tests.sign_in import client_as, signed_in

OLD, NEW = "the old long sentence", "a new long sentence"
HASH = passwords.hash_password(OLD)


@pytest.fixture
def member(app: Flask) -> Member:
    return make_member()


@pytest.fixture
def forgetful(member: Member) -> User:
    return make_user("buyer", member, name="健忘", password_hash=HASH)


def ask(client: FlaskClient, user: User, *, anybody: bool = False) -> Any:
    return client.post(f"/{'operator/people' if anybody else 'team/users'}/{user.id}/password-link")


def link(answer: Any) -> str:
    found = re.search(r'value="http://localhost(/new-password/[^"]+)"', answer.text)
    assert answer.status_code == 201, answer.text
    assert found
    return found[1]


def set_password(app: Flask, path: str, password: str = NEW, again: str | None = None) -> Any:
    return app.test_client().post(path, data={"password": password, "again": password if again is None else again})


def sign_in(app: Flask, user: User, password: str) -> int:
    return app.test_client().post("/sign-in", data={"email": user.email, "password": password}).status_code


def trail(owner: Engine) -> list[Any]:
    with owner.connect() as connection:
        return list(connection.execute(text("select action, subject, actor_name, actor_role, actor_id, member_id from audit_entry order by at, id")).all())


def test_an_owner_makes_a_link_and_the_person_sets_a_new_password(app: Flask, member: Member, forgetful: User, owner: Engine) -> None:
    boss = make_user("owner", member, name="老板", password_hash="x")
    elsewhere, path = signed_in(app, forgetful), link(ask(signed_in(app, boss), forgetful))
    assert elsewhere.get("/team").status_code == 200
    guest = app.test_client()
    assert forgetful.email in guest.get(path).text
    assert sign_in(app, forgetful, OLD) == 303  # nothing has changed yet
    assert guest.post(path, data={"password": NEW, "again": NEW}).status_code == 303
    assert guest.get("/team").status_code == 200  # signed in here …
    assert elsewhere.get("/team").status_code == 302  # … and nowhere else
    assert (sign_in(app, forgetful, NEW), sign_in(app, forgetful, OLD)) == (303, 401)
    assert [tuple(entry) for entry in trail(owner)] == [
        ("user.password_link", forgetful.email, "老板", "owner", boss.id, member.id),
        ("user.password_set", forgetful.email, "健忘", "buyer", forgetful.id, member.id),
    ]


def test_it_works_once_and_not_after_the_password_changed_otherwise(app: Flask, member: Member, forgetful: User) -> None:
    boss = client_as(app, "owner", member, password_hash="x")
    first, second = link(ask(boss, forgetful)), link(ask(boss, forgetful))
    assert set_password(app, first).status_code == 303
    for path in (first, second):
        assert app.test_client().get(path).status_code == 404
        assert set_password(app, path, "yet another sentence").status_code == 404
    third = link(ask(boss, forgetful))
    own = signed_in(app, forgetful)
    assert own.post("/account/password", data={"present": NEW, "password": "changed by myself"}).status_code == 303
    assert set_password(app, third).status_code == 404
    assert sign_in(app, forgetful, "changed by myself") == 303


def test_old_tampered_and_borrowed_links_are_refused(app: Flask, member: Member, forgetful: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from membership import users

    path = link(ask(client_as(app, "operator"), forgetful, anybody=True))
    tampered = path[:-5] + ("y" if path[-5] == "x" else "x") + path[-4:]  # not at the very end, whose last bits mean nothing
    assert app.test_client().get(tampered).status_code == 404
    assert app.test_client().get("/new-password/none").status_code == 404
    assert app.test_client().get(f"/new-password/{users.invitation_token(forgetful)}").status_code == 404
    assert app.test_client().get(path.replace("/new-password/", "/invitations/")).status_code == 404
    monkeypatch.setattr(password_links, "HOURS", -1)
    assert app.test_client().get(path).status_code == 404
    assert set_password(app, path).status_code == 404
    assert sign_in(app, forgetful, OLD) == 303


@pytest.mark.parametrize("change", ["update app_user set disabled_at = '2026-01-01'", "update member set state = 'closed'"])
def test_whoever_is_shut_out_stays_out(app: Flask, forgetful: User, owner: Engine, change: str) -> None:
    path = link(ask(client_as(app, "operator"), forgetful, anybody=True))
    with owner.begin() as connection:
        connection.execute(text(change + (f" where id = '{forgetful.id}'" if "app_user" in change else "")))
    assert set_password(app, path).status_code == 404


def test_a_bad_password_is_told_beside_the_field_and_ends_nothing(app: Flask, forgetful: User) -> None:
    here, path = signed_in(app, forgetful), link(ask(client_as(app, "operator"), forgetful, anybody=True))
    for given, field in ((("short", "short"), "password"), ((NEW, "something else"), "again"), (("x" * 201, "x" * 201), "password")):
        answer = set_password(app, path, *given)
        assert answer.status_code == 422
        assert f'href="#f-{field}"' in answer.text
    assert here.get("/team").status_code == 200
    assert set_password(app, path).status_code == 303


@pytest.mark.parametrize("role", ["owner", "buyer", "finance", "csm", "reviewer", "operator", "publisher"])
def test_the_operator_helps_anybody_else(app: Flask, member: Member, role: str) -> None:
    belongs = member if role in ("owner", "buyer") else None
    user = make_user(role, belongs, password_hash=HASH, publisher_id=new_id() if role == "publisher" else None)
    assert set_password(app, link(ask(client_as(app, "operator"), user, anybody=True))).status_code == 303
    assert sign_in(app, user, NEW) == 303


def test_nobody_else_makes_one(app: Flask, member: Member, forgetful: User, owner: Engine) -> None:
    for role in ("buyer", "viewer"):
        assert ask(client_as(app, role, member), forgetful).status_code == 403
    for role in ("finance", "csm", "reviewer"):
        assert ask(client_as(app, role), forgetful, anybody=True).status_code == 403
        assert client_as(app, role).get("/operator/people").status_code == 403
    stranger = client_as(app, "owner", make_member(), password_hash="x")
    assert ask(stranger, forgetful).status_code == 404
    assert ask(stranger, make_user("operator", password_hash=HASH)).status_code == 404
    assert ask(stranger, forgetful, anybody=True).status_code == 403
    assert app.test_client().post(f"/team/users/{forgetful.id}/password-link").location == "/sign-in"
    assert trail(owner) == []


def test_not_for_oneself_the_invited_or_the_shut_out(app: Flask, member: Member, owner: Engine) -> None:
    boss, operator = make_user("owner", member, password_hash=HASH), make_user("operator", password_hash=HASH)
    invited = make_user("viewer", member)
    out = make_user("viewer", member, password_hash=HASH)
    with owner.begin() as connection:
        connection.execute(text("update app_user set disabled_at = now() where id = :id"), {"id": out.id})
    for client, anybody, mine in ((signed_in(app, boss), False, boss), (signed_in(app, operator), True, operator)):
        for user in (mine, invited, out):
            answer = ask(client, user, anybody=anybody)
            assert answer.status_code == 409
            assert "/new-password/" not in answer.text
            page = client.get(f"/{'operator/people' if anybody else 'team/users'}/{user.id}").text
            assert "/password-link" not in page
    assert trail(owner) == []


def test_links_are_not_made_without_end(app: Flask, member: Member, forgetful: User) -> None:
    boss, other = client_as(app, "owner", member, password_hash="x"), client_as(app, "owner", member, password_hash="x")
    answers = [ask(boss, forgetful).status_code for _ in range(21)]
    assert answers == [201] * 20 + [429]
    assert ask(other, forgetful).status_code == 201  # each has an allowance of its own
    path = link(ask(other, forgetful))
    assert [set_password(app, path, "short").status_code for _ in range(21)] == [422] * 20 + [429]


def test_the_operator_finds_people_by_name_address_and_role(app: Flask, member: Member, forgetful: User) -> None:
    client = client_as(app, "operator", name="孙伟")
    page = client.get("/operator/people?lang=zh").text
    assert forgetful.email in page
    assert member.number in page
    assert "孙伟" in page
    assert forgetful.email in client.get("/operator/people?q=健忘").text
    assert forgetful.email in client.get(f"/operator/people?q={forgetful.email[:12].upper()}&role=buyer").text
    assert forgetful.email not in client.get("/operator/people?role=finance").text
    assert forgetful.email not in client.get("/operator/people?q=%25").text
    assert client.get("/operator/people?after=nonsense").status_code == 400
    assert client.get(f"/operator/people/{new_id()}").status_code == 404
    assert member.number in client.get(f"/operator/people/{forgetful.id}").text


def test_the_operator_shows_an_invitation_again(app: Flask, member: Member, forgetful: User) -> None:
    client = client_as(app, "operator")
    for invited in (make_user("viewer", member), make_user("finance")):
        page = client.get(f"/operator/people/{invited.id}/invitation").text
        path = re.search(r'value="http://localhost(/invitations/[^"]+)"', page)
        assert path
        assert invited.email in app.test_client().get(path[1]).text
    assert client.get(f"/operator/people/{forgetful.id}/invitation").location == f"/operator/people/{forgetful.id}"
    assert client.get(f"/operator/people/{uuid.UUID(int=3)}/invitation").status_code == 404


def test_the_sign_in_page_says_whom_to_ask(app: Flask) -> None:
    assert "忘记密码" in app.test_client().get("/sign-in?lang=zh").text
    assert "Forgotten your password" in app.test_client().get("/sign-in?lang=en").text
