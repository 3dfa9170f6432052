"""The running product under a supervisor, with a database and a queue that a test may stop, and clients that never give up on a request."""

import contextlib
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from sqlalchemy import create_engine

from billing.ledger import verify
from core import clock, migrations
from core.db import SYSTEM, db, transaction
from core.embedded.postgres import Postgres, dsn
from core.embedded.process import free_port
from core.embedded.valkey import Valkey
from core.ids import new_id
from core.settings import Settings
from membership import api_keys
from membership import cli as membership_cli
from operations.demo import world
from tests.core.test_supervisor import Run
from tests.operations.test_demo import Silent

MEMBERS = 16
WEB_SERVERS = 2  # of two processes each, its main one and the one that answers
PATIENCE_S = 90
PASSWORD = "soak-test-password"


@dataclass
class Product:
    """What runs, and what a test needs to reach it."""

    run: Run
    base: str
    postgres: Postgres
    valkey: Valkey
    keys: dict[str, str]  # the customers' by member number; `operator` and `finance`
    price_minor: int

    @property
    def customers(self) -> list[str]:
        return sorted(set(self.keys) - {"operator", "finance"})

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Look behind the product as the owner."""
        with psycopg.connect(dsn(self.postgres.url("backoffice")), autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: object) -> Any:
        return self.sql(statement, *values)[0][0]

    def get(self, path: str, key: str = "operator") -> httpx.Response:
        return httpx.get(self.base + path, headers={"Authorization": f"Bearer {self.keys[key]}"}, timeout=10, trust_env=False)

    def wait_until(self, true: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> float:
        """How many seconds it took."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(httpx.HTTPError, psycopg.OperationalError):
                if true():
                    return time.monotonic() - began
            assert time.monotonic() - began < timeout_s, f"waited {timeout_s} s for: {what}\n{self.run.text[-2000:]}"
            time.sleep(0.1)

    def is_ready(self) -> bool:
        return self.get("/readyz").status_code == 200

    def assert_books_hold(self) -> None:
        """`flask ledger verify`, without the start of another process."""
        engine = create_engine(self.postgres.url("backoffice"))
        with engine.connect() as connection:
            difference = verify.first_difference(connection)
        engine.dispose()
        assert difference is None, str(difference)

    def errors_logged(self) -> list[str]:
        """What the web servers and workers called a failure of ours."""
        folder = self.run.var / "log"
        return [line for path in folder.glob("*.log") for line in path.read_text(errors="replace").splitlines() if '"unexpected failure"' in line]


@dataclass
class Sent:
    """One request and its end."""

    name: str
    id: str
    path: str
    body: dict[str, Any]
    key: str
    status: int = 0
    answer: dict[str, Any] = field(default_factory=dict)
    tries: int = 0


