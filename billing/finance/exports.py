"""Tables as files: CSV for machines, XLSX for people. Amounts are numbers, and no cell of text is ever read as a formula."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import xlsxwriter
from babel.numbers import get_currency_precision
from flask import Response

TYPES = {"csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
Cell = str | int | datetime | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head, and what is in it: text, money (minor units) or count."""

    title: str
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table with what a reader must know about it in its head."""

    title: str
    head: Sequence[tuple[str, Cell, str]]  # label, value, kind
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    currency: str
    total: Sequence[Cell] = ()


def safe(written: str) -> str:
    """Text that a spreadsheet will not take for a formula (OWASP, CSV injection): an apostrophe stands before it."""
    return "'" + written if written.startswith(FORMULA_STARTS) else written


def major(amount_minor: int, currency: str) -> Decimal:
    """The amount in major units, exactly."""
    return Decimal(amount_minor).scaleb(-get_currency_precision(currency))


def _plain(value: Cell, kind: str, currency: str) -> str:
    if value is None:
        return ""
    if kind == "money":
        return f"{major(int(value), currency):f}"  # type: ignore[arg-type]
    return str(value) if kind == "count" else safe(str(value))


def to_csv(sheet: Sheet) -> bytes:
    """UTF-8 with a byte order mark, so that spreadsheets read Chinese right; amounts as `1234.00`, without separators."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow([safe(sheet.title)])
    for label, value, kind in sheet.head:
        writer.writerow([safe(label), _plain(value, kind, sheet.currency)])
    writer.writerow([])
    writer.writerow([safe(column.title) for column in sheet.columns])
    kinds = [column.kind for column in sheet.columns]
    for row in [*sheet.rows, *([sheet.total] if sheet.total else [])]:
        writer.writerow([_plain(value, kind, sheet.currency) for value, kind in zip(row, kinds, strict=True)])
    return b"\xef\xbb\xbf" + stream.getvalue().encode()


def to_xlsx(sheet: Sheet) -> bytes:
    """A workbook of one sheet: frozen head, filter, amounts as numbers with a format."""
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}) as book:
        page = book.add_worksheet(_sheet_name(sheet.title))
        places = get_currency_precision(sheet.currency)
        number = "#,##0" + ("." + "0" * places if places else "")
        formats = {
            "title": book.add_format({"bold": True, "font_size": 14}), "head": book.add_format({"bold": True, "bottom": 1, "text_wrap": True}),
            "money": book.add_format({"num_format": number}), "count": book.add_format({"num_format": "#,##0"}), "text": book.add_format({}),
            "total money": book.add_format({"num_format": number, "bold": True, "top": 1}), "total": book.add_format({"bold": True, "top": 1}),
        }  # fmt: skip
        page.write_string(0, 0, sheet.title, formats["title"])
        for line, (label, value, kind) in enumerate(sheet.head, 1):
            page.write_string(line, 0, label)
            _write(page, (line, 1), value, kind, formats[kind], sheet.currency)
        first = len(sheet.head) + 2
        for place, column in enumerate(sheet.columns):
            page.write_string(first, place, column.title, formats["head"])
            page.set_column(place, place, 18 if column.kind == "money" else 22)
            for line, row in enumerate(sheet.rows, first + 1):
                _write(page, (line, place), row[place], column.kind, formats[column.kind], sheet.currency)
            if sheet.total:
                style = formats["total money" if column.kind == "money" else "total"]
                _write(page, (first + 1 + len(sheet.rows), place), sheet.total[place], column.kind, style, sheet.currency)
        page.freeze_panes(first + 1, 0)
        if sheet.rows:
            page.autofilter(first, 0, first + len(sheet.rows), len(sheet.columns) - 1)
    return stream.getvalue()


def _write(page: Any, at: tuple[int, int], value: Cell, kind: str, style: Any, currency: str) -> None:
    if value is None:
        page.write_blank(*at, None, style)
    elif kind == "money":
        page.write_number(*at, major(int(value), currency), style)  # type: ignore[arg-type]
    elif kind == "count":
        page.write_number(*at, value, style)
    else:
        page.write_string(*at, safe(str(value)), style)


def _sheet_name(title: str) -> str:
    """A sheet's name may have 31 letters and none of `[]:*?/\\`."""
    return "".join(letter for letter in title if letter not in "[]:*?/\\'")[:31] or "Sheet"


def download(sheet: Sheet, form: str, name: str) -> Response:
    """The file as an answer; `form` is csv or xlsx, `name` the file's name without its ending (ASCII)."""
    content = to_csv(sheet) if form == "csv" else to_xlsx(sheet)
    return Response(
        content, content_type=TYPES[form], headers={"Content-Disposition": f'attachment; filename="{name}.{form}"', "Cache-Control": "private, no-store"}
    )
