"""`flask api-keys …` and `flask users …`: the way in for machines and people, from the command line."""

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import text

from core import audit, clock
from core.actor import MEMBER_ROLES, ROLES
from core.db import SYSTEM, transaction
from core.errors import AppError
from core.settings import Settings
from membership import api_keys, members, users

# The wallets are the billing room's; a key is made for who has something to spend.
_BEST_FILLED = text(
    "select m.id, m.number from member m join wallet w on w.member_id = m.id and w.currency = m.currency"
    " where m.state = 'active' and w.state = 'open' order by w.paid_minor + w.bonus_minor - w.held_minor desc, m.number limit :count"
)
CUSTOMER = "buyer"  # what a customer's machine may do: look and buy, not manage people


@click.group("api-keys")
def api_keys_group() -> None:
    """Keys for machines."""


@api_keys_group.command("create")
@click.option("--role", required=True, type=click.Choice(["customer", *api_keys.ROLES]))
@click.option("--member", "number", help="The member's number, for a customer's key.")
@click.option("--name", default="command line", show_default=True)
@with_appcontext
def create_key(role: str, number: str | None, name: str) -> None:
    """Make one key and print it; it cannot be shown again."""
    at = clock.now()
    stored_role = CUSTOMER if role == "customer" else role
    try:
        with transaction(SYSTEM):
            owner = members.find_by_number(number) if number else None
            key, secret = api_keys.create(name, stored_role, owner.id if owner else None, at=at)
            audit.record("api_key.create", key.prefix, at=at, member_id=key.member_id, after={"name": name, "role": stored_role})
    except AppError as error:
        raise click.ClickException(error.detail) from None
    click.echo(line(role, number, secret))


@api_keys_group.command("export")
@click.option("--role", default="customer", show_default=True, type=click.Choice(["customer"]))
@click.option("--count", required=True, type=click.IntRange(1, 100_000))
@with_appcontext
def export_keys(role: str, count: int) -> None:
    """Make new keys for the members with the best-filled wallets and print them."""
    for text_line in export(role, count):
        click.echo(text_line)


def export(role: str, count: int) -> list[str]:
    """One new key for each of `count` members, as lines `api-key ROLE MEMBER KEY`; one statement for all of them."""
    at = clock.now()
    with transaction(SYSTEM) as session:
        owners = session.execute(_BEST_FILLED, {"count": count}).all()
        secrets = api_keys.create_many([owner.id for owner in owners], "export", CUSTOMER, at=at)
        audit.record("api_key.export", f"{len(owners)} keys", at=at, after={"role": CUSTOMER, "count": len(owners)})
    return [line(role, owner.number, secret) for owner, secret in zip(owners, secrets, strict=True)]


def line(role: str, number: str | None, secret: str) -> str:
    """How a key is printed for scripts."""
    return f"api-key {role} {number or '-'} {secret}"


@click.group("users")
def users_group() -> None:
    """People who may sign in."""


@users_group.command("create")
@click.option("--email", required=True)
@click.option("--name", required=True)
@click.option("--role", required=True, type=click.Choice([r for r in ROLES if r != "publisher"]))
@click.option("--member", "number", help="The member's number, for its owner, buyers and viewers.")
@with_appcontext
def create_user(email: str, name: str, role: str, number: str | None) -> None:
    """Make a user and print the one-time link with which it chooses its password."""
    at = clock.now()
    if (role in MEMBER_ROLES) != bool(number):
        raise click.UsageError("--member belongs to the roles " + ", ".join(MEMBER_ROLES))
    settings: Settings = current_app.extensions["settings"]
    try:
        with transaction(SYSTEM):
            owner = members.find_by_number(number) if number else None
            user = users.create(email, name, role, at=at, member_id=owner.id if owner else None)
            audit.record("user.create", user.email, at=at, member_id=user.member_id, after={"role": role})
    except AppError as error:
        raise click.ClickException(error.detail) from None
    click.echo(f"{settings.base_url}/invitations/{users.invitation_token(user)}")
