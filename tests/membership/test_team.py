"""A member's team: invitations, roles, seats, and who may change what."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from core.actor import Actor
from core.db import SYSTEM, transaction
from membership import users
from membership.models import Member, User
from tests.factories import AT, make_member, make_user
from tests.foreign import a_subscription
from tests.sign_in import client_as, signed_in

PASSWORD = "a long enough sentence"


def acting(member: Member) -> Actor:
    return Actor(kind="member", role="owner", member_id=member.id)


def stored(owner: Engine, user_id: uuid.UUID) -> dict[str, object]:
    with owner.connect() as connection:
        return dict(connection.execute(text("select * from app_user where id = :id"), {"id": user_id}).mappings().one())


@pytest.fixture
def member(app: Flask) -> Member:
    return make_member()


@pytest.fixture
def boss(member: Member) -> User:
    return make_user("owner", member, name="Boss", password_hash="x")


def test_an_invitation_works_once_and_signs_in(app: Flask, member: Member, boss: User, owner: Engine) -> None:
    answer = signed_in(app, boss).post("/team/invitations", data={"email": "New.Person@Example.com", "name": "New Person", "role": "buyer"})
    assert answer.status_code == 303
    page = signed_in(app, boss).get(answer.location).text
    path = re.search(r'value="http://localhost(/invitations/[^"]+)"', page)
    assert path
    guest = app.test_client()
    assert "new.person@example.com" in guest.get(path[1]).text
    assert guest.post(path[1], data={"password": "short", "again": "short"}).status_code == 422
    assert guest.post(path[1], data={"password": PASSWORD, "again": "something else"}).status_code == 422
    assert guest.post(path[1], data={"password": PASSWORD, "again": PASSWORD}).status_code == 303
    assert guest.get("/team").status_code == 200
    assert app.test_client().get(path[1]).status_code == 404
    assert app.test_client().post(path[1], data={"password": "another sentence", "again": "another sentence"}).status_code == 404
    assert app.test_client().post("/sign-in", data={"email": "new.person@example.com", "password": PASSWORD}).status_code == 303


def test_a_tampered_or_old_invitation_is_refused(app: Flask, member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction(SYSTEM):
        user = users.invite(member.id, "x@example.com", "X", "viewer", at=AT)
    token = users.invitation_token(user)
    assert app.test_client().get(f"/invitations/{token[:-2]}xx").status_code == 404
    assert app.test_client().get("/invitations/none").status_code == 404
    monkeypatch.setattr(users, "INVITATION_DAYS", -1)
    assert app.test_client().get(f"/invitations/{token}").status_code == 404


def test_an_address_is_used_once_also_by_another_member(app: Flask, member: Member, boss: User) -> None:
    taken = make_user("viewer", make_member())
    answer = signed_in(app, boss).post("/team/invitations", data={"email": taken.email.upper(), "name": "N", "role": "viewer"})
    assert answer.status_code == 409
    assert 'href="#f-email"' in answer.text
    assert 'value="N"' in answer.text


@pytest.mark.parametrize("bad", [{"email": "no-address"}, {"name": " "}, {"role": "operator"}, {"role": ""}])
def test_a_bad_invitation_is_told_beside_the_field(app: Flask, boss: User, bad: dict[str, str], owner: Engine) -> None:
    answer = signed_in(app, boss).post("/team/invitations", data={"email": "n@example.com", "name": "N", "role": "viewer", **bad})
    assert answer.status_code == 422
    assert f'href="#f-{next(iter(bad))}"' in answer.text
    with owner.connect() as connection:
        assert connection.scalar(text("select count(*) from app_user")) == 1


def test_the_last_owner_stays(app: Flask, member: Member, boss: User, owner: Engine) -> None:
    client = signed_in(app, boss)
    make_user("owner", member, name="Invited only")  # without a password: cannot sign in, so does not count
    assert client.post(f"/team/users/{boss.id}/role", data={"role": "viewer"}).status_code == 409
    assert client.post(f"/team/users/{boss.id}/disabling").status_code == 409
    assert (stored(owner, boss.id)["role"], stored(owner, boss.id)["disabled_at"]) == ("owner", None)
    make_user("owner", member, password_hash="x")
    assert client.post(f"/team/users/{boss.id}/role", data={"role": "viewer"}).status_code == 303
    assert stored(owner, boss.id)["role"] == "viewer"


def test_two_owners_cannot_dismiss_each_other_at_once(app: Flask, member: Member, boss: User, owner: Engine) -> None:
    other = make_user("owner", member, password_hash="x")

    def dismiss(user_id: uuid.UUID) -> str:
        with app.app_context():
            try:
                with transaction(acting(member)):
                    users.disable(member.id, user_id, at=AT)
            except users.LastOwner:
                return "refused"
            return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(dismiss, [boss.id, other.id])) == ["done", "refused"]


def test_seats_are_not_given_twice(app: Flask, member: Member, boss: User, owner: Engine) -> None:
    subscription_id = a_subscription(member)["subscription_id"]  # three seats
    people = [make_user("viewer", member) for _ in range(6)]

    def seat(user: User) -> str:
        with app.app_context():
            try:
                with transaction(acting(member)):
                    users.assign_seat(member.id, user.id, subscription_id)  # type: ignore[arg-type]
            except users.NoSeatFree:
                return "full"
            return "seated"

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(seat, people)) == ["full"] * 3 + ["seated"] * 3
    client = signed_in(app, boss)
    seated = next(p for p in people if stored(owner, p.id)["seat_subscription_id"])
    waiting = next(p for p in people if not stored(owner, p.id)["seat_subscription_id"])
    assert client.post(f"/team/users/{waiting.id}/seat", data={"seat": str(subscription_id)}).status_code == 409
    assert client.post(f"/team/users/{seated.id}/seat", data={"seat": ""}).status_code == 303
    assert client.post(f"/team/users/{waiting.id}/seat", data={"seat": str(subscription_id)}).status_code == 303
    assert client.post(f"/team/users/{waiting.id}/disabling").status_code == 303
    assert stored(owner, waiting.id)["seat_subscription_id"] is None


def test_buyers_and_viewers_see_the_team_and_change_nothing(app: Flask, member: Member, boss: User) -> None:
    for role in ("buyer", "viewer"):
        client = client_as(app, role, member)
        page = client.get("/team").text
        assert "Boss" in page
        assert "/team/invitations" not in page
        assert client.post(f"/team/users/{boss.id}/disabling").status_code == 403


def test_changes_in_a_team_leave_a_trail(app: Flask, member: Member, boss: User, owner: Engine) -> None:
    client = signed_in(app, boss)
    user = make_user("viewer", member)
    client.post(f"/team/users/{user.id}/role", data={"role": "buyer"})
    client.post(f"/team/users/{user.id}/role", data={"role": "buyer"})  # nothing changes, nothing is recorded
    client.post(f"/team/users/{user.id}/disabling")
    with owner.connect() as connection:
        rows = connection.execute(text("select action, actor_id, before, after from audit_entry order by at")).all()
    assert [r.action for r in rows] == ["user.change_role", "user.disable"]
    assert (rows[0].before, rows[0].after, rows[0].actor_id) == ({"role": "viewer"}, {"role": "buyer"}, boss.id)


def test_own_password_and_own_browsers(app: Flask, member: Member) -> None:
    from membership import passwords

    user = make_user("viewer", member, password_hash=passwords.hash_password(PASSWORD))
    here, there = signed_in(app, user), signed_in(app, user)
    assert here.post("/account/password", data={"present": "wrong", "password": "another sentence"}).status_code == 422
    assert there.get("/team").status_code == 200
    assert here.post("/account/password", data={"present": PASSWORD, "password": "another sentence"}).status_code == 303
    assert (here.get("/team").status_code, there.get("/team").status_code) == (200, 302)
    third = signed_in(app, user)
    page = here.get("/account/sessions").text
    revocations = re.findall(r'action="(/account/sessions/[^"]+)"', page)
    assert len(revocations) == 1  # not its own
    assert here.post(revocations[0]).status_code == 303
    assert third.get("/team").status_code == 302
