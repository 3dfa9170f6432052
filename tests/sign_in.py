"""Sign somebody in without the sign-in page, and make keys: for tests of every room."""

from datetime import UTC, datetime

from flask import Flask
from flask.testing import FlaskClient

from core.db import SYSTEM, transaction
from membership import api_keys, sessions
from membership.authentication import TOKEN
from membership.models import Member, User
from tests.factories import make_user


def signed_in(app: Flask, user: User) -> FlaskClient:
    """A browser in which this user is signed in."""
    with transaction(SYSTEM):
        token = sessions.open_session(user.id, "test browser", at=datetime.now(UTC), days=14)
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie[TOKEN] = token
    return client


def client_as(app: Flask, role: str, member: Member | None = None, **user: object) -> FlaskClient:
    """A browser of a new user of this role."""
    return signed_in(app, make_user(role, member, **user))  # type: ignore[arg-type]


def bearer(role: str, member: Member | None = None, *, at: datetime | None = None) -> dict[str, str]:
    """The headers of a new API key: `client.get(url, headers=bearer("buyer", member))`."""
    with transaction(SYSTEM):
        _key, secret = api_keys.create("test key", role, member.id if member else None, at=at or datetime.now(UTC))
    return {"Authorization": f"Bearer {secret}"}
