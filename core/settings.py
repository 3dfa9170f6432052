"""Everything that can be configured, read once from the environment and checked at once.

Secrets come from the environment only. When services are embedded, the supervisor makes the secrets once, keeps them
under `var/` and hands them down in the environment of the processes it starts.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

Value = TypeVar("Value")

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})
CONSUMPTION_ORDERS = ("bonus_first", "paid_first", "proportional")
NUMBER_FORMATS = {"receipt": "RCT-{year}-{number}", "invoice": "INV-{year}-{number}", "credit_note": "CN-{year}-{number}"}
PRORATION_UNITS = ("day", "second")
UNUSED_SERVICE = ("credited", "kept")


class SettingsError(Exception):
    """One line for the person who configures: the variable and what is wrong with it. It never shows a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One configuration of the product. `database_url` is the app's own login, `migration_database_url` the owner's."""

    database_url: str
    migration_database_url: str
    redis_url: str
    stripe_api_key: str
    stripe_webhook_secret: str
    secret_key: str
    stripe_api_base: str | None = None  # None: Stripe itself
    stripe_publishable_key: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    web_concurrency: int = 2
    threads: int = 16  # a worker: requests that Flask answers at the same time
    workers: int = 1
    var_dir: Path = Path("var")
    archive_dir: Path = Path("var/archives")  # where zips of documents lie for a while; several hosts share it
    demo: bool = False
    base_url: str = "http://127.0.0.1:8000"
    artifact_signing_key: str = ""  # base64 of an Ed25519 private key; empty: one under `var_dir`, made the first time
    consumption_order: str = "bonus_first"  # which money a charge draws on first: one of CONSUMPTION_ORDERS
    dunning_retry_days: tuple[int, ...] = (0, 1, 3, 7, 14)  # when an unpaid renewal is tried again, in days from the first attempt
    # Of documents, whose numbers run without gaps within a legal entity, kind and year.
    receipt_number_format: str = NUMBER_FORMATS["receipt"]
    invoice_number_format: str = NUMBER_FORMATS["invoice"]
    credit_note_number_format: str = NUMBER_FORMATS["credit_note"]
    proration_unit: str = "day"  # how terms that begin from now on are divided: one of PRORATION_UNITS
    unused_service: str = "credited"  # what becomes of it when less is wanted at once: one of UNUSED_SERVICE

    # Thresholds: each may be set by an environment variable of its name in capitals.
    session_days: int = 14
    sign_in_per_minute: int = 10
    top_up_min_minor: int = 1_00
    top_up_max_minor: int = 10_000_000_00
    top_up_check_minutes: int = 2  # when the sweep asks Stripe about a pending top-up
    approval_limit_minor: int = 1_000_00  # above it (with what the same person did for the same member shortly before), a second person decides
    approval_window_hours: int = 24  # how far back that sum reaches
    card_refund_check_minutes: int = 2  # when the sweep asks Stripe about a refund on its way
    goodwill_days_max: int = 366
    refund_grace_days: int = 30  # how long money lives that comes back to a grant which has expired or is empty
    bonus_warning_days: int = 14  # members are told so long before bonus ends
    hold_days: int = 7  # how long money stays reserved where nobody says how long
    hold_days_max: int = 90
    auto_top_up_interval_minutes: int = 10  # the least time between two automatic top-ups of a member
    auto_top_up_retry_minutes: int = 60  # and after one that failed
    auto_top_up_max_failures: int = 3  # in a row: then it stops, until an owner switches it on again
    renewal_batch: int = 10_000  # subscriptions a transaction
    renewal_lanes: int = 2  # transactions of a renewal run under way at the same time
    dunning_suspend_days: int = 7  # unpaid for longer: what it entitles to is off; data is kept
    past_due_grace_days: int = 14  # unpaid for longer: the subscription ends
    win_back_days: int = 7  # after such an end: the member is asked to come back
    renewal_notice_days: int = 7  # a renewal is announced so long before it
    price_change_notice_days: int = 30  # a price increase holds for a renewal only if it was announced so long before it
    trial_days: int = 14
    pauses_per_year: int = 2  # of one subscription, within 365 days
    pause_days_per_year: int = 90
    quote_minutes: int = 10  # where terms are divided by seconds: how long a price that was shown holds
    offer_days: int = 30
    license_retry_hours: int = 24  # when an unpaid term of a store licence is tried again
    license_grace_days: int = 14  # unpaid for longer: the licence ends
    license_trial_seats: int = 3  # of a trial of what is licensed per seat
    service_days: int = 60  # within which a partner delivers what was ordered of it
    service_accept_days: int = 7  # silence so long after a delivery is acceptance
    refund_window_days: int = 14  # within which a buyer can claim money back; a partner's share is due after it
    claim_answer_days: int = 5  # within which a publisher answers a claim; then we decide
    claim_decision_days: int = 10  # after filing: until when we promise a decision
    payout_min_minor: int = 100_00  # less is carried over to a partner's next statement
    partner_bonus_limit_bp: int = 3000  # how much of our commission bonus may pay, for listings that partners bring in; basis points
    stale_listing_days: int = 730  # not updated for longer: hidden in the store unless asked for
    event_batch_max: int = 5_000
    clock_days_max: int = 3_660  # how far a demo's clock moves at a time
    sandbox_cpu_s: int = 20
    sandbox_wall_s: int = 60
    sandbox_memory_mb: int = 768
    sandbox_scratch_mb: int = 96
    sandbox_output_mb: int = 32
    runs_at_once: int = 3  # of one member
    runs_per_day: int = 200
    run_input_mb: int = 8
    copy_file_mb: int = 4  # of a file that a member makes its own
    copy_edits_per_day: int = 200  # of one member: each is checked in the sandbox
    run_keep_days: int = 30  # how long the files of a run are kept
    document_zip_direct: int = 300  # documents that finance downloads in one zip without waiting for a job
    document_zip_most: int = 100_000  # documents in one zip that is prepared by a job
    document_archive_hours: int = 72  # how long such a zip can be downloaded
    document_number_digits: int = 6  # INV-2026-000123; a longer number is written out

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read and check the environment. Raises SettingsError naming the first variable that is missing or wrong."""
        port = port_of(environ)
        host = environ.get("BACKOFFICE_HOST") or "127.0.0.1"
        database = read(environ, "DATABASE_URL", database_url)
        return cls(
            database_url=database,
            migration_database_url=read(environ, "MIGRATION_DATABASE_URL", database_url, default=database),
            redis_url=read(environ, "REDIS_URL", redis_url),
            stripe_api_key=read(environ, "STRIPE_API_KEY", _secret(8)),
            stripe_webhook_secret=read(environ, "STRIPE_WEBHOOK_SECRET", _secret(8)),
            stripe_api_base=read(environ, "STRIPE_API_BASE", http_url, default=None),
            stripe_publishable_key=environ.get("STRIPE_PUBLISHABLE_KEY", ""),
            secret_key=read(environ, "SECRET_KEY", _secret(32)),
            host=host,
            port=port,
            web_concurrency=read(environ, "WEB_CONCURRENCY", whole(1, 256), default=2),
            threads=read(environ, "WEB_THREADS", whole(1, 256), default=16),
            workers=read(environ, "WORKERS", whole(1, 64), default=1),
            var_dir=var_dir_of(environ),
            archive_dir=Path(environ.get("ARCHIVE_DIR") or var_dir_of(environ) / "archives").absolute(),
            demo=read(environ, "BACKOFFICE_DEMO", flag, default=False),
            consumption_order=read(environ, "CONSUMPTION_ORDER", one_of(CONSUMPTION_ORDERS), default=CONSUMPTION_ORDERS[0]),
            dunning_retry_days=read(environ, "DUNNING_RETRY_DAYS", days, default=(0, 1, 3, 7, 14)),
            receipt_number_format=read(environ, "RECEIPT_NUMBER_FORMAT", number_format, default=NUMBER_FORMATS["receipt"]),
            invoice_number_format=read(environ, "INVOICE_NUMBER_FORMAT", number_format, default=NUMBER_FORMATS["invoice"]),
            credit_note_number_format=read(environ, "CREDIT_NOTE_NUMBER_FORMAT", number_format, default=NUMBER_FORMATS["credit_note"]),
            proration_unit=read(environ, "PRORATION_UNIT", one_of(PRORATION_UNITS), default=PRORATION_UNITS[0]),
            unused_service=read(environ, "UNUSED_SERVICE", one_of(UNUSED_SERVICE), default=UNUSED_SERVICE[0]),
            base_url=read(environ, "BASE_URL", http_url, default=f"http://127.0.0.1:{port}"),
            artifact_signing_key=environ.get("ARTIFACT_SIGNING_KEY", ""),
            **{name: read(environ, name.upper(), whole(0, 10**12), default=default) for name, default in THRESHOLDS.items()},
        )


