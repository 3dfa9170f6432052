"""Keys for machines: made, used, remembered for a few seconds, revoked."""

import time
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import Engine, event, text

from core import memory
from core.db import SYSTEM, db, transaction
from membership import api_keys, cli
from tests.factories import AT, make_member
from tests.sign_in import bearer, client_as


def me(app: Flask, headers: dict[str, str]):
    return app.test_client().get("/api/v1/me", headers=headers)


def test_a_customers_key_is_a_buyer_of_its_member(app: Flask) -> None:
    member = make_member()
    answer = me(app, bearer("buyer", member)).json
    assert (answer["kind"], answer["role"], answer["member_id"]) == ("member", "buyer", str(member.id))
    assert me(app, bearer("operator")).json["member_id"] is None


@pytest.mark.parametrize("header", ["Bearer jb_wrong", "Bearer ", "Basic abc", "jb_x", "bearer"])
def test_a_bad_key_is_401(app: Flask, header: str) -> None:
    answer = me(app, {"Authorization": header})
    assert (answer.status_code, answer.json["code"]) == (401, "bad_api_key")


def test_the_secret_is_not_kept(app: Flask, owner: Engine) -> None:
    secret = bearer("operator")["Authorization"].removeprefix("Bearer ")
    with owner.connect() as connection:
        row = connection.execute(text("select * from api_key")).one()
    assert row.key_hash == api_keys.hash_key(secret)
    assert secret not in str(row._asdict())
    assert secret.startswith(row.prefix)


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """The time that keys are remembered by stands still, and moves on by so many seconds."""
    at = [1_000.0]
    for module in (memory, api_keys):
        monkeypatch.setattr(module, "monotonic", lambda: at[0])
    api_keys.forget_all()

    def move(seconds: float) -> None:
        at[0] += seconds

    yield move
    api_keys.forget_all()


def test_the_second_request_of_a_key_costs_no_query(app: Flask) -> None:
    headers = bearer("buyer", make_member())
    me(app, headers)
    statements: list[str] = []
    listen = lambda _c, _k, statement, *_more: statements.append(statement)  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", listen)
    try:
        assert me(app, headers).status_code == 200
    finally:
        event.remove(db.engine, "before_cursor_execute", listen)
    assert statements == []


@pytest.mark.parametrize("change", ["update api_key set revoked_at = now()", "update member set state = 'closed'"])
def test_a_revoked_key_ends_within_the_ttl(app: Flask, owner: Engine, pass_time: Callable[[float], None], change: str) -> None:
    headers = bearer("buyer", make_member())
    assert me(app, headers).status_code == 200
    with owner.begin() as connection:
        connection.execute(text(change))
    assert me(app, headers).status_code == 200  # another process revoked it: remembered here a little longer
    pass_time(api_keys.TTL_S / 2)
    assert me(app, headers).status_code == 401


def test_many_keys_are_looked_up_again_together(app: Flask, pass_time: Callable[[float], None]) -> None:
    """Busy and idle keys alike: one query a look, whoever calls; a revoked one among them ends, its neighbours go on."""
    keys = [bearer("buyer", make_member()) for _ in range(4)]
    assert [me(app, key).status_code for key in keys] == [200] * 4
    prefix = keys[3]["Authorization"].removeprefix("Bearer ")[: api_keys.PREFIX_LENGTH]
    with transaction(SYSTEM) as session:
        session.execute(text("update api_key set revoked_at = :at where prefix = :p"), {"at": AT, "p": prefix})
    pass_time(api_keys.TTL_S * 0.6)
    statements: list[str] = []
    listen = lambda _c, _k, statement, *_more: statements.append(statement)  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", listen)
    try:
        assert [me(app, key).status_code for key in keys[:3]] == [200] * 3
    finally:
        event.remove(db.engine, "before_cursor_execute", listen)
    assert len([statement for statement in statements if "api_key" in statement]) == 1
    assert me(app, keys[3]).status_code == 401


def test_revoking_in_this_process_works_at_once_and_twice(app: Flask) -> None:
    headers, boss = bearer("viewer", make_member()), bearer("operator")
    assert me(app, headers).status_code == 200
    keys = app.test_client().get("/api/v1/api-keys", headers=boss).json["items"]
    key_id = next(k["id"] for k in keys if k["role"] == "viewer")
    first = app.test_client().post(f"/api/v1/api-keys/{key_id}/revocation", headers=boss)
    assert first.status_code == 200
    assert me(app, headers).status_code == 401
    assert app.test_client().post(f"/api/v1/api-keys/{key_id}/revocation", headers=boss).json["revoked_at"] == first.json["revoked_at"]


