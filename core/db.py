"""The database session and the only place that commits."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import psycopg
from flask import current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, Date, DateTime, LargeBinary, MetaData, Text, Uuid, create_engine, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, Session, registry

from core.actor import SYSTEM, Actor

__all__ = ["SYSTEM", "Base", "act_as", "db", "forget_member_engine", "member_call", "transaction"]


_NAMES = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
_COLUMN_TYPES: dict[Any, Any] = {
    uuid.UUID: Uuid(),
    datetime: DateTime(timezone=True),
    date: Date(),
    int: BigInteger(),
    str: Text(),
    bytes: LargeBinary(),
    dict[str, Any]: JSONB(),
    list[str]: ARRAY(Text()),
}


class Base(DeclarativeBase):
    """Every table of the product; column types follow from the annotations."""

    registry = registry(metadata=MetaData(naming_convention=_NAMES), type_annotation_map=_COLUMN_TYPES)


# Outside `transaction()` nothing runs: the session does not begin by itself, and the login role has no rights of its own.
db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False, "autobegin": False})

# Until PostgreSQL 17 a plan that our functions' settings steer looks so costly that the server compiles it first, which takes seconds.
SERVER_OPTIONS = "-c jit=off"
_ACT_AS = text("select set_config('role', :role, true), set_config('app.member_id', :member, true), set_config('app.publisher_id', :publisher, true)")


@contextmanager
def transaction(actor: Actor) -> Iterator[Session]:
    """One transaction under the actor's own database role; row-level security shows a member its own rows only.

    Commits when the block ends, rolls back when it raises. Transactions do not nest.
    """
    session = db.session()
    with session.begin():
        act_as(session, actor)
        yield session


def act_as(session: Session, actor: Actor) -> None:
    """Take the actor's role until the transaction ends."""
    session.execute(_ACT_AS, {"role": actor.database_role, "member": str(actor.member_id or ""), "publisher": str(actor.publisher_id or "")})


def member_call(statement: str, parameters: Sequence[Any]) -> list[Any]:
    """One SQL function call in a transaction of its own, in one round trip; returns its rows.

    For the hot path: `transaction()` costs four round trips. It runs as `app_member`; the function sets `app.member_id` itself.
    `statement` uses psycopg's `%s` parameters. It is repeated on a new connection where the old one turns out to be dead, so it must be idempotent.
    """
    try:
        return _execute(statement, parameters)
    except ConnectionLost:
        return _execute(statement, parameters)


class ConnectionLost(Exception):
    """The server has closed this connection; whether the call took effect is not known."""


def _execute(statement: str, parameters: Sequence[Any]) -> list[Any]:
    engine = _member_engine()
    fairy = engine.raw_connection()
    connection = fairy.driver_connection
    assert connection is not None
    try:
        return connection.execute(statement, parameters, prepare=True).fetchall()  # type: ignore[no-any-return]
    except psycopg.OperationalError as error:
        if not connection.closed:
            raise
        fairy.invalidate(error)
        engine.dispose(close=False)  # its neighbours died with it; those in use are closed when they come back
        raise ConnectionLost from error
    finally:
        fairy.close()


def forget_member_engine() -> None:
    """Leave the connections of `member_call` to the process that opened them: to be called in a forked one."""
    engine: Engine | None = current_app.extensions.pop("member_engine", None)
    if engine is not None:
        engine.dispose(close=False)


def _member_engine() -> Engine:
    engine: Engine | None = current_app.extensions.get("member_engine")
    if engine is None:
        options: dict[str, Any] = current_app.config["SQLALCHEMY_ENGINE_OPTIONS"]
        # Everything is found by key here. Without the second option, what was planned while a table was empty reads all of it from then on.
        connect_args = options.get("connect_args", {}) | {"options": f"{SERVER_OPTIONS} -c role=app_member -c enable_seqscan=off"}
        engine = create_engine(
            current_app.config["SQLALCHEMY_DATABASE_URI"],
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,  # autocommit leaves nothing to reset
            **options | {"connect_args": connect_args},
        )
        current_app.extensions["member_engine"] = engine
    return engine