_FIRST_THRESHOLD = "session_days"
_NAMES = [f.name for f in fields(Settings)]
THRESHOLDS: dict[str, int] = {f.name: f.default for f in fields(Settings)[_NAMES.index(_FIRST_THRESHOLD) :]}  # type: ignore[misc]


def port_of(environ: Mapping[str, str]) -> int:
    """The web server's port."""
    return read(environ, "PORT", whole(1, 65535), default=8000)


def var_dir_of(environ: Mapping[str, str]) -> Path:
    """Where everything lives that a checkout keeps to itself."""
    return Path(environ.get("BACKOFFICE_VAR") or "var").absolute()


_MISSING = object()


def read(environ: Mapping[str, str], name: str, parse: Callable[[str], Value], default: Value | object = _MISSING) -> Value:
    """The parsed variable, or `default` where it is unset or empty. Raises SettingsError, which names the variable."""
    text = environ.get(name, "").strip()
    if not text:
        if default is _MISSING:
            raise SettingsError(f"{name} is not set (`make run` sets it; for one command: python -m core.supervisor exec COMMAND)")
        return default  # type: ignore[return-value]
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{name} {error}") from None


def whole(least: int, most: int) -> Callable[[str], int]:
    """A parser of whole numbers in a range."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {text!r}")
        return int(text)

    return parse


def days(text: str) -> tuple[int, ...]:
    """A parser of rising numbers of days, like `0,1,3,7,14`."""
    parts = [part.strip() for part in text.split(",")]
    found = tuple(int(part) for part in parts if part.isascii() and part.isdigit() and int(part) <= 3650)
    if len(found) != len(parts) or list(found) != sorted(set(found)):
        raise ValueError(f"must be rising numbers of days, like 0,1,3,7,14, not {text!r}")
    return found


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """A parser of one word out of several."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}")
        return text

    return parse


