"""Migrations only go forward: from nothing, and from the first schema with data in it, to what the models say."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from alembic import command
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from core import migrations
from core.embedded.postgres import dsn
from core.settings import Settings

FIRST = "0004"  # the oldest schema with every room in it
FILL = """
insert into legal_entity (id, name, currency, timezone, tax_rate_bp) values ('00000000-0000-0000-0000-000000000001', 'E', 'CNY', 'Asia/Shanghai', 600);
insert into member (id, entity_id, number, name, industry, size, sales_cycle, channel, currency, state, created_at)
  select ('00000000-0000-0000-0001-' || lpad(g::text, 12, '0'))::uuid, '00000000-0000-0000-0000-000000000001', 'M' || g, '会员' || g, 'retail',
    'small', 'short', 'direct', 'CNY', 'active', '2025-01-01' from generate_series(1, 50) g;
select open_book(id, 'member', entity_id, 'CNY', '2025-01-01') from member;
select credit_many(array(
  select row(id, id, '\\x01', 'top_up', 'CNY', '2025-02-01', null, 10, 100000, 22, 10000, '2027-01-01', 0, '{}', '{}', '{}')::credit_request from member));
select charge_many(array(
  select row(id, gen_random_uuid(), '\\x02', 'purchase', 'CNY', '2025-03-01', null, '{41,27}', '{9400,600}', '{9400,0}')::charge_request from member));
insert into top_up (member_id, id, request_hash, currency, amount_minor, bonus_minor, method, state, created_at, settled_at)
  select id, id, '\\x01', 'CNY', 100000, 10000, 'card', 'settled', '2025-02-01', '2025-02-01' from member;
insert into event (member_id, id, user_ref, at, received_at, feature, action, duration_ms, is_automated)
  select m.id, 'e' || g, 'u', '2025-02-01', '2025-02-01', 'lead', 'open', 10, false from member m, generate_series(1, 20) g;
insert into product_line values ('crm', '客户', 'CRM');
insert into edition values ('crm', 1, 'e1', '版', 'Edition', '{}', '{}');
insert into subscription (member_id, id, product_line, rank, period, currency, seats, state, term, anchor_day, started_at, term_start, term_end,
    term_price_minor, cancel_at_term_end, ended_at, deployment, licensing, failed_attempts)
  select m.id, gen_random_uuid(), 'crm', 1, 'month', 'CNY', 1, s, 1, 1, '2025-01-01', '2025-01-01', '2025-02-01', 10000, true,
    case s when 'ended' then timestamptz '2025-02-01' end, 'saas', 'rental', 0
  from member m, unnest(case when m.number < 'M3' then array['ended', 'ended', 'active'] else array['ended'] end) s;
"""
RUNNING = 22  # of M1, M10 to M19, M2, M20 to M29
COUNTS = {"subscription": 94, "member": 50, "wallet": 50, "ledger_transaction": 100, "top_up": 50, "event": 1_000}


@contextmanager
def database(settings: Settings, name: str) -> Iterator[Settings]:
    """An empty database of its own, dropped afterwards."""
    url = make_url(settings.migration_database_url)
    server = dsn(url.set(database="postgres").render_as_string(hide_password=False))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name}")
    given = url.set(database=name).render_as_string(hide_password=False)
    try:
        yield replace(settings, database_url=given, migration_database_url=given)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")


def sums(connection: Connection) -> dict[str, object]:
    """What must be the same before and after."""
    counts = {name: connection.scalar(text(f"select count(*) from {name}")) for name in COUNTS}
    money = connection.execute(text("select sum(paid_minor), sum(bonus_minor), (select sum(amount_minor) from posting) from wallet")).one()
    return {**counts, "money": tuple(money)}


def test_an_empty_database_comes_to_what_the_models_say(settings: Settings) -> None:
    with database(settings, "migrate_empty") as fresh:
        migrations.upgrade(fresh)
        command.check(migrations._config(fresh.migration_database_url))  # raises where models and schema differ


def test_a_filled_database_keeps_every_row_and_every_cent(settings: Settings) -> None:
    with database(settings, "migrate_filled") as old:
        migrations.upgrade(old, FIRST)
        engine = create_engine(old.migration_database_url, poolclass=NullPool)
        with engine.begin() as connection:
            for statement in FILL.strip().split(";\n"):
                connection.exec_driver_sql(statement)
            before = sums(connection)
        assert {k: before[k] for k in COUNTS} == COUNTS
        migrations.upgrade(old)
        with engine.connect() as connection:
            assert sums(connection) == before
            assert connection.scalar(text("select count(*) from running_subscription natural join subscription where state = 'active'")) == RUNNING
            assert connection.scalar(text("select count(*) from running_subscription")) == RUNNING
        assert migrations.is_current(engine)


def test_going_back_is_not_offered() -> None:
    script = migrations.ScriptDirectory.from_config(migrations._config(""))
    for revision in script.walk_revisions():
        with pytest.raises(AttributeError):
            revision.module.downgrade  # noqa: B018
