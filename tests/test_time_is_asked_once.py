"""Time is asked in `core/clock.py` and nowhere else: no other module reads the machine's clock, and no SQL asks the server's."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("core", "membership", "billing", "marketplace", "operations")
THE_CLOCK = "core/clock.py"
ASKING = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time"), ("time", "time_ns"), ("time", "localtime"),
          ("time", "gmtime"), ("func", "now"), ("func", "current_timestamp")}  # fmt: skip
SERVER = re.compile(
    r"\b(now\s*\(\s*\)|current_timestamp|current_date|localtimestamp|(?:clock|statement|transaction)_timestamp\s*\()",
    re.IGNORECASE,
)


def modules() -> Iterator[Path]:
    yield ROOT / "app.py"
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


def asked_in_python(source: str) -> list[tuple[int, str]]:
    """Calls that read the machine's clock."""
    return [
        (node.lineno, ast.unparse(node.func))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and (ast.unparse(node.func.value).split(".")[-1], node.func.attr) in ASKING
    ]


def asked_in_sql(sql: str) -> list[str]:
    """Calls that read the server's clock, comments left out."""
    return SERVER.findall(re.sub(r"--[^\n]*", "", sql))


def sql_in_python(source: str) -> Iterator[tuple[int, str]]:
    """String constants that are SQL: everything but docstrings and sentences."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\b(select|insert into|update|delete from)\b", node.value):
            yield node.lineno, node.value


def test_no_module_reads_the_machines_clock() -> None:
    found = {f"{path.relative_to(ROOT)}:{line} {call}" for path in modules() for line, call in asked_in_python(path.read_text())}
    assert {one for one in found if not one.startswith(THE_CLOCK)} == set()
    assert len(found) == 1, "the clock itself asks once"


def test_no_sql_reads_the_servers_clock() -> None:
    found = [f"{path.name}: {one}" for path in sorted((ROOT / "migrations" / "sql").glob("*.sql")) for one in asked_in_sql(path.read_text())]
    for folder in ("billing", "membership", "marketplace", "operations", "core"):
        found += [f"{path.name}: {one}" for path in sorted((ROOT / folder).rglob("*.sql")) for one in asked_in_sql(path.read_text())]
    for path in modules():
        found += [f"{path.name}:{line}: {one}" for line, sql in sql_in_python(path.read_text()) for one in asked_in_sql(sql)]
    for path in sorted((ROOT / "migrations" / "versions").glob("*.py")):
        found += [f"{path.name}: {one}" for one in asked_in_sql(path.read_text())]
    assert found == []


@pytest.mark.parametrize("broken", ["datetime.now(UTC)", "dt.datetime.utcnow()", "date.today()", "time.time()", "func.now()"])
def test_the_check_would_notice(broken: str) -> None:
    assert len(asked_in_python(f"x = {broken}")) == 1
    assert asked_in_python("x = clock.now()") == []


def test_the_check_would_notice_sql() -> None:
    assert asked_in_sql("select * from t where at < now() -- now()") == ["now()"]
    assert asked_in_sql("at timestamptz default current_timestamp") == ["current_timestamp"]
    assert asked_in_sql("knows, nowhere") == []
