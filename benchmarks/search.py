"""The store's search and listing pages with 500 and with 50,000 listings, asked in turn: server time, and the database's part of it."""

import dataclasses
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import click
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select

from app import create_app
from benchmarks import listings
from benchmarks.figures import figure, tell
from benchmarks.stage import Stage, stage
from core import clock, migrations
from core.db import SYSTEM, db, transaction
from core.embedded.postgres import LOGIN_ROLE
from core.ids import derived
from marketplace.publisher import publishers
from marketplace.release import bundles, publishing
from marketplace.release.version_models import ListingVersion
from marketplace.store import search
from membership import sessions
from membership.authentication import TOKEN
from membership.entitlements import Standing
from membership.entity_models import LegalEntity
from membership.models import User

FEW, MANY, ROUNDS, TIMES = 500, 50_000, 7, 2
QUERIES = [
    "单",
    "票",
    "电话",
    "月度对账单",
    "合并重复",
    "con",
    "phone",
    "monthly statement",
    "customer mail",
    "clean 电话",
    "报架单",
    "quotatoin",
    "无此物",
    "",
]
NARROWED = ({}, {"category": "sales", "stars": "4"}, {"sort": "price_up", "all": "1"})


def _addresses() -> list[str]:
    """Searches, and listings that exist in both stores."""
    found = ["/store?" + urlencode({"q": query, **more, "lang": "zh"}) for query in QUERIES for more in NARROWED]
    return found + [f"/store/listing-{n}?lang=zh" for n in range(0, FEW, FEW // 20)]


def _another(on: Stage, first: Flask) -> Flask:
    """A second database of its own on the same server."""
    password = secrets.token_hex(16)
    on.postgres.prepare("small", password)
    urls = {"database_url": on.postgres.url("small", LOGIN_ROLE, password), "migration_database_url": on.postgres.url("small")}
    given = dataclasses.replace(first.extensions["settings"], **urls)
    with click.Context(click.Command("benchmark")):  # a command, not a server: stdout is for figures
        app = create_app(given)
    migrations.upgrade(given)
    return app


def _reader(app: Flask, count: int) -> FlaskClient:
    """A signed-in CSM in front of a filled store: no member's own rows weigh in."""
    at, user_id = clock.now(), derived("benchmark", "csm")
    with app.app_context():
        with transaction(SYSTEM) as session:
            entity = derived("benchmark", "entity")
            session.add(LegalEntity(id=entity, name="Benchmark", currency="CNY", timezone="Asia/Shanghai", tax_rate_bp=600))
            session.flush()
            vendor = publishers.ensure("vendor", "厂商", "Vendor", "vendor", 0, entity_id=entity, currency="CNY", at=at)
            shown = next(one for one in bundles.load_showcase() if one.slug == "clean-phone-numbers")
            like = session.scalars(select(ListingVersion).where(ListingVersion.listing_id == publishing.publish(shown, vendor, at))).one()
            session.add(User(id=user_id, email="csm@benchmark.example", name="CSM", role="csm", locale="zh", created_at=at))
            session.flush()
            token = sessions.open_session(user_id, "benchmark", at=at, days=1)
        listings.fill(count, vendor, like, at)
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie[TOKEN] = token
    return client


@contextmanager
def _timed_database(app: Flask) -> Iterator[list[float]]:
    """Milliseconds of each statement of this app's database connection."""
    times: list[float] = []
    began = [0.0]

    def before(*_args: object) -> None:
        began[0] = time.perf_counter()

    def after(*_args: object) -> None:
        times.append((time.perf_counter() - began[0]) * 1000)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    try:
        yield times
    finally:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "after_cursor_execute", after)


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def _database_times(app: Flask) -> list[float]:
    """Milliseconds in the database of one search each: twenty results and all facets."""
    found = []
    with app.app_context(), _timed_database(app) as times:
        for query in QUERIES:
            for _ in range(TIMES):
                times.clear()
                with transaction(SYSTEM):
                    search.find(query, search.Filters(usable=True), limit=20, standing=Standing({"crm": 2}))
                found.append(sum(times))
    return found


def measure() -> None:
    """Print search_p99 (pages at 50,000 against 500 listings) and search_db_ms (the database's time of a search at 50,000)."""
    with stage() as on:
        large = on.start()
        small = _another(on, large)
        tell(f"filling {FEW:,} and {MANY:,} listings")
        few, many = _reader(small, FEW), _reader(large, MANY)
        for name in ("small", "backoffice"):
            on.psql("-d", name, "-c", "vacuum analyze")
        addresses, ratios, database = _addresses(), [], []
        for round_ in range(ROUNDS + 1):
            taken: dict[int, list[float]] = {FEW: [], MANY: []}
            for address in random.sample(addresses * TIMES, len(addresses) * TIMES):
                for count, client in ((FEW, few), (MANY, many)):
                    began = time.perf_counter()
                    answer = client.get(address, buffered=True)
                    taken[count].append((time.perf_counter() - began) * 1000)
                    assert answer.status_code == 200, f"{address}: {answer.status_code}"
            if round_:  # the first warms up
                ratios.append(_p99(taken[MANY]) / _p99(taken[FEW]))
                database.append(_p99(_database_times(large)))
                tell(f"{round_}/{ROUNDS} p99 {FEW:,}: {_p99(taken[FEW]):.1f} ms, {MANY:,}: {_p99(taken[MANY]):.1f} ms, database {database[-1]:.1f} ms")
        figure("search_p99", ratios, 3.0, most=True)
        figure("search_db_ms", database, 30.0, most=True)
