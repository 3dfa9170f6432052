"""Fills Word templates, and reads them for what they may not hold."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docx import Document
from docx.table import Table
from docxtpl import DocxTemplate
from jinja2.exceptions import TemplateError

from marketplace.sandbox.inside import jinja, office
from marketplace.sandbox.inside.results import sample


def run(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """`options`: entry, input, variables, keep. Writes `text.txt`, what a reader sees; with `keep` the document as well."""
    template = DocxTemplate(Path("work", options["entry"]))
    try:
        template.render({**sample(options), **options["variables"]}, jinja_env=jinja.environment(), autoescape=True)
    except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
        return {"passed": False, "reason": f"{type(error).__name__}: {error}"[:500]}
    buffer = io.BytesIO()
    template.save(buffer)
    Path("result/text.txt").write_bytes(("\n".join(_lines(buffer.getvalue())) + "\n").encode())
    if options.get("keep"):
        Path("result/document.docx").write_bytes(buffer.getvalue())
    return {"passed": True}


def _lines(content: bytes) -> Iterator[str]:
    """The text in reading order; the cells of a row joined by bars."""
    for block in Document(io.BytesIO(content)).iter_inner_content():
        if isinstance(block, Table):
            yield from (" | ".join(cell.text for cell in row.cells) for row in block.rows)
        else:
            yield block.text


def inspect(options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """Macros, external targets, fields that fetch or run, and what its template language may not say."""
    entry = options["entry"]
    try:
        found = list(office.findings(Path("work", entry), entry))
        if not found:
            found = [finding for source in _sources(Path("work", entry)) for finding in jinja.findings(source, entry)]
    except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError) as error:
        found = [{"file": entry, "line": None, "rule": "office_unreadable", "what": f"{type(error).__name__}: {error}"[:200]}]
    return {"findings": [{**finding, "line": None} for finding in found]}


def _sources(path: Path) -> Iterator[str]:
    """The template language of the body, the headers and the footers, as it will be rendered."""
    template = DocxTemplate(path)
    template.init_docx()
    yield template.patch_xml(template.get_xml())
    for uri in (template.HEADER_URI, template.FOOTER_URI):
        for _key, part in template.get_headers_footers(uri):
            yield template.patch_xml(template.get_part_xml(part))
