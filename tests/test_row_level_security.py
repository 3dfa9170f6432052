"""Row-level security proven by forgetting the filter, and the roles' rights by trying what they must not do.

What is looked at comes from the database itself, so a new table is covered (or refused) without a change here.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.pool import NullPool

from core.actor import Actor, kind_of
from core.db import SYSTEM, db, transaction
from core.outbox import publish
from core.settings import Settings
from membership.models import Member
from tests.factories import AT, make_member
from tests.foreign import FOREIGN
from tests.kept import Shelf

# Tables with a member in them that no member owns: written for us, about members, and closed to them.
GLOBAL = {
    "audit_entry": "the staff's trail; members may add to it, never read it",
    "approval": "what staff propose and decide about members' money; closed to them",
}
LEDGER = (
    "book",
    "ledger_transaction",
    "posting",
    "wallet",
    "lot",
    "wallet_grant",
    "refund_line",
    "hold",
    "hold_draw",
    "ledger_position",
    "account_kind",
    "deferral",
    "recognition_day",
)
NEVER_CHANGED = ("ledger_transaction", "posting", "refund_line", "audit_entry", "document", "document_line", "billing_details")
APP_ROLES = ("app_member", "app_staff", "app_system", "app_publisher")
ACT_AS = text("select set_config('role', :role, true), set_config('app.member_id', :member, true)")
READABLE_BY_ALL = {"review"}  # what buyers say is for everybody; writing is not


@pytest.fixture(scope="session")
def forced(owner: Engine) -> dict[str, str]:
    """Every table with forced row-level security, and the column that says whose a row is."""
    with owner.connect() as connection:
        rows = connection.execute(text(
            "select c.relname, p.polqual_text from pg_class c join lateral (select pg_get_expr(polqual, polrelid) as polqual_text from pg_policy"
            " where polrelid = c.oid and polname = 'own_rows') p on true where c.relrowsecurity and c.relforcerowsecurity"
        )).all()  # fmt: skip
    return {name: qual.strip("()").split(" = ")[0] for name, qual in rows}


@pytest.fixture
def two(app: Flask, shelf: Shelf) -> tuple[Member, Member]:
    """Two members, each with one of everything we know how to make."""
    pair: tuple[Member, Member] = shelf.take("two members", _two_members)
    return pair


def _two_members() -> tuple[Member, Member]:
    pair = make_member(paid=300_00, bonus=50_00, name="A"), make_member(paid=700_00, bonus=90_00, name="B")
    for member in pair:
        for factory in set(FOREIGN.values()):
            factory(member)
        with transaction(SYSTEM):
            publish("member.tried", {}, at=AT, member_id=member.id)
    return pair


def member_actor(member: Member) -> Actor:
    return Actor(kind=kind_of("owner"), role="owner", member_id=member.id)


@contextmanager
def acting(connection: Connection, role: str, member: uuid.UUID | None = None) -> Iterator[Connection]:
    """A transaction of the app's own login under one of its roles, taken back at the end."""
    with connection.begin() as opened:
        connection.execute(
            text("select set_config('role', :role, true), set_config('app.member_id', :member, true)"), {"role": role, "member": str(member or "")}
        )
        yield connection
        opened.rollback()


