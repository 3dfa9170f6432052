"""Connections to the database."""

from flask import Flask
from sqlalchemy import Engine, text

from core.db import SYSTEM, db, forget_member_engine, member_call, transaction


def test_the_server_compiles_nothing_however_it_is_set(app: Flask, owner: Engine) -> None:
    """PostgreSQL compiles costly plans unless told not to; the embedded server is told, one of the customer's own is not."""
    with owner.begin() as connection:
        connection.execute(text(f"alter database {owner.url.database} set jit = on"))
    try:
        for engine in (db.engine, owner):  # what is open keeps the setting that it began with
            engine.dispose()
        forget_member_engine()
        with owner.connect() as connection:
            assert connection.scalar(text("show jit")) == "on"
        with transaction(SYSTEM) as session:
            assert session.scalar(text("show jit")) == "off"
        assert member_call("select current_setting('jit')", []) == [("off",)]
    finally:
        with owner.begin() as connection:
            connection.execute(text(f"alter database {owner.url.database} reset jit"))
        owner.dispose()
