"""`flask ledger verify`: prove the books."""

import time

import click
from flask.cli import with_appcontext

from billing.ledger import verify
from core.db import SYSTEM, transaction


@click.group()
def ledger() -> None:
    """The ledger's own tools."""


@ledger.command("verify")
@with_appcontext
def verify_ledger() -> None:
    """Recompute every cached figure from the postings; exit with 1 at the first difference, naming it."""
    began = time.monotonic()
    with transaction(SYSTEM) as session:
        difference = verify.first_difference(session)
        counted = verify.summary(session)
    if difference is not None:
        click.echo(f"DIFFERENCE {difference}", err=True)
        raise SystemExit(1)
    click.echo(
        f"The books hold: {counted['books']:,} books, {counted['wallets']:,} wallets, {counted['transactions']:,} transactions, "
        f"{counted['postings']:,} postings, {len(verify.CHECKS)} checks, {time.monotonic() - began:.1f} s"
    )
