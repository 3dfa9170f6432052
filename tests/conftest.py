"""Real servers for the tests: one PostgreSQL and one Valkey a run, one migrated database a worker, emptied before each test."""

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from core import migrations
from core.embedded import postgres
from core.settings import Settings

AT = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)
KEEP = {"alembic_version", "account_kind"}  # what migrations put there


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL to make databases in: `DATABASE_URL` where it is given, the embedded one otherwise."""
    if given := os.environ.get("TEST_DATABASE_URL") or os.environ.get("DATABASE_URL"):
        yield given.replace("postgresql://", "postgresql+psycopg://")
        return
    with tempfile.TemporaryDirectory(prefix="backoffice-pg-", dir="/var/tmp") as folder:
        data = Path(folder) / "data"
        server = postgres.start(data)
        yield postgres.url(data, "postgres")
        server.cleanup()


@pytest.fixture(scope="session")
def settings(server_url: str) -> Settings:
    """Settings of a migrated, empty database of this test process."""
    name = f"test_{os.getpid()}"
    owner = make_url(server_url)
    with psycopg.connect(owner.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name}")
    given = Settings(
        database_url=owner.set(database=name, username=postgres.LOGIN_ROLE, password="test").render_as_string(hide_password=False),
        migration_database_url=owner.set(database=name).render_as_string(hide_password=False),
        redis_url=os.environ.get("REDIS_URL", "memory://"),
        stripe_api_key="sk_test_product",
        stripe_webhook_secret="whsec_test",
        secret_key="only-for-tests",
        demo=True,
        sign_in_per_minute=1000,
    )
    migrations.upgrade(given)
    with create_engine(given.migration_database_url, poolclass=NullPool).begin() as connection:
        connection.execute(text(f"alter role {postgres.LOGIN_ROLE} login password 'test'"))
    return given


@pytest.fixture(scope="session")
def owner(settings: Settings) -> Engine:
    """The schema's owner, to look behind row-level security."""
    return migrations.owner_engine(settings)


@pytest.fixture(scope="session")
def _app(settings: Settings) -> Flask:
    from app import create_app

    app = create_app(settings)
    app.testing = True
    app.config["WTF_CSRF_ENABLED"] = False
    return app


@pytest.fixture
def app(_app: Flask, empty: None) -> Iterator[Flask]:
    """The application on an empty database, inside an application context."""
    with _app.app_context():
        yield _app


@pytest.fixture
def empty(owner: Engine) -> None:
    """Nothing but what migrations put there."""
    with owner.begin() as connection:
        names = connection.scalars(text("select tablename from pg_tables where schemaname = 'public'")).all()
        filled = [n for n in names if n not in KEEP and connection.scalar(text(f'select exists (select from "{n}")'))]
        if filled:
            connection.execute(text("truncate " + ", ".join(f'"{n}"' for n in filled) + " restart identity cascade"))


@pytest.fixture
def at() -> datetime:
    """The instant at which most tests play."""
    return AT


@pytest.fixture
def make_member(app: Flask) -> Callable[..., object]:
    """`make_member(paid=…, bonus=…)`: a member with a wallet, as the product makes them."""
    from tests.factories import make_member as make

    return make
