"""Request lines: enough to find a request again, and nothing that opens a door."""

import json

import pytest
from flask import Flask

from tests.factories import make_member
from tests.sign_in import bearer


def lines(captured: pytest.CaptureFixture[str]) -> str:
    return captured.readouterr().out


def test_the_token_of_an_invitation_is_not_logged(app: Flask, capfd: pytest.CaptureFixture[str]) -> None:
    app.test_client().get("/invitations/eyJhbGciOi.secret-token")
    app.test_client().post("/invitations/eyJhbGciOi.secret-token", data={"password": "hidden-too"})
    written = lines(capfd)
    assert '"path": "/invitations/<token>"' in written
    assert "secret-token" not in written
    assert "hidden-too" not in written


def test_keys_and_passwords_are_not_logged(app: Flask, capfd: pytest.CaptureFixture[str]) -> None:
    headers = bearer("buyer", make_member())
    app.test_client().get("/api/v1/wallet?x=1", headers=headers)
    app.test_client().get("/api/v1/wallet", headers={"Authorization": "Bearer jb_guessed-key"})
    app.test_client().post("/sign-in", data={"email": "a@example.com", "password": "my-password"})
    written = lines(capfd)
    for secret in (headers["Authorization"].removeprefix("Bearer "), "jb_guessed-key", "my-password"):
        assert secret not in written
    assert [json.loads(line)["status"] for line in written.splitlines() if '"request"' in line] == [200, 401, 401]
