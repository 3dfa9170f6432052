"""Real servers for the tests: one PostgreSQL, Valkey and Stripe API a run, one migrated database, emptied before each test.

Each pytest process (each xdist worker too) has its own. `DATABASE_URL`, `REDIS_URL` in the environment replace the
embedded ones; the database named there is only the door to the server: the tests make and drop databases of their own.
"""

import contextlib
import contextvars
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from psycopg import sql
from sqlalchemy import Engine, make_url, text
from sqlalchemy.orm import Session

from core import migrations
from core.db import SYSTEM, db, transaction
from core.embedded.postgres import Postgres, dsn
from core.embedded.stripe import Stripe
from core.embedded.valkey import Valkey
from core.settings import Settings, database_url
from tests.kept import Shelf

AT = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)
KEEP = {"alembic_version", "account_kind"}  # what migrations put there
LOGIN = "backoffice_test_login"  # not the product's own role: the server may be somebody's
NO_DURABILITY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB", "max_wal_size": "1GB"}


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A directory of this test process, outside any home (as root, PostgreSQL runs as a user of its own)."""
    folder = Path(tempfile.mkdtemp(prefix="backoffice-test-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server_url(scratch: Path) -> Iterator[str]:
    """A PostgreSQL to make databases in: `DATABASE_URL` where it is given, the embedded one otherwise."""
    if given := os.environ.get("TEST_DATABASE_URL") or os.environ.get("DATABASE_URL"):
        yield database_url(given)
        return
    server = Postgres(scratch, scratch / "postgres.log", options=NO_DURABILITY)
    server.start()
    yield server.url("postgres")
    server.stop()


@pytest.fixture(scope="session")
def redis_server(scratch: Path) -> Iterator[str]:
    """The URL of a Redis or Valkey that the tests may empty: database 15 of `REDIS_URL`, or an embedded one."""
    if given := os.environ.get("REDIS_URL"):
        yield make_url(given).set(database="15").render_as_string(hide_password=False)
        return
    server = Valkey(scratch / "valkey", scratch / "valkey.log", password="test", persist=False)
    server.start()
    server.wait()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def migrated(server_url: str) -> Iterator[str]:
    """The owner's URL of a migrated database of this test process."""
    name = f"backoffice_test_{os.getpid()}"
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(dsn(server_url), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    try:
        migrations.upgrade(_settings(url, "redis://unused"))
        with psycopg.connect(dsn(server_url), autocommit=True) as connection:
            known = connection.execute("select 1 from pg_roles where rolname = %s", [LOGIN]).fetchone()
            connection.execute(f"{'alter' if known else 'create'} role {LOGIN} login noinherit password 'test'")
            connection.execute(f"grant backoffice_app to {LOGIN}")
        yield url
    finally:
        with psycopg.connect(dsn(server_url), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _settings(owner: str, redis_url: str) -> Settings:
    return Settings(
        database_url=make_url(owner).set(username=LOGIN, password="test").render_as_string(hide_password=False),
        migration_database_url=owner,
        redis_url=redis_url,
        stripe_api_key="sk_test_product",
        stripe_webhook_secret="whsec_test",
        stripe_api_base="http://127.0.0.1:9",  # nobody listens; ask for the fixture `stripe_api` where one is needed
        secret_key="only-for-tests",
        artifact_signing_key="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",  # nobody's
        demo=True,
        sign_in_per_minute=1000,
    )


@pytest.fixture(scope="session")
def settings(migrated: str, redis_server: str) -> Settings:
    """Settings of a migrated, empty database of this test process."""
    return _settings(migrated, redis_server)


@pytest.fixture(scope="session")
def owner(settings: Settings) -> Iterator[Engine]:
    """The schema's owner, to look behind row-level security."""
    engine = migrations.owner_engine(settings)
    yield engine
    engine.dispose()


class LonelyClient(FlaskClient):
    """A client whose requests see no context of the test's: an identity on `g` must not leak from one to the next."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        return contextvars.Context().run(super().open, *args, **kwargs)


@pytest.fixture(scope="session")
def _app(settings: Settings) -> Iterator[Flask]:
    from app import create_app

    app = create_app(settings)
    app.testing = True
    app.config["WTF_CSRF_ENABLED"] = False
    app.test_client_class = LonelyClient
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def app(_app: Flask, empty: None) -> Iterator[Flask]:
    """The application on an empty database, inside an application context."""
    with _app.app_context():
        yield _app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser or API client of the application."""
    return app.test_client()


@pytest.fixture
def system(app: Flask) -> Callable[[], AbstractContextManager[Session]]:
    """`with system() as session:` a transaction that sees every member's rows, as jobs do."""
    return lambda: transaction(SYSTEM)


@pytest.fixture(scope="session")
def shelf(migrated: str) -> Iterator[Shelf]:
    """`shelf.take(name, make)`: a world that takes long to make, into an empty database."""
    with psycopg.connect(dsn(migrated), autocommit=True) as connection:
        names = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        yield Shelf(connection, [name for (name,) in names if name not in KEEP])


@pytest.fixture(scope="session")
def _emptying(owner: Engine) -> Callable[[], None]:
    """Removes rows from just those tables that have some: by DELETE without triggers as superuser, else by TRUNCATE."""
    with owner.connect() as connection:
        names = connection.scalars(text("select tablename from pg_tables where schemaname = 'public'")).all()
        superuser = connection.scalar(text("select rolsuper from pg_roles where rolname = current_user"))
    probe = text(" union all ".join(f"select '{name}' where exists (select from \"{name}\")" for name in names if name not in KEEP))
    used = text("select sequencename from pg_sequences where schemaname = 'public' and last_value is not null")

    def empty() -> None:
        with owner.begin() as connection:
            filled = [f'"{name}"' for name in connection.scalars(probe)]
            if not filled:
                return
            restart = "".join(f'alter sequence "{name}" restart;' for name in connection.scalars(used))
            if superuser:
                deletes = ";".join(f"delete from {name}" for name in filled)
                connection.exec_driver_sql(f"set local session_replication_role = replica; {deletes}; {restart}")
            else:
                connection.exec_driver_sql(f"truncate {', '.join(filled)} cascade; {restart}")

    return empty


@pytest.fixture
def empty(_emptying: Callable[[], None], settings: Settings) -> None:
    """Nothing but what migrations put there; an empty queue."""
    _emptying()
    with contextlib.closing(redis.Redis.from_url(settings.redis_url)) as queue:
        queue.flushdb()


@pytest.fixture(scope="session")
def _stripe(scratch: Path) -> Iterator[Stripe]:
    server = Stripe(scratch / "stripe.log", state=None)
    server.start()
    server.wait()
    yield server
    server.stop()


@pytest.fixture
def stripe_api(_stripe: Stripe, _app: Flask) -> Iterator[Stripe]:
    """A real, empty Stripe API; `settings` of the app point at it during the test."""
    _stripe.clear()
    before: Settings = _app.extensions["settings"]
    _app.extensions["settings"] = dataclasses.replace(before, stripe_api_base=_stripe.url)
    yield _stripe
    _app.extensions["settings"] = before


@pytest.fixture
def at() -> datetime:
    """The instant at which most tests play."""
    return AT


@pytest.fixture
def make_member(app: Flask) -> Callable[..., object]:
    """`make_member(paid=…, bonus=…)`: a member with a wallet, as the product makes them."""
    from tests.factories import make_member as make

    return make
