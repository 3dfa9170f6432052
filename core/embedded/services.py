"""The environment of the product's processes: what the user configured, and embedded services for the rest."""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import redis

from core.embedded.postgres import LOGIN_ROLE, Postgres, dsn, home_for
from core.embedded.process import Child, ServiceError
from core.embedded.stripe import Stripe
from core.embedded.valkey import Valkey
from core.settings import database_url, flag, port_of, read, redis_url

DATABASE = "backoffice"
OLDEST_POSTGRES = 15
Say = Callable[[str], None]


class Services:
    """Starts what is not configured. After `start`, `environment` has everything that `Settings.from_env` asks for."""

    def __init__(self, environ: Mapping[str, str], var_dir: Path, say: Say) -> None:
        self.given = environ
        self.var_dir = var_dir
        self.say = say
        self.environment: dict[str, str] = dict(environ)
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.stripe: Stripe | None = None

    def start(self) -> None:
        """Start or reach every service. Raises ServiceError or SettingsError, each with one clear line."""
        kept = kept_secrets(self.var_dir)
        self.environment |= {"BACKOFFICE_VAR": str(self.var_dir), "SECRET_KEY": self.given.get("SECRET_KEY") or kept["secret_key"]}
        self._start_valkey(kept)
        self._start_stripe(kept)
        self._start_postgres(kept)
        if self.valkey:
            self.valkey.wait()
        if self.stripe:
            self.stripe.wait()
        live = self.environment["STRIPE_API_KEY"].startswith(("sk_live_", "rk_live_"))
        demo = read(self.given, "BACKOFFICE_DEMO", flag, default=not live)
        self.environment["BACKOFFICE_DEMO"] = "1" if demo else "0"

    def stop(self) -> None:
        """Stop what was started, the database last."""
        for service in (self.stripe, self.valkey, self.postgres):
            if service:
                service.stop()

    @property
    def children(self) -> list[Child]:
        """The processes of the embedded services."""
        found = [service.child for service in (self.postgres, self.valkey, self.stripe) if service]
        return [child for child in found if child]

    def renew_database(self) -> None:
        """Begin again with an empty database (only ever an embedded one)."""
        assert self.postgres
        self.postgres.drop(DATABASE)
        self.postgres.prepare(DATABASE, kept_secrets(self.var_dir)["database_password"])

    def _log(self, name: str) -> Path:
        folder = self.var_dir / "log"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.log"

    def _start_valkey(self, kept: Mapping[str, str]) -> None:
        url = read(self.given, "REDIS_URL", redis_url, default="")
        if url:
            check_redis(url)
            self.environment["REDIS_URL"] = url
            return
        self.valkey = Valkey(self.var_dir / "valkey", self._log("valkey"), password=kept["redis_password"])
        self.valkey.start()
        self.environment["REDIS_URL"] = self.valkey.url

    def _start_stripe(self, kept: Mapping[str, str]) -> None:
        if self.given.get("STRIPE_API_KEY"):
            return  # Settings asks for the webhook's secret too
        secret = self.given.get("STRIPE_WEBHOOK_SECRET") or kept["stripe_webhook_secret"]
        hook = f"http://127.0.0.1:{port_of(self.given)}/webhooks/stripe"
        self.stripe = Stripe(self._log("stripe"), state=self.var_dir / "stripe.pickle", webhook_url=hook, webhook_secret=secret)
        self.stripe.start()
        self.environment |= {
            "STRIPE_API_KEY": kept["stripe_api_key"],
            "STRIPE_PUBLISHABLE_KEY": "pk_test_embedded",
            "STRIPE_WEBHOOK_SECRET": secret,
            "STRIPE_API_BASE": self.stripe.url,
        }

    def _start_postgres(self, kept: Mapping[str, str]) -> None:
        url = read(self.given, "DATABASE_URL", database_url, default="")
        if url:
            check_postgres(url, "DATABASE_URL")
            owner = read(self.given, "MIGRATION_DATABASE_URL", database_url, default=url)
            if owner != url:
                check_postgres(owner, "MIGRATION_DATABASE_URL")
            self.environment |= {"DATABASE_URL": url, "MIGRATION_DATABASE_URL": owner}
            return
        self.postgres = Postgres(home_for(self.var_dir), self._log("postgres"))
        if not (self.postgres.data / "PG_VERSION").exists():
            self.say("Creating the database …")
        self.postgres.start()
        self.postgres.prepare(DATABASE, kept["database_password"])
        self.environment |= {
            "DATABASE_URL": self.postgres.url(DATABASE, LOGIN_ROLE, kept["database_password"]),
            "MIGRATION_DATABASE_URL": self.postgres.url(DATABASE),
        }


def kept_secrets(var_dir: Path) -> dict[str, str]:
    """The secrets of this checkout's embedded services: made once, kept in `var/secrets.json`, readable by us alone."""
    path = var_dir / "secrets.json"
    wanted = {
        "secret_key": secrets.token_hex(32),
        "database_password": secrets.token_hex(24),
        "redis_password": secrets.token_hex(24),
        "stripe_api_key": f"sk_test_{secrets.token_hex(12)}",
        "stripe_webhook_secret": f"whsec_{secrets.token_hex(16)}",
    }
    found: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        found = json.loads(path.read_text())
    merged = wanted | found
    if merged != found:
        write_private(path, json.dumps(merged, indent=1))
    return merged


def write_private(path: Path, text: str) -> None:
    """Replace a file that only we may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    unfinished.replace(path)


def check_postgres(url: str, name: str, patience_s: float = 3) -> None:
    """Raises ServiceError unless a PostgreSQL that is new enough answers."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with psycopg.connect(dsn(url), connect_timeout=5) as connection:
                major = connection.info.server_version // 10_000
            break
        except psycopg.Error as error:
            if time.monotonic() > deadline:
                raise ServiceError(f"{name}: the database does not answer: {_one_line(error)}") from None
            time.sleep(0.5)
    if major < OLDEST_POSTGRES:
        raise ServiceError(f"{name}: PostgreSQL {OLDEST_POSTGRES} or newer is needed, this one is {major}")


def check_redis(url: str) -> None:
    """Raises ServiceError unless a Redis or Valkey answers."""
    client = redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5)
    try:
        client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise ServiceError(f"REDIS_URL: the server does not answer: {_one_line(error)}") from None
    finally:
        client.close()


def _one_line(error: Exception) -> str:
    """The last line of a driver's message; none of them shows a password."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.strip().startswith(("Multiple", "- host"))]
    return lines[0] if lines else type(error).__name__
