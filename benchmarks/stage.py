"""What a benchmark needs: a PostgreSQL of its own, a migrated database, members with money and keys, and the web server."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from flask import Flask

from benchmarks.web import create_app
from core import clock, migrations
from core.embedded.postgres import LOGIN_ROLE, Postgres
from core.embedded.process import Child, free_port, wait_until
from core.embedded.valkey import Valkey
from core.ids import derived, request_hash

HERE = Path(__file__).parent


class Stage:
    """The running servers of one benchmark."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = Postgres(folder / "postgres", folder / "postgres.log")
        self.valkey = Valkey(folder, folder / "valkey.log", password=secrets.token_hex(16), persist=False)
        self.port = free_port()
        self.web: Child | None = None

    def start(self) -> Flask:
        """Start the database and return the application on it."""
        self.postgres.start()
        self.valkey.start()
        self.valkey.wait()
        password = secrets.token_hex(16)
        self.postgres.prepare("backoffice", password)
        os.environ.update(
            DATABASE_URL=self.postgres.url("backoffice", LOGIN_ROLE, password), MIGRATION_DATABASE_URL=self.postgres.url("backoffice"),
            REDIS_URL=self.valkey.url, STRIPE_API_KEY="sk_test_benchmark", STRIPE_WEBHOOK_SECRET="whsec_benchmark", SECRET_KEY=secrets.token_hex(32),
            PORT=str(self.port),
        )  # fmt: skip
        with click.Context(click.Command("benchmark")):  # a command, not a server: stdout is for figures
            app = create_app()
        migrations.upgrade(app.extensions["settings"])
        return app

    def serve(self) -> None:
        """Start two web servers as `make run` does, here of one Granian."""
        command = [
            sys.executable, "-m", "granian", "--interface", "rsgi", "--loop", "uvloop", "--http", "1", "--host", "127.0.0.1", "--port", str(self.port),
            "--workers", "2",
            "--runtime-mode", "st", "--no-access-log", "--log-level", "warning", "--factory", "benchmarks.web:create_server",
        ]  # fmt: skip
        self.web = Child("web", command, log=self.folder / "web.log", env=dict(os.environ))

        def answers() -> bool:
            import urllib.request

            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=1) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        wait_until("the web server", answers, self.web, timeout_s=60)

    def psql(self, *arguments: str) -> None:
        subprocess.run([self.postgres.bin / "psql", "-q", "-h", self.postgres.sockets, "-U", "postgres", "-d", "backoffice", *arguments],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip

    def pgbench(self, script: Path, variables: dict[str, int], seconds: int, clients: int = 16) -> float:
        """Transactions a second of a pgbench script."""
        command = [self.postgres.bin / "pgbench", "-n", "-M", "prepared", "-f", script, "-c", str(clients), "-j", "2", "-T", str(seconds),
                   "-h", self.postgres.sockets, "-U", "postgres", *(f"-D{k}={v}" for k, v in variables.items()), "backoffice"]  # fmt: skip
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return float(said.split("tps = ")[1].split()[0])

    def verify(self) -> None:
        """The books must be right after the storm."""
        subprocess.run([sys.executable, "-m", "flask", "--app", "app", "ledger", "verify"], check=True, stdout=sys.stderr)

    def stop(self) -> None:
        for part in (self.web, self.valkey, self.postgres):
            if part:
                part.stop()


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage in a directory of its own, taken down at the end."""
    with tempfile.TemporaryDirectory(prefix="backoffice-bench-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = Stage(Path(folder))
        try:
            yield made
        finally:
            made.stop()


def fill(app: Flask, members: int, each_minor: int) -> list[str]:
    """`members` members with a full wallet, `usage-pack` on sale; returns an API key of each."""
    from billing.wallet import wallets
    from core.db import SYSTEM, transaction
    from marketplace.publisher import publishers
    from marketplace.release import bundles, publishing
    from membership import api_keys
    from membership.catalogue_models import ProductLine
    from membership.entity_models import LegalEntity
    from membership.models import Member

    at = clock.now()
    entity = derived("benchmark", "entity")
    with app.app_context(), transaction(SYSTEM) as session:
        session.add(LegalEntity(id=entity, name="Benchmark", currency="CNY", timezone="Asia/Shanghai", tax_rate_bp=600))
        session.add(ProductLine(code="crm", name_zh="客户", name_en="CRM"))
        session.flush()
        ids = [derived("benchmark", n) for n in range(members)]
        session.execute(
            Member.__table__.insert(),
            [{"id": i, "entity_id": entity, "number": f"M{n:06d}", "name": f"Member {n}", "industry": "retail", "size": "small", "sales_cycle": "short",
              "channel": "direct", "currency": "CNY", "state": "active", "created_at": at} for n, i in enumerate(ids)],
        )  # fmt: skip
        for i in ids:
            wallets.open_book(i, "member", entity, "CNY", at)
        hashed = request_hash("benchmark")
        wallets.credit_many([wallets.Credit(i, derived("benchmark", "credit", i), hashed, "opening_balance", "CNY", at, each_minor) for i in ids])
        vendor = publishers.ensure("vendor", "厂商", "Vendor", "vendor", 0, entity_id=entity, currency="CNY", at=at)
        for listing in bundles.load_showcase():
            if listing.slug == "usage-pack":
                publishing.publish(listing, vendor, at)
        return api_keys.create_many(ids, "benchmark", "buyer", at=at)
