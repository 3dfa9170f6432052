"""Bring the database to the version of the code. Migrations only go forward."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

from core.settings import Settings

_FOLDER = Path(__file__).parent.parent / "migrations"


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["url"] = url
    return config


def upgrade(settings: Settings, to: str = "head") -> None:
    """Run all missing migrations as the owner. Safe to run from several hosts at once: an advisory lock lets one in."""
    command.upgrade(_config(settings.migration_database_url), to)


def newest() -> str | None:
    """The revision that this code expects."""
    return ScriptDirectory.from_config(_config("")).get_current_head()


def is_current(engine: Engine) -> bool:
    """Does the database stand at the revision this code expects?"""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == newest()


def owner_engine(settings: Settings) -> Engine:
    """An engine of the schema's owner, for migrations and for tests that look behind row-level security."""
    return create_engine(settings.migration_database_url)
