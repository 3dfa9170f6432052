"""A document as a PDF/A file: the same document gives the same bytes, in Chinese or English, whoever asks and whenever."""

import re
from datetime import UTC, datetime
from typing import Any

from flask_babel import force_locale
from fpdf import FPDF

from billing.document import document_words as words
from billing.document import pdf_fonts
from billing.document.document_contents import Content
from billing.document.document_page import DocumentPage
from core.i18n import TAGS


class _File(FPDF):
    """An A4 file of ISO 19005-3 (PDF/A-3u), to be kept for years; its identifier follows from what it shows."""

    def __init__(self, content_hash: bytes) -> None:
        super().__init__(format="A4", enforce_compliance="PDF/A-3U")
        self._identifier = content_hash.hex()[:32].upper()

    def file_id(self) -> str:
        """The trailer's pair of identifiers."""
        return f"<{self._identifier}><{self._identifier}>"


def render(content: Content, content_hash: bytes, language: str | None = None) -> bytes:
    """The PDF of a document's content, in its own language unless another one is asked for."""
    language, issued = language or content["language"], datetime.fromisoformat(content["issued_at"]).astimezone(UTC)
    with force_locale(language):
        labels = words.labels(content["kind"])
    letters = "".join(str(value) for value in [*_leaves(content), *labels.values(), words.CAPITALS])
    with pdf_fonts.cut(pdf_fonts.printable(letters)) as fonts:
        file = _File(content_hash)
        for style, path in fonts.items():
            file.add_font("Noto", style, path)
        _describe(file, content, labels, language)
        file.set_creation_date(issued)
        DocumentPage(file, content, content_hash, labels, language).draw()
        return _dated(bytes(file.output()), issued)


def _describe(file: FPDF, content: Content, labels: dict[str, str], language: str) -> None:
    """The file's own words about itself."""
    seller = words.seller_name(content["seller"], language)
    file.set_title(f"{labels['title']} {content['number']}")
    file.set_author(seller)
    file.set_subject(f"{labels['title']} {content['number']} · {content['buyer']['title']}")
    file.set_creator(seller)
    file.set_lang(TAGS[language])


def _dated(pdf: bytes, issued: datetime) -> bytes:
    """The file as last changed when it was made: fpdf2 writes the present second there, which would make each copy another file."""
    dated, found = re.subn(rb'(xmp:(?:Modify|Metadata)Date=")[^"]{25}', b"\\g<1>" + issued.isoformat(timespec="seconds").encode(), pdf)
    assert found == 2, "as many letters as before, so that every offset stays right"
    return dated


def _leaves(value: Any) -> list[Any]:
    """Every single value inside."""
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [] if value is None else [value]