class Load:
    """Clients on threads that do what members do, each request until it has a final answer."""

    def __init__(self, product: Product, threads: int = 6, seed: int = 1) -> None:
        self.product, self.seed, self.threads = product, seed, threads
        self.sent: list[Sent] = []
        self.seen: Counter[str] = Counter()  # every answer on the way, also those asked again
        self.broken: list[str] = []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._running: list[threading.Thread] = []

    def __enter__(self) -> "Load":
        self._running = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(self.threads)]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in self._running), "a client still waits for an answer"

    def done(self, name: str) -> list[Sent]:
        """Requests of a kind that succeeded."""
        return [one for one in self.sent if one.name == name and one.status in (200, 201)]

    def _work(self, number: int) -> None:
        chance = random.Random(f"{self.seed} {number}")
        with httpx.Client(base_url=self.product.base, timeout=20, trust_env=False) as client:
            while not self._stop.is_set():
                member = chance.choice(self.product.customers)
                act = chance.choice([self._buy, self._buy, self._buy, self._hold, self._top_up, self._look])
                act(client, chance, member)

    def _buy(self, client: httpx.Client, chance: random.Random, member: str) -> None:
        body = {"price_minor": self.product.price_minor, "quantity": chance.randint(1, 3)}
        self.ask(client, "order", "/api/v1/listings/usage-pack/orders", body, member)

    def _hold(self, client: httpx.Client, chance: random.Random, member: str) -> None:
        held = self.ask(client, "hold", "/api/v1/wallet/holds", {"amount_minor": chance.randint(100, 5_000), "reason": "soak"}, member)
        if held.status != 201:
            return
        if chance.random() < 0.7:
            self.ask(client, "capture", f"/api/v1/wallet/holds/{held.id}/captures", {"amount_minor": held.body["amount_minor"] // 2}, member)
        self.ask(client, "release", f"/api/v1/wallet/holds/{held.id}/release", {}, member)

    def _top_up(self, client: httpx.Client, chance: random.Random, member: str) -> None:
        made = self.ask(client, "top_up", "/api/v1/wallet/top-ups", {"amount_minor": chance.randint(1, 9) * 10_000, "method": "bank_transfer"}, member)
        if made.status == 201:
            body = {"received_minor": made.body["amount_minor"], "bank_transaction": f"BANK-{made.id}"}
            self.ask(client, "confirmation", f"/api/v1/finance/top-ups/{made.id}/confirmation", body, "finance", with_id=False)

    def _look(self, client: httpx.Client, chance: random.Random, member: str) -> None:
        path, key = chance.choice([("/api/v1/wallet", member), ("/api/v1/finance/prepaid-balances", "finance"), ("/api/v1/clock", "operator")])
        with contextlib.suppress(httpx.HTTPError):
            self._note("look", client.get(path, headers=self._headers(key)))

    def ask(self, client: httpx.Client, name: str, path: str, body: dict[str, Any], key: str, *, with_id: bool = True) -> Sent:
        """Send until there is a final answer: no connection and 503 are not."""
        one = Sent(name, str(new_id()), path, body, key)
        one.body = body | ({"id": one.id} if with_id else {})
        self.send(client, one)
        with self._lock:
            self.sent.append(one)
        return one

    def send(self, client: httpx.Client, one: Sent) -> None:
        """One request to its end."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            one.tries += 1
            try:
                answer = client.post(one.path, json=one.body, headers=self._headers(one.key))
            except httpx.HTTPError as error:
                self._count(type(error).__name__)
                answer = None
            if answer is not None:
                self._note(one.name, answer)
                if answer.status_code != 503:
                    one.status, one.answer = answer.status_code, answer.json()
                    return
            if time.monotonic() > deadline:
                one.status = 0
                self._fault(f"{one.name} {one.id}: no answer after {one.tries} tries")
                return
            time.sleep(0.15)

    def _headers(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.product.keys[key]}"}

    def _note(self, name: str, answer: httpx.Response) -> None:
        self._count(str(answer.status_code))
        if answer.status_code >= 500 and answer.status_code != 503:
            self._fault(f"{name}: {answer.status_code} {answer.text[:300]}")
        if answer.status_code == 503 and answer.json()["code"] not in ("unavailable", "stripe_unreachable"):
            self._fault(f"{name}: 503 without its code: {answer.text[:300]}")

    def _count(self, what: str) -> None:
        with self._lock:
            self.seen[what] += 1

    def _fault(self, what: str) -> None:
        with self._lock:
            self.broken.append(what)


@contextlib.contextmanager
def running() -> Iterator[Product]:
    """A small demo world, its servers, and the product over them."""
    var = Path(tempfile.mkdtemp(prefix="backoffice-soak-", dir="/var/tmp"))
    home = Path(tempfile.mkdtemp(prefix="backoffice-soak-db-", dir="/var/tmp"))
    postgres = Postgres(home, home / "postgres.log", options={"fsync": "off", "max_connections": "60"})
    valkey = Valkey(home / "valkey", home / "valkey.log", password=PASSWORD)
    run: Run | None = None
    try:
        postgres.start()
        valkey.start()
        valkey.wait()
        postgres.prepare("backoffice", PASSWORD)
        environment = {
            "DATABASE_URL": postgres.url("backoffice", "backoffice_app", PASSWORD), "MIGRATION_DATABASE_URL": postgres.url("backoffice"),
            "REDIS_URL": valkey.url, "BACKOFFICE_DEMO": "1", "WEB_CONCURRENCY": f"{WEB_SERVERS}", "WORKERS": "1", "PORT": str(free_port()),
        }  # fmt: skip
        keys, price = _fill(environment)
        run = Run(var, **environment)
        run.wait_for("Ready on ", timeout_s=180)
        yield Product(run, f"http://127.0.0.1:{environment['PORT']}", postgres, valkey, keys, price)
    finally:
        if run is not None:
            run.end()
        valkey.stop()
        postgres.stop()
        shutil.rmtree(var, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def _fill(environment: dict[str, str]) -> tuple[dict[str, str], int]:
    """A migrated database with a small world, and keys to it."""
    from app import create_app

    stripe = {"STRIPE_API_KEY": "sk_test_soak", "STRIPE_WEBHOOK_SECRET": "whsec_soak_test", "SECRET_KEY": "s" * 40}
    settings = Settings.from_env(environment | stripe)
    migrations.upgrade(settings)
    app = create_app(settings)
    with app.app_context():
        world.load(MEMBERS, 200, Silent())
        lines = membership_cli.export("customer", MEMBERS)
        keys = {line.split()[2]: line.split()[3] for line in lines}
        with transaction(SYSTEM) as session:
            for role in ("operator", "finance"):
                keys[role] = api_keys.create("soak", role, None, at=clock.now())[1]
            price = int(session.connection().exec_driver_sql("select price_minor from listing where slug = 'usage-pack'").scalar_one())
        db.session.remove()
        db.engine.dispose()
        if engine := app.extensions.get("member_engine"):
            engine.dispose()
    return keys, price


def moved(product: Product) -> tuple[datetime, bool]:
    """The product's time, and whether it is on its way."""
    told = product.get("/api/v1/clock").json()
    return datetime.fromisoformat(told["now"]), told["is_moving"]
