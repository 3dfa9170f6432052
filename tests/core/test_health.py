import re
import socket
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from app import create_app
from core import health
from core.settings import Settings


def test_the_process_says_that_it_lives(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_ready_when_everything_is_there(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ok", "checks": {"database": "ok", "queue": "ok", "migrations": "ok"}}


def test_not_ready_before_the_migrations_ran(client: FlaskClient, owner: Engine) -> None:
    with owner.begin() as connection:
        head = connection.scalar(text("select version_num from alembic_version"))
        connection.execute(text("update alembic_version set version_num = '0001'"))
    try:
        answer = client.get("/readyz")
    finally:
        with owner.begin() as connection:
            connection.execute(text("update alembic_version set version_num = :head"), {"head": head})
    assert answer.status_code == 503
    assert answer.json
    assert answer.json["checks"]["migrations"].startswith("database is at 0001")
    assert answer.json["checks"]["database"] == "ok"


def test_not_ready_without_the_queue(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_client", lambda _url: (_ for _ in ()).throw(ConnectionError("gone")))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json
    assert answer.json["checks"] == {"database": "ok", "queue": "ConnectionError", "migrations": "ok"}


@pytest.mark.timeout(30)
def test_a_database_that_never_answers_is_told_as_away(settings: Settings) -> None:
    """It takes connections and says nothing, as a machine that is stuck; readiness asks it twice."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://nobody:none@127.0.0.1:{silent.getsockname()[1]}/none"
        answer = create_app(replace(settings, database_url=url)).test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json
    assert answer.json["checks"]["database"] != "ok"
    assert answer.json["checks"]["queue"] == "ok"


@pytest.mark.parametrize(("given", "kept"), [("order-12345678", True), ("a b", False), ("x" * 65, False), ("<script>alert", False)])
def test_every_answer_carries_a_request_id(client: FlaskClient, given: str, kept: bool) -> None:
    found = client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert (found == given) is kept
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", found)