@pytest.fixture
def login(settings: Settings) -> Iterator[Connection]:
    """A connection as the app has it."""
    engine = create_engine(settings.database_url, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def behind(owner: Engine) -> Iterator[Connection]:
    """A connection of the schema's owner, to look things up."""
    with owner.connect() as connection:
        yield connection


def can(connection: Connection, role: str, table: str, right: str) -> bool:
    return bool(connection.scalar(text("select has_table_privilege(:role, :table, :right)"), {"role": role, "table": table, "right": right}))


def test_a_forgotten_filter_shows_own_rows_only(app: Flask, two: tuple[Member, Member], forced: dict[str, str], owner: Engine) -> None:
    mine, theirs = two
    seen = 0
    for table, column in forced.items():
        with owner.connect() as connection:
            if not can(connection, "app_member", table, "select") or table in READABLE_BY_ALL:
                continue
            there = connection.scalar(text(f'select count(*) from "{table}" where "{column}" = :b'), {"b": theirs.id})
        with transaction(member_actor(mine)) as session:
            found = set(session.scalars(text(f'select "{column}" from "{table}"')))
        assert found <= {mine.id}, table
        seen += bool(there) and bool(found)
    assert seen >= 10, "the two members own too little for this to prove anything"


def test_without_a_member_a_member_sees_nothing(login: Connection, behind: Connection, two: tuple[Member, Member], forced: dict[str, str]) -> None:
    for table in set(forced) - READABLE_BY_ALL:
        if can(behind, "app_member", table, "select"):
            with acting(login, "app_member") as connection:
                assert connection.scalar(text(f'select count(*) from "{table}"')) == 0, table


def test_nothing_can_be_written_for_another_member(login: Connection, behind: Connection, two: tuple[Member, Member], forced: dict[str, str]) -> None:
    mine, theirs = two
    tried = 0
    for table, column in forced.items():
        row = behind.execute(text(f'select to_jsonb(t) as row from "{table}" t where "{column}" = :b limit 1'), {"b": theirs.id}).scalar()
        if row is None:
            continue
        copied = f'insert into "{table}" overriding system value select * from jsonb_populate_record(null::"{table}", cast(:row as jsonb))'
        assert _refusal(login, mine, copied, row=json.dumps(row)) in ("row-level security", "permission denied"), table
        for statement in (
            f'update "{table}" set "{column}" = "{column}" where "{column}" = :b',
            f'delete from "{table}" where "{column}" = :b',
        ):
            assert _refusal(login, mine, statement, b=theirs.id) in ("nothing done", "permission denied"), (table, statement)
        assert _refusal(login, mine, f'update "{table}" set "{column}" = :b', b=theirs.id) != "done", table
        tried += 1
    assert tried >= 12


def _refusal(login: Connection, member: Member, statement: str, **given: object) -> str:
    """What became of a statement that a member tried."""
    with acting(login, "app_member", member.id) as connection:
        try:
            return "done" if connection.execute(text(statement), given).rowcount else "nothing done"
        except DBAPIError as refused:
            return next((word for word in ("row-level security", "permission denied") if word in str(refused)), str(refused))


@pytest.mark.parametrize("role", APP_ROLES)
def test_no_role_of_the_app_writes_the_ledger(behind: Connection, app: Flask, role: str) -> None:
    for table in LEDGER:
        for right in ("insert", "update", "delete", "truncate"):
            assert not can(behind, role, table, right), (role, table, right)


@pytest.mark.parametrize("role", APP_ROLES)
@pytest.mark.parametrize("statement", ["update wallet set paid_minor = paid_minor + 1", "delete from posting", "truncate ledger_transaction",
                                       "update wallet_grant set remaining_minor = granted_minor", "insert into book default values"])  # fmt: skip
def test_writing_the_ledger_is_refused_when_tried(login: Connection, two: tuple[Member, Member], role: str, statement: str) -> None:
    with acting(login, role, two[0].id) as connection, pytest.raises(ProgrammingError, match="permission denied"):
        connection.execute(text(statement))


@pytest.mark.parametrize("role", APP_ROLES)
def test_what_happened_is_never_changed(behind: Connection, app: Flask, role: str) -> None:
    for table in NEVER_CHANGED:
        for right in ("update", "delete", "truncate"):
            assert not can(behind, role, table, right), (role, table, right)


def test_members_neither_delete_nor_read_what_is_nobodys(behind: Connection, app: Flask, forced: dict[str, str]) -> None:
    for table in _tables(behind):
        assert not can(behind, "app_member", table, "delete"), table
    for table in ("user_session", "stripe_event", "audit_entry", "alembic_version"):
        assert not can(behind, "app_member", table, "select"), table


def test_the_login_alone_can_do_nothing(login: Connection, behind: Connection, two: tuple[Member, Member]) -> None:
    for table in _tables(behind):
        with pytest.raises(ProgrammingError, match="permission denied"):
            login.execute(text(f'select 1 from public."{table}"'))
        login.rollback()


def test_outside_a_transaction_nothing_runs(app: Flask) -> None:
    with pytest.raises(Exception, match=r"[Tt]ransaction"):
        db.session.execute(text("select 1"))


def test_the_role_ends_with_its_transaction(app: Flask, two: tuple[Member, Member]) -> None:
    """The next user of the same pooled connection must not inherit who acted before."""
    mine, _theirs = two
    with transaction(member_actor(mine)) as session:
        assert session.execute(text("select current_user, current_setting('app.member_id')")).one() == ("app_member", str(mine.id))
    with transaction(SYSTEM) as session:
        assert session.execute(text("select current_user, current_setting('app.member_id')")).one() == ("app_system", "")


def test_every_table_with_a_member_is_protected_or_named(owner: Engine, forced: dict[str, str], app: Flask) -> None:
    with owner.connect() as connection:
        rows = connection.execute(text(
            "select distinct c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and not a.attisdropped"
            " join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'public' and c.relkind in ('r', 'p') and a.attname in ('member_id', 'book_id')"
        )).scalars()  # fmt: skip
        unprotected = set(rows) - set(forced) - set(GLOBAL) - _house_only()
    assert not unprotected, f"force row-level security on {sorted(unprotected)}, or say in GLOBAL why not"
    assert not set(GLOBAL) & set(forced)


def _house_only() -> set[str]:
    """Counts of house and partner books: no member has a row there."""
    return {"ledger_position"}


def test_no_member_has_a_row_in_the_house_books(owner: Engine, two: tuple[Member, Member]) -> None:
    with owner.connect() as connection:
        assert connection.scalar(text("select count(*) from ledger_position p join member m on m.id = p.book_id")) == 0


def test_a_charge_for_another_members_wallet_is_refused(app: Flask, two: tuple[Member, Member], make_charge: Callable[[Member], object]) -> None:
    mine, theirs = two
    balance, theirs_id = text("select paid_minor + bonus_minor from wallet where member_id = :b"), {"b": theirs.id}
    with transaction(SYSTEM) as session:
        before = session.scalar(balance, theirs_id)
    with pytest.raises(DBAPIError), transaction(member_actor(mine)):
        make_charge(theirs)
    with transaction(SYSTEM) as session:
        assert session.scalar(balance, theirs_id) == before


@pytest.fixture
def make_charge() -> Callable[[Member], object]:
    from billing.ledger.accounts import Account
    from billing.wallet.wallets import ChargeRequest, Target, charge
    from core.ids import new_id, request_hash

    def charge_it(member: Member) -> object:
        return charge(ChargeRequest(member.id, new_id(), request_hash("theft"), "purchase", "CNY", AT, (Target(Account.STORE_REVENUE, 1_00),)))

    return charge_it


def _tables(connection: Connection) -> list[str]:
    return list(connection.scalars(text("select tablename from pg_tables where schemaname = 'public'")))