def number_format(text: str) -> str:
    """A parser of how document numbers look, like `INV-{year}-{number}`; year and number make them unique."""
    if text.count("{year}") != 1 or text.count("{number}") != 1 or not 14 <= len(text) <= 40 or not text.isascii():
        raise ValueError(f"must be up to 40 letters with {{year}} and {{number}} in them, not {text!r}")
    return text


def flag(text: str) -> bool:
    """A parser of yes and no."""
    lowered = text.lower()
    if lowered not in TRUE | FALSE:
        raise ValueError(f"must be 1 or 0, not {text!r}")
    return lowered in TRUE


def database_url(text: str) -> str:
    """A PostgreSQL URL with the driver we use: `postgres://` and `postgresql://` become `postgresql+psycopg://`."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise ValueError("must look like postgresql://user:password@host:5432/database")
    try:
        parts = urlsplit("postgresql://" + rest)
        named = parts.path.strip("/") or "dbname=" in parts.query
        _ = parts.port
    except ValueError:
        raise ValueError("must look like postgresql://user:password@host:5432/database") from None
    if not named:
        raise ValueError("must name a database: postgresql://user:password@host:5432/database")
    return "postgresql+psycopg://" + rest


def redis_url(text: str) -> str:
    """A Redis or Valkey URL, as it is."""
    if text.partition("://")[0] not in {"redis", "rediss", "unix"} or "://" not in text:
        raise ValueError("must look like redis://host:6379/0")
    return text


def http_url(text: str) -> str:
    """An absolute http(s) URL without its last slash."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError(f"must be an http:// or https:// address, not {text!r}")
    return text.rstrip("/")


def _secret(least: int) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if len(text) < least:
            raise ValueError(f"must have at least {least} characters")
        return text

    return parse
