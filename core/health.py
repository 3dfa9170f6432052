"""`/healthz`: this process lives. `/readyz`: what it needs is there too, so traffic may come."""

from collections.abc import Callable
from functools import cache

import redis
from flask import Blueprint, Response, current_app, jsonify
from sqlalchemy import text

from core.access import public
from core.db import SYSTEM, transaction
from core.migrations import newest
from core.settings import Settings

health = Blueprint("health", __name__)


@health.get("/healthz")
@public
def show_health() -> Response:
    """200 as long as this process answers."""
    return jsonify(status="ok")


@health.get("/readyz")
@public
def show_readiness() -> tuple[Response, int]:
    """200 when every check passes, else 503; each check says "ok" or what is wrong, in one line."""
    checks = {"database": _said(_database), "queue": _said(_queue), "migrations": _said(_migrations)}
    ready = all(said == "ok" for said in checks.values())
    return jsonify(status="ok" if ready else "unavailable", checks=checks), 200 if ready else 503


def _said(check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 (whatever it is, this page has to say so)
        current_app.logger.warning("not ready: %s: %s", check.__name__.strip("_"), error)
        return type(error).__name__


def _database() -> str:
    with transaction(SYSTEM) as session:
        session.execute(text("select 1"))
    return "ok"


def _migrations() -> str:
    with transaction(SYSTEM) as session:
        found = session.execute(text("select version_num from alembic_version")).scalar()
    return "ok" if found == _expected() else f"database is at {found}, code expects {_expected()}"


def _queue() -> str:
    settings: Settings = current_app.extensions["settings"]
    _client(settings.redis_url).ping()
    return "ok"


@cache
def _expected() -> str | None:
    return newest()


@cache
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)
