"""Documents as files: one PDF, or many in a zip that is sent while it is made."""

import io
import zipfile
from collections.abc import Iterator, Sequence

from flask import Flask, Response, current_app

from billing.document.document_models import Document

EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip knows no earlier time; a fixed one keeps the same documents the same file


def pdf(document: Document, language: str | None) -> Response:
    """The document as its file."""
    return Response(
        _render(document, language),
        content_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{name(document, language)}"', "Cache-Control": "private, no-store"},
    )


def name(document: Document, language: str | None) -> str:
    """The file's name: the number, and the language where it is not the document's own."""
    suffix = f"-{language}" if language and language != document.content["language"] else ""
    return f"{document.number}{suffix}.pdf"


def archive(documents: Sequence[Document], filename: str, language: str | None = None) -> Response:
    """The documents as one zip, each rendered when its turn comes, so that memory holds one of them."""
    return Response(
        _zip(current_app._get_current_object(), documents, language),  # type: ignore[attr-defined]
        content_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{filename}.zip"', "Cache-Control": "private, no-store", "X-Accel-Buffering": "no"},
    )


def entry(document: Document, language: str | None) -> tuple[zipfile.ZipInfo, bytes]:
    """A document as it stands in a zip."""
    return zipfile.ZipInfo(name(document, language), EARLIEST), _render(document, language)


def _render(document: Document, language: str | None) -> bytes:
    from billing.document import document_pdf  # with its fonts it takes a third of a second: a process that writes no file starts without

    return document_pdf.render(document.content, document.content_hash, language)


class _Sink(io.RawIOBase):
    """What the zip writes to: it keeps what was written until it is taken, and cannot go back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, data: object) -> int:
        """Keep a part."""
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken, self._parts = b"".join(self._parts), []
        return taken


def _zip(app: Flask, documents: Sequence[Document], language: str | None) -> Iterator[bytes]:
    """The zip, part by part; the request is over by then, and a reader may go away at any part."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as zipped:  # a PDF is compressed already
        for document in documents:
            with app.app_context():
                info, content = entry(document, language)
            zipped.writestr(info, content)
            yield sink.take()
    yield sink.take()
