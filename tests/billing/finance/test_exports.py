"""Exports are read back and tie to the ledger; no text becomes a formula."""

import csv
import io
from decimal import Decimal

import openpyxl
import pytest
from flask import Flask
from flask.testing import FlaskClient

from billing.finance import exports
from billing.ledger.accounts import Account as A
from tests.billing.books import accounts
from tests.billing.finance.finance_world import World, make_world, stop_the_clock
from tests.sign_in import client_as

NASTY = ["=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1"]


@pytest.fixture
def world(app: Flask, monkeypatch: pytest.MonkeyPatch) -> World:
    stop_the_clock(monkeypatch)
    return make_world()


@pytest.fixture
def finance(app: Flask, world: World) -> FlaskClient:
    return client_as(app, "finance")


def rows_of(client: FlaskClient, url: str, form: str) -> list[list[object]]:
    """All rows of a downloaded file; amounts of a CSV as text, of a workbook as numbers."""
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Disposition"].endswith(f'.{form}"')
    if form == "csv":
        assert answer.data.startswith(b"\xef\xbb\xbf")
        return [list(row) for row in csv.reader(io.StringIO(answer.data.decode("utf-8-sig")))]
    page = openpyxl.load_workbook(io.BytesIO(answer.data)).active
    assert page is not None
    assert not [cell for row in page.iter_rows() for cell in row if cell.data_type == "f"]
    return [[cell.value for cell in row] for row in page.iter_rows()]


def head_of(rows: list[list[object]]) -> dict[object, object]:
    return {row[0]: row[1] for row in rows[1:] if len(row) > 1 and row[0]}


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_prepaid_balances_tie_to_the_ledger(finance: FlaskClient, world: World, form: str) -> None:
    rows = rows_of(finance, f"/finance/prepaid-balances.{form}?lang=en&show=all", form)
    head = head_of(rows)
    assert rows[0][0] == "Prepaid balances"
    assert (head["As of"], head["Time zone"], head["Currency"], head["Proof"]) == ("2026-06-20 17:00:00", "Asia/Shanghai", "CNY", "ties to the ledger")
    assert Decimal(str(head["Difference to the ledger"])) == 0
    start = next(place for place, row in enumerate(rows) if row and row[0] == "Number")
    assert rows[start][:7] == ["Number", "Member", "Member (English)", "Paid", "Bonus", "Total", "Last entry"]
    *members, total = rows[start + 1 :]
    assert len(members) == 3
    for row in members:
        member = {m.number: m for m in (world.a, world.b, world.c)}[row[0]]  # type: ignore[index]
        books = accounts(member.id)
        assert [Decimal(str(amount)) * 100 for amount in row[3:6]] == [
            books.get(A.WALLET_PAID, 0), books.get(A.WALLET_BONUS, 0), books.get(A.WALLET_PAID, 0) + books.get(A.WALLET_BONUS, 0),
        ]  # fmt: skip
    assert [Decimal(str(amount)) for amount in total[3:6]] == [740, 40, 780] == [sum(Decimal(str(row[n])) for row in members) for n in (3, 4, 5)]
    assert Decimal(str(head["Total of all members"])) == 780


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_export_has_all_filtered_rows_and_no_others(finance: FlaskClient, world: World, form: str) -> None:
    rows = rows_of(finance, f"/finance/prepaid-balances.{form}?lang=en&show=all&q=公司&at=2026-05-31 23:59", form)
    numbers = {row[0] for row in rows if row}
    assert {world.a.number, world.b.number} <= numbers
    assert world.c.number not in numbers
    assert Decimal(str(rows[-1][5])) == 850
    assert head_of(rows)["As of"] == "2026-05-31 23:59:59"
    assert head_of(rows)["Search"] == "公司"


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_statement_ties_and_carries_no_formula(app: Flask, finance: FlaskClient, world: World, form: str) -> None:
    period = "from=2026-05-01&until=2026-05-31"
    rows = rows_of(finance, f"/finance/members/{world.a.id}/statement.{form}?lang=en&{period}", form)
    head = head_of(rows)
    amount = lambda name: Decimal(str(head[name]))  # noqa: E731
    assert amount("Opening balance") + amount("Came in") + amount("Went out") == amount("Closing balance") == 800
    start = next(place for place, row in enumerate(rows) if row and row[0] == "Time")
    movements, total = rows[start + 1 : -1], rows[-1]
    assert [Decimal(str(row[4])) for row in movements] == [1_100, -300]
    assert [row[0] for row in movements] == ["2026-05-10 12:00:00", "2026-05-31 23:59:30"]
    assert movements[1][2] == "'=2+3"  # the memo looks like a formula
    assert Decimal(str(total[4])) == 800
    own = rows_of(client_as(app, "viewer", world.a), f"/wallet/statement.{form}?lang=en&{period}", form)
    assert own[start + 1 :] == rows[start + 1 :]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_name_that_looks_like_a_formula_stays_text(finance: FlaskClient, world: World, form: str) -> None:
    rows = rows_of(finance, f"/finance/prepaid-balances.{form}?lang=en&show=all", form)
    assert "'=cmd()+丙" in {row[1] for row in rows if len(row) > 1}


@pytest.mark.parametrize("written", NASTY)
def test_no_text_is_taken_for_a_formula(written: str) -> None:
    sheet = exports.Sheet(written, [(written, written, "text")], [exports.Column(written)], [(written,)], "CNY", total=(written,))
    cells = [cell for row in csv.reader(io.StringIO(exports.to_csv(sheet).decode("utf-8-sig"), newline="")) for cell in row]
    assert cells == ["'" + written] * 6
    page = openpyxl.load_workbook(io.BytesIO(exports.to_xlsx(sheet))).active
    assert page is not None
    assert {cell.data_type for row in page.iter_rows() for cell in row if cell.value is not None} == {"s"}


def test_amounts_are_exact_in_each_currencys_decimals() -> None:
    sheet = lambda currency: exports.Sheet("T", [], [exports.Column("A", "money")], [(123_456_789_01,), (-5,), (None,)], currency)  # noqa: E731
    assert exports.to_csv(sheet("CNY")).decode("utf-8-sig").splitlines()[3:] == ["123456789.01", "-0.05", '""']
    assert exports.to_csv(sheet("JPY")).decode("utf-8-sig").splitlines()[3:] == ["12345678901", "-5", '""']
    page = openpyxl.load_workbook(io.BytesIO(exports.to_xlsx(sheet("CNY")))).active
    assert page is not None
    assert [(page.cell(row, 1).value, page.cell(row, 1).number_format) for row in (4, 5)] == [(123_456_789.01, "#,##0.00"), (-0.05, "#,##0.00")]
