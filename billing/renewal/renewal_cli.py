"""`flask renewals run`: the renewal run from the command line, in earnest or as a dry run."""

import csv
import sys
from collections import Counter
from datetime import datetime

import click
from flask.cli import with_appcontext

from billing.renewal import renewal_dry_run, renewal_jobs, renewals
from core.clock import now
from core.db import SYSTEM

COLUMNS = (
    "member_id", "subscription_id", "product_line", "term", "outcome", "amount_minor", "tax_minor", "missing_minor", "currency", "begins_at", "ends_at",
    "next_attempt_at", "fault",
)  # fmt: skip


@click.group("renewals")
def renewals_cli() -> None:
    """The renewal run."""


@renewals_cli.command("run")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--at", "at_text", help="Judge at this instant (ISO 8601) instead of now; dry runs only.")
@click.option("--csv", "as_csv", is_flag=True, help="With --dry-run: one line for each subscription, on standard output.")
@with_appcontext
def run(*, dry_run: bool, at_text: str | None, as_csv: bool) -> None:
    """Renew everything that is due."""
    if (at_text or as_csv) and not dry_run:
        raise click.UsageError("--at and --csv are for --dry-run")
    if not dry_run:
        done = renewal_jobs.renew_due_subscriptions()
        click.echo(", ".join(f"{getattr(done, name):,} {name.replace('_', ' ')}" for name in renewals.OUTCOMES))
        return
    counts: Counter[tuple[str, str]] = Counter()
    amounts: Counter[tuple[str, str]] = Counter()
    out = csv.writer(sys.stdout)
    if as_csv:
        out.writerow(COLUMNS)
    for one in renewal_dry_run.outcomes(_instant(at_text), SYSTEM):
        counts[one.outcome, one.currency] += 1
        amounts[one.outcome, one.currency] += one.amount_minor
        if as_csv:
            out.writerow([getattr(one, name) for name in COLUMNS])
    for outcome, currency in sorted(counts):
        click.echo(f"{outcome:<10} {counts[outcome, currency]:>10,}  {amounts[outcome, currency]:>16,} {currency} minor units", err=as_csv)
    if not counts:
        click.echo("Nothing is due.", err=as_csv)


def _instant(written: str | None) -> datetime:
    if written is None:
        return now()
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        raise click.BadParameter("not an instant, like 2026-07-01T00:00:00+08:00", param_hint="--at") from None
    if at.tzinfo is None:
        raise click.BadParameter("the instant needs its offset, like 2026-07-01T00:00:00+08:00", param_hint="--at")
    return at
