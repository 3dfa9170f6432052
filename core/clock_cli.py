"""`flask clock show | advance`."""

from datetime import UTC, datetime

import click
from flask.cli import with_appcontext

from core import clock_moves
from core.clock_moves import Standing
from core.db import SYSTEM, transaction
from core.errors import AppError
from core.passage import Step


@click.group("clock")
def clock_group() -> None:
    """The product's clock, which a demo may move."""


@clock_group.command("show")
@with_appcontext
def show() -> None:
    """Print product time and real time."""
    with transaction(SYSTEM):
        standing = clock_moves.show()
    click.echo(f"product time  {standing.now.isoformat(timespec='seconds')}")
    click.echo(f"real time     {standing.real_now.isoformat(timespec='seconds')}")
    if standing.moving_to:
        click.echo(f"on its way to {standing.moving_to.isoformat(timespec='seconds')}, {standing.percent} %")
    elif not standing.is_movable:
        click.echo("It cannot be moved here (BACKOFFICE_DEMO=1 makes it movable).")


@clock_group.command("advance")
@click.option("--to", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"]), help="An instant in UTC.")
@click.option("--days", type=click.IntRange(1, 36_600))
@with_appcontext
def advance(to: datetime | None, days: int | None) -> None:
    """Move the clock forward and live through the time in between."""
    if (to is None) == (days is None):
        raise click.UsageError("say either --to or --days")
    travel(to.replace(tzinfo=UTC) if to else None, days)


def travel(to: datetime | None, days: int | None, also: tuple[Step, ...] = ()) -> None:
    """Send the clock on its way and take it there, showing progress. A move that was interrupted is finished first."""
    try:
        clock_moves.go_on()
        with transaction(SYSTEM):
            standing = clock_moves.start(clock_moves.target(to, days), "command line")
        assert standing.moving_to
        with click.progressbar(length=100, label=f"to {standing.moving_to:%Y-%m-%d}", show_eta=True) as bar:
            went = clock_moves.go_on(lambda seen: _show(bar, seen), also)
    except AppError as error:
        raise click.ClickException(error.detail) from None
    except clock_moves.StepsFailed as error:
        raise click.ClickException(f"the clock has arrived, but {error} (see the log)") from None
    if not went:
        raise click.ClickException("another process is moving the clock already; `flask clock show` tells how far it is")


def _show(bar: "click._termui_impl.ProgressBar[int]", seen: Standing) -> None:
    bar.update(seen.percent - bar.pos)
