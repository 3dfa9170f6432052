"""Every route × every role × every method: exactly the declared roles come in. And nobody reaches into another member.

A new route is covered by itself; one that members may call with an id in its address needs a row in `tests/foreign.py`.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text
from werkzeug.routing import Rule

from core import access
from core.actor import MEMBER_ROLES, ROLES
from core.db import SYSTEM, transaction
from core.ids import new_id
from membership import api_keys
from membership.models import ApiKey, Member
from tests.factories import AT, make_member, make_user
from tests.foreign import FOREIGN, NOBODYS, a_user
from tests.sign_in import bearer, signed_in

BY_OTHER_MEANS = {"webhooks.receive_stripe"}  # a signature, not a role
DUMMIES = {"uuid": str(uuid.UUID(int=7)), "int": "7", "string": "no-such-thing", "default": "no-such-thing", "path": "no/such/thing"}


def routes(app: Flask) -> Iterator[tuple[Rule, str]]:
    for rule in sorted(app.url_map.iter_rules(), key=lambda r: r.rule):
        if not rule.endpoint.endswith("static") and rule.endpoint not in BY_OTHER_MEANS:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method


def address(app: Flask, rule: Rule, given: dict[str, object] | None = None) -> str:
    """The rule's address with ids that stand for nothing, or with the given ones."""
    values = {name: DUMMIES.get(_kind(converter)) or next(iter(converter.items)) for name, converter in rule._converters.items()}
    with app.test_request_context():
        return str(app.url_map.bind("localhost").build(rule.endpoint, {**values, **(given or {})}))


def _kind(converter: object) -> str:
    return {"UUIDConverter": "uuid", "IntegerConverter": "int", "PathConverter": "path", "AnyConverter": "any"}.get(type(converter).__name__, "string")


def key_of(role: str, member: Member) -> dict[str, str]:
    """A key of any role, also of those that `api_keys.create` would not make."""
    secret = api_keys.make_secret()
    owner = member.id if role in MEMBER_ROLES else None
    with transaction(SYSTEM) as session:
        session.add(ApiKey(id=new_id(), prefix=secret[:11], key_hash=api_keys.hash_key(secret), name=role, role=role, member_id=owner,
                           publisher_id=new_id() if role == "publisher" else None, created_by=None, created_at=AT, revoked_at=None))  # fmt: skip
    return {"Authorization": f"Bearer {secret}"}


def is_turned_away(answer: Any) -> bool:
    return answer.status_code in (401, 403) or (answer.status_code in (302, 303) and answer.location.startswith("/sign-in"))


def test_every_route_admits_exactly_its_roles(app: Flask) -> None:
    member = make_member(paid=100_00)
    users = {role: make_user(role, member if role in MEMBER_ROLES else None, publisher_id=new_id() if role == "publisher" else None) for role in ROLES}
    keys = {role: key_of(role, member) for role in ROLES}
    browsers: dict[str, FlaskClient] = {}
    wrong = []
    for rule, method in routes(app):
        allowed = access.allowed(app, rule.endpoint)
        url = address(app, rule)
        for role in ("anonymous", *ROLES):
            if url.startswith("/api/"):
                answer = app.test_client().open(url, method=method, headers=keys.get(role, {}))
            else:
                if role not in browsers:
                    browsers[role] = signed_in(app, users[role]) if role in users else app.test_client()
                answer = browsers[role].open(url, method=method)
                if role in allowed:  # it may have signed out, or left something for the next page
                    del browsers[role]
            where = f"{method} {rule.rule} as {role}: {answer.status_code}"
            if answer.status_code >= 500 and answer.status_code != 503:  # 503: the queue or Stripe, which are not there in this test
                wrong.append(f"{where} (broken)")
            elif rule.endpoint == "sign_in.create_session":  # without a password everybody is told to enter one
                wrong.extend([where] if answer.status_code != 422 else [])
            elif rule.endpoint == "sign_in.sign_out":
                wrong.extend([where] if answer.status_code != 303 else [])
            elif is_turned_away(answer) == (role in allowed):
                wrong.append(f"{where}, declared {sorted(allowed)}")
    assert not wrong, "\n".join(wrong)