def test_made_over_the_api_and_audited(app: Flask, owner: Engine) -> None:
    member = make_member()
    answer = app.test_client().post("/api/v1/api-keys", json={"name": "ERP", "role": "buyer", "member_id": str(member.id)}, headers=bearer("operator"))
    assert answer.status_code == 201
    assert me(app, {"Authorization": f"Bearer {answer.json['key']}"}).json["role"] == "buyer"
    with owner.connect() as connection:
        assert connection.execute(text("select action, member_id from audit_entry")).one() == ("api_key.create", member.id)


@pytest.mark.parametrize(("role", "with_member"), [("buyer", False), ("operator", True), ("owner", False), ("reviewer", False)])
def test_roles_and_members_must_fit(app: Flask, role: str, with_member: bool) -> None:
    wanted = {"name": "n", "role": role, "member_id": str(make_member().id) if with_member else None}
    assert app.test_client().post("/api/v1/api-keys", json=wanted, headers=bearer("operator")).status_code == 422


def test_the_page_shows_a_new_key_once(app: Flask) -> None:
    member = make_member()
    client = client_as(app, "operator")
    page = client.post("/operator/api-keys", data={"name": "ERP", "role": "buyer", "member": member.number})
    assert page.status_code == 201
    assert page.text.count("jb_") >= 2  # the secret, and the prefix in the list
    secret = page.text.split('value="jb_')[1].split('"')[0]
    assert me(app, {"Authorization": f"Bearer jb_{secret}"}).json["member_id"] == str(member.id)
    assert secret not in client.get("/operator/api-keys").text
    assert client.post("/operator/api-keys", data={"name": "ERP", "role": "buyer", "member": "M99999"}).status_code == 404
    assert client.post("/operator/api-keys", data={"name": "", "role": "buyer", "member": ""}).status_code == 422


def test_the_command_line_makes_working_keys(app: Flask) -> None:
    member = make_member()
    made = app.test_cli_runner().invoke(args=["api-keys", "create", "--role", "customer", "--member", member.number])
    word, role, number, secret = made.output.split()
    assert (word, role, number) == ("api-key", "customer", member.number)
    assert me(app, {"Authorization": f"Bearer {secret}"}).json["role"] == "buyer"
    refused = app.test_cli_runner().invoke(args=["api-keys", "create", "--role", "customer"])
    assert refused.exit_code == 1
    assert "Traceback" not in refused.output


def test_export_takes_the_best_filled_wallets(app: Flask) -> None:
    poor, rich, middle = make_member(paid=1_00), make_member(paid=900_00), make_member(paid=50_00, bonus=5_00)
    lines = app.test_cli_runner().invoke(args=["api-keys", "export", "--role", "customer", "--count", "2"]).output.splitlines()
    assert [line.split()[:3] for line in lines] == [["api-key", "customer", rich.number], ["api-key", "customer", middle.number]]
    for line in lines:
        assert me(app, {"Authorization": f"Bearer {line.split()[3]}"}).status_code == 200
    assert poor.number not in " ".join(lines)


def test_a_thousand_keys_are_quick(app: Flask) -> None:
    member = make_member()
    start = time.perf_counter()
    with transaction(SYSTEM) as session:
        assert len(set(api_keys.create_many([member.id] * 1000, "many", "buyer", at=AT))) == 1000
        session.flush()
    assert time.perf_counter() - start < 2


def test_users_from_the_command_line(app: Flask) -> None:
    made = app.test_cli_runner().invoke(args=["users", "create", "--email", "cfo@example.com", "--name", "CFO", "--role", "finance"])
    path = "/invitations/" + made.output.strip().split("/invitations/")[1]
    client = app.test_client()
    assert client.post(path, data={"password": "a long enough sentence", "again": "a long enough sentence"}).status_code == 303
    assert client.get("/account").status_code == 200
    again = app.test_cli_runner().invoke(args=["users", "create", "--email", "cfo@example.com", "--name", "CFO", "--role", "finance"])
    assert again.exit_code == 1


def test_the_export_line_format_is_a_contract() -> None:
    assert cli.line("customer", "M00001", "jb_x") == "api-key customer M00001 jb_x"
