"""Signing in and out at the page, and what a session is worth."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from core.db import SYSTEM, transaction
from membership import passwords, sessions
from membership.authentication import TOKEN
from membership.models import Member, User
from membership.sign_in_pages import local_path
from tests.factories import make_user
from tests.sign_in import signed_in

PASSWORD = "correct horse battery"
HASH = passwords.hash_password(PASSWORD)


def ask(client: FlaskClient, email: str, password: str = PASSWORD, **more: str):
    return client.post("/sign-in", data={"email": email, "password": password, **more})


def token_of(client: FlaskClient) -> str | None:
    with client.session_transaction() as cookie:
        return cookie.get(TOKEN)


@pytest.fixture
def user(app: Flask, make_member: Callable[..., Member]) -> User:
    return make_user("owner", make_member(), password_hash=HASH)


def test_the_right_password_opens_a_session_and_the_table_holds_no_token(app: Flask, user: User, owner: Engine) -> None:
    client = app.test_client()
    answer = ask(client, user.email.upper())
    assert answer.status_code == 303
    token = token_of(client)
    assert token
    with owner.connect() as connection:
        rows = connection.execute(text("select user_id, token_hash from user_session")).all()
    assert [(r.user_id, bytes(r.token_hash)) for r in rows] == [(user.id, sessions.hash_token(token))]
    assert token.encode() not in bytes(rows[0].token_hash)


@pytest.mark.parametrize(("email", "password"), [("nobody@example.com", PASSWORD), (None, "wrong password")])
def test_unknown_address_and_wrong_password_are_answered_alike(app: Flask, user: User, email: str | None, password: str) -> None:
    answer = ask(app.test_client(), email or user.email, password)
    assert answer.status_code == 401
    assert "The e-mail address or the password is not right." in answer.text or "邮箱或密码不正确" in answer.text
    assert (email or user.email) in answer.text


def test_the_disabled_the_uninvited_and_closed_members_stay_out(app: Flask, user: User, owner: Engine) -> None:
    for change in ("update app_user set disabled_at = '2026-01-01'", "update app_user set disabled_at = null, password_hash = null",
                   f"update app_user set password_hash = '{HASH}'; update member set state = 'closed'"):  # fmt: skip
        with owner.begin() as connection:
            connection.execute(text(change))
        assert ask(app.test_client(), user.email).status_code == 401


@pytest.mark.parametrize("change", ["update app_user set disabled_at = '2026-01-01'", "update member set state = 'closed'",
                                    "update user_session set revoked_at = '2026-01-01'", "update user_session set expires_at = '2026-01-01'"])  # fmt: skip
def test_a_running_session_ends_at_once(app: Flask, user: User, owner: Engine, change: str) -> None:
    client = signed_in(app, user)
    assert user.name in client.get("/").text or client.get("/").status_code == 302
    with owner.begin() as connection:
        connection.execute(text(change))
    answer = client.get("/")
    assert answer.status_code == 200
    assert user.name not in answer.text
    assert token_of(client) is None


def test_signing_in_again_rotates_the_session(app: Flask, user: User) -> None:
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie["csrf_token"] = "planted"
    ask(client, user.email)
    first = token_of(client)
    with client.session_transaction() as cookie:
        assert cookie.get("csrf_token") != "planted"
    client.post("/sign-out")
    ask(client, user.email)
    assert first
    assert token_of(client) not in (None, first)


def test_signing_out_ends_it_on_the_server_too(app: Flask, user: User) -> None:
    client = signed_in(app, user)
    kept = token_of(client)
    assert kept
    assert client.post("/sign-out").status_code == 303
    thief = app.test_client()
    with thief.session_transaction() as cookie:
        cookie[TOKEN] = kept
    thief.get("/")
    assert token_of(thief) is None


def test_a_used_session_lives_on(app: Flask, user: User, owner: Engine) -> None:
    client = signed_in(app, user)
    old = datetime.now(UTC) - timedelta(days=1)
    with owner.begin() as connection:
        connection.execute(text("update user_session set seen_at = :old, expires_at = :old + interval '14 days'"), {"old": old})
    client.get("/sign-in")
    with owner.connect() as connection:
        seen, ends = connection.execute(text("select seen_at, expires_at from user_session")).one()
    assert seen > old
    assert ends == seen + timedelta(days=14)


def test_old_hashes_are_renewed_at_sign_in(app: Flask, user: User, owner: Engine) -> None:
    from argon2 import PasswordHasher

    cheap = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    with owner.begin() as connection:
        connection.execute(text("update app_user set password_hash = :cheap"), {"cheap": cheap})
    assert ask(app.test_client(), user.email).status_code == 303
    with owner.connect() as connection:
        stored = connection.scalar(text("select password_hash from app_user"))
    assert stored != cheap
    assert not passwords.is_outdated(stored)
    assert passwords.verify(stored, PASSWORD)


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [("/wallet?x=1", True), ("//evil.example", False), ("https://evil.example", False), ("/\\evil.example", False), ("", False), ("wallet", False),
     ("/a\nb", False), ("/\t/evil.example", False), ("javascript:alert(1)", False)],
)  # fmt: skip
def test_only_our_own_paths_follow(wanted: str, allowed: bool) -> None:
    assert local_path(wanted) == (wanted if allowed else None)


def test_next_is_followed_and_elsewhere_is_not(app: Flask, user: User) -> None:
    assert ask(app.test_client(), user.email, next="/healthz?a=1").location == "/healthz?a=1"
    assert "evil" not in (ask(app.test_client(), user.email, next="//evil.example/x").location or "")


def test_a_missing_field_is_told_beside_it_and_the_address_is_kept(app: Flask) -> None:
    answer = ask(app.test_client(), "someone@example.com", "")
    assert answer.status_code == 422
    assert 'href="#f-password"' in answer.text
    assert "someone@example.com" in answer.text


def test_the_session_cookie_means_nothing_below_api(app: Flask, user: User) -> None:
    seen = []

    def view() -> str:
        from core.actor import actor

        seen.append(actor().role)
        return ""

    with app.test_request_context("/api/v1/anything", headers={"Cookie": "session=x"}):
        app.preprocess_request()
        view()
    assert seen == ["anonymous"]


def test_hammering_one_account_is_stopped(app: Flask, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from core.limits import limiter

    limiter.reset()
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], sign_in_per_minute=3))
    client = app.test_client()
    assert [ask(client, user.email, "wrong").status_code for _ in range(4)] == [401, 401, 401, 429]
    assert ask(client, user.email).status_code == 429
    assert ask(client, "another@example.com", "wrong").status_code == 401
    limiter.reset()


def test_long_idle_transactions_do_not_remain(app: Flask, user: User) -> None:
    """Identification commits before the view opens its own transaction: they do not nest."""
    client = signed_in(app, user)
    client.get("/")
    with transaction(SYSTEM) as session:
        assert session.scalar(text("select 1")) == 1
