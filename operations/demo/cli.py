"""`flask demo load` and `flask demo logins`."""

import hashlib
import hmac
import sys
import time

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from billing.ledger import verify
from core import clock, clock_cli, migrations
from core.actor import ROLES
from core.db import SYSTEM, transaction
from core.ids import derived
from core.settings import Settings
from membership import api_keys
from membership.models import ApiKey, Member, User
from operations.demo import life, world
from operations.demo.cast import PASSWORD

KEYS = 20
PUBLISHER = derived("publisher", "harbor-automation")  # of the login publisher@


class Bar:
    """Progress on the terminal: one line a step."""

    def __init__(self) -> None:
        self.what, self.total, self.done, self.shown = "", 1, 0, -1

    def begin(self, what: str, total: int) -> None:
        """A new step."""
        self.what, self.total, self.done, self.shown = what, max(total, 1), 0, -1
        self._show()

    def advance(self, units: int) -> None:
        """A part of it is done."""
        self.done += units
        self._show()

    def end(self) -> None:
        """The step is done."""
        self.done = self.total
        self._show()
        click.echo(nl=sys.stdout.isatty())

    def _show(self) -> None:
        percent = min(100, 100 * self.done // self.total)
        if percent != self.shown and (percent % 20 == 0 or sys.stdout.isatty()):
            self.shown = percent
            click.echo(f"\r  {self.what:<22}{'█' * (percent // 5):<20} {percent:3} %", nl=not sys.stdout.isatty())


@click.group("demo")
def demo() -> None:
    """The demo world."""


@demo.command("load")
@click.option("--members", default=200, show_default=True, help="How many members.")
@click.option("--events", default=500_000, show_default=True, help="About how many behaviour events.")
@with_appcontext
def load(members: int, events: int) -> None:
    """Fill an empty database (migrated here first) with the demo world."""
    migrations.upgrade(current_app.extensions["settings"])
    with transaction(SYSTEM) as session:
        if session.scalar(text("select exists (select from member)")):
            raise click.ClickException("The database is not empty; the demo world is only loaded into an empty one.")
    written = world.load(members, events, Bar())
    click.echo(f"  {members} members, {written} events.")


@demo.command("logins")
@with_appcontext
def logins() -> None:
    """Print a login of each role and API keys for scripts."""
    with transaction(SYSTEM) as session:
        users = session.scalars(select(User).where(User.email.in_([f"{role}@demo.example" for role in ROLES]))).all()
        for user in sorted(users, key=lambda user: ROLES.index(user.role)):
            click.echo(f"login {user.role} {user.email} {PASSWORD}")
        members = session.scalars(select(Member).order_by(Member.number).limit(KEYS)).all()
        if not users:
            return  # not the demo world
        for role, member in [("operator", None), ("publisher", None), *(("buyer", m) for m in members)]:
            secret = _secret(role, member)
            row = {
                "id": derived("demo", "key", secret), "prefix": secret[: api_keys.PREFIX_LENGTH], "key_hash": api_keys.hash_key(secret), "name": "demo",
                "role": role, "member_id": member and member.id, "publisher_id": PUBLISHER if role == "publisher" else None,
                "created_by": None, "created_at": clock.now(), "revoked_at": None,
            }  # fmt: skip
            session.execute(insert(ApiKey).values(row).on_conflict_do_nothing())
            click.echo(f"api-key {role if member is None else 'customer'} {member.number if member else '-'} {secret}")


def _secret(role: str, member: Member | None) -> str:
    """The same key at each start, from the installation's own secret, so that scripts may keep it."""
    settings: Settings = current_app.extensions["settings"]
    name = f"demo/{role}/{member.number if member else ''}"
    return "jb_" + hmac.new(settings.secret_key.encode(), name.encode(), hashlib.sha256).hexdigest()


@demo.command("live")
@click.option("--days", type=click.IntRange(1, 3_660), default=365, show_default=True)
@with_appcontext
def live_on(days: int) -> None:
    """Move the clock on while the members live: they top up, buy, forget to pay and come back. Ends with the proof of the books."""
    with transaction(SYSTEM) as session:
        if not session.scalar(select(Member.id).limit(1)):
            raise click.ClickException("there is no demo world yet: flask demo load")
    began, members = time.monotonic(), life.Life(clock.now())
    clock_cli.travel(None, days, (members.step(),))
    click.echo("  " + ", ".join(f"{count:,} {what}" for what, count in members.done.items()) + f", {time.monotonic() - began:.0f} s")
    with transaction(SYSTEM) as session:
        difference = verify.first_difference(session)
    if difference is not None:
        raise click.ClickException(f"DIFFERENCE {difference}")
    click.echo(f"  The books hold at {clock.now():%Y-%m-%d}.")
