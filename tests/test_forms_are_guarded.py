"""With CSRF protection on, as in production: a form without the token does nothing, and every form we print has one."""

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from core import access
from core.actor import MEMBER_ROLES, ROLES
from core.ids import new_id
from tests.factories import make_member, make_user
from tests.foreign import FOREIGN
from tests.sign_in import signed_in
from tests.test_access import address, is_turned_away, routes

FORM = re.compile(r"<form\b[^>]*>.*?</form>", re.DOTALL | re.IGNORECASE)
FOREIGN_POSTS = {"webhooks.receive_stripe"}  # signed by the sender instead


@pytest.fixture
def guarded(app: Flask) -> Iterator[Flask]:
    app.config["WTF_CSRF_ENABLED"] = True
    yield app
    app.config["WTF_CSRF_ENABLED"] = False


def role_for(app: Flask, endpoint: str) -> str:
    return sorted(access.allowed(app, endpoint) & set(ROLES))[0]


def test_every_form_post_without_the_token_is_refused(guarded: Flask, owner: Engine) -> None:
    member = make_member(paid=100_00)
    users = {role: make_user(role, member if role in MEMBER_ROLES else None, publisher_id=new_id() if role == "publisher" else None) for role in ROLES}
    before = _world(owner)
    tried = 0
    for rule, method in routes(guarded):
        if method == "GET" or rule.rule.startswith("/api/") or rule.endpoint in FOREIGN_POSTS:
            continue
        client = signed_in(guarded, users[role_for(guarded, rule.endpoint)])
        answer = client.open(address(guarded, rule), method=method, data={"id": str(new_id()), "csrf_token": "guessed"})
        assert answer.status_code == 400, f"{method} {rule.rule}: {answer.status_code}"
        assert not is_turned_away(answer)
        tried += 1
    assert tried >= 15
    assert _world(owner) == before


def test_every_printed_form_carries_the_token(guarded: Flask) -> None:
    member = make_member(paid=100_00, bonus=10_00)
    for factory in set(FOREIGN.values()):
        factory(member)
    made = {name: value for factory in set(FOREIGN.values()) for name, value in factory(make_member(paid=100_00)).items()}
    users = {role: make_user(role, member if role in MEMBER_ROLES else None, publisher_id=new_id() if role == "publisher" else None) for role in ROLES}
    seen = 0
    for rule, method in routes(guarded):
        if method != "GET" or rule.rule.startswith("/api/"):
            continue
        for role in sorted(access.allowed(guarded, rule.endpoint) & set(ROLES)) or ["anonymous"]:
            client = signed_in(guarded, users[role]) if role in users else guarded.test_client()
            answer = client.get(address(guarded, rule, {name: made[name] for name in rule.arguments if name in made}))
            if answer.mimetype != "text/html":
                continue
            for form in FORM.findall(answer.get_data(as_text=True)):
                opening = form[: form.index(">")].lower()
                if 'method="post"' in opening:
                    seen += 1
                    assert re.search(r'name="csrf_token" value="[^"]{20,}"', form), f"{rule.rule} as {role}: {opening}"
                    assert "get" not in opening.split("method=")[1][:6]
                else:
                    assert "csrf_token" not in form, f"the token leaks into the address: {rule.rule}"
    assert seen >= 20


def test_the_token_lets_a_form_through(guarded: Flask) -> None:
    client = guarded.test_client()
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in").text)
    assert token
    assert client.post("/sign-in", data={"email": "a@example.com", "password": "x", "csrf_token": token[1]}).status_code == 401


def test_the_api_asks_for_a_key_and_not_for_a_token(guarded: Flask) -> None:
    from tests.sign_in import bearer

    answer = guarded.test_client().post("/api/v1/api-keys", json={"name": "k", "role": "operator"}, headers=bearer("operator"))
    assert answer.status_code == 201


def _world(owner: Engine) -> dict[str, int]:
    """How many rows there are of what forms make."""
    with owner.connect() as connection:
        names = connection.scalars(text("select tablename from pg_tables where schemaname = 'public' and tablename <> 'user_session'")).all()
        return {name: connection.scalar(text(f'select count(*) from "{name}"')) or 0 for name in names}
