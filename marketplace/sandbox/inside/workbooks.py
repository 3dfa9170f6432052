"""Fills Excel templates, and reads them for what they may not hold."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

from openpyxl import load_workbook
from openpyxl.cell import Cell

from marketplace.sandbox.inside import office
from marketplace.sandbox.inside.results import sample, write_json

# Functions that fetch, run or call out; `a|b!c` is dynamic data exchange, `[1]Sheet!A1` another workbook.
CALLS_OUT = re.compile(
    r"\b(?:HYPERLINK|WEBSERVICE|FILTERXML|RTD|CALL|REGISTER(?:\.ID)?|EXEC|IMPORT\w+|INDIRECT|DDE\w*|SQL\.REQUEST)\s*\(|\|[^!]*!|\[[^\]]+\][^!]*!", re.IGNORECASE
)
MOST_CELLS = 200_000


def run(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """Put the sample into the named cells and the rows from `first_row` on; read back each named cell and each filled row.

    `options`: entry, input, keep. Writes `cells.json`; with `keep` the workbook as well.
    """
    book, data = load_workbook(Path("work", options["entry"])), sample(options)

    def place(name: str) -> Any:
        title, address = next(book.defined_names[name].destinations)
        return book[title][address]

    try:
        for name, value in data["cells"].items():
            _write(place(name), value)
        first, rows = place("first_row"), []
        for offset, row in enumerate(data["rows"]):
            cells = [first.offset(offset, column) for column in range(len(row))]
            for cell, value in zip(cells, row, strict=True):
                if value is not None:
                    _write(cell, value)
            rows.append([cell.value for cell in cells])
    except (KeyError, StopIteration, TypeError, ValueError, AttributeError) as error:
        return {"passed": False, "reason": f"{type(error).__name__}: {error}"[:500]}
    write_json("cells.json", {"named": {name: place(name).value for name in sorted(book.defined_names)}, "rows": rows})
    if options.get("keep"):
        buffer = io.BytesIO()
        book.save(buffer)
        Path("result/workbook.xlsx").write_bytes(buffer.getvalue())
    return {"passed": True}


def _write(cell: Cell, value: Any) -> None:
    """Input is data: what looks like a formula stays text."""
    cell.value = value
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):
        cell.data_type, cell.quotePrefix = "s", True


def inspect(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """Macros, external links, data connections, DDE, and formulas that reach out."""
    entry = options["entry"]
    try:
        found = list(office.findings(Path("work", entry), entry))
        found = found or _formulas(Path("work", entry), entry)
    except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError, TypeError) as error:
        found = [{"file": entry, "line": None, "rule": "office_unreadable", "what": f"{type(error).__name__}: {error}"[:200]}]
    return {"findings": found}


def _formulas(path: Path, entry: str) -> list[dict[str, Any]]:
    book, found, seen = load_workbook(path), [], 0
    for name, defined in book.defined_names.items():
        if CALLS_OUT.search(str(defined.attr_text or "")):
            found.append({"file": entry, "line": None, "rule": "formula_reaches_out", "what": f"{name}: {defined.attr_text}"[:200]})
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                seen += 1
                if seen > MOST_CELLS:
                    return [*found, {"file": entry, "line": None, "rule": "too_many_cells", "what": str(MOST_CELLS)}]
                if cell.data_type == "f" and CALLS_OUT.search(str(cell.value)):
                    found.append({"file": entry, "line": None, "rule": "formula_reaches_out", "what": f"{sheet.title}!{cell.coordinate} {cell.value}"[:200]})
    return found
