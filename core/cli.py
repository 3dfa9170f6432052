"""The kernel's commands: `flask --app app db-upgrade | prepare | work | schedule`."""

import contextlib
from pathlib import Path

import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from core import jobs, migrations
from core.db import SYSTEM, transaction
from core.settings import Settings


def init_app(app: Flask) -> None:
    """Add the kernel's commands."""
    for command in (db_upgrade, prepare, work, schedule):
        app.cli.add_command(command)


@click.command("db-upgrade")
@with_appcontext
def db_upgrade() -> None:
    """Run all missing migrations."""
    migrations.upgrade(_settings())


@click.command()
@click.option("--logins", type=click.Path(path_type=Path), help="Write the demo's logins here instead of showing them.")
@click.option("--loading", type=click.Path(path_type=Path), help="A file that exists exactly while the demo world is being loaded.")
@with_appcontext
def prepare(logins: Path | None, loading: Path | None) -> None:
    """Everything a start needs before the web server: migrations, the demo world if the database is empty, its logins.

    One process does it all, because each start of Python with the whole app costs seconds.
    """
    try:
        migrations.upgrade(_settings())
    except (OperationalError, ProgrammingError) as error:
        if isinstance(error, ProgrammingError) and not isinstance(error.orig, InsufficientPrivilege):
            raise  # a fault of ours: show where
        raise click.ClickException(f"the database refuses the migrations: {str(error.orig).splitlines()[0]}") from None
    if not _settings().demo:
        return
    if _is_empty():
        click.echo("Loading the demo world …")
        if loading:
            loading.touch()
        _demo("load")
        if loading:
            loading.unlink(missing_ok=True)
    if logins is None:
        _demo("logins")
        return
    logins.touch(mode=0o600)
    with logins.open("w", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
        _demo("logins")


@click.command()
@with_appcontext
def work() -> None:
    """Serve the job queues until stopped."""
    jobs.work(current_app._get_current_object())  # type: ignore[attr-defined]


@click.command()
@with_appcontext
def schedule() -> None:
    """Put repeated jobs in line when they are due, until stopped."""
    jobs.run_schedule(current_app._get_current_object())  # type: ignore[attr-defined]


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _is_empty() -> bool:
    with transaction(SYSTEM) as session:
        return not session.scalar(text("select exists (select 1 from member)"))


def _demo(name: str) -> None:
    """Call `demo NAME`, which a room above defines; nothing happens where it does not exist."""
    group = current_app.cli.commands.get("demo")
    command = group.commands.get(name) if isinstance(group, click.Group) else None
    if command is None:
        click.echo(f"There is no `demo {name}` command.", err=True)
        return
    command.main(args=[], prog_name=f"demo {name}", standalone_mode=False)