def test_the_anonymous_are_sent_to_sign_in_and_back(app: Flask) -> None:
    assert app.test_client().get("/team?x=1").location == "/sign-in?next=/team?x%3D1"
    assert app.test_client().post("/team/invitations").location == "/sign-in"
    answer = app.test_client().get("/api/v1/me")
    assert (answer.status_code, answer.content_type, answer.json["code"]) == (401, "application/problem+json", "unauthenticated")


def test_a_body_is_not_even_read_for_those_turned_away(app: Flask) -> None:
    answer = app.test_client().post("/api/v1/api-keys", data="{not json", content_type="application/json", headers=bearer("finance"))
    assert answer.status_code == 403


def test_the_session_cookie_opens_no_api(app: Flask) -> None:
    client = signed_in(app, make_user("operator"))
    for rule, method in routes(app):
        if rule.rule.startswith("/api/") and "anonymous" not in access.allowed(app, rule.endpoint):
            assert client.open(address(app, rule), method=method).status_code == 401, rule.rule


def test_a_key_opens_no_page(app: Flask) -> None:
    assert app.test_client().get("/operator/members", headers=bearer("operator")).location.startswith("/sign-in")


# --- other members -----------------------------------------------------------------------------------------------


FILLED = {"seats": "4", "role": "viewer", "seat": "", "name": "x"}  # plausible forms, so that a missing check would show


def snapshot(owner: Engine, member: Member) -> dict[str, str]:
    """A hash of every row that belongs to a member, table by table."""
    with owner.connect() as connection:
        owned = connection.execute(text(
            "select c.table_name, c.column_name from information_schema.columns c join information_schema.tables t using (table_schema, table_name)"
            " where table_schema = 'public' and table_type = 'BASE TABLE' and c.column_name in ('member_id', 'book_id')"
        )).all()  # fmt: skip
        return {
            table: str(
                connection.scalar(text(f'select md5(string_agg(t::text, chr(10) order by t::text)) from "{table}" t where "{column}" = :id'), {"id": member.id})
            )
            for table, column in owned
        }


def members_routes(app: Flask) -> list[tuple[Rule, str, set[str]]]:
    """Routes with ids that members may call."""
    found = []
    for rule, method in routes(app):
        ids = set(rule.arguments) - NOBODYS
        if ids and access.allowed(app, rule.endpoint) & set(MEMBER_ROLES) and not access.allowed(app, rule.endpoint) & {"anonymous"}:
            found.append((rule, method, ids))
    return found


def test_every_id_a_member_may_send_is_known_here(app: Flask) -> None:
    unknown = {f"{rule.rule}: {name}" for rule, _method, ids in members_routes(app) for name in ids if name not in FOREIGN}
    assert not unknown, f"say in tests/foreign.py how another member comes by: {sorted(unknown)}"


def test_other_members_things_are_not_found_and_stay_as_they_are(app: Flask, owner: Engine) -> None:
    theirs, mine = make_member(paid=500_00, name="theirs"), make_member(paid=500_00, name="mine")
    me = make_user("owner", mine)
    key = key_of("owner", mine)
    made: dict[str, object] = {}
    for name in {name for _rule, _method, ids in members_routes(app) for name in ids}:
        made.update(FOREIGN[name](theirs))
    before = snapshot(owner, theirs)
    wrong = []
    for rule, method, ids in members_routes(app):
        url = address(app, rule, {name: made[name] for name in ids if name in made})
        for form in ({}, FILLED):
            if url.startswith("/api/"):
                answer = app.test_client().open(url, method=method, headers=key, json={"id": str(new_id()), **form} if method != "GET" else None)
            else:
                answer = signed_in(app, me).open(url, method=method, data=form)
            if answer.status_code not in (404, 422) or (method == "GET" and answer.status_code != 404):
                wrong.append(f"{method} {rule.rule} {form}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
    assert snapshot(owner, theirs) == before


def test_the_walk_would_notice_a_route_that_forgets_the_member(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """One deliberately broken function must be caught, or the walk above proves nothing."""
    from membership import users

    def careless(member_id: uuid.UUID, user_id: uuid.UUID) -> object:
        return make_user("viewer", make_member())

    theirs, mine = make_member(), make_member()
    monkeypatch.setattr(users, "find", careless)
    answer = signed_in(app, make_user("owner", mine)).get(f"/team/users/{a_user(theirs)['user_id']}")
    assert answer.status_code != 404
